// How the test kit's coordinator drives a transaction: forward, decide, finish or undo.

#include <algorithm>
#include <chrono>
#include <cstddef>
#include <optional>
#include <set>
#include <string>
#include <tuple>
#include <utility>
#include <vector>

#include "participant-sdk/cpp/src/wire.h"
#include "participant-sdk/cpp/testkit/ask.h"
#include "participant-sdk/cpp/testkit/testkit_impl.h"

namespace assent::testkit {
namespace {

using std::chrono::milliseconds;

constexpr std::uint32_t kCoordinatorId = 1;
// What is answered "retry later" is asked again after so much of our clock, and so often before it
// must Advance().
constexpr milliseconds kRetryAfter{100};
constexpr int kMaxTries = 16;

bool Executed(BranchState state) {
  return state == BranchState::kExecuted || state == BranchState::kReadOnly;
}

bool Ended(BranchState state) {
  return state == BranchState::kDone || state == BranchState::kUndone ||
         state == BranchState::kSkipped || state == BranchState::kRefused ||
         state == BranchState::kReadOnly;
}

}  // namespace

void Coordinator::Impl::Drive(Running& running) {
  if (running.decision == Decision::kNone && now_ >= running.deadline) {
    running.open = false;
    Decide(running, Decision::kAbort, "deadline");
  }
  if (!running.open && running.decision == Decision::kNone) DriveForward(running);
  if (!crashed && running.decision != Decision::kNone) DriveFinish(running);
}

void Coordinator::Impl::DriveForward(Running& running) {
  while (Part* part = NextReady(running)) {
    if (!RunForward(running, *part)) return;
  }
  const bool all = std::all_of(running.parts.begin(), running.parts.end(),
                               [](const Part& p) { return Executed(p.state); });
  if (!all) return Decide(running, Decision::kAbort, "a branch waits for one that never runs");
  if (Crash(CrashPoint::kBeforeDecision)) return;
  Decide(running, Decision::kCommit, {});
}

// False: nothing more can be executed now.
bool Coordinator::Impl::RunForward(Running& running, Part& part) {
  part.state = BranchState::kExecuting;
  Reply reply;
  switch (Ask(running, part, OperationsOf(part.spec.protocol).forward, &reply)) {
    case Step::kLater:
      if (running.decision == Decision::kNone && now_ >= running.deadline)
        AbortNow(running, "deadline");
      return false;
    case Step::kGaveUp: AbortNow(running, "deadline"); return false;
    case Step::kRefused:
      if (running.decision == Decision::kCommit) {  // after the pivot there is no way back
        violations.push_back("after the pivot, branch " + part.id + " was " + Shown(reply));
        return false;
      }
      part.state = BranchState::kRefused;
      AbortNow(running, "branch " + part.id + " " + part.spec.service + "/" + part.spec.action +
                            " refused: " + reply.reason);
      return false;
    case Step::kDone: break;
  }
  part.state =
      reply.kind == Reply::Kind::kDoneReadOnly ? BranchState::kReadOnly : BranchState::kExecuted;
  part.result = reply.result;
  if (Crash(CrashPoint::kAfterFirstForward)) return false;
  if (OnePhase(running)) {
    if (part.state == BranchState::kExecuted) part.state = BranchState::kDone;
    Decide(running, Decision::kCommit, {});
    return false;
  }
  if (part.spec.options.pivot) Decide(running, Decision::kCommit, {});
  return !crashed;
}

void Coordinator::Impl::Decide(Running& running, Decision decision, std::string reason) {
  if (running.decision != Decision::kNone) return;
  running.decision = decision;
  running.abort_reason = std::move(reason);
  running.state =
      decision == Decision::kCommit ? TransactionState::kCommitting : TransactionState::kAborting;
  Crash(CrashPoint::kAfterDecision);
}

// An open transaction is not driven by anybody else.
void Coordinator::Impl::AbortNow(Running& running, std::string reason) {
  Decide(running, Decision::kAbort, std::move(reason));
  if (std::exchange(running.open, false) && !crashed) DriveFinish(running);
}

void Coordinator::Impl::DriveFinish(Running& running) {
  const bool commit = running.decision == Decision::kCommit;
  if (commit) {  // what comes after a pivot is still to be executed
    while (Part* part = NextReady(running)) {
      if (!RunForward(running, *part)) return;
    }
  }
  std::vector<Part*> order;
  for (Part& part : running.parts) order.push_back(&part);
  if (!commit) std::reverse(order.begin(), order.end());
  for (Part* part : order) {
    if (Ended(part->state)) continue;
    FinishPart(running, *part);
    if (crashed) return;
  }
  const bool all =
      std::all_of(order.begin(), order.end(), [](const Part* part) { return Ended(part->state); });
  if (all) running.state = TransactionState::kFinished;
}

void Coordinator::Impl::FinishPart(Running& running, Part& part) {
  const bool commit = running.decision == Decision::kCommit;
  const Operations operations = OperationsOf(part.spec.protocol);
  if (commit && !operations.has_finish) {
    part.state = BranchState::kDone;
    return;
  }
  // After a crash nobody knows what was sent; but a Saga step that was never begun has nothing to
  // compensate.
  const bool may_have_run =
      part.state != BranchState::kWaiting || (running.recovered && operations.has_finish);
  if (!commit && !may_have_run) {
    part.state = BranchState::kSkipped;
    return;
  }
  part.state = commit ? BranchState::kFinishing : BranchState::kUndoing;
  Reply reply;
  const Step step = Ask(running, part, commit ? operations.finish : operations.undo, &reply);
  if (step == Step::kRefused) {
    violations.push_back(std::string(OperationName(commit ? operations.finish : operations.undo)) +
                         " of branch " + part.id + " of " + running.spec.gid() + " was " +
                         Shown(reply));
  }
  if (step != Step::kDone) return;
  part.state = commit ? BranchState::kDone : BranchState::kUndone;
  Crash(CrashPoint::kAfterFirstFinish);
}

bool Coordinator::Impl::Crash(CrashPoint point) {
  if (crash_at == point) {
    crash_at.reset();
    crashed = true;
  }
  return crashed;
}

// ------------------------------------------------------------------------------------------------
// order

std::vector<std::string> Coordinator::Impl::Before(const Running& running,
                                                   std::size_t index) const {
  const Part& part = running.parts[index];
  if (!part.spec.options.after.empty() || running.spec.ordering() == Ordering::kDeclared ||
      index == 0) {
    return part.spec.options.after;
  }
  for (std::size_t i = index; i-- > 0;) {
    const bool follows = running.spec.ordering() == Ordering::kSequential ||
                         (part.spec.protocol == Protocol::kSaga &&
                          running.parts[i].spec.protocol == Protocol::kSaga);
    if (follows) return {running.parts[i].id};
  }
  return {};
}

// Does the branch at `index` come, directly or not, after `id`? (The graph was checked to have no
// cycle, or we stop here.)
bool Coordinator::Impl::Follows(const Running& running, std::size_t index,
                                const std::string& id) const {
  std::set<std::size_t> seen;
  std::vector<std::size_t> open{index};
  while (!open.empty()) {
    const std::size_t at = open.back();
    open.pop_back();
    for (const std::string& before : Before(running, at)) {
      if (before == id) return true;
      for (std::size_t i = 0; i < running.parts.size(); ++i) {
        if (running.parts[i].id == before && seen.insert(i).second) open.push_back(i);
      }
    }
  }
  return false;
}

bool Coordinator::Impl::Ready(const Running& running, std::size_t index) const {
  const Part& part = running.parts[index];
  if (part.state != BranchState::kWaiting && part.state != BranchState::kExecuting) return false;
  const std::vector<std::string> before = Before(running, index);
  for (std::size_t i = 0; i < running.parts.size(); ++i) {
    const Part& other = running.parts[i];
    if (i == index || Executed(other.state)) continue;
    const bool listed = std::find(before.begin(), before.end(), other.id) != before.end();
    if (listed || (part.spec.options.pivot && !Follows(running, i, part.id))) return false;
  }
  return true;
}

Coordinator::Impl::Part* Coordinator::Impl::NextReady(Running& running) const {
  if (crashed) return nullptr;
  for (std::size_t i = 0; i < running.parts.size(); ++i) {
    if (Ready(running, i)) return &running.parts[i];
  }
  return nullptr;
}

bool Coordinator::Impl::OnePhase(const Running& running) const {
  return !running.open && running.parts.size() == 1 &&
         running.parts[0].spec.protocol == Protocol::kTwoPhase &&
         running.spec.branches().size() == 1;
}

// ------------------------------------------------------------------------------------------------
// messages

Call Coordinator::Impl::CallFor(const Running& running, const Part& part,
                                Operation operation) const {
  Call call;
  call.gid = running.spec.gid();
  call.branch_id = part.id;
  call.operation = operation;
  call.protocol = part.spec.protocol;
  call.service = part.spec.service;
  call.action = part.spec.action;
  call.payload = part.spec.payload;
  call.headers = part.spec.options.headers;
  call.attempt = part.attempts;
  call.one_phase = operation == Operation::kPrepare && OnePhase(running);
  call.timeout = part.spec.options.attempt_timeout.count() > 0 ? part.spec.options.attempt_timeout
                                                               : milliseconds(10'000);
  call.coordinator_id = kCoordinatorId;
  call.began_epoch = 1;
  if (part.spec.options.receive_results) {
    for (const Part& other : running.parts) {
      const auto& after = part.spec.options.after;
      if (std::find(after.begin(), after.end(), other.id) != after.end())
        call.results.emplace(other.id, other.result);
    }
  }
  return call;
}

std::optional<Loss> Coordinator::Impl::TakeLoss(const Call& call) {
  for (auto at = losses.begin(); at != losses.end(); ++at) {
    if (at->operation != call.operation ||
        (!at->branch_id.empty() && at->branch_id != call.branch_id))
      continue;
    const Loss loss = at->loss;
    losses.erase(at);
    return loss;
  }
  return std::nullopt;
}

// What nobody offers the coordinator refuses by itself, at the first attempt.
bool Coordinator::Impl::Offers(const Resource& resource, const Call& call) {
  const std::vector<OfferedAction> actions = resource.Actions();
  return std::any_of(actions.begin(), actions.end(), [&](const OfferedAction& action) {
    return action.name == call.action && action.protocol == call.protocol;
  });
}

// Executes it, and holds it to the contract: the same call is answered the same.
Reply Coordinator::Impl::Execute(const Call& call, bool heard) {
  const auto service = services.find(call.service);
  Reply reply = Reply::RetryLater("no participant serves " + call.service);
  if (service != services.end() && call.attempt == 1 && internal::IsForward(call.operation) &&
      !Offers(*service->second, call)) {
    reply = Reply::Refused("participant " + call.service + " offers no action " +
                           ProtocolName(call.protocol) + ":" + call.action);
  } else if (service != services.end()) {
    Result<Reply> answered = AskOnce(*service->second, call);
    if (answered.ok()) {
      reply = std::move(*answered);
    } else {
      violations.push_back(answered.status().message());
    }
  }
  history.push_back({call, reply, true, heard});
  if (reply.kind == Reply::Kind::kRetryLater) return reply;
  const auto [first, inserted] =
      first_answers_.emplace(std::tuple(call.gid, call.branch_id, call.operation), reply);
  if (!inserted && !(first->second == reply)) {
    violations.push_back(Shown(call) + " was answered " + Shown(first->second) +
                         ", and asked again " + Shown(reply));
  }
  return reply;
}

// Nothing: nobody heard an answer.
std::optional<Reply> Coordinator::Impl::Deliver(Running& running, const Call& call, bool* gave_up) {
  const std::optional<Loss> loss = TakeLoss(call);
  if (!loss) return Execute(call, true);
  switch (*loss) {
    case Loss::kCommand: history.push_back({call, {}, false, false}); return std::nullopt;
    case Loss::kReply: Execute(call, false); return std::nullopt;
    case Loss::kDuplicate: Execute(call, false); return Execute(call, true);
    case Loss::kLate:
      history.push_back({call, {}, false, false});
      late_.push_back(call);
      // A forward operation that nobody hears of runs into the deadline; the others are asked
      // again.
      *gave_up = internal::IsForward(call.operation) && running.decision == Decision::kNone;
      return std::nullopt;
  }
  return std::nullopt;
}

Coordinator::Impl::Step Coordinator::Impl::Ask(Running& running, Part& part, Operation operation,
                                               Reply* reply) {
  part.attempts = 0;
  for (int tries = 0; tries < kMaxTries; ++tries) {
    ++part.attempts;
    bool gave_up = false;
    const std::optional<Reply> answer =
        Deliver(running, CallFor(running, part, operation), &gave_up);
    if (gave_up) return Step::kGaveUp;
    if (answer) {
      *reply = *answer;
      switch (answer->kind) {
        case Reply::Kind::kDone:
        case Reply::Kind::kDoneReadOnly: part.last_error.clear(); return Step::kDone;
        case Reply::Kind::kRefused: part.last_error = answer->reason; return Step::kRefused;
        case Reply::Kind::kRetryLater: break;
      }
    }
    part.last_error = answer ? answer->reason : "no answer";
    now_ += answer && answer->retry_after.count() > 0 ? answer->retry_after : kRetryAfter;
    if (internal::IsForward(operation) && running.decision == Decision::kNone &&
        now_ >= running.deadline)
      break;
  }
  return Step::kLater;
}

}  // namespace assent::testkit
