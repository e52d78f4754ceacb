// What people do to a transaction, and what the shell tells it of the world.

#include <algorithm>
#include <tuple>
#include <utility>

#include <assent/limits.h>
#include <assent/text.h>

#include "coordinator/core/describe.h"
#include "coordinator/core/retry.h"
#include "coordinator/core/transaction.h"

namespace assent::core {

void Transaction::Intervene(std::string verb, std::string branch_id, const Actor& actor,
                            const Now& now, Step& step) {
  if (interventions_.size() == limits::kMaxInterventionsKeptCount)
    interventions_.erase(interventions_.begin());
  interventions_.push_back(Intervention{now.wall, std::move(verb), std::move(branch_id),
                                        std::string(CutReason(actor.who)),
                                        std::string(CutReason(actor.reason))});
  step.Require(Record::kProgress, true);
  step.effects.push_back(Announce{Milestone::kIntervened});
}

Status Transaction::HeldStatus() const { return core::HeldStatus(spec_.gid); }

Status Transaction::PivotStatus() const {
  return FailedPrecondition("the pivot of transaction " + spec_.gid +
                            " may have happened, which its participant knows: resolve that branch");
}

void Transaction::On(const Abort& event, const Now& now, Step& step) {
  if (decision_ == Decision::kAbort) {  // wanted, and so it is; who else wanted it is on record
    if (!event.by_operator) return;
    if (!finished()) return Intervene("abort", {}, event.actor, now, step);
    // As the engine says it of what has left its memory.
    step.status = FailedPrecondition("transaction " + spec_.gid +
                                     " is finished: there is nothing left to do");
    return;
  }
  if (decision_ == Decision::kCommit) {
    step.status = FailedPrecondition("transaction " + spec_.gid + " is already decided: commit");
    return;
  }
  if (!GivingUpIsPossible()) {
    step.status =
        held_ ? PivotStatus()
              : FailedPrecondition(
                    OnePhaseIsAsked()
                        ? "the only branch of transaction " + spec_.gid +
                              " is being asked whether it committed: its answer decides"
                        : "the pivot of transaction " + spec_.gid +
                              " is on its way: only its own answer, or resolving it by hand, can "
                              "abort it now");
    return;
  }
  if (held_ && !event.by_operator) {
    step.status = HeldStatus();
    return;
  }
  std::string reason =
      event.by_operator
          ? "aborted by " + (event.actor.who.empty() ? "an operator" : event.actor.who)
          : std::string("rolled back by its initiator");
  if (!event.actor.reason.empty()) reason += ": " + event.actor.reason;
  if (event.by_operator) Intervene("abort", {}, event.actor, now, step);
  if (held_) Release();
  GiveUp(reason, now, step);
  Advance(now, step);
}

void Transaction::On(const Suspend& event, const Now& now, Step& step) {
  if (finished()) {
    step.status = FailedPrecondition("transaction " + spec_.gid + " is finished");
    return;
  }
  suspended_ = true;
  Intervene("suspend", {}, event.actor, now, step);
}

void Transaction::On(const Resume& event, const Now& now, Step& step) {
  if (!suspended_) {
    step.status = FailedPrecondition("transaction " + spec_.gid + " is not suspended");
    return;
  }
  if (held_ && std::any_of(spec_.branches.begin(), spec_.branches.end(), [](const BranchSpec& b) {
        return !Rules(b.protocol).resume_undecided;
      })) {
    step.status = FailedPrecondition(
        "transaction " + spec_.gid +
        " is held, and two-phase work that is undecided is never resumed: look at its "
        "participants; if one has committed, resolve its branch as committed, and all are asked to "
        "follow; otherwise abort it");
    return;
  }
  if (held_) {  // the time that has passed was not its own
    deadline_at_ = now.wall + spec_.deadline;
    deadline_ = now.mono + spec_.deadline;
  }
  Release();
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
    step.status =
        held_ ? HeldStatus()
              : FailedPrecondition("transaction " + spec_.gid + " is suspended: resume it first");
    return;
  }
  Intervene("retry", {}, event.actor, now, step);
  for (Branch& branch : branches_) {
    if (!branch.in_flight && (branch.next_attempt != kNever || branch.absent_since != kNever))
      branch.next_attempt = now.mono;
  }
  SendWhatIsDue(now, step);
}

bool Transaction::ChecksBack() const {
  return phase_ == Phase::kActive &&
         std::any_of(spec_.branches.begin(), spec_.branches.end(),
                     [](const BranchSpec& branch) { return branch.check_back; });
}

void Transaction::On(const CheckBack&, const Now& now, Step& step) {
  for (BranchIndex i = 0; i < branches_.size(); ++i) {
    Branch& branch = branches_[i];
    if (spec_.branches[i].check_back && branch.next_attempt != kNever)
      branch.next_attempt = now.mono;
  }
  SendWhatIsDue(now, step);
}

