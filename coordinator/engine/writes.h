#pragma once

// What is to be written, what has been handed to the log, and what its answers mean.
//
// Invariant: an effect leaves Take only if no write that justifies it is missing; every other one
// waits in its transaction until Settle says that the write is durable.

#include <cstddef>
#include <cstdint>
#include <deque>
#include <string>
#include <vector>

#include "coordinator/core/transaction.h"
#include "coordinator/engine/live.h"
#include "coordinator/engine/logged_outcome.h"
#include "coordinator/engine/ports.h"
#include "coordinator/log/log.h"

namespace assent::engine {

class Writes {
 public:
  struct Batch {
    std::vector<Live*> written{};
    bool begins = false;  // one of them is new
    core::MonoTime handed_over{};
    Holding* forgets = nullptr;  // instead: one kForget entry, of a gid in this slot
    ViewCallback forgotten{};
  };
  enum class Fate : std::uint8_t {
    kDurable,
    kEnded,     // likewise, and that was its last write
    kAgain,     // no room: the same is written again later
    kNotBegun,  // for lack of room, or its gid is a finished one's
    kNotEnded,  // its row cannot be moved to the finished ones
  };

  Writes(const ShardOptions& options, ShardPorts& ports) : options_(options), ports_(ports) {}

  // Files what a step asks for. What is left in it may be done now.
  void Take(Live& live, core::Step& step, core::MonoTime now);
  // To be written; soon if something waits for it.
  void Note(Live& live, bool urgent, core::MonoTime now);
  void Forget(std::string gid, Holding& holding, ViewCallback done);
  // Hands over what is due.
  void HandOver(core::MonoTime now);

  // The batch of an answer, which comes in the order of handing over; then each of its
  // transactions.
  Batch Pop(const AppendedRequest& answer);
  Fate Settle(Live& live, const Status& status, core::MonoTime now);
  // It goes, with the slot that it is in: nothing more of it is written.
  void Drop(const Holding& holding);

  // The log has not kept up.
  bool behind() const { return batches_.size() >= kMaxBatchesCount; }
  core::MonoTime Wakeup() const {
    return listed_.empty() ? core::kNever : std::max(due_at_, not_before_);
  }

 private:
  static constexpr std::size_t kMaxBatchesCount = 4;

  void Append(std::vector<Live*> lives, core::MonoTime now);
  void List(Live& live, bool again, core::MonoTime now);

  const ShardOptions& options_;
  ShardPorts& ports_;
  std::vector<Live*> listed_;             // IsListed
  core::MonoTime due_at_ = core::kNever;  // when these must be written
  core::MonoTime not_before_{};           // the disk was full
  bool disk_full_ = false;                // ... and nothing could begin since
  std::uint64_t next_batch_ = 1;
  std::deque<Batch> batches_;  // outstanding, the oldest first
};

}  // namespace assent::engine
