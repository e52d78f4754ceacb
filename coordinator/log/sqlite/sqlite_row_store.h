#pragma once

// The rows of a SQLite file as a log wants them: what a full disk means, when to checkpoint, when
// to remove what is too old, and whether the files are still where they were. The rows themselves
// are SqliteStore's.

#include <atomic>
#include <chrono>
#include <cstdint>
#include <memory>
#include <optional>
#include <string>
#include <utility>
#include <vector>

#include <assent/status.h>

#include "coordinator/log/row_store.h"
#include "coordinator/log/sqlite/disk_reserve.h"
#include "coordinator/log/sqlite/sqlite_options.h"
#include "coordinator/log/sqlite/sqlite_store.h"

namespace assent::log {

class SqliteRowStore final : public RowStore {
 public:
  // Opens or creates the file: see SqliteLog::Open.
  static Result<std::unique_ptr<RowStore>> Open(SqliteOptions options);

  Result<Joined> Join() override;
  Status Load(const std::vector<Slot>& slots, const Log::LiveVisitor& visit,
              std::vector<DamagedSlot>& damaged) override;
  Status Release(const std::vector<Slot>& slots) override;
  // With a slice of retention, if it is time.
  Status Write(const std::vector<const std::vector<Entry>*>& batches, const Unwritten& unwritten,
               GroupOutcome& outcome) override;
  Status Commit() override;
  bool full() const override { return full_; }
  Status BeforeReads() override { return store_->CheckInPlace(); }
  Result<Found> Find(const std::string& gid) override { return store_->Find(gid); }
  // At most 1000 rows and about 8 MiB.
  Result<std::vector<FinishedRow>> Scan(std::uint64_t before_serial, std::size_t max_rows) override;
  Result<WalkPlace> Walk(const WalkPlace& from, std::size_t max_rows,
                         const RowEditor& edit) override;
  // Reports the commit, checkpoints, looks for space.
  Status Upkeep() override;
  // One slice of retention, or the rest of the WAL.
  Result<bool> UpkeepIdle() override;
  Clock::time_point NextDue() const override;
  Status Close() override;
  std::uint64_t NextSerial(Slot) override {
    return next_serial_.fetch_add(1, std::memory_order_relaxed);
  }
  void Describe(Stats& stats) const override;
  // Not while the disk is full: what has begun needs what room there is.
  Result<BackupProgress> StepBackup(SqliteBackup& backup);

 private:
  explicit SqliteRowStore(SqliteOptions options)
      : options_(std::move(options)),
        reserve_(options_.path + "-reserve", options_.reserve_bytes) {}

  // Of what the database said: OK but for a disk that is full, which is taken note of, and others.
  Status Noted(Status status);
  Status EnterFull(Status why);
  Status Checkpoint(bool force);
  Result<bool> Settle();
  void NoteRemoved();
  void NoteFull();
  void LookAtClocks();
  std::size_t SliceRows(std::size_t entries) const;

  const SqliteOptions options_;
  std::unique_ptr<SqliteStore> store_;
  DiskReserve reserve_;
  bool loaded_ = false;
  std::atomic<std::uint64_t> next_serial_ = 1;
  bool full_ = false;
  Clock::time_point full_until_;  // or until a little later
  bool told_full_ = false;
  Clock::time_point next_probe_ = Clock::now();
  Clock::time_point next_expiry_ = Clock::now();
  bool again_ = false;          // what found no space is tried again, with nothing beside it
  std::size_t slice_rows_ = 0;  // of the group that is being written
  std::uint64_t bytes_since_expiry_ = 0;
  std::uint64_t commits_ = 0;
  std::uint64_t commits_when_idle_ = 0;  // when it last was
  std::optional<WallWatch> wall_watch_;
  RetentionReport removed_;  // since the last report
  Clock::time_point next_retention_report_ = Clock::now();
  CommitReport report_;  // of the last group; no batches: it is reported
  Clock::time_point group_began_;
  std::chrono::microseconds checkpoint_{0};  // since the last commit
};

}  // namespace assent::log
