// What the answers of participants mean to a transaction.

#include <algorithm>
#include <utility>

#include "coordinator/core/retry.h"
#include "coordinator/core/transaction.h"

namespace assent::core {
namespace {

constexpr bool IsForward(BranchState state) { return state == BranchState::kExecuting; }

}  // namespace

void Transaction::On(const Answered& event, const Now& now, Step& step) {
  // Of another operation than the due one, or of a branch that has been settled: late, duplicate or a lie. Nothing
  // rests on it, whichever it is.
  if (event.branch >= branches_.size() || event.operation == Operation::kNone ||
      event.operation != Due(event.branch))
    return;
  Branch& branch = branches_[event.branch];
  if (branch.attempts == 0) return;  // due, but never asked

  switch (event.result) {
    case AttemptResult::kDone:
    case AttemptResult::kDoneReadOnly: {
      const bool read_only = event.result == AttemptResult::kDoneReadOnly;
      if (read_only && event.operation != Operation::kPrepare) {
        Answered unknown = event;
        unknown.result = AttemptResult::kUnknown;
        unknown.reason = "answered read-only to " + std::string(Name(event.operation)) +
                         ", which only PREPARE may be";
        Failed(event.branch, unknown, now, step);
        break;
      }
      if (IsForward(branch.state)) {
        ForwardDone(event.branch, event, now, step);
      } else {
        CloseAttempt(event.branch, event.result, {}, now);
        branch.needs_operator = false;
        branch.hazard = false;
        if (branch.attempts > 1) step.record = std::max(step.record, Record::kLazy);
        if (phase_ == Phase::kActive) {
          SettleOnePhase(event.branch, /*committed=*/false, now, step);
        } else {
          Move(event.branch,
               branch.state == BranchState::kFinishing ? BranchState::kDone : BranchState::kUndone);
        }
      }
      break;
    }
    case AttemptResult::kRefused:
      if (IsForward(branch.state) && phase_ != Phase::kCommitting) {
        ForwardRefused(event.branch, event, now, step);
      } else if (branch.one_phase && phase_ == Phase::kActive) {
        CloseAttempt(event.branch, event.result, event.reason, now);
        SettleOnePhase(event.branch, /*committed=*/true, now, step);
      } else {
        FinishingRefused(event.branch, event, now, step);
      }
      break;
    case AttemptResult::kRetryLater:
    case AttemptResult::kUnknown:
    case AttemptResult::kNotSent: Failed(event.branch, event, now, step); break;
    case AttemptResult::kInFlight: ASSENT_CHECK(false);
  }
  Advance(now, step);
}

void Transaction::ForwardDone(BranchIndex i, const Answered& event, const Now& now, Step& step) {
  Branch& branch = branches_[i];
  CloseAttempt(i, event.result, {}, now);
  branch.maybe_sent = true;
  branch.needs_operator = false;
  branch.result = event.bytes;
  if (branch.attempts > 1) step.record = std::max(step.record, Record::kLazy);
  step.effects.push_back(Announce{Milestone::kBranchAnswered, i});
  const bool read_only = event.result == AttemptResult::kDoneReadOnly;
  if (branch.one_phase) {
    if (read_only) {
      Move(i, BranchState::kReadOnly);
      Decide(Decision::kCommit, now, step);
    } else {
      SettleOnePhase(i, /*committed=*/true, now, step);
    }
    return;
  }
  if (phase_ == Phase::kCommitting) {  // a step after the pivot
    Move(i, BranchState::kDone);
    return;
  }
  Move(i, read_only ? BranchState::kReadOnly : BranchState::kExecuted);
  // Past the pivot there is no way but forward: its success is the decision.
  if (spec_.branches[i].pivot && decision_ == Decision::kNone) Decide(Decision::kCommit, now, step);
}

void Transaction::ForwardRefused(BranchIndex i, const Answered& event, const Now& now, Step& step) {
  CloseAttempt(i, event.result, event.reason, now);
  branches_[i].last_error = event.reason;
  Move(i, BranchState::kRefused);
  step.effects.push_back(Announce{Milestone::kBranchAnswered, i});
  if (decision_ == Decision::kAbort) return;
  abort_reason_ = BranchLabel(i) + " refused: " + event.reason;
  Decide(Decision::kAbort, now, step);
}

// The decision stands; the participant says it cannot follow. A person has to look, and it is asked on and on.
void Transaction::FinishingRefused(BranchIndex i, const Answered& event, const Now& now,
                                   Step& step) {
  branches_[i].needs_operator = true;
  branches_[i].hazard = branches_[i].hazard || branches_[i].state == BranchState::kFinishing;
  Failed(i, event, now, step);
}

void Transaction::SettleOnePhase(BranchIndex i, bool committed, const Now& now, Step& step) {
  branches_[i].next_attempt = kNever;
  Move(i, committed ? BranchState::kDone : BranchState::kUndone);
  if (committed) abort_reason_.clear();
  Decide(committed ? Decision::kCommit : Decision::kAbort, now, step);
}

// An attempt brought no verdict: wait and ask again with the same identity, or give up where that is allowed.
void Transaction::Failed(BranchIndex i, const Answered& event, const Now& now, Step& step) {
  Branch& branch = branches_[i];
  const bool current = branch.in_flight && event.attempt == branch.attempts;
  if (!current) {
    // A refusal in phase two counts whenever it comes; any other word about an older attempt is stale.
    if (event.result != AttemptResult::kRefused) return;
  }
  CloseAttempt(i, event.result, event.reason, now);
  branch.last_error = event.reason;
  if (event.result == AttemptResult::kNotSent) {
    ++branch.not_sent;
  } else {
    branch.maybe_sent = true;
  }
  step.record = std::max(step.record, Record::kLazy);

  if (!MayBeSent(i)) return;
  const BranchSpec& spec = spec_.branches[i];
  const bool never_sent = event.result == AttemptResult::kNotSent && !branch.maybe_sent;
  if (branch.state == BranchState::kUndoing && never_sent) {
    Move(i, BranchState::kSkipped);  // nothing ever reached it, and nothing will
    return;
  }
  const std::uint32_t failures = branch.attempts - branch.not_sent;
  if (branch.state == BranchState::kExecuting && phase_ == Phase::kActive) {
    if (spec.retry.max_attempts != 0 && failures >= spec.retry.max_attempts &&
        GivingUpIsPossible()) {
      GiveUp(
          BranchLabel(i) + " failed " + std::to_string(failures) + " times, last: " + event.reason,
          now, step);
      return;
    }
  } else if (branch.attempts >= kAttemptsBeforeAttentionCount) {
    branch.needs_operator = true;
  }
  const Micros wait =
      std::max<Micros>(Backoff(spec.retry, branch.attempts, now.entropy), event.retry_after);
  branch.next_attempt = now.mono + wait;
}

void Transaction::CloseAttempt(BranchIndex i, AttemptResult result, std::string error,
                               const Now& now) {
  Branch& branch = branches_[i];
  if (!branch.in_flight) return;
  branch.in_flight = false;
  if (result != AttemptResult::kNotSent) branch.maybe_sent = true;
  const auto latency = std::max<Micros>(now.mono - branch.sent_at, Micros(0));
  branch.history.Close(result, latency, std::move(error));
}

}  // namespace assent::core
