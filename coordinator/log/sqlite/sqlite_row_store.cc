#include "coordinator/log/sqlite/sqlite_row_store.h"

#include <algorithm>
#include <utility>

namespace assent::log {
namespace {

constexpr std::size_t kIdleSliceRows = 512;
// A busy log looks for rows to remove after so many bytes, whatever the time: what it exceeds its
// limit by stays small.
constexpr std::uint64_t kExpiryEveryBytes = std::uint64_t{1} << 20;
constexpr std::chrono::minutes kRetentionReportEvery(10);
// An idle log stores its run time this often: what an epoch that is killed may lose of it.
constexpr std::chrono::minutes kIdleMarkEvery(10);
constexpr std::size_t kMaxScanRows = 1000;

bool IsFull(const Status& status) { return status.code() == Code::kResourceExhausted; }

std::chrono::microseconds Since(RowStore::Clock::time_point start) {
  return std::chrono::duration_cast<std::chrono::microseconds>(RowStore::Clock::now() - start);
}

}  // namespace

Result<std::unique_ptr<RowStore>> SqliteRowStore::Open(SqliteOptions options) {
  if (Status status = options.Validate(); !status.ok()) return status;
  std::unique_ptr<SqliteRowStore> rows(new SqliteRowStore(std::move(options)));
  Result<std::unique_ptr<SqliteStore>> store = SqliteStore::Open(rows->options_, Migrations());
  if (!store.ok()) return store.status();
  rows->store_ = *std::move(store);
  return std::unique_ptr<RowStore>(std::move(rows));
}

Result<Joined> SqliteRowStore::Join() {
  Result<Joined> joined = store_->Join();
  if (joined.ok()) next_serial_ = joined.value().next_serial;
  return joined;
}

Status SqliteRowStore::Load(const std::vector<Slot>& slots, const Log::LiveVisitor& visit,
                            std::vector<DamagedSlot>&) {
  ASSENT_CHECK(!loaded_ && slots == std::vector<Slot>{0});
  if (Status status = store_->Load(visit); !status.ok()) return status;
  loaded_ = true;
  wall_watch_.emplace(store_->LastUnixMs());
  full_ = !reserve_.Take();
  NoteFull();
  return OkStatus();
}

Status SqliteRowStore::Release(const std::vector<Slot>&) {
  return FailedPrecondition("a log in one file has one owner");
}

Status SqliteRowStore::Write(const std::vector<const std::vector<Entry>*>& batches,
                             const Unwritten& unwritten, GroupOutcome& outcome) {
  std::size_t entries = 0;
  for (const std::vector<Entry>* batch : batches) {
    entries += batch->size();
    for (const Entry& entry : *batch) {
      bytes_since_expiry_ += sizeof(Entry) + entry.spec.size() + entry.state.size();
    }
  }
  report_ = {.batches = batches.size(), .entries = entries};
  group_began_ = Clock::now();
  slice_rows_ = std::exchange(again_, false) ? 0 : SliceRows(entries);
  const Status status = store_->WriteGroup(batches, unwritten, slice_rows_, outcome);
  if (!status.ok()) report_ = {};
  return IsFull(status) ? EnterFull(status) : status;
}

Status SqliteRowStore::Commit() {
  const Status status = store_->Commit();
  LookAtClocks();
  if (!status.ok()) report_ = {};
  if (IsFull(status)) return EnterFull(status);
  if (!status.ok()) return status;
  report_.total = Since(group_began_);
  report_.durable = store_->done().in_commit;
  report_.checkpoint = std::exchange(checkpoint_, {});
  ++commits_;
  if (slice_rows_ > 0) {
    bytes_since_expiry_ = 0;
    // A slice that found its fill, or half of it, is likely to be followed by another.
    next_expiry_ = Clock::now();
    if (store_->done().expired() < slice_rows_ / 2) next_expiry_ += options_.retention_interval;
    NoteRemoved();
  }
  return status;
}

// How many rows retention may look at in the next commit: more than the commit can add, so that it
// keeps up.
std::size_t SqliteRowStore::SliceRows(std::size_t entries) const {
  if (Clock::now() < next_expiry_ && bytes_since_expiry_ < kExpiryEveryBytes) return 0;
  return kIdleSliceRows + 2 * entries;
}

// With the reserve given up and the WAL begun anew, nothing of the transaction that failed is left
// in it, and its space is free.
Status SqliteRowStore::EnterFull(Status why) {
  full_ = again_ = true;
  next_probe_ = Clock::now() + options_.space_probe_interval;
  NoteFull();
  reserve_.Release();
  Status status = Checkpoint(true);
  return status.ok() || IsFull(status) ? std::move(why) : std::move(status);
}

// A full disk is taken note of, and is no failure of what can wait.
Status SqliteRowStore::Noted(Status status) {
  if (!IsFull(status)) return status;
  Status entered = EnterFull(std::move(status));
  return IsFull(entered) ? OkStatus() : std::move(entered);
}

Status SqliteRowStore::Checkpoint(bool force) {
  const auto start = Clock::now();
  Status status = store_->Checkpoint(force);
  checkpoint_ += Since(start);
  return status;
}

Result<std::vector<FinishedRow>> SqliteRowStore::Scan(std::uint64_t before_serial,
                                                      std::size_t max_rows) {
  return store_->Scan(before_serial, std::min(max_rows, kMaxScanRows));
}

Result<WalkPlace> SqliteRowStore::Walk(const WalkPlace& from, std::size_t max_rows,
                                       const RowEditor& edit) {
  Result<WalkPlace> walked = store_->Walk(from, max_rows, edit);
  if (walked.ok()) return walked;
  return IsFull(walked.status()) ? EnterFull(walked.status()) : walked.status();
}

Status SqliteRowStore::Upkeep() {
  if (!loaded_) return OkStatus();
  if (const CommitReport report = std::exchange(report_, {});
      report.batches > 0 && options_.on_commit) {
    options_.on_commit(report);
  }
  if (Status status = Noted(Checkpoint(false)); !status.ok()) return status;
  // On a full disk, later.
  if (Status status = store_->AnchorState(); !status.ok() && !IsFull(status)) return status;
  if (full_ && Clock::now() >= next_probe_) {
    next_probe_ = Clock::now() + options_.space_probe_interval;
    full_ = !reserve_.Take();
  }
  NoteFull();
  return OkStatus();
}

// A disk on which what was refused has given its space back is full again at once: people are told
// once.
void SqliteRowStore::NoteFull() {
  if (!full_ && !told_full_) return;
  const auto now = Clock::now();
  if (full_) full_until_ = now;
  if (told_full_ == full_) return;
  if (!full_ &&
      now < full_until_ + SqliteOptions::kSpaceForProbes * options_.space_probe_interval) {
    return;
  }
  told_full_ = full_;
  if (options_.on_full) options_.on_full(full_);
}

Result<bool> SqliteRowStore::UpkeepIdle() {
  if (!loaded_ || Clock::now() < next_expiry_) return false;
  next_expiry_ = Clock::now() + options_.retention_interval;
  LookAtClocks();
  if (Status status = store_->CheckInPlace(); !status.ok()) return status;
  const Result<bool> work = store_->HasExpired();
  if (!work.ok()) return work;
  if (!work.value() && store_->UnmarkedAge() < kIdleMarkEvery) return Settle();
  GroupOutcome outcome;
  Status status = store_->WriteGroup({}, Unwritten(), kIdleSliceRows, outcome);
  if (status.ok()) status = store_->Commit();
  if (IsFull(status))
    status = Noted(std::move(status));
  else if (status.ok()) {
    ++commits_;
    NoteRemoved();
    if (store_->done().expired() == 0) return false;
    next_expiry_ = Clock::now();
    return true;
  }
  if (!status.ok()) return status;
  return false;
}

void SqliteRowStore::NoteRemoved() {
  removed_.by_age += store_->done().expired_by_age;
  removed_.by_size += store_->done().expired_by_size;
  removed_.paced = removed_.paced || store_->done().paced;
  removed_.kept = store_->meta().finished_rows;
  if (removed_.by_age + removed_.by_size == 0 || Clock::now() < next_retention_report_) return;
  next_retention_report_ = Clock::now() + kRetentionReportEvery;
  if (options_.on_retention) options_.on_retention(removed_);
  removed_ = {};
}

void SqliteRowStore::LookAtClocks() {
  const auto step = wall_watch_->Look(store_->MonoNowMs(), store_->UnixNowMs());
  if (step && options_.on_wall_clock_step) options_.on_wall_clock_step(*step);
}

// Nothing has come for a while: the last commit moves from the WAL, where damage to it would pass
// for a torn write, into the database, where it would not.
Result<bool> SqliteRowStore::Settle() {
  if (std::exchange(commits_when_idle_, commits_) != commits_) return false;
  if (Status status = Noted(Checkpoint(true)); !status.ok()) return status;
  return false;
}

RowStore::Clock::time_point SqliteRowStore::NextDue() const {
  if (!loaded_) return Clock::time_point::max();
  return full_ ? std::min(next_expiry_, next_probe_) : next_expiry_;
}

Result<BackupProgress> SqliteRowStore::StepBackup(SqliteBackup& backup) {
  Status status = loaded_ ? store_->CheckInPlace() : Unavailable("the log is not open yet");
  if (status.ok() && full_) status = ResourceExhausted("the log's disk is full");
  if (status.ok()) return store_->StepBackup(backup);
  backup.Abandon();
  return status;
}

Status SqliteRowStore::Close() { return loaded_ ? store_->CloseCleanly() : OkStatus(); }

void SqliteRowStore::Describe(Stats& stats) const {
  stats.commits = commits_;
  stats.finished_rows = store_->meta().finished_rows;
  stats.full = full_;
}

}  // namespace assent::log
