#include "coordinator/core/transaction.h"

#include <algorithm>
#include <utility>

#include <assent/limits.h>

#include "coordinator/core/retry.h"
#include "coordinator/core/text.h"

namespace assent::core {

Transaction::Transaction(TransactionSpec spec) : spec_(std::move(spec)) {
  sealed_ = !spec_.open;
  initial_branches_ = spec_.branches.size();
  branches_.resize(initial_branches_);
}

Step Transaction::Apply(const Event& event, const Now& now) {
  Step step;
  std::visit([&](const auto& e) { On(e, now, step); }, event);
  return step;
}

namespace {

void Require(Step& step, Record record, bool gating) {
  step.record = std::max(step.record, record);
  step.gating = step.gating || gating;
}

}  // namespace

// ---- Beginning, growing, closing ----------------------------------------------------------------------------------------

void Transaction::On(const Begin& event, const Now& now, Step& step) {
  began_epoch_ = event.epoch;
  began_at_ = now.wall;
  deadline_at_ = now.wall + spec_.deadline;
  deadline_ = now.mono + spec_.deadline;
  Require(step, Record::kBegin, true);
  step.effects.push_back(Announce{Milestone::kAccepted});
  Advance(now, step);
}

void Transaction::On(const AddBranch& event, const Now& now, Step& step) {
  if (sealed_ || phase_ != Phase::kActive) {
    step.status = FailedPrecondition(
        "transaction " + spec_.gid + " takes no more branches: it is " +
        (phase_ == Phase::kActive ? "closed by Commit" : std::string(Name(phase_))));
    return;
  }
  if (now.mono >= deadline_ && !suspended_) {
    On(Tick{}, now, step);
    step.status = FailedPrecondition("the deadline of transaction " + spec_.gid +
                                     " has passed: it is being aborted");
    return;
  }
  spec_.branches.push_back(event.spec);
  branches_.emplace_back();
  // The participant list is durable before the first send to the new participant.
  Require(step, Record::kProgress, true);
  Advance(now, step);
}

void Transaction::On(const Seal&, const Now& now, Step& step) {
  if (decision_ == Decision::kAbort) {
    step.status = FailedPrecondition("transaction " + spec_.gid + " was aborted: " + abort_reason_);
    return;
  }
  if (sealed_) return;  // said before: same answer
  if (now.mono >= deadline_ && !suspended_) {
    On(Tick{}, now, step);
    step.status = FailedPrecondition("the deadline of transaction " + spec_.gid +
                                     " passed before Commit: it is being aborted");
    return;
  }
  sealed_ = true;
  Require(step, Record::kProgress, true);
  Advance(now, step);
}

// ---- Time -----------------------------------------------------------------------------------------------------------------

void Transaction::On(const Tick&, const Now& now, Step& step) {
  if (phase_ == Phase::kActive && now.mono >= deadline_ && !suspended_ && GivingUpIsPossible()) {
    GiveUp("deadline of " + std::to_string(spec_.deadline.count()) + " ms passed", now, step);
  }
  for (BranchIndex i = 0; i < branches_.size(); ++i) {
    Branch& branch = branches_[i];
    const Millis timeout = spec_.branches[i].attempt_timeout;
    if (branch.in_flight && now.mono - branch.sent_at >= timeout) {
      Failed(i,
             Answered{i,
                      Due(i),
                      branch.attempts,
                      AttemptResult::kUnknown,
                      {},
                      "no answer within " + std::to_string(timeout.count()) + " ms",
                      Millis(0)},
             now, step);
    }
  }
  Advance(now, step);
  SendWhatIsDue(now, step);
}

MonoTime Transaction::Wakeup() const {
  MonoTime wakeup = kNever;
  if (phase_ == Phase::kActive && !suspended_ && GivingUpIsPossible()) wakeup = deadline_;
  for (BranchIndex i = 0; i < branches_.size(); ++i) {
    const Branch& branch = branches_[i];
    if (branch.in_flight) {
      wakeup = std::min(wakeup, branch.sent_at + spec_.branches[i].attempt_timeout);
    } else if (!suspended_) {
      wakeup = std::min(wakeup, branch.next_attempt);
    }
  }
  return wakeup;
}

void Transaction::SendWhatIsDue(const Now& now, Step& step) {
  if (suspended_) return;
  for (BranchIndex i = 0; i < branches_.size(); ++i) {
    if (!branches_[i].in_flight && branches_[i].next_attempt <= now.mono) Dispatch(i, now, step);
  }
}

// ---- After a restart --------------------------------------------------------------------------------------------------

void Transaction::On(const Recover&, const Now& now, Step& step) {
  ++recoveries_;
  Require(step, Record::kLazy, false);
  const Millis left = std::clamp(std::chrono::duration_cast<Millis>(deadline_at_ - now.wall),
                                 Millis(0), spec_.deadline);
  deadline_ = now.mono + left;

  bool resumable = true;
  for (BranchIndex i = 0; i < branches_.size(); ++i) {
    Branch& branch = branches_[i];
    resumable = resumable && Rules(spec_.branches[i].protocol).resume_undecided;
    if (branch.in_flight)
      branch.history.Close(AttemptResult::kUnknown, Micros(0), "the coordinator restarted");
    branch.in_flight = false;
    branch.next_attempt = kNever;
    if (Due(i) == Operation::kNone) continue;
    branch.maybe_sent = true;  // sends leave no record of their own
    if (MayBeSent(i)) branch.next_attempt = now.mono;
  }
  // Presumed abort: an undecided two-phase transaction is never resumed.
  if (phase_ == Phase::kActive && !resumable && GivingUpIsPossible()) {
    GiveUp("the coordinator restarted before the decision", now, step);
  }
  // The deadline may have passed meanwhile: then nothing is sent forward again.
  On(Tick{}, now, step);
}

// ---- People ------------------------------------------------------------------------------------------------------------

void Transaction::Intervene(std::string verb, std::string branch_id, const Actor& actor,
                            const Now& now, Step& step) {
  if (interventions_.size() == limits::kMaxInterventionsKeptCount)
    interventions_.erase(interventions_.begin());
  interventions_.push_back(Intervention{now.wall, std::move(verb), std::move(branch_id),
                                        std::string(CutReason(actor.who)),
                                        std::string(CutReason(actor.reason))});
  Require(step, Record::kProgress, true);
  step.effects.push_back(Announce{Milestone::kIntervened});
}

void Transaction::On(const Abort& event, const Now& now, Step& step) {
  if (decision_ == Decision::kAbort) return;  // wanted, and so it is
  if (decision_ == Decision::kCommit) {
    step.status = FailedPrecondition("transaction " + spec_.gid + " is already decided: commit");
    return;
  }
  if (!GivingUpIsPossible()) {
    step.status = FailedPrecondition(
        OnePhaseIsAsked() ? "the only branch of transaction " + spec_.gid +
                                " is being asked whether it committed: its answer decides"
                          : "the pivot of transaction " + spec_.gid +
                                " is on its way: only its own answer, or resolving it by hand, can "
                                "abort it now");
    return;
  }
  std::string reason =
      event.by_operator
          ? "aborted by " + (event.actor.who.empty() ? "an operator" : event.actor.who)
          : std::string("rolled back by its initiator");
  if (!event.actor.reason.empty()) reason += ": " + event.actor.reason;
  if (event.by_operator) Intervene("abort", {}, event.actor, now, step);
  GiveUp(reason, now, step);
  Advance(now, step);
}

void Transaction::On(const Suspend& event, const Now& now, Step& step) {
  if (finished()) {
    step.status = FailedPrecondition("transaction " + spec_.gid + " is finished");
    return;
  }
  if (suspended_) return;
  suspended_ = true;
  Intervene("suspend", {}, event.actor, now, step);
}

void Transaction::On(const Resume& event, const Now& now, Step& step) {
  if (!suspended_) {
    step.status = FailedPrecondition("transaction " + spec_.gid + " is not suspended");
    return;
  }
  suspended_ = false;
  Intervene("resume", {}, event.actor, now, step);
  On(Tick{}, now, step);
}

void Transaction::On(const RetryNow& event, const Now& now, Step& step) {
  if (finished()) {
    step.status =
        FailedPrecondition("transaction " + spec_.gid + " is finished: there is nothing to retry");
    return;
  }
  if (suspended_) {
    step.status = FailedPrecondition("transaction " + spec_.gid + " is suspended: resume it first");
    return;
  }
  Intervene("retry", {}, event.actor, now, step);
  for (Branch& branch : branches_) {
    if (!branch.in_flight && branch.next_attempt != kNever) branch.next_attempt = now.mono;
  }
  SendWhatIsDue(now, step);
}

void Transaction::On(const ServiceAppeared& event, const Now& now, Step& step) {
  for (BranchIndex i = 0; i < branches_.size(); ++i) {
    Branch& branch = branches_[i];
    if (spec_.branches[i].service != event.service || branch.in_flight ||
        branch.next_attempt == kNever || branch.history.kept().empty())
      continue;
    const AttemptResult last = branch.history.kept().back().result;
    if (last == AttemptResult::kNotSent || last == AttemptResult::kUnknown)
      branch.next_attempt = now.mono;
  }
  SendWhatIsDue(now, step);
}

void Transaction::On(const Resolve& event, const Now& now, Step& step) {
  ASSENT_CHECK(event.branch < branches_.size() && event.resolution != Decision::kNone);
  Branch& branch = branches_[event.branch];
  const std::string& id = spec_.branches[event.branch].id;
  // At the pivot or after it, nothing but this branch's own success or a person can bring an end.
  const bool pivot_in_doubt = PivotIsInDoubt(event.branch);
  const bool after_pivot = branch.state == BranchState::kExecuting && phase_ == Phase::kCommitting;
  if (branch.state != BranchState::kFinishing && branch.state != BranchState::kUndoing &&
      !after_pivot && !pivot_in_doubt) {
    step.status = FailedPrecondition(
        "branch " + id + " is " + std::string(Name(branch.state)) +
        ": only a branch that is being committed or undone can be resolved by hand");
    return;
  }
  Intervene("resolve " + std::string(Name(event.resolution)), id, event.actor, now, step);
  CloseAttempt(event.branch, AttemptResult::kUnknown, "resolved by hand", now);
  branch.resolved = event.resolution;
  branch.needs_operator = false;
  branch.next_attempt = kNever;
  const bool committed = event.resolution == Decision::kCommit;
  if (pivot_in_doubt && !committed)
    abort_reason_ = CutReason(BranchLabel(event.branch) + " did not happen, says " +
                              (event.actor.who.empty() ? "an operator" : event.actor.who) +
                              (event.actor.reason.empty() ? "" : ": " + event.actor.reason));
  if (phase_ == Phase::kActive) {  // one phase, or the pivot: the resolution is the decision
    SettleUndecided(event.branch, committed, now, step);
  } else {
    Move(event.branch, committed ? BranchState::kDone : BranchState::kUndone);
  }
  Advance(now, step);
}

// ---- Progress -------------------------------------------------------------------------------------------------------------

void Transaction::Advance(const Now& now, Step& step) {
  if (phase_ == Phase::kActive || phase_ == Phase::kCommitting) StartReadyBranches(now, step);
  if (phase_ == Phase::kActive && sealed_) {
    const bool all_executed = std::all_of(branches_.begin(), branches_.end(), [](const Branch& b) {
      return b.state == BranchState::kExecuted || b.state == BranchState::kReadOnly;
    });
    if (all_executed) Decide(Decision::kCommit, now, step);
  }
  if (phase_ == Phase::kAborting) ContinueUndoing(now, step);
  FinishIfAllFinal(now, step);
}

void Transaction::StartReadyBranches(const Now& now, Step& step) {
  if (suspended_) return;
  SkipWhatCannotStart();
  for (BranchIndex i = 0; i < branches_.size(); ++i) {
    if (branches_[i].state != BranchState::kWaiting || !AfterIsMet(i)) continue;
    // What it comes after is durable before it starts; and that it has started is durable, if it decides.
    if (!spec_.branches[i].after.empty()) Require(step, Record::kProgress, true);
    const bool alone =
        sealed_ && branches_.size() == 1 && spec_.branches[i].protocol == Protocol::kTwoPhase;
    branches_[i].one_phase = alone && decision_ == Decision::kNone;
    StartOperation(i, BranchState::kExecuting, now, step);
  }
}

// A person has said of a branch that it did not happen, against the decision: then what comes after it
// cannot happen either, nor what comes after that.
void Transaction::SkipWhatCannotStart() {
  if (phase_ != Phase::kCommitting) return;
  for (bool skipped = true; skipped;) {
    skipped = false;
    for (BranchIndex i = 0; i < branches_.size(); ++i) {
      const auto& after = spec_.branches[i].after;
      if (branches_[i].state != BranchState::kWaiting ||
          std::none_of(after.begin(), after.end(), [&](BranchIndex a) {
            const BranchState state = branches_[a].state;
            return state == BranchState::kUndone || state == BranchState::kSkipped;
          }))
        continue;
      Move(i, BranchState::kSkipped);
      skipped = true;
    }
  }
}

void Transaction::Decide(Decision decision, const Now& now, Step& step) {
  ASSENT_CHECK(decision_ == Decision::kNone && decision != Decision::kNone);
  decision_ = decision;
  decided_at_ = now.wall;
  phase_ = decision == Decision::kCommit ? Phase::kCommitting : Phase::kAborting;
  Require(step, Record::kDecision, true);
  step.effects.push_back(Announce{Milestone::kDecided});
  for (BranchIndex i = 0; i < branches_.size(); ++i) {
    const ProtocolRules& rules = Rules(spec_.branches[i].protocol);
    Branch& branch = branches_[i];
    if (decision == Decision::kCommit) {
      if (branch.state != BranchState::kExecuted) continue;  // read-only, or a step after the pivot
      if (rules.finish == Operation::kNone) {
        Move(i, BranchState::kDone);
      } else {
        StartOperation(i, BranchState::kFinishing, now, step);
      }
      continue;
    }
    if (branch.state == BranchState::kWaiting || branch.state == BranchState::kExecuting) {
      CloseAttempt(i, AttemptResult::kUnknown, "overtaken by the abort", now);
      branch.next_attempt = kNever;
      if (!rules.undo_if_never_sent && !branch.maybe_sent) Move(i, BranchState::kSkipped);
    }
  }
}

void Transaction::ContinueUndoing(const Now& now, Step& step) {
  const std::vector<bool> built_upon = BuiltUpon();
  for (std::size_t n = branches_.size(); n > 0; --n) {
    const auto i = static_cast<BranchIndex>(n - 1);
    const BranchState state = branches_[i].state;
    if (IsFinal(state) || state == BranchState::kUndoing) continue;
    if (Rules(spec_.branches[i].protocol).undo_in_reverse) {
      if (built_upon[i]) continue;
      // What is undone next rests on the durable knowledge that what came after it is undone.
      Require(step, Record::kProgress, true);
    }
    StartOperation(i, BranchState::kUndoing, now, step);
  }
}

void Transaction::FinishIfAllFinal(const Now& now, Step& step) {
  if (decision_ == Decision::kNone || finished()) return;
  if (!std::all_of(branches_.begin(), branches_.end(),
                   [](const Branch& b) { return IsFinal(b.state); }))
    return;
  phase_ = Phase::kFinished;
  finished_at_ = now.wall;
  suspended_ = false;
  Require(step, Record::kEnd, false);
  step.effects.push_back(Announce{Milestone::kCompleted});
}

bool Transaction::GivingUpIsPossible() const {
  for (BranchIndex i = 0; i < branches_.size(); ++i) {
    if (PivotIsInDoubt(i)) return false;
  }
  return !OnePhaseIsAsked();
}

bool Transaction::PivotIsInDoubt(BranchIndex i) const {
  const Branch& branch = branches_[i];
  return spec_.branches[i].pivot && phase_ == Phase::kActive &&
         branch.state == BranchState::kExecuting && (branch.maybe_sent || branch.in_flight);
}

bool Transaction::OnePhaseIsAsked() const {
  return phase_ == Phase::kActive && branches_.size() == 1 && branches_[0].one_phase &&
         branches_[0].state == BranchState::kUndoing;
}

void Transaction::GiveUp(const std::string& reason, const Now& now, Step& step) {
  if (decision_ != Decision::kNone || !GivingUpIsPossible()) return;
  abort_reason_ = CutReason(reason);
  const bool in_doubt = branches_.size() == 1 && branches_[0].one_phase &&
                        branches_[0].state == BranchState::kExecuting &&
                        (branches_[0].maybe_sent || branches_[0].in_flight);
  if (!in_doubt) {
    Decide(Decision::kAbort, now, step);
    return;
  }
  // Its local commit would have been the decision: ask, in a way that prevents it if it has not happened.
  CloseAttempt(0, AttemptResult::kUnknown, "overtaken by the abort", now);
  Require(step, Record::kProgress, true);
  StartOperation(0, BranchState::kUndoing, now, step);
}

void Transaction::Move(BranchIndex i, BranchState to) {
  ASSENT_CHECK(MayMove(branches_[i].state, to));
  branches_[i].state = to;
  if (Due(i) == Operation::kNone) branches_[i].next_attempt = kNever;
}

void Transaction::StartOperation(BranchIndex i, BranchState state, const Now& now, Step& step) {
  Move(i, state);
  Branch& branch = branches_[i];
  branch.attempts = 0;
  branch.not_sent = 0;
  branch.needs_operator = false;
  branch.last_error.clear();
  branch.next_attempt = now.mono;
  if (!suspended_) Dispatch(i, now, step);
}

void Transaction::Dispatch(BranchIndex i, const Now& now, Step& step) {
  Branch& branch = branches_[i];
  const Operation operation = Due(i);
  ASSENT_CHECK(operation != Operation::kNone && !branch.in_flight);
  // A pivot decides: that it is on its way must outlive us, or recovery would abort behind its back.
  if (spec_.branches[i].pivot && operation == Rules(spec_.branches[i].protocol).forward &&
      branch.attempts == 0) {
    Require(step, Record::kProgress, true);
  }
  ++branch.attempts;
  branch.in_flight = true;
  branch.sent_at = now.mono;
  branch.next_attempt = kNever;
  branch.history.Open(operation, branch.attempts, now.wall);
  step.effects.push_back(
      Send{i, operation, branch.attempts, branch.one_phase && operation == Operation::kPrepare});
}

// ---- Looking ----------------------------------------------------------------------------------------------------------

Operation Transaction::Due(BranchIndex i) const {
  return DueOperation(spec_.branches[i].protocol, branches_[i].state);
}

// Once aborting, nothing is asked to execute again, even while its undoing waits for its turn.
bool Transaction::MayBeSent(BranchIndex i) const {
  return !(phase_ == Phase::kAborting && branches_[i].state == BranchState::kExecuting);
}

bool Transaction::AfterIsMet(BranchIndex i) const {
  const auto& after = spec_.branches[i].after;
  return std::all_of(after.begin(), after.end(), [&](BranchIndex a) {
    const BranchState state = branches_[a].state;
    return state == BranchState::kExecuted || state == BranchState::kReadOnly ||
           state == BranchState::kDone || state == BranchState::kFinishing;
  });
}

std::vector<bool> Transaction::BuiltUpon() const {
  std::vector<bool> built_upon(branches_.size(), false);
  std::vector<BranchIndex> unfinished;
  for (BranchIndex i = 0; i < branches_.size(); ++i) {
    if (!IsFinal(branches_[i].state)) unfinished.push_back(i);
  }
  while (!unfinished.empty()) {
    const BranchIndex i = unfinished.back();
    unfinished.pop_back();
    for (const BranchIndex a : spec_.branches[i].after) {
      if (!built_upon[a]) unfinished.push_back(a);
      built_upon[a] = true;
    }
  }
  return built_upon;
}

Outcome Transaction::outcome() const {
  if (decision_ == Decision::kNone) return Outcome::kNone;
  bool hazard = false;
  for (const Branch& branch : branches_) {
    if (branch.resolved != Decision::kNone && branch.resolved != decision_) return Outcome::kMixed;
    hazard = hazard || (branch.hazard && branch.resolved == Decision::kNone);
  }
  if (hazard) return Outcome::kHazard;
  return decision_ == Decision::kCommit ? Outcome::kCommitted : Outcome::kAborted;
}

bool Transaction::needs_operator() const {
  return std::any_of(branches_.begin(), branches_.end(),
                     [](const Branch& b) { return b.needs_operator; });
}

std::size_t Transaction::FindBranch(std::string_view id) const {
  for (std::size_t i = 0; i < spec_.branches.size(); ++i) {
    if (spec_.branches[i].id == id) return i;
  }
  return spec_.branches.size();
}

std::string Transaction::BranchLabel(BranchIndex i) const {
  const BranchSpec& spec = spec_.branches[i];
  return "branch " + spec.id + " " + spec.service + "/" + spec.action;
}

}  // namespace assent::core
