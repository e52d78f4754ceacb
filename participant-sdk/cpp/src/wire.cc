#include "participant-sdk/cpp/src/wire.h"

#include <chrono>
#include <cstddef>
#include <limits>
#include <map>
#include <optional>
#include <string>
#include <utility>

#include <assent/limits.h>
#include <assent/slot.h>

#include "assent/v1/participant.pb.h"
#include "assent/v1/transaction.pb.h"
#include "assent/v1/types.pb.h"
#include "participant-sdk/cpp/src/text.h"
#include "proto/words/words.h"

namespace assent::internal {
namespace {

using std::chrono::milliseconds;

template <typename WireMap>
void TakeMap(WireMap* from, std::map<std::string, std::string>* to) {
  for (auto& [key, value] : *from) to->emplace(key, std::move(value));
}

template <typename WireMap>
void PutMap(const std::map<std::string, std::string>& from, WireMap* to) {
  for (const auto& [key, value] : from) (*to)[key] = value;
}

Reply Mistake(const std::string& what) {
  return Reply::RetryLater("the handler's answer cannot be sent: " + what);
}

// What the contract allows for this operation.
Reply Allowed(Operation operation, Reply reply) {
  switch (reply.kind) {
    case Reply::Kind::kDone:
      if (!IsForward(operation)) reply.result.clear();
      if (reply.result.size() > limits::kMaxResultBytes) {
        return Mistake("its result has " + std::to_string(reply.result.size()) +
                       " bytes; at most " + std::to_string(limits::kMaxResultBytes));
      }
      return reply;
    case Reply::Kind::kDoneReadOnly:
      if (operation == Operation::kPrepare) {
        reply.kind = Reply::Kind::kDone;
        reply = Allowed(operation, std::move(reply));
        if (reply.kind == Reply::Kind::kDone) reply.kind = Reply::Kind::kDoneReadOnly;
        return reply;
      }
      return Mistake(std::string("only PREPARE can be done read-only, not ") +
                     OperationName(operation));
    case Reply::Kind::kRefused:
    case Reply::Kind::kRetryLater: return reply;
  }
  return Mistake("it is of no known kind");
}

}  // namespace

Result<Call> TakeCall(v1::BranchCommand* command) {
  if (command->gid().empty()) return InvalidArgument("gid is empty");
  if (command->branch_id().empty()) return InvalidArgument("branch_id is empty");
  const std::optional<Operation> operation = wire::FromWire<Operation>(command->operation());
  if (!operation) {
    return InvalidArgument("operation " + std::to_string(command->operation()) +
                           " is not known to this SDK");
  }
  if (command->slot() > std::numeric_limits<Slot>::max())
    return InvalidArgument("slot " + std::to_string(command->slot()) +
                           " is more than there can be");
  Call call;
  call.operation = *operation;
  call.protocol = ProtocolOf(call.operation);
  if (command->protocol() != wire::ToWire(call.protocol)) {
    return InvalidArgument(std::string(Name(call.operation)) + " does not belong to protocol " +
                           std::to_string(command->protocol()));
  }
  call.gid = std::move(*command->mutable_gid());
  call.branch_id = std::move(*command->mutable_branch_id());
  call.service = std::move(*command->mutable_service());
  call.action = std::move(*command->mutable_action());
  call.payload = std::move(*command->mutable_payload());
  TakeMap(command->mutable_results(), &call.results);
  TakeMap(command->mutable_headers(), &call.headers);
  call.attempt = command->attempt();
  call.one_phase = command->one_phase();
  call.timeout = milliseconds(command->timeout_ms());
  call.coordinator_id = command->coordinator_id();
  call.began_epoch = command->began_epoch();
  call.began_unix_ms = command->began_unix_ms();
  call.traceparent = std::move(*command->mutable_traceparent());
  call.tracestate = std::move(*command->mutable_tracestate());
  return call;
}

void PutReply(Operation operation, Reply reply, v1::BranchReply* out) {
  Reply allowed = Allowed(operation, std::move(reply));
  out->set_kind(wire::ToWire(allowed.kind));
  switch (allowed.kind) {
    case Reply::Kind::kDone:
    case Reply::Kind::kDoneReadOnly: out->set_result(std::move(allowed.result)); return;
    case Reply::Kind::kRetryLater:
      if (allowed.retry_after.count() > 0) out->set_retry_after_ms(allowed.retry_after.count());
      out->set_blocked_by_gid(CleanText(allowed.blocked_by, limits::kMaxGidBytes));
      [[fallthrough]];
    case Reply::Kind::kRefused:
      out->set_reason(CleanText(allowed.reason, limits::kMaxReasonBytes));
      return;
  }
}

void PutQuery(const HeldBranch& branch, v1::OutcomeQuery* out) {
  out->set_gid(branch.gid);
  out->set_branch_id(branch.branch_id);
  out->set_coordinator_id(branch.coordinator_id);
  out->set_began_epoch(branch.began_epoch);
}

void PutBranch(const Branch& branch, v1::BranchSpec* out) {
  const BranchOptions& options = branch.options;
  out->set_branch_id(options.id);
  out->set_protocol(wire::ToWire(branch.protocol));
  out->set_service(branch.service);
  out->set_action(branch.action);
  out->set_payload(branch.payload);
  for (const std::string& before : options.after) out->add_after(before);
  out->set_pivot(options.pivot);
  out->set_check_back(options.check_back);
  out->set_receive_results(options.receive_results);
  const BranchRetry& retry = options.retry;
  if (retry.initial_backoff.count() != 0)
    out->mutable_retry()->set_initial_backoff_ms(retry.initial_backoff.count());
  if (retry.max_backoff.count() != 0)
    out->mutable_retry()->set_max_backoff_ms(retry.max_backoff.count());
  if (retry.max_attempts != 0) out->mutable_retry()->set_max_attempts(retry.max_attempts);
  out->set_attempt_timeout_ms(options.attempt_timeout.count());
  PutMap(options.headers, out->mutable_headers());
}

void PutTransaction(const Transaction& transaction, v1::TransactionSpec* out) {
  out->set_gid(transaction.gid());
  for (const Branch& branch : transaction.branches()) PutBranch(branch, out->add_branches());
  out->set_ordering(wire::ToWire(transaction.ordering()));
  out->set_deadline_ms(transaction.deadline().count());
  PutMap(transaction.labels(), out->mutable_labels());
  out->set_traceparent(transaction.traceparent());
  out->set_tracestate(transaction.tracestate());
}

Result<v1::SubmitRequest> TakeRequest(const std::string& bytes, const std::string& gid) {
  v1::SubmitRequest request;
  if (!request.ParseFromString(bytes)) {
    return InvalidArgument("its " + std::to_string(bytes.size()) +
                           " bytes cannot be read as an assent.v1.SubmitRequest");
  }
  const std::string& inner = request.transaction().gid();
  if (inner == gid) return request;
  return InvalidArgument("it is of the gid '" + OneLine(inner, limits::kMaxGidBytes) +
                         "', not of '" + OneLine(gid, limits::kMaxGidBytes) + "'");
}

Code CodeOf(int wire_code) {
  constexpr int kUnknown = 2;
  const bool ours = wire_code >= 0 && wire_code <= static_cast<int>(Code::kUnauthenticated) &&
                    wire_code != kUnknown;
  return ours ? static_cast<Code>(wire_code) : Code::kInternal;
}

Report TakeReport(v1::SubmitReply* reply) {
  Report report;
  report.gid = std::move(*reply->mutable_gid());
  report.state =
      wire::FromWire<TransactionState>(reply->state()).value_or(TransactionState::kUnknown);
  // An outcome of a newer coordinator is one that a person must look at, never "not decided".
  report.outcome = wire::FromWire<Outcome>(reply->outcome()).value_or(Outcome::kHazard);
  report.abort_reason = std::move(*reply->mutable_abort_reason());
  TakeMap(reply->mutable_results(), &report.results);
  return report;
}

BranchResult TakeBranchResult(v1::ExecuteBranchReply* reply) {
  BranchResult result;
  result.branch_id = std::move(*reply->mutable_branch_id());
  result.refused = reply->state() == v1::REFUSED;
  result.read_only = reply->state() == v1::READ_ONLY;
  result.result = std::move(*reply->mutable_result());
  result.reason = std::move(*reply->mutable_reason());
  return result;
}

}  // namespace assent::internal
