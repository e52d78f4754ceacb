#pragma once

// What lies between the queue and the rows: which batches of a group may be written, what a full
// disk means, when to checkpoint and to expire, and the one way into being poisoned. Runs on the
// log's thread only; nothing here locks.
//
// Invariant: a result is OK only after WriteGroup returned OK. After the first failure that is not
// a full disk the store is never used again.

#include <chrono>
#include <cstdint>
#include <functional>
#include <string>
#include <vector>

#include <assent/status.h>

#include "coordinator/log/disk_reserve.h"
#include "coordinator/log/log.h"
#include "coordinator/log/sqlite_options.h"
#include "coordinator/log/sqlite_store.h"
#include "coordinator/log/unwritten.h"

namespace assent::log {

// One call of Append, queued.
struct PendingAppend {
  std::vector<Entry> entries;
  std::function<void(AppendResult)> done;
  std::uint64_t position = 0;
  std::size_t bytes = 0;
  bool no_room = false;  // came to a full queue: keeps its place in the order, will not be written
};

class GroupWriter {
 public:
  GroupWriter(const SqliteOptions& options, SqliteStore& store);

  // Writes the group in one commit (two, if the disk turns out to be full) and gives a result for
  // each batch. Not when poisoned.
  std::vector<AppendResult> Write(const std::vector<PendingAppend>& group);
  // Between groups: checkpoint, look for space. Cheap when there is nothing to do.
  void Maintain();
  // The files are still where they were, and whole; else poisons.
  void LookInPlace();
  // With nothing queued: one slice of retention, or the rest of the WAL, if it is time. True if
  // there is more to do at once.
  bool MaintainIdle();
  // When Maintain or MaintainIdle want to be called again, at the latest.
  std::chrono::steady_clock::time_point NextDue() const;

  // Also for failures of reading. Idempotent.
  void Poison(const Status& why);
  bool poisoned() const { return !poison_.ok(); }
  const Status& poison() const { return poison_; }
  bool full() const { return full_; }
  // Of the last Write; no batches if it committed nothing.
  const CommitReport& report() const { return report_; }
  std::uint64_t commits() const { return commits_; }
  std::uint64_t records() const { return records_; }

 private:
  using Clock = std::chrono::steady_clock;

  bool MayWrite(const PendingAppend& append, Status& refusal);
  Status TryWrite(const std::vector<PendingAppend>& group, std::vector<AppendResult>& results);
  Status WriteChosen(const std::vector<PendingAppend>& group,
                     const std::vector<std::size_t>& chosen, std::size_t expire_rows,
                     std::vector<AppendResult>& results);
  Status Checkpoint(bool force);
  bool Settle();
  void NoteRemoved(const GroupOutcome& outcome);
  void LookAtClocks();
  void EnterFull();
  std::size_t SliceRows(std::size_t entries) const;
  std::int64_t UnixNowMs() const;

  const SqliteOptions& options_;
  SqliteStore& store_;
  DiskReserve reserve_;
  Unwritten unwritten_;
  Status poison_;
  bool full_ = false;
  Clock::time_point next_probe_;
  Clock::time_point next_expiry_;
  std::uint64_t bytes_since_expiry_ = 0;
  std::uint64_t commits_ = 0;
  std::uint64_t records_ = 0;
  std::uint64_t commits_when_idle_ = 0;  // when it last was
  WallWatch wall_watch_;
  RetentionReport removed_;  // since the last report
  Clock::time_point next_retention_report_;
  CommitReport report_;
  std::chrono::microseconds checkpoint_{0};  // since the last commit
};

}  // namespace assent::log
