#pragma once

// The rows of a PostgreSQL schema as a log wants them, through one lane. Which slots are this
// member's the SlotTable says, which its lanes share; the lane of a slot is slot % lanes_count.
//
// Write does it all, up to COMMIT: a group goes as one message. It returns when it is known what
// became of it, however long the database is away (away()), and Commit only says OK. So a group
// that found no space leaves no trace, as the contract wants, and there is never one that is
// written and not committed.

#include <chrono>
#include <cstddef>
#include <cstdint>
#include <functional>
#include <memory>
#include <string>
#include <vector>

#include <assent/status.h>

#include "coordinator/log/postgresql/group.h"
#include "coordinator/log/postgresql/lane.h"
#include "coordinator/log/postgresql/slot_table.h"
#include "coordinator/log/retention_clock.h"
#include "coordinator/log/row_store.h"

namespace assent::log {

struct PostgresStoreOptions {
  LaneOptions lane{};
  int lane_number = 0;
  // Takes part in the cluster: this epoch and its lanes are in the store.
  std::function<Result<Joined>()> join{};
  std::shared_ptr<SlotTable> slots{};
  // Finished rows that the cluster has kept for longer, of its run time, are removed. 0: none. By
  // size none are removed here: a database has other ways to say that it is full.
  std::chrono::milliseconds retention_age = std::chrono::hours(7 * 24);
  // Removed by kForget only.
  std::vector<std::uint8_t> pinned_outcomes{};
  std::chrono::milliseconds retention_interval = std::chrono::seconds(1);
  std::chrono::milliseconds space_probe_interval = std::chrono::milliseconds(250);
  // Counts the finished rows at the first Load, up to a million: for one lane of each member.
  bool counts_finished = true;
  // The store has lost commits that it had acknowledged. Before anybody else hears of it: the
  // process should end there, with its own exit code.
  std::function<void(const Status&)> on_regressed{};
};

class PostgresRowStore final : public RowStore {
 public:
  explicit PostgresRowStore(PostgresStoreOptions options);

  Result<Joined> Join() override;
  // A slot of which a row fails its checksum is damaged, and only that slot.
  Status Load(const std::vector<Slot>& slots, const Log::LiveVisitor& visit,
              std::vector<DamagedSlot>& damaged) override;
  std::uint64_t generation() const override { return loaded_generation_; }
  // All of them or none.
  Status Release(const std::vector<Slot>& slots) override;
  // With a slice of retention, if it is time.
  Status Write(const std::vector<const std::vector<Entry>*>& batches, const Unwritten& unwritten,
               GroupOutcome& outcome) override;
  Status Commit() override { return OkStatus(); }
  bool full() const override { return full_ && Clock::now() < next_probe_; }
  bool fenced() const override { return lane_.fenced(); }
  bool away() const override { return lane_.away(); }
  Result<Found> Find(const std::string& gid) override;
  // At most 1000 rows and about 8 MiB.
  Result<std::vector<FinishedRow>> Scan(std::uint64_t before_serial, std::size_t max_rows) override;
  Status BeforeReads() override {
    read_conn_ = 0;
    return OkStatus();
  }
  Status AfterReads() override;
  Result<WalkPlace> Walk(const WalkPlace& from, std::size_t max_rows,
                         const RowEditor& edit) override;
  Result<bool> UpkeepIdle() override;
  Clock::time_point NextDue() const override;
  std::uint64_t NextSerial(Slot slot) override { return options_.slots->Next(slot); }
  void Describe(Stats& stats) const override;

 private:
  struct LoadState;

  bool Loaded(Slot slot) const { return slot < loaded_.size() && loaded_[slot]; }
  Status CommitAlone(const std::function<void(Connection&)>& fill, GroupResult& result);
  Status Failed(const Status& why);
  Status EnterFull(std::string why);
  Status Learn(const Group& group, const GroupResult& result, GroupLessons& lessons);
  Status LearnTaken(const Group& group, GroupLessons& lessons);
  Status NameFault(const Group& group, std::size_t statement);
  Status LookWhatBegan(const Group& group, std::set<std::uint64_t>& began);
  Answer Ask(const char* statement, const std::function<Params()>& params, Status& lane);
  Status LoadRows(LoadState& state);
  Status LoadAgain(const std::vector<Slot>& slots, std::uint64_t fingerprint, bool& owned);
  void NoteRead() { read_conn_ = read_conn_ == 0 ? lane_.conn() : read_conn_; }
  Status CheckLive(const Rows& row, LoadState& state);
  struct Rewritten;
  Status WriteRewritten(const Rewritten& changed);
  Column LoadedSlots() const;
  Status CountFinished();
  Result<Found> FoundIn(const Rows& rows, const std::string& gid, bool with_epochs, bool& stale);
  Result<FinishedRow> Finished(const Rows& rows, int row, int from_column) const;
  Status LookAfterFailOver();
  Status CheckOwned(const std::vector<Slot>& slots, bool& owned);
  bool ExpiryDue() const;
  Params ExpiryParams(std::size_t rows);
  void TakeExpired(const Rows& row);

  const PostgresStoreOptions options_;
  Lane lane_;
  std::uint64_t epoch_ = 0;
  std::vector<bool> loaded_;
  bool full_ = false;
  Clock::time_point next_probe_{};
  std::uint64_t commits_ = 0;
  std::int64_t finished_rows_ = 0;
  bool counted_ = false;
  // Through which opening of the lane the first of these reads was. 0: there was none.
  std::uint64_t read_conn_ = 0;

  // As of a snapshot in which the log had this many starts, in this generation.
  Epochs epochs_;
  std::uint64_t epochs_starts_ = 0;
  std::uint64_t epochs_generation_ = 0;

  // Of the store: our lane has what it was told in it.
  std::uint64_t generation_ = 0;
  std::uint64_t loaded_generation_ = 0;

  // Up to this serial retention has looked.
  std::uint64_t expired_to_ = 0;
  Clock::time_point next_expiry_ = Clock::now();
  Clock::time_point next_sweep_ = Clock::now();
  RetentionPace pace_;
};

}  // namespace assent::log
