#pragma once

// Who waits for whom when prepared work is in the way: one rule for every adapter. Pure.
//
// Prepared work keeps its rows until its transaction is decided. Two transactions that each hold
// what the other needs would stand still until a deadline, and so would larger circles. The rule:
// everybody waits for OLDER ones only. Ages are a total order, so no circle of those who wait can
// close, and the oldest of all always gets through.
//
//   the waiter is younger   it waits.
//   the waiter is older     it waits a moment (most holders are about to commit), then says who is
//                           in its way (Reply::blocked_by): the coordinator aborts the younger one,
//                           which the participant, having promised, cannot. Until then it goes on
//                           waiting.
//   ... and the two come    nobody can make the younger give way, so the older is refused. (The
//   from different          other way round, refusing the younger, would leave circles that mix
//   coordinators            both kinds of edges.) Tried again, it is the younger one, and waits.
//
// Who holds nothing cannot be part of a circle and just waits: phase two, one-phase work, the
// service's own writes.

#include <cstdint>
#include <string>
#include <string_view>
#include <tuple>

#include <assent/call.h>

namespace assent::barrier {

// What the rule must know of a transaction.
struct Standing {
  std::string_view gid;
  std::int64_t began_unix_ms = 0;  // 0: not known
  std::uint32_t coordinator_id = 0;
};

enum class Meeting : std::uint8_t {
  kWait,    // until the holder ends
  kTell,    // wait, and if that takes longer than a moment, say who is in the way
  kRefuse,  // do not wait
};

constexpr bool IsOlder(const Standing& one, const Standing& other) {
  return std::tie(one.began_unix_ms, one.gid) < std::tie(other.began_unix_ms, other.gid);
}

constexpr Meeting Meet(const Standing& waiter, const Standing& holder) {
  // An age that is not known (an older coordinator, work prepared before an upgrade) is compared
  // with nothing.
  const bool known = waiter.began_unix_ms != 0 && holder.began_unix_ms != 0;
  if (!known || IsOlder(holder, waiter)) return Meeting::kWait;
  return waiter.coordinator_id == holder.coordinator_id ? Meeting::kTell : Meeting::kRefuse;
}

// May what this call asks hold something while it waits for more?
constexpr bool MayHoldOthersUp(Operation operation, bool one_phase) {
  return !one_phase && (operation == Operation::kPrepare || operation == Operation::kTry ||
                        operation == Operation::kAction);
}

// The prepared branch whose claim is in the way, and on what: "row stock('A')".
struct Holder {
  std::string gid;
  std::string branch_id;
  std::string what;
  std::int64_t began_unix_ms = 0;
  std::uint32_t coordinator_id = 0;
};
struct Obstacle {
  Reply reply;         // what is answered, at once or when waiting has been in vain
  bool waits = false;  // it is worth waiting for the holder to end
  bool tells = false;  // and the answer should come after a moment, since it names a younger one
};
Obstacle InTheWay(const Call& call, const Holder& holder);

}  // namespace assent::barrier
