#include "coordinator/service/convert.h"

#include <algorithm>
#include <optional>
#include <string>
#include <utility>
#include <vector>

#include <assent/limits.h>
#include <assent/text.h>

#include "coordinator/core/describe.h"
#include "coordinator/core/spec.h"
#include "coordinator/core/trace.h"
#include "coordinator/service/trace.h"
#include "proto/words/words.h"

namespace assent::service {
namespace {

std::int64_t UnixMs(core::WallTime time) { return time.time_since_epoch().count(); }

void ToProto(const core::BranchSpec& spec, const core::TransactionSpec& transaction,
             v1::BranchSpec& out) {
  out.set_branch_id(spec.id);
  out.set_protocol(wire::ToWire(spec.protocol));
  out.set_service(spec.service);
  out.set_action(spec.action);
  out.set_payload_bytes(spec.payload.size());
  for (const core::BranchIndex after : spec.after) out.add_after(transaction.branches[after].id);
  out.set_pivot(spec.pivot);
  out.set_check_back(spec.check_back);
  out.set_receive_results(spec.receive_results);
  out.mutable_retry()->set_initial_backoff_ms(spec.retry.initial_backoff.count());
  out.mutable_retry()->set_max_backoff_ms(spec.retry.max_backoff.count());
  out.mutable_retry()->set_max_attempts(spec.retry.max_attempts);
  out.set_attempt_timeout_ms(spec.attempt_timeout.count());
  for (const auto& [key, value] : spec.headers) (*out.mutable_headers())[key] = value;
}

void ToProto(const core::Attempt& attempt, v1::Attempt& out) {
  out.set_operation(wire::ToWire(attempt.operation));
  out.set_number(attempt.number);
  out.set_started_unix_ms(UnixMs(attempt.started));
  out.set_latency_us(attempt.latency.count());
  out.set_result(wire::ToWire(attempt.result));
  out.set_error(attempt.error);
}

void ToProto(const core::Transaction& txn, core::BranchIndex i, const core::Now& now,
             v1::Branch& out) {
  const core::Branch& branch = txn.branches()[i];
  ToProto(txn.spec().branches[i], txn.spec(), *out.mutable_spec());
  out.set_state(wire::ToWire(branch.state));
  out.set_operation(wire::ToWire(txn.Due(i)));
  out.set_attempt_count(branch.attempts);
  out.set_last_error(branch.last_error);
  out.set_needs_operator(branch.needs_operator);
  out.set_resolved(wire::ToWire(branch.resolved));
  if (branch.next_attempt != core::kNever) {
    const auto wait = std::chrono::duration_cast<core::Millis>(branch.next_attempt - now.mono);
    out.set_next_attempt_unix_ms(UnixMs(now.wall + wait));
  }
  out.set_result_bytes(branch.result.size());
}

// What a message has room for beyond its fixed part, taken bit by bit.
class Room {
 public:
  explicit Room(std::size_t bytes) : left_(bytes) {}
  bool Take(std::size_t bytes) {
    constexpr std::size_t kTagAndLengths = 12;  // its own, and what it adds to those around it
    if (bytes + kTagAndLengths > left_) return false;
    left_ -= bytes + kTagAndLengths;
    return true;
  }
  std::size_t left() const { return left_; }

