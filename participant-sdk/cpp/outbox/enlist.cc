#include "participant-sdk/cpp/outbox/enlist.h"

#include <chrono>

#include <assent/check_back.h>

namespace assent {

Reply AnswerCheckBack(const Call& call, const CheckBackOptions& options) {
  using std::chrono::milliseconds;
  const milliseconds now =
      std::chrono::duration_cast<milliseconds>(std::chrono::system_clock::now().time_since_epoch());
  const milliseconds age = now - milliseconds(call.began_unix_ms);
  if (age < options.patience)
    return Reply::RetryLater("its initiator's local transaction may still be under way");
  return Reply::Refused("its initiator's local transaction had not committed after " +
                        std::to_string(options.patience.count()) + " ms, and never will");
}

namespace internal::outbox {

Result<Call> EnlistCallOf(const Transaction& message) {
  if (Status s = message.Validate(); !s.ok()) return s;
  const Branch& first = message.branches().front();
  if (!first.options.check_back)
    return InvalidArgument("transaction " + message.gid() +
                           " is no message that checks back: begin it with CheckBack");
  Call call;
  call.gid = message.gid();
  call.branch_id = first.options.id.empty() ? "1" : first.options.id;
  call.service = first.service;
  call.action = first.action;
  return call;
}

Status NotEnlisted(const std::string& gid, barrier::State state) {
  if (state == barrier::State::kDone)
    return {Code::kAlreadyExists, "message " + gid + " is enlisted: one is enlisted once"};
  return FailedPrecondition("message " + gid +
                            " will not begin: the coordinator has asked, and was told no. Roll "
                            "back; Prepare a new one, and be quicker, or raise `patience`");
}

Status NoBarrier(const std::string& words) {
  return FailedPrecondition(
      "no table assent_barrier is there, which the store of a participant "
      "makes in its database (" +
      words + ")");
}

}  // namespace internal::outbox
}  // namespace assent
