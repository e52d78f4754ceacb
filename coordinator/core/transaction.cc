#include "coordinator/core/transaction.h"

#include <algorithm>
#include <utility>

#include <assent/limits.h>
#include <assent/text.h>

#include "coordinator/core/describe.h"
#include "coordinator/core/retry.h"

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

// ---- Beginning, growing, closing ----------------------------------------------------------------

void Transaction::On(const Begin& event, const Now& now, Step& step) {
  began_epoch_ = event.epoch;
  began_at_ = now.wall;
  deadline_at_ = now.wall + spec_.deadline;
  deadline_ = now.mono + spec_.deadline;
  step.Require(Record::kBegin, true);
  step.effects.push_back(Announce{Milestone::kAccepted});
  Advance(now, step);
}

void Transaction::On(const AddBranch& event, const Now& now, Step& step) {
  if (held_) {
    step.status = HeldStatus();
    return;
  }
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
  step.Require(Record::kProgress, true);
  Advance(now, step);
}

void Transaction::On(const Seal&, const Now& now, Step& step) {
  if (decision_ == Decision::kAbort) {
    step.status = FailedPrecondition("transaction " + spec_.gid + " was aborted: " + abort_reason_);
    return;
  }
  if (sealed_) return;  // said before: same answer
  if (held_) {          // branches may be missing
    step.status = HeldStatus();
    return;
  }
  if (now.mono >= deadline_ && !suspended_) {
    On(Tick{}, now, step);
    step.status = FailedPrecondition("the deadline of transaction " + spec_.gid +
                                     " passed before Commit: it is being aborted");
    return;
  }
  sealed_ = true;
  step.Require(Record::kProgress, true);
  Advance(now, step);
}

// ---- Time ---------------------------------------------------------------------------------------