 private:
  std::size_t left_;
};

// The latest of each branch, then those before them, as far as there is room; in the message oldest
// first.
void AddAttempts(const core::Transaction& txn, const std::vector<core::BranchIndex>& shown,
                 Room& room, v1::Transaction& out) {
  Room attempts(std::min(room.left(), limits::kMaxShownAttemptsBytes));
  std::vector<std::vector<v1::Attempt>> latest_first(shown.size());
  bool full = false;
  for (bool more = true; more && !full;) {
    more = false;
    for (std::size_t n = 0; n < shown.size() && !full; ++n) {
      const auto& kept = txn.branches()[shown[n]].history.kept();
      if (latest_first[n].size() == kept.size()) continue;
      more = true;
      v1::Attempt attempt;
      ToProto(kept[kept.size() - 1 - latest_first[n].size()], attempt);
      full = !attempts.Take(attempt.ByteSizeLong());
      if (!full) latest_first[n].push_back(std::move(attempt));
    }
  }
  for (std::size_t n = 0; n < shown.size(); ++n) {
    const core::AttemptHistory& history = txn.branches()[shown[n]].history;
    v1::Branch& branch = *out.mutable_branches(static_cast<int>(n));
    branch.set_dropped_attempts(history.dropped());
    branch.set_attempts_left_out(
        static_cast<std::uint32_t>(history.kept().size() - latest_first[n].size()));
    for (auto attempt = latest_first[n].rbegin(); attempt != latest_first[n].rend(); ++attempt) {
      (void)room.Take(attempt->ByteSizeLong());
      branch.add_attempts()->Swap(&*attempt);
    }
  }
}

// The fixed part has room by the limits of what is accepted (limits.h), the rest because it is
// measured.
void AddWhatHasRoom(const core::Transaction& txn, const std::vector<core::BranchIndex>& shown,
                    const Detail& detail, v1::Transaction& out) {
  const std::size_t fixed = out.ByteSizeLong();
  Room room(limits::kMaxShownBytes - std::min(fixed, limits::kMaxShownBytes));
  if (detail.attempts) AddAttempts(txn, shown, room, out);
  for (std::size_t n = 0; detail.results && n < shown.size(); ++n) {
    const std::string& result = txn.branches()[shown[n]].result;
    if (room.Take(result.size())) out.mutable_branches(static_cast<int>(n))->set_result(result);
  }
  for (std::size_t n = 0; detail.payloads && n < shown.size(); ++n) {
    const std::string& payload = txn.spec().branches[shown[n]].payload;
    if (room.Take(payload.size()))
      out.mutable_branches(static_cast<int>(n))->mutable_spec()->set_payload(payload);
  }
}

}  // namespace

Result<core::BranchSpec> FromProto(v1::BranchSpec spec, const std::string& at) {
  core::BranchSpec out;
  out.id = std::move(*spec.mutable_branch_id());
  const std::optional<Protocol> protocol = wire::FromWire<Protocol>(spec.protocol());
  if (!protocol) {
    return InvalidArgument(at + ".protocol is " + std::to_string(spec.protocol()) +
                           ": it takes TWO_PHASE, TCC or SAGA");
  }
  out.protocol = *protocol;
  out.service = std::move(*spec.mutable_service());
  out.action = std::move(*spec.mutable_action());
  out.payload = std::move(*spec.mutable_payload());
  for (std::string& after : *spec.mutable_after()) out.after_ids.push_back(std::move(after));
  out.pivot = spec.pivot();
  out.check_back = spec.check_back();
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
  const std::optional<Ordering> ordering = wire::FromWire<Ordering>(spec.ordering());
  if (!ordering) {
    return InvalidArgument("ordering is " + std::to_string(spec.ordering()) +
                           ": it takes ORDERING_SEQUENTIAL or ORDERING_DECLARED, or nothing");
  }
  out.ordering = *ordering;
  out.deadline = core::Millis(spec.deadline_ms());
  for (const auto& [key, value] : spec.labels()) out.labels.emplace_back(key, value);
  out.branches.reserve(static_cast<std::size_t>(spec.branches_size()));
  for (int i = 0; i < spec.branches_size(); ++i) {
    Result<core::BranchSpec> converted =
        FromProto(std::move(*spec.mutable_branches(i)), "branches[" + std::to_string(i) + "]");
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

// Where rules let in who is not known, what he says of himself is no name. Another coordinator that
// hands on a part of a batch has put both into one text.
Doer DoerOf(const Caller& caller, const v1::OperatorAction& action) {
  constexpr std::string_view kAs = " (as ";
  const std::string& both = action.who();
  const std::size_t at = caller.forwarded && caller.name.empty() && both.ends_with(')')
                             ? both.find(kAs)
                             : std::string::npos;
  if (at != std::string::npos) {
    const std::size_t claims = at + kAs.size();
    return {.who = both.substr(0, at), .claims = both.substr(claims, both.size() - claims - 1)};
  }
  if (caller.name.empty() && caller.grants == nullptr) return {.who = action.who()};
  return {.who = caller.name.empty() ? "anyone" : caller.name, .claims = action.who()};
}

audit::Deed DeedBy(const Caller& caller, const v1::OperatorAction& action, audit::Deed deed) {
  Doer doer = DoerOf(caller, action);
  deed.who = std::move(doer.who);
  deed.claims = std::move(doer.claims);
  deed.reason = action.reason();
  deed.address = caller.address;
  return deed;
}

Result<core::Actor> ActorOf(const Caller& caller, const v1::OperatorAction& action) {
  const Doer doer = DoerOf(caller, action);
  const std::string who = IsBlank(doer.claims) ? doer.who : doer.who + " (as " + doer.claims + ")";
  if (IsBlank(who)) return InvalidArgument("who is empty: say who does this, for the record");
  if (action.reason().size() > limits::kMaxReasonBytes) {
    return InvalidArgument("reason has " + std::to_string(action.reason().size()) +
                           " bytes, the limit is " + std::to_string(limits::kMaxReasonBytes));
  }
  return core::Actor{std::string(CutReason(who)), action.reason()};
}

Result<engine::BeginRequest> ToBegin(v1::TransactionSpec spec, v1::WaitFor wait_for, bool open,
                                     const std::function<std::string()>& issue_gid) {
  const Result<engine::WaitFor> wait = FromProto(wait_for);
  if (!wait.ok()) return wait.status();
  auto trace = TraceOf(spec);
  if (!trace.ok()) return trace.status();
  Result<core::TransactionSpec> converted = FromProto(std::move(spec));
  if (!converted.ok()) return converted.status();
  engine::BeginRequest request;
  request.spec = std::move(converted).value();
  request.spec.trace = std::move(trace).value();
  request.spec.open = open;
  request.wait_for = *wait;
  if (request.spec.gid.empty()) request.spec.gid = issue_gid();
  const Status normal = core::Normalise(request.spec);
  if (!normal.ok()) return normal;
  return request;
}

Result<Detail> DetailOf(const v1::GetRequest& request, const core::Transaction& txn) {
  Detail detail{true, request.payloads(), request.results()};
  if (request.branch_id().empty()) return detail;
  detail.only = txn.FindBranch(request.branch_id());
  if (detail.only < txn.branches().size()) return detail;
  return NotFound("transaction " + txn.gid() + " has no branch " + request.branch_id());
}

void ToProto(const core::Transaction& txn, const core::Now& now, const Detail& detail,
             bool decision_visible, v1::Transaction& out) {
  out.set_gid(txn.gid());
  out.set_state(decision_visible ? wire::ToWire(txn.phase()) : v1::ACTIVE);
  if (decision_visible) {
    out.set_decision(wire::ToWire(txn.decision()));
    out.set_outcome(wire::ToWire(txn.outcome()));
    out.set_decided_unix_ms(UnixMs(txn.decided_at()));
    out.set_finished_unix_ms(UnixMs(txn.finished_at()));
    out.set_abort_reason(txn.abort_reason());
    out.set_why_not_finished(core::WhyNotFinished(txn, now));
  } else {
    out.set_why_not_finished(kBeingDecided);
  }
  std::vector<core::BranchIndex> shown;
  for (core::BranchIndex i = 0; i < txn.branches().size(); ++i) {
    if (detail.only != SIZE_MAX && detail.only != i) continue;
    shown.push_back(i);
    ToProto(txn, i, now, *out.add_branches());
  }
  for (const auto& [key, value] : txn.spec().labels) (*out.mutable_labels())[key] = value;
  out.set_open(!txn.sealed());
  out.set_suspended(txn.suspended());
  out.set_held(txn.held());
  out.set_needs_operator(txn.needs_operator());
  out.set_began_unix_ms(UnixMs(txn.began_at()));
  out.set_deadline_unix_ms(UnixMs(txn.deadline_at()));
  out.set_recoveries(txn.recoveries());
  out.set_traceparent(core::TraceparentOf(txn));
  if (txn.spec().initiator != nullptr) out.set_initiator(*txn.spec().initiator);
  for (const core::Intervention& done : txn.interventions()) {
    v1::Intervention& intervention = *out.add_interventions();
    intervention.set_at_unix_ms(UnixMs(done.at));
    intervention.set_verb(done.verb);
    intervention.set_branch_id(done.branch_id);
    intervention.set_who(done.who);
    intervention.set_reason(done.reason);
  }
  AddWhatHasRoom(txn, shown, detail, out);
}

void FillReply(const core::Transaction& txn, v1::SubmitReply& out) {
  out.set_gid(txn.gid());
  out.set_state(wire::ToWire(txn.phase()));
  out.set_outcome(wire::ToWire(txn.outcome()));
  out.set_abort_reason(txn.abort_reason());
  if (txn.decision() == core::Decision::kNone) return;
  for (std::size_t i = 0; i < txn.branches().size(); ++i) {
    const std::string& result = txn.branches()[i].result;
    if (!result.empty()) (*out.mutable_results())[txn.spec().branches[i].id] = result;
  }
}

void FillReply(const core::Transaction& txn, v1::BeginReply& out) {
  out.set_gid(txn.gid());
  out.set_deadline_unix_ms(UnixMs(txn.deadline_at()));
}

namespace {

void ToProto(const transport::BreakerInfo& one, v1::ParticipantInfo::Breaker& out) {
  out.set_state(one.state);
  out.set_why(one.why);
  out.set_held(one.held);
  out.set_opened(one.opened);
}

void ToProto(const transport::InstanceInfo& one, v1::ParticipantInfo::Instance& out) {
  out.set_instance(one.instance);
  out.set_address(one.address);
  out.set_agent(one.agent);
  out.set_connected_unix_ms(UnixMs(one.connected_at));
  out.set_in_flight(static_cast<std::uint32_t>(one.in_flight));
  out.set_transport(one.unary ? "unary" : "session");
  out.set_source(one.unary ? one.source : "session");
  out.set_limit(static_cast<std::uint32_t>(one.limit));
  out.set_latency_us(one.latency.count());
  ToProto(one.breaker, *out.mutable_breaker());
  for (const std::string& action : one.actions) out.add_actions(action);
}

}  // namespace

void FillPage(std::vector<transport::ServiceInfo> services, const std::string& page_token,
              v1::ListParticipantsReply& out) {
  std::sort(services.begin(), services.end(),
            [](const auto& a, const auto& b) { return a.service < b.service; });
  Room room(limits::kMaxPageBytes);
  for (const transport::ServiceInfo& info : services) {
    if (!page_token.empty() && info.service <= page_token) continue;
    v1::ParticipantInfo participant;
    participant.set_service(info.service);
    participant.set_queued(static_cast<std::uint32_t>(info.queued));
    participant.set_policy(info.policy);
    if (!info.breaker.state.empty()) ToProto(info.breaker, *participant.mutable_breaker());
    for (const std::string& action : info.actions) participant.add_actions(action);
    // One service alone fills a page with its instances, or goes onto the next.
    Room alone(limits::kMaxPageBytes - std::min(participant.ByteSizeLong(), limits::kMaxPageBytes));
    for (const transport::InstanceInfo& one : info.instances) {
      v1::ParticipantInfo::Instance instance;
      ToProto(one, instance);
      if (!alone.Take(instance.ByteSizeLong())) break;
      participant.add_instances()->Swap(&instance);
    }
    participant.set_instances_left_out(static_cast<std::uint32_t>(
        info.instances.size() - static_cast<std::size_t>(participant.instances_size())));
    if (!room.Take(participant.ByteSizeLong()) && out.participants_size() > 0) {
      out.set_next_page_token(out.participants(out.participants_size() - 1).service());
      return;
    }
    out.add_participants()->Swap(&participant);
  }
}

}  // namespace assent::service
