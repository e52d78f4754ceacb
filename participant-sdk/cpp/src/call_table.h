#pragma once

// The calls that a participant holds: who waits for each, and which may run. Pure and
// single-threaded; times are given.
//
// Invariant: for one branch (gid, branch_id) at most one call runs at any moment, and one operation
// of it is held at most once. A command for an operation that is held joins it and gets its answer.
// And nothing is taken from a coordinator that is known to have lost the transaction's slot.

#include <chrono>
#include <cstddef>
#include <cstdint>
#include <deque>
#include <map>
#include <optional>
#include <string>
#include <unordered_map>
#include <utility>
#include <vector>

#include <assent/call.h>
#include <assent/slot.h>

namespace assent::internal {

using SteadyTime = std::chrono::steady_clock::time_point;

// Names a held call. Never reused.
enum class Ticket : std::uint64_t {};

// Who asked: one command on one connection of one session. An answer for a connection that is gone
// is of no use: the coordinator asks again.
struct Waiter {
  std::size_t session = 0;
  std::uint64_t connection = 0;
  std::uint64_t command_id = 0;
  friend bool operator==(const Waiter&, const Waiter&) = default;
};

class CallTable {
 public:
  explicit CallTable(std::size_t max_calls) : max_calls_(max_calls) {}

  // False for a command of a coordinator whose slot another one has been seen to own: it was
  // stopped or cut off, and does not know. Remembered by this process alone: it spares work that a
  // barrier would refuse, and nothing rests on it. `epoch` 0: the log has one coordinator.
  bool HeardFromOwner(std::uint32_t coordinator_id, Slot slot, std::uint64_t epoch);

  struct Admission {
    enum class Kind : std::uint8_t {
      kRun,     // new, and its branch is free: run `ticket`
      kBehind,  // new, but another operation of its branch runs: Finish of that one names it
      kJoined,  // held already: `ticket` will answer this waiter too
      kFull,    // not taken
    };
    Kind kind = Kind::kFull;
    Ticket ticket{};
  };
  // Takes the call with kRun and kBehind; otherwise leaves it as it is.
  Admission Admit(Call&& call, const Waiter& waiter, SteadyTime now);

  // About to run: hands out the call, or nothing if nobody waits for it any more, or if it waited
  // longer than its coordinator does. Then Finish it with whatever reply: no handler has seen it.
  // `alive(waiter)` says whether the waiter's connection still stands.
  template <typename Alive>
  std::optional<Call> Take(Ticket ticket, SteadyTime now, const Alive& alive);

  // A call that has not been taken yet.
  const Call& Peek(Ticket ticket) const {
    return held_.at(static_cast<std::uint64_t>(ticket)).call;
  }

  struct Finished {
    Operation operation = Operation::kAction;
    std::string gid;
    std::string branch_id;
    std::vector<Waiter> waiters;
    std::optional<Ticket> next;  // of the same branch: run it now
  };
  Finished Finish(Ticket ticket);

  std::size_t size() const { return held_.size(); }

 private:
  struct Held {
    Call call;
    std::string key;
    std::vector<Waiter> waiters;
    SteadyTime since;
    // What must be known after the call was handed out.
    std::string gid;
    std::string branch_id;
    Operation operation = Operation::kAction;
  };
  static std::string KeyOf(const Call& call);
  bool Expired(const Held& held, SteadyTime now) const;

  const std::size_t max_calls_;
  std::uint64_t last_ticket_ = 0;
  std::unordered_map<std::uint64_t, Held> held_;
  // The highest epoch seen of each slot of each log.
  std::map<std::pair<std::uint32_t, Slot>, std::uint64_t> slot_epochs_;
  // Calls of one branch, the running one first.
  std::unordered_map<std::string, std::deque<Ticket>> branches_;
};

template <typename Alive>
std::optional<Call> CallTable::Take(Ticket ticket, SteadyTime now, const Alive& alive) {
  Held& held = held_.at(static_cast<std::uint64_t>(ticket));
  std::erase_if(held.waiters, [&](const Waiter& waiter) { return !alive(waiter); });
  if (held.waiters.empty() || Expired(held, now)) return std::nullopt;
  return std::move(held.call);
}

}  // namespace assent::internal
