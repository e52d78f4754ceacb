// Groups. What is read: row_store_reads.cc.

#include "coordinator/log/postgresql/row_store.h"

#include <algorithm>
#include <utility>

#include "coordinator/base/clock.h"

namespace assent::log {
namespace {

constexpr int kMaxLessons = 16;
constexpr std::size_t kIdleSliceRows = 512;
// Rows whose serials are older than where retention has got to may still have ended since.
constexpr std::chrono::minutes kSweepEvery(1);
constexpr std::chrono::milliseconds kFullPause{100};
constexpr int kMaxFullPauses = 100;

}  // namespace

PostgresRowStore::PostgresRowStore(PostgresStoreOptions options)
    : options_(std::move(options)),
      lane_(options_.lane),
      loaded_(options_.slots->slots_count(), false),
      generation_(options_.slots->generation()),
      pace_(base::MonoNowMs()) {}

Result<Joined> PostgresRowStore::Join() {
  Result<Joined> joined = options_.join();
  if (!joined.ok()) return joined;
  epoch_ = joined.value().epoch;
  if (Status status = lane_.Open(epoch_, options_.lane_number); !status.ok()) return Failed(status);
  return joined;
}

// What a lane says when it is at its end.
Status PostgresRowStore::Failed(const Status& why) {
  if (lane_.regressed() && options_.on_regressed) options_.on_regressed(why);
  return why;
}

Status PostgresRowStore::EnterFull(std::string why) {
  full_ = true;
  next_probe_ = Clock::now() + options_.space_probe_interval;
  return ResourceExhausted(std::move(why));
}

// A group of ours alone, which nobody can be refused: it waits until there is space.
Status PostgresRowStore::CommitAlone(const std::function<void(Connection&)>& fill,
                                     GroupResult& result) {
  for (int pauses = 0;; ++pauses) {
    result = lane_.Commit(fill);
    Status status;
    if (result.what == GroupResult::What::kFailed) {
      status = result.why;
    } else if (result.what == GroupResult::What::kRejected) {
      const Answer& answer = result.answers[result.rejected_at];
      if (answer.verdict == Verdict::kCondition) return OkStatus();  // the caller's condition
      status = answer.status("a group of the log's own");
    } else {
      ++commits_;
      return OkStatus();
    }
    if (status.code() != Code::kResourceExhausted || pauses == kMaxFullPauses)
      return Failed(status);
    if (options_.lane.stop != nullptr) (void)options_.lane.stop->Sleep(kFullPause);
  }
}

Status PostgresRowStore::Write(const std::vector<const std::vector<Entry>*>& batches,
                               const Unwritten& unwritten, GroupOutcome& outcome) {
  using What = GroupResult::What;
  std::size_t entries = 0;
  for (const std::vector<Entry>* batch : batches) entries += batch->size();
  const bool expires = ExpiryDue();
  Group group(
      batches, unwritten, [this](Slot slot) { return Loaded(slot); }, options_.slots->age_ms());
  GroupLessons lessons;
  for (int lesson = 0; lesson < kMaxLessons; ++lesson) {
    if (Status status = group.Plan(lessons); !status.ok()) return status;
    const GroupResult result = lane_.Commit([&](Connection& connection) {
      group.AddTo(connection);
      if (expires) connection.Add("expire", ExpiryParams(kIdleSliceRows + 2 * entries));
    });
    if (result.what == What::kFailed && result.why.code() == Code::kResourceExhausted)
      return EnterFull(result.why.message());
    if (result.what == What::kFailed) return Failed(result.why);
    if (result.what == What::kRejected) {
      if (Status status = Learn(group, result, lessons); !status.ok()) return status;
      continue;
    }
    if (result.what == What::kCommitted) {
      group.Take(result.answers, outcome);
      if (expires) TakeExpired(result.answers.back().rows);
    } else {
      std::set<std::uint64_t> began;
      if (Status status = LookWhatBegan(group, began); !status.ok()) return status;
      group.TakeUnseen(began, outcome);
    }
    ++commits_;
    full_ = false;
    finished_rows_ += group.finished_rows();
    if (group.finished_rows() > 0)
      pace_.NoteFinished(static_cast<std::uint64_t>(group.finished_rows()));
    return OkStatus();
  }
  return Internal("a group is refused again and again");
}

// Why a group was undone: OK, and it may be sent again by what was learnt; or for good.
Status PostgresRowStore::Learn(const Group& group, const GroupResult& result,
                               GroupLessons& lessons) {
  const Answer& answer = result.answers[result.rejected_at];
  if (answer.verdict == Verdict::kNoSpace) return EnterFull(answer.message);
  if (result.rejected_at >= group.statements_count()) return answer.status("retention");
  if (answer.verdict == Verdict::kDuplicate && group.IsEnd(result.rejected_at))
    return LearnTaken(group, lessons);
  if (answer.verdict != Verdict::kCondition && answer.verdict != Verdict::kDuplicate)
    return answer.status("writing a group");
  // What builds on a begin that was refused is no second writer.
  const std::size_t known = lessons.refused_begins.size();
  lessons.refused_begins.merge(group.RefusedBegins(result.answers));
  if (lessons.refused_begins.size() > known) return OkStatus();
  return NameFault(group, result.rejected_at);
}

Status PostgresRowStore::LearnTaken(const Group& group, GroupLessons& lessons) {
  Column gids;
  Column serials;
  group.Ends(gids, serials);
  Status lane;
  const Answer answer = Ask(
      "which_taken", [&] { return Params().Texts(gids).Ints(serials); }, lane);
  if (!lane.ok()) return Failed(lane);
  if (!answer.ok()) return answer.status("looking for what is in the way");
  const std::size_t known = lessons.taken_gids.size() + lessons.taken_serials.size();
  for (int row = 0; row < answer.rows.size(); ++row) {
    lessons.taken_serials.insert(answer.rows.Unsigned(row, 0));
    lessons.taken_gids.insert(answer.rows.Text(row, 1));
  }
  if (lessons.taken_gids.size() + lessons.taken_serials.size() > known) return OkStatus();
  const Status confirmed = lane_.Confirm();
  return confirmed.ok() ? FailedPrecondition("a transaction cannot end, and nothing is in its way")
                        : Failed(confirmed);
}

Status PostgresRowStore::NameFault(const Group& group, std::size_t statement) {
  Column slots;
  Column serials;
  group.RowsOf(statement, slots, serials);
  Status lane;
  const Answer answer = Ask(
      "which_stored", [&] { return Params().Ints(slots).Ints(serials); }, lane);
  if (!lane.ok()) return Failed(lane);
  // An older copy of the log has taken its place, or somebody has written what is ours.
  const Status confirmed = lane_.Confirm();
  return confirmed.ok() ? group.NameFault(statement, answer.rows) : Failed(confirmed);
}

Status PostgresRowStore::LookWhatBegan(const Group& group, std::set<std::uint64_t>& began) {
  Column slots;
  Column serials;
  group.Begun(slots, serials);
  if (slots.size() == 0) return OkStatus();
  Status lane;
  const Answer answer = Ask(
      "which_began", [&] { return Params().Ints(slots).Ints(serials); }, lane);
  if (!lane.ok()) return Failed(lane);
  if (!answer.ok()) return answer.status("looking what a group began");
  for (int row = 0; row < answer.rows.size(); ++row) began.insert(answer.rows.Unsigned(row, 0));
  return OkStatus();
}

Status PostgresRowStore::Release(const std::vector<Slot>& slots) {
  Column ids;
  Column floors;
  for (const Slot slot : slots) {
    if (!options_.slots->Has(slot)) return FailedPrecondition("the slot is not ours");
    ids.Add(std::int64_t{slot});
    floors.Add(options_.slots->LastMs(slot));
  }
  GroupResult result;
  Status status = CommitAlone(
      [&](Connection& connection) {
        connection.Add("release", Params().Int(epoch_).Ints(ids).Ints(floors).Int(
                                      static_cast<std::int64_t>(slots.size())));
      },
      result);
  if (!status.ok()) return status;
  // Whoever let go of them knows nothing of them any more, whosever they are now.
  for (const Slot slot : slots) loaded_[slot] = false;
  if (result.what == GroupResult::What::kRejected)
    return FailedPrecondition("nobody asks for these slots any more");
  for (const Slot slot : slots) options_.slots->Drop(slot);
  return OkStatus();
}

Status PostgresRowStore::AfterReads() {
  GroupResult result;
  if (Status status = CommitAlone([](Connection&) {}, result); !status.ok()) return status;
  // A primary that has been deposed still shows what it had, and what it never kept.
  if (read_conn_ == 0 || read_conn_ == lane_.conn()) return OkStatus();
  return {Code::kAborted, "the connection to the store was lost behind a look into it: ask again"};
}

// ---- Retention ----------------------------------------------------------------------------------

bool PostgresRowStore::ExpiryDue() const {
  return options_.retention_age.count() > 0 && Clock::now() >= next_expiry_ &&
         options_.slots->age_ms() > options_.retention_age.count();
}

Column PostgresRowStore::LoadedSlots() const {
  Column slots;
  for (Slot slot = 0; slot < loaded_.size(); ++slot) {
    if (loaded_[slot]) slots.Add(std::int64_t{slot});
  }
  return slots;
}

Params PostgresRowStore::ExpiryParams(std::size_t rows) {
  if (Clock::now() >= next_sweep_) {
    next_sweep_ = Clock::now() + kSweepEvery;
    expired_to_ = 0;
  }
  const Column slots = LoadedSlots();
  Column pinned;
  for (const std::uint8_t outcome : options_.pinned_outcomes) pinned.Add(std::int64_t{outcome});
  const std::uint64_t allowed = pace_.Allowed(
      base::MonoNowMs(), static_cast<std::uint64_t>(std::max<std::int64_t>(finished_rows_, 0)));
  return Params()
      .Int(expired_to_)
      .Int(static_cast<std::int64_t>(rows))
      .Int(options_.slots->age_ms() - options_.retention_age.count())
      .Ints(slots)
      .Ints(pinned)
      .Int(std::min<std::uint64_t>(allowed, rows));
}

// looked at, old, gone, the first that is too young, the last looked at, the last that was old.
void PostgresRowStore::TakeExpired(const Rows& row) {
  const std::uint64_t gone = row.Unsigned(0, 2);
  finished_rows_ -= static_cast<std::int64_t>(gone);
  pace_.NoteRemoved(gone);
  const bool more = row.IsNull(0, 3) && row.Int(0, 0) > 0;
  next_expiry_ = Clock::now();
  if (!more) next_expiry_ += options_.retention_interval;
  // What the pace did not allow is looked at again.
  if (gone > 0) {
    expired_to_ = row.Unsigned(0, 5);
  } else if (more && row.Int(0, 1) == 0) {
    expired_to_ = row.Unsigned(0, 4);
  }
}

// Another server has taken over, which may lack a group of ours: whoever has nothing to write would
// not notice, and a slot that it gave away and still owns would be nobody's.
Status PostgresRowStore::LookAfterFailOver() {
  const std::uint64_t generation = options_.slots->generation();
  if (generation_ == generation) return OkStatus();
  GroupResult result;
  const Status status = CommitAlone([](Connection&) {}, result);
  if (status.ok()) generation_ = generation;
  return status;
}

Result<bool> PostgresRowStore::UpkeepIdle() {
  if (Status status = LookAfterFailOver(); !status.ok()) return status;
  if (!ExpiryDue()) {
    // Nothing is old enough: in a while, or a log at rest would ask without end.
    next_expiry_ = std::max(next_expiry_, Clock::now() + options_.retention_interval);
    return false;
  }
  next_expiry_ = Clock::now() + options_.retention_interval;
  Status lane;
  const Answer look = Ask(
      "expired", [this] { return ExpiryParams(kIdleSliceRows); }, lane);
  if (!lane.ok()) return Failed(lane);
  if (!look.ok()) return look.status("retention");
  if (look.rows.Int(0, 1) == 0) {
    TakeExpired(look.rows);
    return look.rows.IsNull(0, 3) && look.rows.Int(0, 0) > 0;
  }
  GroupResult result;
  Status status = CommitAlone(
      [this](Connection& connection) { connection.Add("expire", ExpiryParams(kIdleSliceRows)); },
      result);
  if (!status.ok()) return status;
  if (result.what != GroupResult::What::kCommitted) return true;
  TakeExpired(result.answers.back().rows);
  return result.answers.back().rows.Int(0, 2) > 0;
}

RowStore::Clock::time_point PostgresRowStore::NextDue() const { return next_expiry_; }

void PostgresRowStore::Describe(Stats& stats) const {
  stats.commits = commits_;
  stats.finished_rows = static_cast<std::uint64_t>(std::max<std::int64_t>(finished_rows_, 0));
  stats.full = full();
}

}  // namespace assent::log