void Transaction::On(const ServiceAppeared& event, const Now& now, Step& step) {
  for (BranchIndex i = 0; i < branches_.size(); ++i) {
    Branch& branch = branches_[i];
    if (spec_.branches[i].service != event.service || branch.in_flight) continue;
    if (std::exchange(branch.absent_since, kNever) != kNever) branch.next_attempt = now.mono;
    if (branch.next_attempt == kNever || branch.history.kept().empty()) continue;
    const AttemptResult last = branch.history.kept().back().result;
    if (last == AttemptResult::kNotSent || last == AttemptResult::kUnknown)
      branch.next_attempt = now.mono;
  }
  SendWhatIsDue(now, step);
}

bool Transaction::HoldsPrepared(std::string_view service) const {
  for (BranchIndex i = 0; i < branches_.size(); ++i) {
    const BranchSpec& spec = spec_.branches[i];
    if (branches_[i].state == BranchState::kExecuted && spec.protocol == Protocol::kTwoPhase &&
        (service.empty() || spec.service == service))
      return true;
  }
  return false;
}

bool Transaction::WaitsForOthers(const Now& now) const {
  return std::any_of(branches_.begin(), branches_.end(), [&](const Branch& branch) {
    if (branch.state != BranchState::kExecuting) return false;
    if (!branch.in_flight) return branch.attempts > 0;
    return branch.attempts > 1 || now.mono - branch.sent_at >= kMayWaitForRows;
  });
}

// Everybody waits for older ones only, so that no circle of those who wait can close. Who waits for
// nobody is not part of one, and is left alone.
void Transaction::On(const GiveWay& event, const Now& now, Step& step) {
  const bool younger =
      std::tie(event.older_began, event.older_gid) < std::tie(began_at_, spec_.gid);
  if (!younger || phase_ != Phase::kActive || suspended_ || !HoldsPrepared(event.service) ||
      !WaitsForOthers(now))
    return;
  GiveUp("aborted so that the older transaction " + event.older_gid +
             ", which waits for its rows at " + event.service + ", can go on",
         now, step);
  Advance(now, step);
}

void Transaction::On(const Resolve& event, const Now& now, Step& step) {
  ASSENT_CHECK(event.branch < branches_.size() && event.resolution != Decision::kNone);
  Branch& branch = branches_[event.branch];
  const std::string& id = spec_.branches[event.branch].id;
  // At the pivot or after it, nothing but this branch's own success or a person can bring an end.
  const bool pivot_in_doubt = PivotIsInDoubt(event.branch);
  const bool after_pivot = branch.state == BranchState::kExecuting && phase_ == Phase::kCommitting;
  const bool committed = event.resolution == Decision::kCommit;
  const bool tells = held_ && !IsFinal(branch.state) && !pivot_in_doubt;
  if (branch.state != BranchState::kFinishing && branch.state != BranchState::kUndoing &&
      !after_pivot && !pivot_in_doubt && !tells) {
    step.status = FailedPrecondition(
        "branch " + id + " is " + std::string(Name(branch.state)) +
        ": only a branch that is being committed or undone can be resolved by hand");
    return;
  }
  if (tells && !committed && !GivingUpIsPossible()) {
    step.status = PivotStatus();
    return;
  }
  Intervene("resolve " + std::string(Name(event.resolution)), id, event.actor, now, step);
  if ((pivot_in_doubt || tells) && !committed)
    abort_reason_ = CutReason(BranchLabel(event.branch) + " did not happen, says " +
                              (event.actor.who.empty() ? "an operator" : event.actor.who) +
                              (event.actor.reason.empty() ? "" : ": " + event.actor.reason));
  const bool remembered = held_;
  if (held_) Release();
  if (tells) {
    DecideAsRemembered(event.resolution, now, step);
    Advance(now, step);
    return SendWhatIsDue(now, step);
  }
  CloseAttempt(event.branch, AttemptResult::kUnknown, "resolved by hand", now);
  branch.resolved = event.resolution;
  branch.needs_operator = false;
  branch.next_attempt = kNever;
  if (phase_ == Phase::kActive) {  // one phase, or the pivot: the resolution is the decision
    if (branch.state == BranchState::kWaiting) Move(event.branch, BranchState::kExecuting);
    if (remembered && committed) {
      Move(event.branch, BranchState::kDone);
      DecideAsRemembered(event.resolution, now, step);
    } else {
      SettleUndecided(event.branch, committed, now, step);
    }
  } else {
    Move(event.branch, committed ? BranchState::kDone : BranchState::kUndone);
  }
  Advance(now, step);
  if (remembered) SendWhatIsDue(now, step);
}

// Of a commit all who promise something had executed, and an initiator had said Commit. Every
// branch is asked to follow, steps to go forward: who has done so answers the same again.
void Transaction::DecideAsRemembered(Decision decision, const Now& now, Step& step) {
  const bool commit = decision == Decision::kCommit;
  sealed_ = sealed_ || commit;
  for (BranchIndex i = 0; commit && i < branches_.size(); ++i) {
    if (Rules(spec_.branches[i].protocol).finish == kNoOperation) continue;
    if (branches_[i].state == BranchState::kWaiting) Move(i, BranchState::kExecuting);
    if (branches_[i].state == BranchState::kExecuting) Move(i, BranchState::kExecuted);
  }
  Decide(decision, now, step);
}

}  // namespace assent::core
