#include "coordinator/transport/wire.h"

#include <algorithm>
#include <utility>

#include <assent/limits.h>

#include "proto/parse/parse.h"
#include "proto/words/words.h"

namespace assent::transport {
namespace {

core::AttemptResult ResultOf(v1::BranchReply::Kind kind) {
  switch (kind) {
    case v1::BranchReply::DONE: return core::AttemptResult::kDone;
    case v1::BranchReply::DONE_READ_ONLY: return core::AttemptResult::kDoneReadOnly;
    case v1::BranchReply::REFUSED: return core::AttemptResult::kRefused;
    case v1::BranchReply::RETRY_LATER: return core::AttemptResult::kRetryLater;
    // A newer participant's word: not an answer that we can rest on.
    default: return core::AttemptResult::kUnknown;
  }
}

// Whether the field of this name is among those that were mended.
bool Has(const wire::BadText& bad, const std::string& field) {
  return std::find(bad.fields.begin(), bad.fields.end(), field) != bad.fields.end();
}

void SayBadReason(v1::BranchReply& reply) {
  reply.set_reason("the reason is not UTF-8: " + reply.reason());
}

}  // namespace

void ToWire(Command&& command, std::uint64_t command_id, std::uint32_t coordinator_id,
            v1::BranchCommand& out) {
  out.set_gid(std::move(command.gid));
  out.set_branch_id(std::move(command.branch_id));
  out.set_operation(wire::ToWire(command.operation));
  out.set_protocol(wire::ToWire(command.protocol));
  out.set_service(std::move(command.service));
  out.set_action(std::move(command.action));
  out.set_payload(std::move(command.payload));
  for (auto& [id, result] : command.results) (*out.mutable_results())[id] = std::move(result);
  for (auto& [key, value] : command.headers) (*out.mutable_headers())[key] = std::move(value);
  out.set_attempt(command.attempt);
  out.set_one_phase(command.one_phase);
  out.set_timeout_ms(command.timeout.count());
  out.set_coordinator_id(coordinator_id);
  out.set_began_epoch(command.began_epoch);
  out.set_command_id(command_id);
  out.set_began_unix_ms(command.began_at.time_since_epoch().count());
  if (!command.traceparent.empty()) out.set_traceparent(std::move(command.traceparent));
  if (!command.tracestate.empty()) out.set_tracestate(std::move(command.tracestate));
  if (command.slot_epoch == 0) return;
  out.set_slot(command.slot);
  out.set_slot_epoch(command.slot_epoch);
}

SessionReply FromWire(v1::BranchReply&& reply) {
  SessionReply out;
  out.gid = std::move(*reply.mutable_gid());
  out.branch_id = std::move(*reply.mutable_branch_id());
  out.operation = wire::FromWire<Operation>(reply.operation()).value_or(kNoOperation);
  out.command_id = reply.command_id();
  out.result = ResultOf(reply.kind());
  out.bytes = std::move(*reply.mutable_result());
  out.reason = std::move(*reply.mutable_reason());
  if (out.result == core::AttemptResult::kUnknown)
    out.reason = "answered with an unknown kind of reply";
  if (out.result == core::AttemptResult::kRetryLater &&
      reply.blocked_by_gid().size() <= limits::kMaxGidBytes)
    out.blocked_by = std::move(*reply.mutable_blocked_by_gid());
  if (reply.retry_after_ms() > 0) out.retry_after = core::Millis(reply.retry_after_ms());
  return out;
}

SessionHello FromWire(const v1::Hello& hello) {
  SessionHello out{hello.version(),       hello.service(), hello.instance(), {},
                   hello.max_in_flight(), hello.agent()};
  for (const v1::ActionInfo& action : hello.actions()) {
    out.actions.emplace_back(action.name(),
                             wire::FromWire<Protocol>(action.protocol()).value_or(Protocol{}));
  }
  return out;
}

OutcomeQuestion FromWire(const v1::OutcomeQuery& query) {
  return {query.gid(), query.branch_id(), query.coordinator_id(), query.began_epoch()};
}

void ToWire(const OutcomeAnswer& answer, v1::OutcomeAnswer& out) {
  out.set_gid(answer.gid);
  out.set_branch_id(answer.branch_id);
  out.set_verdict(wire::ToWire(answer.verdict));
  out.set_finished(answer.finished);
}

bool ParseMended(std::string bytes, v1::ParticipantFrame& out) {
  const wire::BadText bad = wire::MendText(*v1::ParticipantFrame::descriptor(), bytes);
  if (bad.count == 0 || !bad.whole || !out.ParseFromString(bytes)) return false;
  for (int i = 0; i < out.replies_size(); ++i) {
    if (Has(bad, "replies[" + std::to_string(i) + "].reason"))
      SayBadReason(*out.mutable_replies(i));
  }
  return true;
}

bool ParseMended(std::string bytes, v1::BranchReply& out) {
  const wire::BadText bad = wire::MendText(*v1::BranchReply::descriptor(), bytes);
  if (bad.count == 0 || !bad.whole || !out.ParseFromString(bytes)) return false;
  if (Has(bad, "reason")) SayBadReason(out);
  return true;
}

}  // namespace assent::transport
