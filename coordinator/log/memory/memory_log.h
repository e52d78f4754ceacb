#pragma once

// A log in memory: the queue of every log, over a MemoryStore, without a thread. Each call is
// answered before it returns, or when its owner takes a step.

#include <cstddef>
#include <cstdint>
#include <memory>

#include <assent/status.h>

#include "coordinator/log/memory/memory_store.h"
#include "coordinator/log/queued_log.h"

namespace assent::log {

struct MemoryLogOptions {
  // True: each Append writes, synchronises and calls back before it returns. False: the owner calls
  // Step.
  bool inline_completion = true;
  std::size_t max_queued_entries = QueuedLogOptions().max_queued_entries;
  // Without a wall clock AppendResult has a counter, one more with each call.
  MemoryStoreOptions rows{};
};

class MemoryLog final : public QueuedLog {
 public:
  using Full = MemoryStore::Full;

  MemoryLog(std::shared_ptr<MemoryDisk> disk, MemoryLogOptions options);
  // Completes what is queued, unless it was killed or poisoned.
  ~MemoryLog() override;

  // Commit, and the reads.
  void Sync();
  // Write and Sync. True if anything was done.
  bool Step();

  void SetFull(Full full);
  void FailNextSync() { rows_.FailNextCommit(); }
  // The process dies: nothing that is queued will be written, no callback runs, not even in the
  // destructor. Pending callbacks are dropped.
  void Kill();

  // Plays the other coordinators of a log with several slots.
  void Assign(SlotGrant grant) { events_->OnAssigned({grant}); }
  void Want(Slot slot) { events_->OnWanted({slot}); }
  void Fence(const Status& why);
  Result<Joined> Join(SlotEvents& events) override;

 private:
  void OnQueued() override;

  MemoryStore& rows_;
  const bool inline_completion_;
  SlotEvents* events_ = nullptr;
  bool stepping_ = false;  // a call from within a callback waits for the loop that is running
  bool killed_ = false;
};

}  // namespace assent::log
