#pragma once

// The disk under a log in memory. It outlives the logs opened on it, one after the other, and knows
// what is written and what is durable: each way to die loses another part.
//
//   queue of the log ──Write()──> written, not synchronised ──Commit()──> durable ──> callbacks
//        lost by Kill()                lost by PowerLoss()                  never lost

#include <cstddef>
#include <cstdint>
#include <deque>
#include <map>
#include <memory>
#include <optional>
#include <string>
#include <vector>

#include "coordinator/log/log.h"
#include "coordinator/log/retention_clock.h"
#include "coordinator/log/start_check.h"

namespace assent::log {

// What one group changed: the rows it touched, as they are after it.
struct MemoryDelta {
  std::uint64_t next_serial = 1;
  std::uint64_t commit_seq = 0;
  std::vector<AgeMark> marks;
  std::map<std::uint64_t, std::optional<LiveRow>> live;
  std::map<std::uint64_t, std::optional<FinishedRow>> finished;
  std::map<std::uint64_t, FinishedRow> rewritten;  // finished ones, as old as they were
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

// The disk. A value as well, but for one thing: copies draw the random part of their epochs from
// one sequence, as the world would. So a copy that is put back later is what a restored backup is:
// its next start is not the one it had before. The same calls in the same order give the same
// epochs. Not thread-safe.
class MemoryDisk {
 public:
  // `coordinator_id` stands in for the one that a real log draws at random; not 0.
  explicit MemoryDisk(std::uint32_t coordinator_id = 1) : first_coordinator_id_(coordinator_id) {}

  // What survives a power cut at this instant, and what a process that starts at this instant sees.
  const MemoryImage& durable() const { return durable_; }
  const MemoryImage& seen() const { return seen_; }
  // Groups written and not synchronised.
  std::size_t unsynced_groups() const { return written_.size(); }

  // The power goes. Of the unsynchronised groups the first `kept` became durable all the same.
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
  friend class MemoryStore;
  std::uint32_t first_coordinator_id_;
  MemoryImage durable_;
  MemoryImage seen_;
  MemoryImage database_;            // without its WAL: as of the last start
  std::optional<LogState> state_;   // PATH-state
  std::uint64_t anchored_seq_ = 0;  // of which so much is synchronised
  std::shared_ptr<const MemoryDisk> before_loss_;
  std::deque<MemoryDelta> written_;  // the difference, group by group
  std::shared_ptr<std::uint32_t> draws_ = std::make_shared<std::uint32_t>(0);
};

}  // namespace assent::log
