#pragma once

// A log over any RowStore: a bounded queue, of which whatever has gathered while the last commit
// ran is the next group; the order of groups and answers; who is refused on a full disk, and who
// because he builds on one who was; and the one way into being poisoned, or fenced.
//
//   Append ──► queue ──Write()──► local transaction ──Commit()──► durable ──► answers
//
// It has no thread: ThreadedLog takes the turns on one of its own, a simulator step by step.
//
// Invariant: an answer is OK only after Commit returned OK. After the first failure that is not a
// lack of space the store is never used again.

#include <cstddef>
#include <cstdint>
#include <deque>
#include <functional>
#include <memory>
#include <optional>
#include <string>
#include <thread>
#include <vector>

#include <assent/status.h>
#include <assent/thread_safety.h>

#include "coordinator/log/log.h"
#include "coordinator/log/row_store.h"
#include "coordinator/log/unwritten.h"

namespace assent::log {

struct QueuedLogOptions {
  // Capacity of the queue. A batch that does not fit is answered with kResourceExhausted; one that
  // is too large for an empty queue is let in alone.
  std::size_t max_queued_entries = 256 * 1024;
  std::size_t max_queued_bytes = std::size_t{256} << 20;
  // Finds and Scans that may wait; more are answered with kResourceExhausted.
  std::size_t max_queued_reads = 4096;
  // What one group commit takes at most, if it is more than one batch: bounds the memory of an open
  // local transaction and the time to the next callback.
  std::size_t max_group_entries = 8192;
  std::size_t max_group_bytes = std::size_t{16} << 20;
  // Wall clock in milliseconds since 1970, for AppendResult; empty: the machine's own.
  std::function<std::int64_t()> unix_now_ms{};
  // Called once, by whoever takes the turns, when the log has poisoned itself, before any callback
  // of the batches concerned: the process should end there, with its own exit code. Not when it is
  // fenced, which SlotEvents hears.
  std::function<void(const Status&)> on_poisoned{};
};

class QueuedLog : public Log {
 public:
  QueuedLog(std::unique_ptr<RowStore> store, QueuedLogOptions options);

  Result<Joined> Join(SlotEvents& events) override;
  void Load(std::vector<Slot> slots, LiveVisitor visit, std::function<void(Loaded)> done) override;
  void Append(std::vector<Entry> batch, std::function<void(AppendResult)> done) override;
  void Release(Slot slot, std::function<void(Status)> done) override;
  void Drain(std::function<void(Status)> done) override {
    Do([] { return OkStatus(); }, std::move(done));
  }
  void Find(std::string gid, std::function<void(Result<Found>)> done) override;
  void Scan(std::uint64_t before_serial, std::size_t max_rows,
            std::function<void(Result<std::vector<FinishedRow>>)> done) override;
  std::uint64_t NextSerial(Slot slot) override { return store_->NextSerial(slot); }
  Stats GetStats() const override;

  // The parts of a turn, for whoever takes the turns. Never from a callback.
  // Takes what has queued, and writes of it what makes one group; false: there was none, or the one
  // before it waits for Commit.
  bool Write();
  // What was written becomes durable, and is answered.
  void Commit();
  // Answers some of the reads that were taken with what is written now. True if there were any.
  bool AnswerReads();

 protected:
  // Does something at its place in the order, between two groups. A failure is only reported.
  void Do(std::function<Status()> task, std::function<void(Status)> done);
  // Something has been queued. On the caller's thread, without a lock.
  virtual void OnQueued() {}
  // Waits for work. False: all is done that came before Stop, and from now on nothing is taken.
  bool Wait(bool more_to_do);
  void Stop();
  // All that Wait has taken. True: there is more to do at once.
  bool Turn();
  void Close();
  // The process dies, in a simulator: nothing is written or answered any more.
  void Abandon();
  void Poison(const Status& why);
  bool poisoned() const { return !poison_.ok(); }
  // Something was taken, or written, and has no answer yet.
  bool Unanswered() const { return !taken_.empty() || !group_.empty(); }
  void Publish();
  RowStore& store() { return *store_; }

 private:
  struct Pending {
    std::vector<Entry> entries{};
    std::function<void(AppendResult)> done{};
    AppendResult result{};
    std::size_t bytes = 0;
    bool no_room = false;  // came to a full queue: keeps its place in the order, is not written
    // Not a batch, but something to do at its place in the order; or a slot to give up there,
    // together with those that come right behind it.
    std::function<Status()> task{};
    std::optional<Slot> release{};
    bool IsTask() const { return task || release; }
  };
  // Reads, unless it is refused; what it returns tells whoever asked, if what was read stands.
  using Tell = std::function<void(const Status& stands)>;
  using Read = std::function<Tell(const Status& refusal)>;
  struct Asked {
    Read read;
    bool no_room = false;
  };

  void Enqueue(Pending pending);
  void FindRoom(Pending& append) ASSENT_REQUIRES(mutex_);
  void EnqueueRead(Read read);
  template <typename T>
  Tell TellerOf(Result<T> found, const std::function<void(Result<T>)>& done, bool was_read);
  void Take();
  void TakeUnderLock() ASSENT_REQUIRES(mutex_);
  bool WriteNext();
  void RunTasks();
  void ReleaseSlots();
  void TakeGroup();
  Status Refusal(const Pending& pending) const;
  Status WriteGroup();
  Status CommitWritten();
  void UndoGroup();
  void RefuseGroup(const Status& why);
  void AnswerGroup();
  void FailQueued();
  void KeepUp();
  std::int64_t UnixNowMs() const;

  const std::unique_ptr<RowStore> store_;
  const QueuedLogOptions options_;
  SlotEvents* events_ = nullptr;

  // Of whoever takes the turns.
  std::deque<Pending> taken_;
  std::deque<Asked> taken_reads_;
  std::vector<Pending> group_;  // written since the last Commit, or refused
  bool uncommitted_ = false;
  std::vector<std::uint64_t> never_begun_;  // in group_
  Unwritten unwritten_;
  Status poison_;
  std::uint64_t last_failed_position_ = 0;
  std::uint64_t records_ = 0;
  base::Sizes<base::Figure> group_entries_;
  base::Durations<base::Figure> write_after_;
  base::Durations<base::Figure> commit_after_;
  bool abandoned_ = false;

  mutable Mutex mutex_;
  CondVar work_;
  bool waiting_ ASSENT_GUARDED_BY(mutex_) = false;
  bool stopping_ ASSENT_GUARDED_BY(mutex_) = false;  // what still comes is written
  bool closed_ ASSENT_GUARDED_BY(mutex_) = false;    // and what comes now is not
  std::vector<Pending> appends_ ASSENT_GUARDED_BY(mutex_);
  std::vector<Asked> reads_ ASSENT_GUARDED_BY(mutex_);
  std::uint64_t last_position_ ASSENT_GUARDED_BY(mutex_) = 0;
  // With those being written.
  std::size_t queued_entries_ ASSENT_GUARDED_BY(mutex_) = 0;
  std::size_t queued_bytes_ ASSENT_GUARDED_BY(mutex_) = 0;
  std::size_t queued_reads_ ASSENT_GUARDED_BY(mutex_) = 0;
  Stats stats_ ASSENT_GUARDED_BY(mutex_);
};

// Takes the turns on a thread of its own, from Join on.
class ThreadedLog : public QueuedLog {
 public:
  using QueuedLog::QueuedLog;
  // Writes what is queued, and closes the store. After a failure it only releases it.
  ~ThreadedLog() override;
  Result<Joined> Join(SlotEvents& events) override;

 private:
  std::thread thread_;
};

}  // namespace assent::log
