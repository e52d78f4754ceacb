#pragma once

// A RowStore in memory, for simulation and tests. Deterministic: no thread, no clock of its own,
// ordered containers. It says of a MemoryDisk what the SQLite store says of a real one.

#include <atomic>
#include <chrono>
#include <cstddef>
#include <cstdint>
#include <functional>
#include <memory>
#include <optional>
#include <set>
#include <string>
#include <utility>
#include <vector>

#include <assent/status.h>

#include "coordinator/log/memory/memory_disk.h"
#include "coordinator/log/memory/memory_group.h"
#include "coordinator/log/retention_clock.h"
#include "coordinator/log/row_store.h"

namespace assent::log {

struct MemoryStoreOptions {
  // The same for every start. All of them are this coordinator's from the start.
  Slot slots_count = 1;
  // Finished rows kept; the oldest go first. 0: all.
  std::size_t max_finished_rows = 0;
  // As of SqliteOptions. 0: age removes nothing.
  std::chrono::milliseconds retention_age{0};
  std::function<std::int64_t()> mono_now_ms{};  // must be given with an age
  std::function<std::int64_t()> unix_now_ms{};  // likewise
};

class MemoryStore final : public RowStore {
 public:
  // `disk` must not have another store that is alive.
  MemoryStore(std::shared_ptr<MemoryDisk> disk, MemoryStoreOptions options)
      : disk_(std::move(disk)), options_(std::move(options)) {}

  Result<Joined> Join() override;
  Status Load(const std::vector<Slot>& slots, const Log::LiveVisitor& visit,
              std::vector<DamagedSlot>& damaged) override;
  Status Release(const std::vector<Slot>& slots) override;
  Status Write(const std::vector<const std::vector<Entry>*>& batches, const Unwritten& unwritten,
               GroupOutcome& outcome) override;
  Status Commit() override;
  bool full() const override { return no_space_; }
  bool fenced() const override { return fenced_; }
  Result<Found> Find(const std::string& gid) override;
  Result<std::vector<FinishedRow>> Scan(std::uint64_t before_serial, std::size_t max_rows) override;
  Result<WalkPlace> Walk(const WalkPlace& from, std::size_t max_rows,
                         const RowEditor& edit) override;
  std::uint64_t NextSerial(Slot) override { return next_serial_++; }
  void Describe(Stats& stats) const override;

  // Until kNone:
  //   kBeginsOnly    batches with a kBegin are refused
  //   kEverything    all of them
  //   kAtCommit      the next Commit finds no space, and from then on it is kBeginsOnly
  //   kAtEachCommit  likewise, but the same is found by each Commit
  enum class Full : std::uint8_t { kNone, kBeginsOnly, kEverything, kAtCommit, kAtEachCommit };
  static constexpr std::uint32_t kFullCount = 5;
  void SetFull(Full full);
  // The next Commit fails. The groups stay written, and unsynchronised: PowerLoss decides.
  void FailNextCommit() { fail_next_commit_ = true; }
  void SetFenced() { fenced_ = true; }
  // A slot has been loaded, and with the first one the epoch is durable.
  bool begun() const { return begun_; }

 private:
  void BeginEpoch();
  Status Undo(Status why);
  void Expire();
  void ExpireByAge();
  void EraseFinished(std::uint64_t serial);

  std::shared_ptr<MemoryDisk> disk_;
  const MemoryStoreOptions options_;
  std::uint64_t epoch_ = 0;
  Epochs epochs_;
  std::set<Slot> loaded_;
  bool begun_ = false;
  std::atomic<std::uint64_t> next_serial_ = 1;
  std::uint64_t serials_from_ = 1;
  bool fail_next_commit_ = false;
  bool fenced_ = false;
  Full full_ = Full::kNone;
  bool no_space_ = false;  // somebody has noticed
  std::optional<RetentionClock> age_;
  bool uncommitted_ = false;
  MemoryDelta delta_;                          // of the group that is being written
  std::optional<RetentionClock> age_without_;  // that group, if it changes it
  std::uint64_t commits_ = 0;
};

}  // namespace assent::log
