#include "coordinator/api/convert.h"

#include <string>
#include <utility>

#include <assent/limits.h>

#include "coordinator/core/describe.h"
#include "coordinator/core/spec.h"
#include "coordinator/core/text.h"

namespace assent::api {
namespace {

std::int64_t UnixMs(core::WallTime time) { return time.time_since_epoch().count(); }

Result<core::Protocol> FromProto(v1::Protocol protocol, const std::string& branch_id) {
  switch (protocol) {
    case v1::TWO_PHASE: return core::Protocol::kTwoPhase;
    case v1::TCC: return core::Protocol::kTcc;
    case v1::SAGA: return core::Protocol::kSaga;
    default:
      return InvalidArgument("branch \"" + core::CleanReason(branch_id.substr(0, 64)) +
                             "\": protocol is " + std::to_string(static_cast<int>(protocol)) +
                             ": it takes TWO_PHASE, TCC or SAGA");
  }
}

void ToProto(const core::BranchSpec& spec, const core::TransactionSpec& transaction, Detail detail,
             v1::BranchSpec& out) {
  out.set_branch_id(spec.id);
  out.set_protocol(static_cast<v1::Protocol>(spec.protocol));
  out.set_service(spec.service);
  out.set_action(spec.action);
  if (detail == Detail::kFull) out.set_payload(spec.payload);
  for (const core::BranchIndex after : spec.after) out.add_after(transaction.branches[after].id);
  out.set_pivot(spec.pivot);
  out.set_receive_results(spec.receive_results);
  out.mutable_retry()->set_initial_backoff_ms(spec.retry.initial_backoff.count());
  out.mutable_retry()->set_max_backoff_ms(spec.retry.max_backoff.count());
  out.mutable_retry()->set_max_attempts(spec.retry.max_attempts);
  out.set_attempt_timeout_ms(spec.attempt_timeout.count());
  for (const auto& [key, value] : spec.headers) (*out.mutable_headers())[key] = value;
}

void ToProto(const core::Attempt& attempt, v1::Attempt& out) {
  out.set_operation(static_cast<v1::Operation>(attempt.operation));
  out.set_number(attempt.number);
  out.set_started_unix_ms(UnixMs(attempt.started));
  out.set_latency_us(attempt.latency.count());
  out.set_result(static_cast<v1::Attempt::Result>(attempt.result));
  out.set_error(attempt.error);
}

void ToProto(const core::Transaction& txn, core::BranchIndex i, const core::Now& now, Detail detail,
             v1::Branch& out) {
  const core::Branch& branch = txn.branches()[i];
  ToProto(txn.spec().branches[i], txn.spec(), detail, *out.mutable_spec());
  out.set_state(static_cast<v1::BranchState>(branch.state));
  out.set_operation(static_cast<v1::Operation>(txn.Due(i)));
  out.set_attempt_count(branch.attempts);
  out.set_last_error(branch.last_error);
  out.set_needs_operator(branch.needs_operator);
  out.set_resolved(static_cast<v1::Decision>(branch.resolved));
  if (branch.next_attempt != core::kNever) {
    const auto wait = std::chrono::duration_cast<core::Millis>(branch.next_attempt - now.mono);
    out.set_next_attempt_unix_ms(UnixMs(now.wall + wait));
  }
  if (detail == Detail::kSummary) return;
  out.set_result(branch.result);
  out.set_dropped_attempts(branch.history.dropped());
  for (const core::Attempt& attempt : branch.history.kept()) ToProto(attempt, *out.add_attempts());
}

}  // namespace

Result<core::BranchSpec> FromProto(v1::BranchSpec spec) {
  core::BranchSpec out;
  out.id = std::move(*spec.mutable_branch_id());
  const Result<core::Protocol> protocol = FromProto(spec.protocol(), out.id);
  if (!protocol.ok()) return protocol.status();
  out.protocol = *protocol;
  out.service = std::move(*spec.mutable_service());
  out.action = std::move(*spec.mutable_action());
  out.payload = std::move(*spec.mutable_payload());
  for (std::string& after : *spec.mutable_after()) out.after_ids.push_back(std::move(after));
  out.pivot = spec.pivot();
  out.receive_results = spec.receive_results();
  out.retry.initial_backoff = core::Millis(spec.retry().initial_backoff_ms());
  out.retry.max_backoff = core::Millis(spec.retry().max_backoff_ms());
  out.retry.max_attempts = spec.retry().max_attempts();
  out.attempt_timeout = core::Millis(spec.attempt_timeout_ms());
  for (const auto& [key, value] : spec.headers()) out.headers.emplace_back(key, value);
  return out;
}

Result<core::TransactionSpec> FromProto(v1::TransactionSpec spec) {
  core::TransactionSpec out;
  out.gid = std::move(*spec.mutable_gid());
  if (spec.ordering() < 0 || spec.ordering() > v1::ORDERING_DECLARED) {
    return InvalidArgument("ordering is " + std::to_string(static_cast<int>(spec.ordering())) +
                           ": it takes ORDERING_SEQUENTIAL or ORDERING_DECLARED, or nothing");
  }
  out.ordering = static_cast<core::Ordering>(spec.ordering());
  out.deadline = core::Millis(spec.deadline_ms());
  for (const auto& [key, value] : spec.labels()) out.labels.emplace_back(key, value);
  out.branches.reserve(static_cast<std::size_t>(spec.branches_size()));
  for (v1::BranchSpec& branch : *spec.mutable_branches()) {
    Result<core::BranchSpec> converted = FromProto(std::move(branch));
    if (!converted.ok()) return converted.status();
    out.branches.push_back(std::move(converted).value());
  }
  return out;
}

Result<engine::WaitFor> FromProto(v1::WaitFor wait_for) {
  switch (wait_for) {
    case v1::WAIT_ACCEPTED: return engine::WaitFor::kAccepted;
    case v1::WAIT_UNSPECIFIED:
    case v1::WAIT_DECIDED: return engine::WaitFor::kDecided;
    case v1::WAIT_COMPLETED: return engine::WaitFor::kCompleted;
    default:
      return InvalidArgument("wait_for is " + std::to_string(static_cast<int>(wait_for)) +
                             ": it takes WAIT_ACCEPTED, WAIT_DECIDED or WAIT_COMPLETED");
  }
}

Result<core::Actor> FromProto(const v1::OperatorAction& action) {
  if (action.reason().size() > limits::kMaxReasonBytes) {
    return InvalidArgument("reason has " + std::to_string(action.reason().size()) +
                           " bytes, the limit is " + std::to_string(limits::kMaxReasonBytes));
  }
  return core::Actor{std::string(core::CutReason(action.who())), action.reason()};
}

Result<engine::BeginRequest> ToBegin(v1::TransactionSpec spec, v1::WaitFor wait_for, bool open,
                                     const std::function<std::string()>& issue_gid) {
  const Result<engine::WaitFor> wait = FromProto(wait_for);
  if (!wait.ok()) return wait.status();
  Result<core::TransactionSpec> converted = FromProto(std::move(spec));
  if (!converted.ok()) return converted.status();
  engine::BeginRequest request;
  request.spec = std::move(converted).value();
  request.spec.open = open;
  request.wait_for = *wait;
  if (request.spec.gid.empty()) request.spec.gid = issue_gid();
  const Status normal = core::Normalise(request.spec);
  if (!normal.ok()) return normal;
  return request;
}

void ToProto(const core::Transaction& txn, const core::Now& now, Detail detail,
             bool decision_visible, v1::Transaction& out) {
  out.set_gid(txn.gid());
  out.set_state(decision_visible ? static_cast<v1::TransactionState>(txn.phase()) : v1::ACTIVE);
  if (decision_visible) {
    out.set_decision(static_cast<v1::Decision>(txn.decision()));
    out.set_outcome(static_cast<v1::Outcome>(txn.outcome()));
    out.set_decided_unix_ms(UnixMs(txn.decided_at()));
    out.set_finished_unix_ms(UnixMs(txn.finished_at()));
    out.set_abort_reason(txn.abort_reason());
    out.set_why_not_finished(core::WhyNotFinished(txn, now));
  } else {
    out.set_why_not_finished("being decided");
  }
  for (core::BranchIndex i = 0; i < txn.branches().size(); ++i)
    ToProto(txn, i, now, detail, *out.add_branches());
  for (const auto& [key, value] : txn.spec().labels) (*out.mutable_labels())[key] = value;
  out.set_open(!txn.sealed());
  out.set_suspended(txn.suspended());
  out.set_needs_operator(txn.needs_operator());
  out.set_began_unix_ms(UnixMs(txn.began_at()));
  out.set_deadline_unix_ms(UnixMs(txn.deadline_at()));
  out.set_recoveries(txn.recoveries());
  for (const core::Intervention& done : txn.interventions()) {
    v1::Intervention& intervention = *out.add_interventions();
    intervention.set_at_unix_ms(UnixMs(done.at));
    intervention.set_verb(done.verb);
    intervention.set_branch_id(done.branch_id);
    intervention.set_who(done.who);
    intervention.set_reason(done.reason);
  }
}

void FillReply(const core::Transaction& txn, v1::SubmitReply& out) {
  out.set_gid(txn.gid());
  out.set_state(static_cast<v1::TransactionState>(txn.phase()));
  out.set_outcome(static_cast<v1::Outcome>(txn.outcome()));
  out.set_abort_reason(txn.abort_reason());
  if (txn.decision() == core::Decision::kNone) return;
  for (std::size_t i = 0; i < txn.branches().size(); ++i) {
    const std::string& result = txn.branches()[i].result;
    if (!result.empty()) (*out.mutable_results())[txn.spec().branches[i].id] = result;
  }
}

}  // namespace assent::api
