#pragma once

// A log in memory, for simulation and tests. Deterministic: no thread, no clock of its own, ordered
// containers. It says of itself what the SQLite log says of a disk, including the difference
// between written and durable.
//
// A MemoryDisk outlives the logs opened on it, one after the other: a log is one life of a
// coordinator. What is appended goes through three places, and each way to die loses another part
// of it:
//
//   queue of the log ──Write()──> written, not synchronised ──Sync()──> platter ──> callbacks
//        lost by Kill()                lost by PowerLoss()                never lost

#include <atomic>
#include <cstddef>
#include <cstdint>
#include <deque>
#include <functional>
#include <map>
#include <memory>
#include <optional>
#include <set>
#include <string>
#include <vector>

#include <assent/status.h>

#include "coordinator/log/log.h"
#include "coordinator/log/retention_clock.h"
#include "coordinator/log/start_check.h"
#include "coordinator/log/unwritten.h"

namespace assent::log {

// What one group changed: the rows it touched, as they are after it.
struct MemoryDelta {
  std::uint64_t next_serial = 1;
  std::uint64_t commit_seq = 0;
  std::vector<AgeMark> marks;
  std::map<std::uint64_t, std::optional<LiveRow>> live;
  std::map<std::uint64_t, std::optional<FinishedRow>> finished;
};

// What a log file holds. A value: copy it to look at a crash image.
struct MemoryImage {
  std::uint32_t coordinator_id = 0;  // 0: nobody ever opened it
  std::uint64_t epoch = 0;
  std::vector<std::uint64_t> epochs;  // rising; the newest kMaxEpochsCount
  std::uint64_t next_serial = 1;
  std::uint64_t commit_seq = 0;
  std::vector<AgeMark> marks;
  std::map<std::uint64_t, LiveRow> live;
  std::map<std::uint64_t, FinishedRow> finished;
  std::map<std::uint64_t, std::uint64_t> finished_in;               // serial -> commit
  std::map<std::string, std::uint64_t, std::less<>> serial_of_gid;  // of the finished

  void Apply(const MemoryDelta& delta);
  void PutFinished(FinishedRow row);
  void EraseFinished(std::uint64_t serial);
};

// The disk. A value as well, but for one thing: copies draw the random part of their lives from one
// sequence, as the world would. So a copy that is put back later is what a restored backup is: its
// next start is not the one it had before. The same calls in the same order give the same lives.
// Not thread-safe.
class MemoryDisk {
 public:
  // `coordinator_id` stands in for the one that a real log draws at random; not 0.
  explicit MemoryDisk(std::uint32_t coordinator_id = 1) : first_coordinator_id_(coordinator_id) {}

  // What survives a power cut at this instant, and what a process that starts at this instant sees.
  const MemoryImage& platter() const { return platter_; }
  const MemoryImage& seen() const { return seen_; }
  // Groups written and not synchronised.
  std::size_t unsynced_groups() const { return written_.size(); }

  // The power goes. Of the unsynchronised groups the first `kept` reached the platter all the same.
  // Perhaps a part of the next one did too: recovery sees that it is not whole, and takes none of
  // it, nor what was written behind it.
  void PowerLoss(std::size_t kept = 0);

  // What the SQLite log keeps in its WAL is gone: all since the last start. Nobody has it open.
  // PutWalBack undoes it.
  void LoseWal();
  bool wal_is_lost() const { return before_loss_ != nullptr; }
  void PutWalBack();

  // What a build that did not check its own gids could leave: a finished transaction with the gid
  // of an unfinished one.
  void PlantFinished(FinishedRow row);

 private:
  friend class MemoryLog;
  std::uint32_t first_coordinator_id_;
  MemoryImage platter_;
  MemoryImage seen_;
  MemoryImage database_;            // without its WAL: as of the last start
  std::optional<LogState> state_;   // PATH-state
  std::uint64_t anchored_seq_ = 0;  // of which so much is synchronised
  std::shared_ptr<const MemoryDisk> before_loss_;
  std::deque<MemoryDelta> written_;  // the difference, group by group
  std::shared_ptr<std::uint32_t> draws_ = std::make_shared<std::uint32_t>(0);
};

struct MemoryLogOptions {
  // True: each Append writes, synchronises and calls back before it returns. False: the owner calls
  // Step.
  bool inline_completion = true;
  // The same for every start. All of them are this coordinator's from the start.
  Slot slots_count = 1;
  // Finished rows kept; the oldest go first. 0: all.
  std::size_t max_finished_rows = 0;
  // As of SqliteOptions. 0: age removes nothing.
  std::chrono::milliseconds retention_age{0};
  std::function<std::int64_t()> mono_now_ms{};  // must be given with an age
  std::size_t max_queued_entries = 256 * 1024;
  // Wall clock for AppendResult. Empty: a counter, one more with each call.
  std::function<std::int64_t()> unix_now_ms{};
};

class MemoryLog final : public Log {
 public:
  // `disk` must not have another log that is alive.
  MemoryLog(std::shared_ptr<MemoryDisk> disk, MemoryLogOptions options);
  // Completes what is queued, unless it was killed or poisoned.
  ~MemoryLog() override;

