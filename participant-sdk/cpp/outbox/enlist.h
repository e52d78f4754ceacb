#pragma once

// The part of Enlist that is the same for every database: the row of the barrier that an initiator
// writes by itself, as if its participant had been asked and had done the step.

#include <string>

#include <assent/status.h>
#include <assent/transaction.h>

#include "participant-sdk/cpp/barrier/barrier.h"

namespace assent::internal::outbox {

// The call that would have written the row. kInvalidArgument: `message` is none that checks back.
Result<Call> EnlistCallOf(const Transaction& message);

// A row is there already, in this state.
Status NotEnlisted(const std::string& gid, barrier::State state);
Status NoBarrier(const std::string& words);

// Its compensation. Nobody asks for it: past the pivot there is only forward.
template <typename Db>
Reply NeverUndone(Db&, const Call&) {
  return Reply::Refused("what its initiator has committed is not undone");
}

}  // namespace assent::internal::outbox