void Transaction::On(const Tick&, const Now& now, Step& step) {
  const bool late = now.mono >= deadline_;
  if (phase_ == Phase::kActive && late && !suspended_ && GivingUpIsPossible()) {
    GiveUp("deadline of " + std::to_string(spec_.deadline.count()) + " ms passed" +
               WhoIsToBlame(*this),
           now, step);
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
  for (BranchIndex i = 0; i < branches_.size(); ++i) {
    if (AttentionAt(i) <= now.mono) branches_[i].needs_operator = true;
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
      wakeup = std::min({wakeup, branch.next_attempt, AttentionAt(i)});
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

// ---- After a restart ----------------------------------------------------------------------------

void Transaction::On(const Recover& event, const Now& now, Step& step) {
  ++recoveries_;
  step.Require(Record::kLazy, false);
  const Millis left = std::clamp(std::chrono::duration_cast<Millis>(deadline_at_ - now.wall),
                                 Millis(0), spec_.deadline);
  deadline_ = now.mono + left;

  bool resumable = true;
  for (BranchIndex i = 0; i < branches_.size(); ++i) {
    Branch& branch = branches_[i];
    resumable = resumable && Rules(spec_.branches[i].protocol).resume_undecided;
    if (branch.in_flight)
      branch.history.Close(AttemptResult::kUnknown, Micros(0),
                           "its coordinator restarted, or another took over");
    branch.in_flight = false;
    branch.next_attempt = branch.absent_since = kNever;
    if (Due(i) == kNoOperation) continue;
    branch.maybe_sent = branch.doubtful = true;  // sends leave no record of their own
    if (MayBeSent(i)) branch.next_attempt = now.mono;
  }
  if (event.generation > generation_) Hold();
  // Presumed abort: an undecided two-phase transaction is never resumed.
  if (!held_ && phase_ == Phase::kActive && !resumable && GivingUpIsPossible()) {
    GiveUp("its coordinator restarted, or another took over, before the decision", now, step);
  }
  // The deadline may have passed meanwhile: then nothing is sent forward again.
  On(Tick{}, now, step);
}

// What has been decided in it stands, whatever is missing, and a one-phase branch can be asked.
void Transaction::Hold() {
  if (phase_ != Phase::kActive || OnePhaseIsInDoubt() || OnePhaseIsAsked()) return;
  held_ = suspended_ = true;
  // Also what had not begun may have, since.
  for (Branch& branch : branches_) branch.maybe_sent = branch.maybe_sent || !IsFinal(branch.state);
}

void Transaction::NoteGeneration(std::uint64_t generation) {
  if (!held_) generation_ = generation;
}

// ---- Progress -----------------------------------------------------------------------------------

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
    // Durable before its first send: what it rests on, that it may hold something from now on, and,
    // of a pivot, that the decision is on its way (or recovery would abort behind its back).
    step.Require(Record::kProgress, true);
    const bool alone =
        sealed_ && branches_.size() == 1 && spec_.branches[i].protocol == Protocol::kTwoPhase;
    branches_[i].one_phase = alone && decision_ == Decision::kNone;
    StartOperation(i, BranchState::kExecuting, now, step);
  }
}

// A person has said of a branch that it did not happen, against the decision: then what comes after
// it cannot happen either, nor what comes after that.
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
  step.Require(Record::kDecision, true);
  step.effects.push_back(Announce{Milestone::kDecided});
  for (BranchIndex i = 0; i < branches_.size(); ++i) {
    const ProtocolRules& rules = Rules(spec_.branches[i].protocol);
    Branch& branch = branches_[i];
    if (decision == Decision::kCommit) {
      if (branch.state != BranchState::kExecuted) continue;  // read-only, or a step after the pivot
      if (rules.finish == kNoOperation) {
        Move(i, BranchState::kDone);
      } else {
        StartOperation(i, BranchState::kFinishing, now, step);
      }
      continue;
    }
    if (branch.state == BranchState::kWaiting || branch.state == BranchState::kExecuting) {
      CloseAttempt(i, AttemptResult::kUnknown, "overtaken by the abort", now);
      branch.next_attempt = branch.absent_since = kNever;
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
      step.Require(Record::kProgress, true);
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
  step.Require(Record::kEnd, false);
  step.effects.push_back(Announce{Milestone::kCompleted});
}

bool Transaction::GivingUpIsPossible() const {
  for (BranchIndex i = 0; i < branches_.size(); ++i) {
    if (PivotIsInDoubt(i)) return false;
  }
  return !OnePhaseIsAsked();
}

bool Transaction::PivotIsInDoubt(BranchIndex i) const {
  if (!spec_.branches[i].pivot || phase_ != Phase::kActive) return false;
  const Branch& branch = branches_[i];
  const bool asked = branch.doubtful || branch.in_flight || spec_.branches[i].check_back;
  return (branch.state == BranchState::kExecuting && asked) ||
         (branch.state == BranchState::kWaiting && branch.maybe_sent);  // Hold
}

bool Transaction::OnePhaseIsInDoubt() const {
  return phase_ == Phase::kActive && branches_.size() == 1 && branches_[0].one_phase &&
         branches_[0].state == BranchState::kExecuting &&
         (branches_[0].maybe_sent || branches_[0].in_flight);
}

bool Transaction::OnePhaseIsAsked() const {
  return phase_ == Phase::kActive && branches_.size() == 1 && branches_[0].one_phase &&
         branches_[0].state == BranchState::kUndoing;
}

void Transaction::GiveUp(const std::string& reason, const Now& now, Step& step) {
  if (decision_ != Decision::kNone || !GivingUpIsPossible()) return;
  abort_reason_ = CutReason(reason);
  if (!OnePhaseIsInDoubt()) {
    Decide(Decision::kAbort, now, step);
    return;
  }
  // Its local commit would have been the decision: ask, in a way that prevents it if it has not
  // happened.
  CloseAttempt(0, AttemptResult::kUnknown, "overtaken by the abort", now);
  step.Require(Record::kProgress, true);
  StartOperation(0, BranchState::kUndoing, now, step);
}

void Transaction::Move(BranchIndex i, BranchState to) {
  ASSENT_CHECK(MayMove(branches_[i].state, to));
  branches_[i].state = to;
  if (Due(i) == kNoOperation) branches_[i].next_attempt = branches_[i].absent_since = kNever;
}

void Transaction::StartOperation(BranchIndex i, BranchState state, const Now& now, Step& step) {
  Move(i, state);
  Branch& branch = branches_[i];
  branch.attempts = 0;
  branch.not_sent = 0;
  branch.needs_operator = false;
  branch.last_error.clear();
  branch.absent_since = kNever;
  branch.next_attempt = now.mono;
  // It has hardly begun: who is asked now says "not yet".
  const BranchSpec& spec = spec_.branches[i];
  if (spec.check_back) branch.next_attempt += spec.retry.initial_backoff;
  if (!suspended_ && !spec.check_back) Dispatch(i, now, step);
}

void Transaction::Dispatch(BranchIndex i, const Now& now, Step& step) {
  Branch& branch = branches_[i];
  const Operation operation = Due(i);
  ASSENT_CHECK(operation != kNoOperation && !branch.in_flight);
  ++branch.attempts;
  branch.in_flight = true;
  branch.sent_at = now.mono;
  branch.next_attempt = kNever;
  branch.history.Open(operation, branch.attempts, now.wall);
  step.effects.push_back(
      Send{i, operation, branch.attempts, branch.one_phase && operation == Operation::kPrepare});
}

// ---- Looking ------------------------------------------------------------------------------------

void Transaction::NoteSent(const Send& send, const Now& now) {
  Branch& branch = branches_[send.branch];
  if (!branch.in_flight || branch.attempts != send.attempt) return;
  branch.sent_at = now.mono;
  branch.history.Restart(now.wall);
}

Operation Transaction::Due(BranchIndex i) const {
  return DueOperation(spec_.branches[i].protocol, branches_[i].state);
}

// Once aborting, nothing is asked to execute again, even while its undoing waits for its turn.
bool Transaction::MayBeSent(BranchIndex i) const {
  return !(phase_ == Phase::kAborting && branches_[i].state == BranchState::kExecuting);
}

bool Transaction::MayGiveUpOn(BranchIndex i) const {
  return branches_[i].state == BranchState::kExecuting && phase_ == Phase::kActive &&
         GivingUpIsPossible();
}

MonoTime Transaction::AttentionAt(BranchIndex i) const {
  const Branch& branch = branches_[i];
  if (branch.absent_since == kNever || branch.in_flight || branch.needs_operator ||
      Due(i) == kNoOperation || !MayBeSent(i) || MayGiveUpOn(i))
    return kNever;
  return branch.absent_since + PatienceBeforeAttention(spec_.branches[i].retry);
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
  if (decision_ == Decision::kNone) return Outcome::kUndecided;
  bool hazard = false;
  for (const Branch& branch : branches_) {
    if (branch.resolved != Decision::kNone && branch.resolved != decision_) return Outcome::kMixed;
    hazard = hazard || (branch.hazard && branch.resolved == Decision::kNone);
  }
  if (hazard) return Outcome::kHazard;
  return decision_ == Decision::kCommit ? Outcome::kCommitted : Outcome::kAborted;
}

bool Transaction::needs_operator() const {
  return held_ || std::any_of(branches_.begin(), branches_.end(),
                              [](const Branch& b) { return b.needs_operator; });
}

bool Transaction::Rests() const {
  if (held_) return true;
  // An open one its initiator moves on; an undecided one that a start would abort may still commit.
  const auto resumes = [](const BranchSpec& b) { return Rules(b.protocol).resume_undecided; };
  if (phase_ == Phase::kActive &&
      (!sealed_ || (GivingUpIsPossible() &&
                    !std::all_of(spec_.branches.begin(), spec_.branches.end(), resumes))))
    return false;
  bool waits = false;
  for (const Branch& branch : branches_) {
    if (branch.in_flight || branch.next_attempt != kNever) return false;
    waits = waits || branch.absent_since != kNever;
  }
  return waits;
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
