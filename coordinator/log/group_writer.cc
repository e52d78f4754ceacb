#include "coordinator/log/group_writer.h"

#include <algorithm>
#include <utility>

namespace assent::log {
namespace {

constexpr std::size_t kIdleSliceRows = 512;
// A busy log looks for rows to remove after so many bytes, whatever the time: what it exceeds its
// limit by stays small.
constexpr std::uint64_t kExpiryEveryBytes = std::uint64_t{1} << 20;
constexpr std::chrono::minutes kRetentionReportEvery(10);
// An idle log stores its run time this often: what a life that is killed may lose of it.
constexpr std::chrono::minutes kIdleMarkEvery(10);

bool HasBegin(const std::vector<Entry>& batch) {
  return std::any_of(batch.begin(), batch.end(),
                     [](const Entry& entry) { return entry.kind == EntryKind::kBegin; });
}

}  // namespace

GroupWriter::GroupWriter(const SqliteOptions& options, SqliteStore& store)
    : options_(options),
      store_(store),
      reserve_(options.path + "-reserve", options.reserve_bytes),
      next_probe_(Clock::now()),
      next_expiry_(Clock::now()),
      wall_watch_(store.LastUnixMs()),
      next_retention_report_(Clock::now()) {
  full_ = !reserve_.Take();
}

std::vector<AppendResult> GroupWriter::Write(const std::vector<PendingAppend>& group) {
  ASSENT_CHECK(!poisoned());
  std::vector<AppendResult> results(group.size());
  report_ = CommitReport();
  if (const Status failure = TryWrite(group, results); !failure.ok()) {
    Poison(failure);
    for (AppendResult& result : results) result.status = poison_;
  }
  LookAtClocks();
  const std::int64_t now = UnixNowMs();
  for (std::size_t i = 0; i < group.size(); ++i) {
    results[i].position = group[i].position;
    if (results[i].status.ok()) results[i].durable_unix_ms = now;
  }
  return results;
}

// Fills in a result for each batch. A failure is one that poisons.
Status GroupWriter::TryWrite(const std::vector<PendingAppend>& group,
                             std::vector<AppendResult>& results) {
  std::vector<std::size_t> chosen;
  std::size_t entries = 0;
  const auto choose = [&](std::size_t i) {
    if (MayWrite(group[i], results[i].status)) {
      unwritten_.NoteWritten(group[i].entries);
      chosen.push_back(i);
      entries += group[i].entries.size();
      bytes_since_expiry_ += group[i].bytes;
    } else {
      unwritten_.NoteUnwritten(group[i].entries);
    }
  };
  for (std::size_t i = 0; i < group.size(); ++i) choose(i);
  if (chosen.empty()) return OkStatus();

  Status status = WriteChosen(group, chosen, SliceRows(entries), results);
  if (status.code() != Code::kResourceExhausted) return status;

  // The disk is full. What begins is refused; with the reserve given up, the rest may find room.
  EnterFull();
  if (poisoned()) return poison_;
  const std::vector<std::size_t> before = std::move(chosen);
  chosen.clear();
  for (const std::size_t i : before) choose(i);
  if (chosen.empty()) return OkStatus();
  status = WriteChosen(group, chosen, 0, results);
  if (status.code() != Code::kResourceExhausted) return status;
  for (const std::size_t i : chosen) {
    results[i].status = status;
    unwritten_.NoteUnwritten(group[i].entries);
  }
  return OkStatus();
}

bool GroupWriter::MayWrite(const PendingAppend& append, Status& refusal) {
  if (append.no_room) {
    refusal = ResourceExhausted("the log's queue is full: try again later");
  } else if (unwritten_.BuiltOn(append.entries)) {
    refusal = ResourceExhausted("builds on a version that was refused: append that one first");
  } else if (full_ && HasBegin(append.entries)) {
    refusal = ResourceExhausted("the log's disk is full: only what has begun can end");
  } else {
    return true;
  }
  return false;
}

Status GroupWriter::WriteChosen(const std::vector<PendingAppend>& group,
                                const std::vector<std::size_t>& chosen, std::size_t expire_rows,
                                std::vector<AppendResult>& results) {
  std::vector<const std::vector<Entry>*> batches;
  batches.reserve(chosen.size());
  std::size_t entries = 0;
  for (const std::size_t i : chosen) {
    batches.push_back(&group[i].entries);
    entries += group[i].entries.size();
  }
  const auto start = Clock::now();
  GroupOutcome outcome;
  const Status status = store_.WriteGroup(batches, unwritten_, expire_rows, outcome);
  if (!status.ok()) return status;
  report_ = {.batches = chosen.size(),
             .entries = entries,
             .total = std::chrono::duration_cast<std::chrono::microseconds>(Clock::now() - start),
             .durable = outcome.in_commit,
             .checkpoint = std::exchange(checkpoint_, {})};
  std::size_t refused = 0;
  for (std::size_t c = 0; c < chosen.size(); ++c) {
    refused += outcome.refused[c].size();
    results[chosen[c]].refused = std::move(outcome.refused[c]);
  }
  for (const std::uint64_t serial : outcome.never_begun) unwritten_.NoteNeverBegun(serial);
  ++commits_;
  records_ += entries - refused;
  if (expire_rows > 0) {
    bytes_since_expiry_ = 0;
    // A slice that found its fill, or half of it, is likely to be followed by another.
    next_expiry_ = Clock::now();
    const std::size_t expired = outcome.expired_by_age + outcome.expired_by_size;
    if (expired < expire_rows / 2) next_expiry_ += options_.retention_interval;
    NoteRemoved(outcome);
  }
  return status;
}

// How many rows retention may look at in the next commit: more than the commit can add, so that it
// keeps up.
std::size_t GroupWriter::SliceRows(std::size_t entries) const {
  if (Clock::now() < next_expiry_ && bytes_since_expiry_ < kExpiryEveryBytes) return 0;
  return kIdleSliceRows + 2 * entries;
}

void GroupWriter::EnterFull() {
  full_ = true;
  next_probe_ = Clock::now() + options_.space_probe_interval;
  reserve_.Release();
  // With the WAL begun anew, nothing of the transaction that failed is left in it, and its space is
  // free.
  const Status status = Checkpoint(true);
  if (!status.ok() && status.code() != Code::kResourceExhausted) Poison(status);
}

Status GroupWriter::Checkpoint(bool force) {
  const auto start = Clock::now();
  Status status = store_.Checkpoint(force);
  checkpoint_ += std::chrono::duration_cast<std::chrono::microseconds>(Clock::now() - start);
  return status;
}

void GroupWriter::Maintain() {
  if (poisoned()) return;
  if (const Status status = Checkpoint(false); !status.ok()) {
    if (status.code() == Code::kResourceExhausted) {
      EnterFull();
    } else {
      Poison(status);
    }
  }
  if (!poisoned()) {
    // On a full disk, later.
    const Status status = store_.AnchorState();
    if (!status.ok() && status.code() != Code::kResourceExhausted) Poison(status);
  }
  if (full_ && !poisoned() && Clock::now() >= next_probe_) {
    next_probe_ = Clock::now() + options_.space_probe_interval;
    full_ = !reserve_.Take();
  }
}

bool GroupWriter::MaintainIdle() {
  if (poisoned() || Clock::now() < next_expiry_) return false;
  next_expiry_ = Clock::now() + options_.retention_interval;
  LookAtClocks();
  LookInPlace();
  if (poisoned()) return false;
  const Result<bool> work = store_.HasExpired();
  if (!work.ok()) {
    Poison(work.status());
    return false;
  }
  if (!work.value() && store_.UnmarkedAge() < kIdleMarkEvery) return Settle();
  GroupOutcome outcome;
  const Status status = store_.WriteGroup({}, unwritten_, kIdleSliceRows, outcome);
  if (status.code() == Code::kResourceExhausted) {
    EnterFull();
    return false;
  }
  if (!status.ok()) {
    Poison(status);
    return false;
  }
  ++commits_;
  NoteRemoved(outcome);
  if (outcome.expired_by_age + outcome.expired_by_size == 0) return false;
  next_expiry_ = Clock::now();
  return true;
}

void GroupWriter::NoteRemoved(const GroupOutcome& outcome) {
  removed_.by_age += outcome.expired_by_age;
  removed_.by_size += outcome.expired_by_size;
  removed_.paced = removed_.paced || outcome.paced;
  removed_.kept = store_.meta().finished_rows;
  if (removed_.by_age + removed_.by_size == 0 || Clock::now() < next_retention_report_) return;
  next_retention_report_ = Clock::now() + kRetentionReportEvery;
  if (options_.on_retention) options_.on_retention(removed_);
  removed_ = {};
}

void GroupWriter::LookAtClocks() {
  const auto mono =
      options_.mono_now_ms
          ? options_.mono_now_ms()
          : std::chrono::duration_cast<std::chrono::milliseconds>(Clock::now().time_since_epoch())
                .count();
  const auto step = wall_watch_.Look(mono, UnixNowMs());
  if (step && options_.on_wall_clock_step) options_.on_wall_clock_step(*step);
}

void GroupWriter::LookInPlace() {
  if (poisoned()) return;
  if (const Status status = store_.CheckInPlace(); !status.ok()) Poison(status);
}

// Nothing has come for a while: the last commit moves from the WAL, where damage to it would pass
// for a torn write, into the database, where it would not.
bool GroupWriter::Settle() {
  if (std::exchange(commits_when_idle_, commits_) != commits_) return false;
  const Status status = Checkpoint(true);
  if (status.code() == Code::kResourceExhausted) {
    EnterFull();
  } else if (!status.ok()) {
    Poison(status);
  }
  return false;
}

GroupWriter::Clock::time_point GroupWriter::NextDue() const {
  if (poisoned()) return Clock::time_point::max();
  Clock::time_point due = next_expiry_;
  if (full_) due = std::min(due, next_probe_);
  return due;
}

void GroupWriter::Poison(const Status& why) {
  if (poisoned()) return;
  poison_ = UnknownOutcome(why.message());
  if (options_.on_poisoned) options_.on_poisoned(why);
}

std::int64_t GroupWriter::UnixNowMs() const {
  if (options_.unix_now_ms) return options_.unix_now_ms();
  return std::chrono::duration_cast<std::chrono::milliseconds>(
             std::chrono::system_clock::now().time_since_epoch())
      .count();
}

}  // namespace assent::log