  Result<Joined> Join(SlotEvents& events) override;
  void Load(Slot slot, LiveVisitor visit, std::function<void(Status)> done) override;
  void Append(std::vector<Entry> batch, std::function<void(AppendResult)> done) override;
  void Release(Slot slot, std::function<void(Status)> done) override;
  void Drain(std::function<void(Status)> done) override;
  void Find(std::string gid, std::function<void(Result<Found>)> done) override;
  void Scan(std::uint64_t before_serial, std::size_t max_rows,
            std::function<void(Result<std::vector<FinishedRow>>)> done) override;
  std::uint64_t NextSerial(Slot) override { return next_serial_++; }
  Stats GetStats() const override;

  // Plays the other coordinators of a log with several slots.
  void Assign(SlotGrant grant) { events_->OnAssigned(grant); }
  void Want(Slot slot) { events_->OnWanted(slot); }
  void Fence(const Status& why) {
    Poison(why);
    events_->OnFenced(why);
  }

  // Writes what is queued as one group (false: nothing was), and makes what was written durable,
  // with the callbacks and then the reads.
  bool Write();
  void Sync();
  // Both. True if anything was done.
  bool Step();

  // From now on batches with a kBegin are refused (kBeginsOnly), or all of them (kEverything),
  // until kNone.
  enum class Full : std::uint8_t { kNone, kBeginsOnly, kEverything };
  void SetFull(Full full) { full_ = full; }
  // The next Sync fails: the log is poisoned. The group stays written, and unsynchronised:
  // PowerLoss decides.
  void FailNextSync() { fail_next_sync_ = true; }

  // The process dies: nothing that is queued will be written, no callback runs, not even in the
  // destructor. Pending callbacks are dropped.
  void Kill();

 private:
  struct Pending {
    std::vector<Entry> entries;
    std::function<void(AppendResult)> done;
    AppendResult result;
    bool no_room = false;
  };

  void BeginEpoch();
  void WriteBatch(Pending& pending, MemoryDelta& delta);
  // Applies the batch to what is seen. A failure is two writers' and leaves a mess.
  Status Apply(const std::vector<Entry>& batch, MemoryDelta& delta,
               std::vector<RefusedEntry>& refused);
  Status ApplyOne(const Entry& entry, MemoryDelta& delta, Status& refusal);
  Status ApplyToLive(const Entry& entry, MemoryDelta& delta, Status& refusal);
  void Expire(MemoryDelta& delta);
  void ExpireByAge(MemoryDelta& delta);
  void Poison(const Status& why);
  void Answer(std::deque<Pending> answered);
  void AnswerReads();
  std::int64_t UnixNowMs();

  std::shared_ptr<MemoryDisk> disk_;
  MemoryLogOptions options_;
  SlotEvents* events_ = nullptr;
  std::uint64_t epoch_ = 0;
  Epochs epochs_;
  std::set<Slot> loaded_;
  std::atomic<std::uint64_t> next_serial_ = 1;
  bool recovered_ = false;
  bool killed_ = false;
  bool stepping_ =
      false;  // an inline Append from within a callback waits for the loop that is running
  bool fail_next_sync_ = false;
  Full full_ = Full::kNone;
  Status poison_;
  Unwritten unwritten_;
  std::uint64_t serials_from_ = 1;
  std::uint64_t last_position_ = 0;
  std::int64_t clock_ms_ = 0;
  std::optional<RetentionClock> age_;
  std::deque<Pending> queue_;
  std::deque<Pending> written_;  // since the last Sync
  std::deque<std::function<void()>> reads_;
  Stats stats_;
};

}  // namespace assent::log
