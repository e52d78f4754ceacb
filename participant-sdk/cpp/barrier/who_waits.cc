#include "participant-sdk/cpp/barrier/who_waits.h"

#include <chrono>
#include <string>

#include "participant-sdk/cpp/barrier/barrier.h"

namespace assent::barrier {
namespace {

// Where the coordinator's doubling of the wait starts for who was told that a row is taken.
constexpr std::chrono::milliseconds kAskAgain{5};

}  // namespace

Obstacle InTheWay(const Call& call, const Holder& holder) {
  const bool forward = RoleOf(call.operation) == Role::kForward;
  std::string held = holder.what + " is held by branch " + holder.branch_id;
  if (holder.gid == call.gid && forward) {
    // Waiting would be for ever: the holder ends only with the transaction.
    return {Reply::Refused(held + " of this same transaction: let one branch write it")};
  }
  held += " of transaction " + holder.gid + ", which is prepared";
  const Meeting meeting = MayHoldOthersUp(call.operation, call.one_phase)
                              ? Meet({call.gid, call.began_unix_ms, call.coordinator_id},
                                     {holder.gid, holder.began_unix_ms, holder.coordinator_id})
                              : Meeting::kWait;
  if (meeting == Meeting::kRefuse) {
    return {Reply::Refused(held + ", younger, and of coordinator " +
                           std::to_string(holder.coordinator_id) +
                           ": an older transaction does not wait for it, or both might for ever")};
  }
  const bool tells = meeting == Meeting::kTell;
  Obstacle obstacle{Reply::RetryLater(held + (tells ? ", and younger" : "")), true, tells};
  if (call.began_unix_ms != 0 && forward) {
    obstacle.reply.blocked_by = holder.gid;
    obstacle.reply.retry_after = kAskAgain;
  }
  return obstacle;
}

}  // namespace assent::barrier
