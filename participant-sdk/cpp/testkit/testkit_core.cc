// How the test kit runs the coordinator's state machine.

#include <algorithm>
#include <chrono>
#include <cstddef>
#include <memory>
#include <optional>
#include <string>
#include <tuple>
#include <utility>
#include <vector>

#include <assent/limits.h>

#include "coordinator/core/codec.h"
#include "coordinator/core/describe.h"
#include "coordinator/core/spec.h"
#include "coordinator/core/trace.h"
#include "participant-sdk/cpp/testkit/ask.h"
#include "participant-sdk/cpp/testkit/testkit_impl.h"

namespace assent::testkit {
namespace {

using core::Decision;
using std::chrono::milliseconds;

constexpr std::uint32_t kCoordinatorId = 1;
// How far the clock goes on by itself within one call, for what is to be tried again. The rest is
// for Advance().
constexpr core::Millis kPatience{1000};
// Any wall time will do, as long as it is after 1970: 0 stands for an age that is not known.
constexpr core::WallTime kFirstDay{std::chrono::hours(24)};

core::BranchSpec SpecOf(const Branch& branch) {
  const BranchOptions& options = branch.options;
  core::BranchSpec spec;
  spec.id = options.id;
  spec.protocol = branch.protocol;
  spec.service = branch.service;
  spec.action = branch.action;
  spec.payload = branch.payload;
  spec.pivot = options.pivot;
  spec.check_back = options.check_back;
  spec.receive_results = options.receive_results;
  spec.retry = {options.retry.initial_backoff, options.retry.max_backoff,
                options.retry.max_attempts};
  spec.attempt_timeout = options.attempt_timeout;
  spec.headers.assign(options.headers.begin(), options.headers.end());
  spec.after_ids = options.after;
  return spec;
}

core::TransactionSpec SpecOf(const Transaction& transaction, bool open) {
  core::TransactionSpec spec;
  spec.gid = transaction.gid();
  for (const Branch& branch : transaction.branches()) spec.branches.push_back(SpecOf(branch));
  spec.ordering = transaction.ordering();
  spec.deadline = transaction.deadline();
  spec.labels.assign(transaction.labels().begin(), transaction.labels().end());
  spec.open = open;
  if (auto trace = ParseTraceparent(transaction.traceparent())) {
    trace->state = transaction.tracestate();
    spec.trace = std::make_shared<TraceContext>(*std::move(trace));
  }
  return spec;
}

core::Answered AnswerOf(const core::Send& send, const std::optional<Reply>& reply) {
  core::Answered answer{.branch = send.branch,
                        .operation = send.operation,
                        .attempt = send.attempt,
                        .result = core::AttemptResult::kUnknown,
                        .bytes = {},
                        .reason = "no answer"};
  if (!reply) return answer;
  switch (reply->kind) {
    case Reply::Kind::kDone: answer.result = core::AttemptResult::kDone; break;
    case Reply::Kind::kDoneReadOnly: answer.result = core::AttemptResult::kDoneReadOnly; break;
    case Reply::Kind::kRefused: answer.result = core::AttemptResult::kRefused; break;
    case Reply::Kind::kRetryLater: answer.result = core::AttemptResult::kRetryLater; break;
  }
  answer.bytes = reply->result;
  answer.reason = reply->reason;
  answer.retry_after = reply->retry_after;
  answer.waits_for_rows = !reply->blocked_by.empty();
  return answer;
}

bool IsForward(const core::Transaction& txn, const core::Send& send) {
  return send.operation == core::Rules(txn.spec().branches[send.branch].protocol).forward;
}

// What nobody offers the coordinator refuses by itself, at the first attempt.
bool Offers(const Resource& resource, const Call& call) {
  const std::vector<OfferedAction> actions = resource.Actions();
  return std::any_of(actions.begin(), actions.end(), [&](const OfferedAction& action) {
    return action.name == call.action && action.protocol == call.protocol;
  });
}

}  // namespace

// ------------------------------------------------------------------------------------------------
// for initiators

Result<Coordinator::Impl::Live*> Coordinator::Impl::Find(const std::string& gid) {
  if (crashed) return Unavailable("the test's coordinator has crashed; Restart() it");
  const auto at = transactions_.find(gid);
  if (at == transactions_.end()) return NotFound("no transaction " + gid);
  return &at->second;
}

Result<Coordinator::Impl::Live*> Coordinator::Impl::Admit(const Transaction& transaction,
                                                          bool open) {
  core::TransactionSpec spec = SpecOf(transaction, open);
  if (Status s = core::Normalise(spec); !s.ok()) return s;
  std::string encoded = core::Codec::EncodeSpec(spec);
  Result<Live*> known = Find(transaction.gid());
  if (known.status().code() == Code::kUnavailable) return known;
  if (known.ok() && (*known)->spec != encoded)
    return AlreadyExists("transaction " + transaction.gid() + " exists with other content");
  if (known.ok()) {
    if ((*known)->txn.ChecksBack()) (void)Apply(**known, core::CheckBack{});
    return known;
  }
  Live& live = transactions_
                   .emplace(transaction.gid(),
                            Live{core::Transaction(std::move(spec)), std::move(encoded), {}})
                   .first->second;
  (void)Apply(live, core::Begin{epoch_});
  return &live;
}

Result<Report> Coordinator::Impl::ReportOf(const Live& live) const {
  if (crashed)
    return UnknownOutcome("the test's coordinator crashed under transaction " + live.txn.gid());
  Report report;
  report.gid = live.txn.gid();
  report.state = live.txn.phase();
  report.outcome = live.txn.outcome();
  report.abort_reason = live.txn.abort_reason();
  for (std::size_t i = 0; i < live.txn.branches().size(); ++i) {
    const std::string& result = live.txn.branches()[i].result;
    if (!result.empty()) report.results.emplace(live.txn.spec().branches[i].id, result);
  }
  return report;
}

Result<Report> Coordinator::Impl::Submit(const SubmitParams& params) {
  Result<Live*> live = Admit(params.transaction, /*open=*/false);
  if (!live.ok()) return live.status();
  // Its initiator has something to do first.
  if (params.wait != WaitFor::kAccepted || !(*live)->txn.ChecksBack()) Run(**live);
  return ReportOf(**live);
}

Status Coordinator::Impl::Begin(const BeginParams& params) {
  return Admit(params.transaction, /*open=*/true).status();
}

Result<BranchResult> Coordinator::Impl::Execute(const ExecuteParams& params) {
  Result<Live*> found = Find(params.gid);
  if (!found.ok()) return found.status();
  Live& live = **found;
  core::BranchSpec spec = SpecOf(params.branch);
  if (Status s = core::NormaliseAdded(spec, live.txn); !s.ok()) return s;
  const std::size_t index = live.txn.FindBranch(spec.id);
  Status added;
  if (index == live.txn.branches().size()) {
    added = Apply(live, core::AddBranch{spec});
  } else if (core::Codec::EncodeBranchSpec(live.txn.spec().branches[index]) !=
             core::Codec::EncodeBranchSpec(spec)) {
    return AlreadyExists("branch " + spec.id + " exists with other content");
  }
  Run(live);
  if (crashed)
    return UnknownOutcome("the test's coordinator crashed under branch " + spec.id + " of " +
                          params.gid);
  if (!added.ok()) return added;
  const core::Branch& branch = live.txn.branches()[index];
  const bool refused = branch.state == core::BranchState::kRefused;
  if (live.txn.decision() == Decision::kAbort && !refused)
    return FailedPrecondition("the transaction was aborted: " + live.txn.abort_reason());
  if (branch.state == core::BranchState::kWaiting || branch.state == core::BranchState::kExecuting)
    return UnknownOutcome("branch " + spec.id + " of " + params.gid +
                          " is not executed yet: " + branch.last_error);
  return BranchResult{.branch_id = spec.id,
                      .refused = refused,
                      .read_only = branch.state == core::BranchState::kReadOnly,
                      .result = branch.result,
                      .reason = refused ? live.txn.abort_reason() : ""};
}

Result<Report> Coordinator::Impl::Finish(const FinishParams& params) {
  Result<Live*> live = Find(params.gid);
  if (!live.ok()) return live.status();
  const Status said = params.commit ? Apply(**live, core::Seal{})
                                    : Apply(**live, core::Abort{{"", params.reason}, false});
  Run(**live);
  if (!crashed && !said.ok()) return said;
  return ReportOf(**live);
}

Result<Report> Coordinator::Impl::Wait(const WaitParams& params) {
  Result<Live*> live = Find(params.gid);
  if (!live.ok()) return live.status();
  const core::Transaction& txn = (*live)->txn;
  const bool enough = params.wait == WaitFor::kAccepted || txn.finished() ||
                      (params.wait != WaitFor::kCompleted && txn.decision() != Decision::kNone);
  if (!enough)
    return Status(Code::kDeadlineExceeded,
                  "transaction " + params.gid + " is not there yet; Advance()?");
  return ReportOf(**live);
}

Result<TransactionInfo> Coordinator::Impl::Get(const GetParams& params) {
  Result<Live*> live = Find(params.gid);
  if (!live.ok()) return live.status();
  const core::Transaction& txn = (*live)->txn;
  TransactionInfo info;
  info.gid = txn.gid();
  info.state = txn.phase();
  info.outcome = txn.outcome();
  info.open = !txn.sealed() && !txn.finished();
  info.labels = {txn.spec().labels.begin(), txn.spec().labels.end()};
  info.abort_reason = txn.abort_reason();
  info.why_not_finished = core::WhyNotFinished(txn, Now());
  for (std::size_t i = 0; i < txn.branches().size(); ++i) {
    const core::BranchSpec& spec = txn.spec().branches[i];
    const core::Branch& branch = txn.branches()[i];
    info.branches.push_back({.id = spec.id,
                             .protocol = spec.protocol,
                             .service = spec.service,
                             .action = spec.action,
                             .state = branch.state,
                             .result = branch.result,
                             .attempts = branch.attempts,
                             .last_error = branch.last_error,
                             .needs_operator = branch.needs_operator});
  }
  return info;
}

// ------------------------------------------------------------------------------------------------
// for tests

void Coordinator::Impl::Serve(std::string service, Resource& resource) {
  if (const Status status = resource.Registration(); !status.ok())
    violations_.push_back(status.message());
  services_.insert_or_assign(service, &resource);
  for (auto& [gid, live] : transactions_) (void)Apply(live, core::ServiceAppeared{service});
}

void Coordinator::Impl::Restart() {
  crashed = false;
  ++epoch_;
  outbox_.clear();
  std::vector<Live*> unfinished;
  for (auto& [gid, live] : transactions_) {
    Result<core::Transaction> txn = core::Codec::Decode(gid, live.spec, live.state);
    ASSENT_CHECK(txn.ok());
    live.txn = std::move(txn).value();
    if (live.txn.finished()) continue;
    if (live.txn.decision() == Decision::kNone) now_ = std::max(now_, DeadlineOf(live));
    unfinished.push_back(&live);
  }
  for (Live* live : unfinished) (void)Apply(*live, core::Recover{});
  RunUntil(now_ + kPatience);
  AnswerQuestions();
}

void Coordinator::Impl::Advance(milliseconds by) {
  ASSENT_CHECK(by.count() >= 0);
  const core::MonoTime until = now_ + by;
  RunUntil(until);
  now_ = std::max(now_, until);
  AnswerQuestions();
}

void Coordinator::Impl::DeliverLate() {
  for (const Call& call : std::exchange(late_, {})) Ask(call, /*heard=*/false);
}

// As a participant asks on each connection: what became of what I hold?
void Coordinator::Impl::AnswerQuestions() {
  if (crashed) return;
  for (const auto& [service, resource] : services_) {
    for (const HeldBranch& held : resource->Questions(limits::kMaxFrameMessagesCount)) {
      const Result<Live*> live = Find(held.gid);
      if (held.coordinator_id != kCoordinatorId) {
        resource->Answer(held, Verdict::kCannotTell, false);
      } else if (!live.ok()) {
        resource->Answer(held, Verdict::kAbort, true);  // never heard of: presumed abort
      } else if (const core::Transaction& txn = (*live)->txn; txn.decision() == Decision::kNone) {
        resource->Answer(held, Verdict::kUndecided, false);
      } else {
        resource->Answer(held,
                         txn.decision() == Decision::kCommit ? Verdict::kCommit : Verdict::kAbort,
                         txn.finished() && late_.empty());
      }
    }
  }
}

// ------------------------------------------------------------------------------------------------
// the state machine

core::Now Coordinator::Impl::Now() const {
  return {now_, kFirstDay + std::chrono::duration_cast<core::Millis>(now_.time_since_epoch())};
}

core::MonoTime Coordinator::Impl::DeadlineOf(const Live& live) const {
  return core::MonoTime(live.txn.deadline_at() - kFirstDay);
}

Status Coordinator::Impl::Apply(Live& live, const core::Event& event) {
  const bool undecided = live.txn.decision() == Decision::kNone;
  core::Step step = live.txn.Apply(event, Now());
  const Decision decided = undecided ? live.txn.decision() : Decision::kNone;
  if (decided == Decision::kCommit && Crash(CrashPoint::kBeforeDecision)) return OkStatus();
  if (step.record != core::Record::kNone) live.state = core::Codec::EncodeState(live.txn);
  if (decided != Decision::kNone && Crash(CrashPoint::kAfterDecision)) return OkStatus();
  for (const core::Effect& effect : step.effects) {
    if (const auto* send = std::get_if<core::Send>(&effect)) outbox_.push_back({&live, *send});
  }
  return std::move(step.status);
}

void Coordinator::Impl::RunUntil(core::MonoTime until, const Live* waited) {
  while (!crashed) {
    if (!outbox_.empty()) {
      // Of the orders that a network may choose, that of the branches: first come what finishes or
      // undoes, then the earliest branch that is to execute.
      const auto rank = [](const Outgoing& outgoing) {
        return IsForward(outgoing.live->txn, outgoing.send) ? outgoing.send.branch + 1 : 0;
      };
      const auto next =
          std::min_element(outbox_.begin(), outbox_.end(),
                           [&](const Outgoing& a, const Outgoing& b) { return rank(a) < rank(b); });
      const Outgoing outgoing = *next;
      outbox_.erase(next);
      const core::MonoTime before = now_;
      Deliver(outgoing);
      until += now_ - before;  // a deadline that was waited for comes on top
      continue;
    }
    if (waited != nullptr && waited->txn.finished()) return;
    Live* first = nullptr;
    for (auto& [gid, live] : transactions_) {
      if (first == nullptr || live.txn.Wakeup() < first->txn.Wakeup()) first = &live;
    }
    if (first == nullptr || first->txn.Wakeup() > until) return;
    now_ = std::max(now_, first->txn.Wakeup());
    (void)Apply(*first, core::Tick{});
  }
}

void Coordinator::Impl::Run(const Live& live) { RunUntil(now_ + kPatience, &live); }

bool Coordinator::Impl::Crash(CrashPoint point) {
  if (crash_at_ != point) return false;
  crash_at_.reset();
  outbox_.clear();
  return crashed = true;
}

// ------------------------------------------------------------------------------------------------
// messages

void Coordinator::Impl::Deliver(const Outgoing& outgoing) {
  const auto& [live, send] = outgoing;
  core::Transaction& txn = live->txn;
  const core::Branch& branch = txn.branches()[send.branch];
  // Overtaken while it waited: nobody needs it any more.
  if (txn.Due(send.branch) != send.operation || !branch.in_flight ||
      branch.attempts != send.attempt)
    return;
  txn.NoteSent(send, Now());
  const Call call = CallFor(*live, send);
  if (!services_.contains(call.service)) {
    core::Answered nobody = AnswerOf(send, {});
    nobody.result = core::AttemptResult::kNotSent;
    nobody.reason = "no participant serves " + call.service;
    nobody.service_absent = true;
    (void)Apply(*live, nobody);
    return;
  }
  const bool forward = IsForward(txn, send);
  const std::optional<Reply> reply = Exchange(call, *live);
  const bool undecided = txn.decision() == Decision::kNone;
  const core::Answered answer = AnswerOf(send, reply);
  const bool done = answer.result == core::AttemptResult::kDone ||
                    answer.result == core::AttemptResult::kDoneReadOnly;
  if (done && forward && undecided && Crash(CrashPoint::kAfterFirstForward)) return;
  if (done && !forward && Crash(CrashPoint::kAfterFirstFinish)) return;
  if (answer.result == core::AttemptResult::kRefused && !undecided) {
    violations_.push_back((forward ? "after the pivot, " : "") + Shown(call) + " was " +
                          Shown(*reply));
  }
  (void)Apply(*live, answer);
  if (answer.waits_for_rows) GiveWay(*live, send.branch, reply->blocked_by);
}

std::optional<Reply> Coordinator::Impl::Exchange(const Call& call, Live& live) {
  const std::optional<Loss> loss = TakeLoss(call);
  if (!loss) return Ask(call, true);
  switch (*loss) {
    case Loss::kCommand: history.push_back({call, {}, false, false}); return std::nullopt;
    case Loss::kReply: Ask(call, false); return std::nullopt;
    case Loss::kDuplicate: Ask(call, false); return Ask(call, true);
    case Loss::kLate:
      history.push_back({call, {}, false, false});
      late_.push_back(call);
      // Nobody hears of it until the deadline has passed.
      if (live.txn.decision() == Decision::kNone) {
        now_ = std::max(now_, DeadlineOf(live));
        (void)Apply(live, core::Tick{});
      }
      return std::nullopt;
  }
  return std::nullopt;
}

// Asks, and holds the answer to the contract: the same call is answered the same.
Reply Coordinator::Impl::Ask(const Call& call, bool heard) {
  Resource& resource = *services_.at(call.service);
  Reply reply = Reply::RetryLater("no answer");
  const bool forward = IsForward(call.operation);
  if (call.attempt == 1 && forward && !Offers(resource, call)) {
    reply = Reply::Refused("participant " + call.service + " offers no action " +
                           ProtocolName(call.protocol) + ":" + call.action);
  } else if (Result<Reply> answered = AskOnce(resource, call); answered.ok()) {
    reply = std::move(answered).value();
  } else {
    violations_.push_back(answered.status().message());
  }
  history.push_back({call, reply, true, heard});
  if (reply.kind == Reply::Kind::kRetryLater) return reply;
  const auto [first, inserted] =
      first_answers_.emplace(std::tuple(call.gid, call.branch_id, call.operation), reply);
  if (!inserted && !(first->second == reply)) {
    violations_.push_back(Shown(call) + " was answered " + Shown(first->second) +
                          ", and asked again " + Shown(reply));
  }
  return reply;
}

// `older` waits for what `gid` has prepared: as the engine asks it, of who holds something itself.
void Coordinator::Impl::GiveWay(const Live& older, core::BranchIndex branch,
                                const std::string& gid) {
  const auto holder = transactions_.find(gid);
  if (crashed || holder == transactions_.end() || !older.txn.HoldsPrepared()) return;
  (void)Apply(holder->second, core::GiveWay{older.txn.gid(), older.txn.began_at(),
                                            older.txn.spec().branches[branch].service});
}

Call Coordinator::Impl::CallFor(const Live& live, const core::Send& send) {
  const core::TransactionSpec& all = live.txn.spec();
  const core::BranchSpec& spec = all.branches[send.branch];
  Call call;
  call.gid = all.gid;
  call.branch_id = spec.id;
  call.operation = send.operation;
  call.protocol = spec.protocol;
  call.service = spec.service;
  call.action = spec.action;
  call.payload = spec.payload;
  call.headers = {spec.headers.begin(), spec.headers.end()};
  call.attempt = send.attempt;
  call.one_phase = send.one_phase;
  call.timeout = spec.attempt_timeout;
  call.coordinator_id = kCoordinatorId;
  call.began_epoch = live.txn.began_epoch();
  call.began_unix_ms = live.txn.began_at().time_since_epoch().count();
  core::CarriedTrace trace = core::TraceFor(live.txn, send, /*own_spans=*/false);
  call.traceparent = std::move(trace.traceparent);
  call.tracestate = std::move(trace.tracestate);
  for (const core::BranchIndex after : spec.after) {
    if (spec.receive_results)
      call.results.emplace(all.branches[after].id, live.txn.branches()[after].result);
  }
  return call;
}

std::optional<Loss> Coordinator::Impl::TakeLoss(const Call& call) {
  const auto at = std::find_if(losses.begin(), losses.end(), [&](const PlannedLoss& planned) {
    return planned.operation == call.operation &&
           (planned.branch_id.empty() || planned.branch_id == call.branch_id);
  });
  if (at == losses.end()) return std::nullopt;
  const Loss loss = at->loss;
  losses.erase(at);
  return loss;
}

}  // namespace assent::testkit
