#include "coordinator/log/queued_log.h"

#include <algorithm>
#include <utility>

#include "coordinator/base/clock.h"

namespace assent::log {
namespace {

// Between two commits, so that reading cannot stall them.
constexpr std::size_t kMaxReadsPerTurn = 64;

// What a batch takes of memory.
std::size_t BytesOf(const std::vector<Entry>& batch) {
  std::size_t bytes = batch.size() * sizeof(Entry);
  for (const Entry& entry : batch) {
    bytes += entry.gid.size() + entry.spec.size() + entry.state.size();
  }
  return bytes;
}

bool HasBegin(const std::vector<Entry>& batch) {
  return std::any_of(batch.begin(), batch.end(),
                     [](const Entry& entry) { return entry.kind == EntryKind::kBegin; });
}

bool IsFull(const Status& status) { return status.code() == Code::kResourceExhausted; }

}  // namespace

QueuedLog::QueuedLog(std::unique_ptr<RowStore> store, QueuedLogOptions options)
    : store_(std::move(store)), options_(std::move(options)) {}

std::int64_t QueuedLog::UnixNowMs() const {
  if (options_.unix_now_ms) return options_.unix_now_ms();
  return base::UnixNowMs();
}

Result<Joined> QueuedLog::Join(SlotEvents& events) {
  ASSENT_CHECK(events_ == nullptr);
  Result<Joined> joined = store_->Join();
  if (joined.ok()) events_ = &events;
  return joined;
}

// ---- What is queued, by anybody -----------------------------------------------------------------

void QueuedLog::Append(std::vector<Entry> batch, std::function<void(AppendResult)> done) {
  Enqueue({.entries = std::move(batch), .done = std::move(done)});
}

void QueuedLog::Load(std::vector<Slot> slots, LiveVisitor visit, std::function<void(Loaded)> done) {
  const auto loaded = std::make_shared<Loaded>();
  Do(
      [this, slots = std::move(slots), visit = std::move(visit), loaded] {
        Status status = store_->Load(slots, visit, loaded->damaged);
        loaded->generation = store_->generation();
        return status;
      },
      [loaded, done = std::move(done)](const Status& status) {
        loaded->status = status;
        done(std::move(*loaded));
      });
}

void QueuedLog::Release(Slot slot, std::function<void(Status)> done) {
  Enqueue({.done = [done = std::move(done)](const AppendResult& result) { done(result.status); },
           .release = slot});
}

void QueuedLog::Do(std::function<Status()> task, std::function<void(Status)> done) {
  Enqueue({.done = [done = std::move(done)](const AppendResult& result) { done(result.status); },
           .task = std::move(task)});
}

void QueuedLog::Enqueue(Pending pending) {
  ASSENT_CHECK(events_ != nullptr && !abandoned_);
  pending.bytes = BytesOf(pending.entries);
  MutexLock lock(mutex_);
  if (!pending.IsTask()) pending.result.position = ++last_position_;
  if (closed_) {
    lock.Unlock();
    pending.result.status = Unavailable("the log was closed");
    return pending.done(std::move(pending.result));
  }
  if (!pending.IsTask()) FindRoom(pending);
  appends_.push_back(std::move(pending));
  if (waiting_) work_.NotifyOne();
  lock.Unlock();
  OnQueued();
}

void QueuedLog::FindRoom(Pending& append) {
  const std::size_t entries = append.entries.size();
  append.no_room =
      queued_entries_ > 0 && (queued_entries_ + entries > options_.max_queued_entries ||
                              queued_bytes_ + append.bytes > options_.max_queued_bytes);
  if (append.no_room) {
    // Its place in the order and the names of its rows stay; the bytes go.
    for (Entry& entry : append.entries) {
      entry.spec = std::string();
      entry.state = std::string();
    }
    append.bytes = 0;
  } else {
    queued_entries_ += entries;
    queued_bytes_ += append.bytes;
  }
}

void QueuedLog::Find(std::string gid, std::function<void(Result<Found>)> done) {
  EnqueueRead([this, gid = std::move(gid), done = std::move(done)](const Status& refusal) {
    return TellerOf(refusal.ok() ? store_->Find(gid) : refusal, done, refusal.ok());
  });
}

void QueuedLog::Scan(std::uint64_t before_serial, std::size_t max_rows,
                     std::function<void(Result<std::vector<FinishedRow>>)> done) {
  using Rows = Result<std::vector<FinishedRow>>;
  EnqueueRead([this, before_serial, max_rows, done = std::move(done)](const Status& refusal) {
    return TellerOf(refusal.ok() ? store_->Scan(before_serial, max_rows) : Rows(refusal), done,
                    refusal.ok());
  });
}

template <typename T>
QueuedLog::Tell QueuedLog::TellerOf(Result<T> found, const std::function<void(Result<T>)>& done,
                                    bool was_read) {
  if (was_read && !found.ok()) Poison(found.status());
  return [found = std::move(found), done](const Status& stands) mutable {
    done(found.ok() && !stands.ok() ? Result<T>(stands) : std::move(found));
  };
}

void QueuedLog::EnqueueRead(Read read) {
  ASSENT_CHECK(events_ != nullptr && !abandoned_);
  MutexLock lock(mutex_);
  if (closed_) {
    lock.Unlock();
    return read(Unavailable("the log was closed"))(OkStatus());
  }
  const bool no_room = queued_reads_ >= options_.max_queued_reads;
  if (!no_room) ++queued_reads_;
  reads_.push_back({.read = std::move(read), .no_room = no_room});
  if (waiting_) work_.NotifyOne();
  lock.Unlock();
  OnQueued();
}

Stats QueuedLog::GetStats() const {
  const MutexLock lock(mutex_);
  Stats stats = stats_;
  group_entries_.AddTo(stats.group_entries);
  write_after_.AddTo(stats.write_after);
  commit_after_.AddTo(stats.commit_after);
  stats.queued_entries = queued_entries_;
  stats.away = store_->away();
  stats.answered_boot_ms = store_->answered_boot_ms();
  return stats;
}

// ---- A turn -------------------------------------------------------------------------------------

bool QueuedLog::Wait(bool more_to_do) {
  const MutexLock lock(mutex_);
  const auto due = store_->NextDue();
  const bool at_once = more_to_do || !taken_reads_.empty();
  waiting_ = true;
  while (!at_once && !stopping_ && appends_.empty() && reads_.empty()) {
    if (poisoned() || due == RowStore::Clock::time_point::max()) {
      work_.Wait(mutex_);
    } else if (!work_.WaitUntil(mutex_, due)) {
      break;
    }
  }
  waiting_ = false;
  TakeUnderLock();
  closed_ = stopping_ && taken_.empty() && taken_reads_.empty();
  return !closed_;
}

void QueuedLog::Stop() {
  const MutexLock lock(mutex_);
  stopping_ = true;
  work_.NotifyOne();
}

void QueuedLog::Take() {
  const MutexLock lock(mutex_);
  TakeUnderLock();
}

void QueuedLog::TakeUnderLock() {
  std::move(appends_.begin(), appends_.end(), std::back_inserter(taken_));
  appends_.clear();
  std::move(reads_.begin(), reads_.end(), std::back_inserter(taken_reads_));
  reads_.clear();
}

bool QueuedLog::Turn() {
  const bool idle = taken_.empty() && taken_reads_.empty();
  while (!taken_.empty()) {
    if (WriteNext()) Commit();
    if (!taken_.empty()) KeepUp();
    if (poisoned()) FailQueued();
  }
  (void)AnswerReads();
  KeepUp();
  bool more = !taken_reads_.empty();
  if (idle && !poisoned()) {
    const Result<bool> more_upkeep = store_->UpkeepIdle();
    if (!more_upkeep.ok()) Poison(more_upkeep.status());
    more = more_upkeep.ok() && more_upkeep.value();
  }
  if (poisoned()) FailQueued();
  Publish();
  return more;
}

void QueuedLog::KeepUp() {
  if (poisoned()) return;
  if (const Status status = store_->Upkeep(); !status.ok()) Poison(status);
}

void QueuedLog::Close() {
  if (poisoned()) return;
  // Without space it simply stays as it is, and the next start takes it in.
  const Status status = store_->Close();
  if (!status.ok() && !IsFull(status)) Poison(status);
}

bool QueuedLog::Write() {
  Take();
  return WriteNext();
}

bool QueuedLog::WriteNext() {
  RunTasks();
  // Not before the group before it is durable: a failure undoes all that is not.
  if (!group_.empty() || taken_.empty() || taken_.front().IsTask() || poisoned()) return false;
  TakeGroup();
  Status status = WriteGroup();
  // What begins is refused now; the rest may find room.
  if (IsFull(status)) status = WriteGroup();
  if (IsFull(status)) {
    RefuseGroup(status);
  } else if (!status.ok()) {
    Poison(status);
  }
  return true;
}

void QueuedLog::RunTasks() {
  while (!taken_.empty() && taken_.front().IsTask() && group_.empty() && !poisoned()) {
    if (taken_.front().release) {
      ReleaseSlots();
      continue;
    }
    Pending pending = std::move(taken_.front());
    taken_.pop_front();
    pending.result.status = pending.task();
    Publish();
    pending.done(std::move(pending.result));
  }
}

void QueuedLog::ReleaseSlots() {
  std::vector<Pending> pending;
  std::vector<Slot> slots;
  for (; !taken_.empty() && taken_.front().release; taken_.pop_front()) {
    slots.push_back(*taken_.front().release);
    pending.push_back(std::move(taken_.front()));
  }
  const Status status = store_->Release(slots);
  if (!status.ok() && status.code() != Code::kFailedPrecondition) Poison(status);
  for (Pending& one : pending) {
    one.result.status = status;
    one.done(std::move(one.result));
  }
}

void QueuedLog::TakeGroup() {
  std::size_t entries = 0;
  std::size_t bytes = 0;
  do {
    entries += taken_.front().entries.size();
    bytes += taken_.front().bytes;
    group_.push_back(std::move(taken_.front()));
    taken_.pop_front();
  } while (!taken_.empty() && !taken_.front().IsTask() &&
           entries + taken_.front().entries.size() <= options_.max_group_entries &&
           bytes + taken_.front().bytes <= options_.max_group_bytes);
}

Status QueuedLog::Refusal(const Pending& pending) const {
  if (pending.no_room) return ResourceExhausted("the log's queue is full: try again later");
  if (unwritten_.BuiltOn(pending.entries)) {
    return ResourceExhausted("builds on a version that was refused: append that one first");
  }
  if (store_->full() && HasBegin(pending.entries)) {
    return ResourceExhausted("the log's disk is full: only what has begun can end");
  }
  return OkStatus();
}

// Those batches of the group that may be written. A failure that is not a lack of space poisons.
Status QueuedLog::WriteGroup() {
  std::vector<const std::vector<Entry>*> batches;
  batches.reserve(group_.size());
  for (Pending& pending : group_) {
    if (!pending.result.status.ok()) continue;
    pending.result.status = Refusal(pending);
    if (pending.result.status.ok()) {
      unwritten_.NoteWritten(pending.entries);
      batches.push_back(&pending.entries);
    } else {
      unwritten_.NoteUnwritten(pending.entries);
    }
  }
  if (batches.empty()) return OkStatus();
  GroupOutcome outcome;
  const auto began = base::MonoNow();
  const Status status = store_->Write(batches, unwritten_, outcome);
  write_after_.Observe(base::MonoNow() - began);
  if (!status.ok()) return status;
  uncommitted_ = true;
  auto refused = outcome.refused.begin();
  for (Pending& pending : group_) {
    if (pending.result.status.ok()) pending.result.refused = std::move(*refused++);
  }
  for (const std::uint64_t serial : outcome.never_begun) {
    unwritten_.NoteNeverBegun(serial);
    never_begun_.push_back(serial);
  }
  return status;
}

Status QueuedLog::CommitWritten() {
  if (!std::exchange(uncommitted_, false)) return OkStatus();
  const auto began = base::MonoNow();
  Status status = store_->Commit();
  commit_after_.Observe(base::MonoNow() - began);
  return status;
}

void QueuedLog::Commit() {
  if (!poisoned()) {
    Status status = CommitWritten();
    if (IsFull(status)) {
      UndoGroup();
      status = WriteGroup();
      if (status.ok()) status = CommitWritten();
    }
    if (IsFull(status)) {
      UndoGroup();
      RefuseGroup(status);
    } else if (!status.ok()) {
      Poison(status);
    }
  }
  never_begun_.clear();
  AnswerGroup();
  if (poisoned()) FailQueued();
}

// The store has undone it: a beginning that it refused may come again.
void QueuedLog::UndoGroup() {
  for (const std::uint64_t serial : never_begun_) unwritten_.NoteUndone(serial);
  never_begun_.clear();
}

void QueuedLog::RefuseGroup(const Status& why) {
  for (Pending& pending : group_) {
    if (!pending.result.status.ok()) continue;
    pending.result.status = why;
    unwritten_.NoteUnwritten(pending.entries);
  }
}

void QueuedLog::AnswerGroup() {
  std::vector<Pending> group = std::exchange(group_, {});
  if (group.empty()) return;
  const std::int64_t now = UnixNowMs();
  std::size_t entries = 0;
  std::size_t bytes = 0;
  for (Pending& pending : group) {
    if (poisoned()) pending.result.status = poison_;
    if (!pending.no_room) entries += pending.entries.size();
    bytes += pending.bytes;
    if (pending.result.status.ok()) {
      pending.result.durable_unix_ms = now;
      records_ += pending.entries.size() - pending.result.refused.size();
    } else {
      pending.result.refused.clear();
    }
  }
  group_entries_.Observe(static_cast<std::int64_t>(entries));
  {
    const MutexLock lock(mutex_);
    queued_entries_ -= entries;
    queued_bytes_ -= bytes;
  }
  Publish();
  for (Pending& pending : group) {
    if (abandoned_) return;
    pending.done(std::move(pending.result));
  }
}

// A read sees every batch that was appended before it was asked for.
bool QueuedLog::AnswerReads() {
  if (!taken_reads_.empty() && !poisoned()) {
    if (const Status status = store_->BeforeReads(); !status.ok()) Poison(status);
  }
  std::vector<Tell> tellers;
  while (tellers.size() < kMaxReadsPerTurn && !taken_reads_.empty()) {
    const Asked asked = std::move(taken_reads_.front());
    taken_reads_.pop_front();
    if (!asked.no_room) {
      const MutexLock lock(mutex_);
      --queued_reads_;
    }
    Status refusal;
    if (asked.no_room) {
      refusal = ResourceExhausted("too many reads of the log wait: try again later");
    } else if (poisoned()) {
      refusal = Unavailable("the log has stopped");
    }
    tellers.push_back(asked.read(refusal));
  }
  Status stands;
  if (!tellers.empty() && !poisoned()) {
    stands = store_->AfterReads();
    if (stands.code() == Code::kAborted) {
      stands = Unavailable(stands.message());
    } else if (!stands.ok()) {
      Poison(stands);
    }
  }
  for (const Tell& tell : tellers) {
    if (!abandoned_) tell(stands);
  }
  return !tellers.empty();
}

// ---- The end ------------------------------------------------------------------------------------

// Whoever may end the process hears of it before anybody else does. What has been appended by now
// shares the fate of what failed: nobody is to be answered on its account. What comes later hears
// that the log has stopped.
void QueuedLog::Poison(const Status& why) {
  if (poisoned()) return;
  poison_ = UnknownOutcome(why.message());
  if (store_->fenced()) {
    events_->OnFenced(why);
  } else if (options_.on_poisoned) {
    options_.on_poisoned(why);
  }
  Publish();
  const MutexLock lock(mutex_);
  TakeUnderLock();
  last_failed_position_ = last_position_;
}

void QueuedLog::FailQueued() {
  while (!taken_.empty()) {
    Pending pending = std::move(taken_.front());
    taken_.pop_front();
    const bool with_it = !pending.IsTask() && pending.result.position <= last_failed_position_;
    pending.result.status =
        with_it ? poison_ : Unavailable("the log has stopped: " + poison_.message());
    if (!pending.no_room) {
      const MutexLock lock(mutex_);
      queued_entries_ -= pending.entries.size();
      queued_bytes_ -= pending.bytes;
    }
    pending.done(std::move(pending.result));
  }
}

void QueuedLog::Abandon() {
  abandoned_ = true;
  taken_.clear();
  taken_reads_.clear();
  group_.clear();
  const MutexLock lock(mutex_);
  appends_.clear();
  reads_.clear();
}

void QueuedLog::Publish() {
  const MutexLock lock(mutex_);
  stats_.records = records_;
  stats_.poisoned = poisoned();
  store_->Describe(stats_);
}

}  // namespace assent::log
