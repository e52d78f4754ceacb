// What the answers of participants mean to a transaction.

#include <algorithm>
#include <utility>

#include <assent/limits.h>
#include <assent/text.h>

#include "coordinator/core/retry.h"
#include "coordinator/core/transaction.h"

namespace assent::core {
namespace {

constexpr bool IsForward(BranchState state) { return state == BranchState::kExecuting; }

// A yes that cannot be taken for one, or nothing. It may have happened all the same. A result that
// is too long would make a row or a message that nobody can read, and the branches after it rely on
// it.
std::string Objection(const Answered& event, BranchState state, std::size_t other_results) {
  if (event.result == AttemptResult::kDoneReadOnly && event.operation != Operation::kPrepare) {
    return "answered read-only to " + std::string(Name(event.operation)) +
           ", which only PREPARE may be";
  }
  const std::size_t bytes = event.bytes.size();
  if (!IsForward(state) || bytes == 0) return {};
  if (bytes > limits::kMaxResultBytes) {
    return "answered with a result of " + std::to_string(bytes) + " bytes, the limit is " +
           std::to_string(limits::kMaxResultBytes);
  }
  if (other_results + bytes > limits::kMaxAllResultsBytes) {
    return "answered with a result of " + std::to_string(bytes) +
           " bytes: with those of the other branches it is over the limit of " +
           std::to_string(limits::kMaxAllResultsBytes);
  }
  return {};
}

}  // namespace

void Transaction::On(const Answered& event, const Now& now, Step& step) {
  if (held_) return;  // to a question that may be of long ago
  // Of another operation than the due one, or of a branch that has been settled: late, duplicate or
  // a lie. Nothing rests on it, whichever it is.
  if (event.branch >= branches_.size() || event.operation == kNoOperation ||
      event.operation != Due(event.branch))
    return;
  Branch& branch = branches_[event.branch];
  if (branch.attempts == 0) return;  // due, but never asked

  switch (event.result) {
    case AttemptResult::kDone:
    case AttemptResult::kDoneReadOnly: {
      std::size_t other_results = 0;
      for (const Branch& other : branches_) other_results += other.result.size();
      std::string objection = Objection(event, branch.state, other_results - branch.result.size());
      if (!objection.empty()) {
        Failed(event.branch,
               Answered{event.branch,
                        event.operation,
                        event.attempt,
                        AttemptResult::kUnknown,
                        {},
                        std::move(objection),
                        Millis(0)},
               now, step);
        break;
      }
      if (IsForward(branch.state)) {
        ForwardDone(event.branch, event, now, step);
      } else {
        FollowingDone(event.branch, event, now, step);
      }
      break;
    }
    case AttemptResult::kRefused:
      if (IsForward(branch.state) && phase_ != Phase::kCommitting) {
        ForwardRefused(event.branch, event, now, step);
      } else if (branch.one_phase && phase_ == Phase::kActive) {
        CloseAnswered(event, now);
        SettleUndecided(event.branch, /*committed=*/true, now, step);
      } else {
        FollowingRefused(event.branch, event, now, step);
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
  CloseAnswered(event, now);
  branch.maybe_sent = true;
  branch.last_error.clear();
  branch.needs_operator = false;
  branch.result = event.bytes;
  if (branch.attempts > 1) step.Require(Record::kLazy, false);
  step.effects.push_back(Announce{Milestone::kBranchAnswered, i});
  const bool read_only = event.result == AttemptResult::kDoneReadOnly;
  if (branch.one_phase) {
    if (read_only) {
      Move(i, BranchState::kReadOnly);
      Decide(Decision::kCommit, now, step);
    } else {
      SettleUndecided(i, /*committed=*/true, now, step);
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
  CloseAnswered(event, now);
  branches_[i].needs_operator = false;
  branches_[i].last_error = CutReason(event.reason);
  Move(i, BranchState::kRefused);
  step.effects.push_back(Announce{Milestone::kBranchAnswered, i});
  if (decision_ == Decision::kAbort) return;
  abort_reason_ = CutReason(BranchLabel(i) + " refused: " + event.reason);
  Decide(Decision::kAbort, now, step);
}

void Transaction::FollowingDone(BranchIndex i, const Answered& event, const Now& now, Step& step) {
  Branch& branch = branches_[i];
  CloseAnswered(event, now);
  branch.last_error.clear();
  branch.needs_operator = false;
  branch.hazard = false;
  if (branch.attempts > 1) step.Require(Record::kLazy, false);
  if (phase_ == Phase::kActive) {
    SettleUndecided(i, /*committed=*/false, now, step);
  } else {
    Move(i, branch.state == BranchState::kFinishing ? BranchState::kDone : BranchState::kUndone);
  }
}

// The decision stands; the participant says that it cannot follow. A person has to look, and it is
// asked on and on. A branch that has a finishing operation has promised to follow either way:
// nobody knows what became of that promise. Counts whichever attempt it answers.
void Transaction::FollowingRefused(BranchIndex i, const Answered& event, const Now& now,
                                   Step& step) {
  Branch& branch = branches_[i];
  branch.needs_operator = true;
  branch.hazard = branch.hazard || Rules(spec_.branches[i].protocol).finish != kNoOperation;
  branch.last_error = CutReason(event.reason);
  step.Require(Record::kLazy, false);
  if (!branch.in_flight || event.attempt != branch.attempts) {
    branch.history.CloseLate(event.operation, event.attempt, event.result, branch.last_error,
                             now.wall);
  }
  Failed(i, event, now, step);
}

void Transaction::SettleUndecided(BranchIndex i, bool committed, const Now& now, Step& step) {
  branches_[i].next_attempt = kNever;
  Move(i, committed ? BranchState::kDone : BranchState::kUndone);
  if (committed) abort_reason_.clear();
  Decide(committed ? Decision::kCommit : Decision::kAbort, now, step);
}

// An attempt brought no verdict: wait and ask again with the same identity, or give up where that
// is allowed.
void Transaction::Failed(BranchIndex i, const Answered& event, const Now& now, Step& step) {
  Branch& branch = branches_[i];
  // What became of an older attempt says nothing about the one on its way.
  if (!branch.in_flight || event.attempt != branch.attempts) return;
  CloseAttempt(i, event.result, event.reason, now);
  branch.last_error = CutReason(event.reason);
  const bool not_sent = event.result == AttemptResult::kNotSent;
  if (not_sent) {
    ++branch.not_sent;
  } else {
    branch.maybe_sent = true;
    // What did not happen leaves no record: a participant that is away for a night would write one
    // for each try.
    step.Require(Record::kLazy, false);
  }

  if (!MayBeSent(i)) return;
  const BranchSpec& spec = spec_.branches[i];
  if (branch.state == BranchState::kUndoing && not_sent && !branch.maybe_sent) {
    Move(i, BranchState::kSkipped);  // nothing ever reached it, and nothing will
    step.Require(Record::kLazy, false);
    return;
  }
  if (not_sent && event.service_absent) {  // until ServiceAppeared
    branch.absent_since = std::min(branch.absent_since, now.mono);
    return;
  }
  branch.absent_since = kNever;
  const std::uint32_t failures = branch.attempts - branch.not_sent;
  if (MayGiveUpOn(i)) {
    // That somebody else is before it in the queue for a row is no failure of its own.
    if (spec.retry.max_attempts != 0 && failures >= spec.retry.max_attempts &&
        !event.waits_for_rows) {
      GiveUp(
          BranchLabel(i) + " failed " + std::to_string(failures) + " times, last: " + event.reason,
          now, step);
      return;
    }
  } else if (branch.attempts >= kAttemptsBeforeAttentionCount &&
             !(spec.check_back && event.result == AttemptResult::kRetryLater)) {
    branch.needs_operator = true;
  }
  const Millis asked_for =
      std::clamp(event.retry_after, Millis(0), Millis(limits::kMaxMaxBackoffMs));
  RetryPolicy retry = spec.retry;
  // Rows are handed on within milliseconds, and who is away gets none: the participant says where
  // the doubling starts, and it ends soon. (The participant holds the question back for longer and
  // longer instead.)
  if (event.waits_for_rows) {
    retry.max_backoff = std::min(retry.max_backoff, kMaxBackoffForRows);
    retry.initial_backoff = std::clamp(asked_for, Millis(1), retry.max_backoff);
  }
  const Micros wait = std::max<Micros>(Backoff(retry, branch.attempts, now.entropy), asked_for);
  branch.next_attempt = now.mono + wait;
}

// A final answer settles the operation, whichever of its attempts it answers.
void Transaction::CloseAnswered(const Answered& event, const Now& now) {
  Branch& branch = branches_[event.branch];
  const bool is_no = event.result == AttemptResult::kRefused;
  const std::string_view error = is_no ? CutReason(event.reason) : std::string_view();
  if (!branch.in_flight || event.attempt != branch.attempts) {
    branch.history.CloseLate(event.operation, event.attempt, event.result, std::string(error),
                             now.wall);
  }
  const bool current = event.attempt == branch.attempts;
  CloseAttempt(event.branch, current ? event.result : AttemptResult::kUnknown,
               current ? error : "an earlier attempt was answered first", now);
}

void Transaction::CloseAttempt(BranchIndex i, AttemptResult result, std::string_view error,
                               const Now& now) {
  Branch& branch = branches_[i];
  if (!branch.in_flight) return;
  branch.in_flight = false;
  if (result != AttemptResult::kNotSent) branch.maybe_sent = true;
  if (result == AttemptResult::kUnknown) branch.doubtful = true;
  const auto latency = std::max<Micros>(now.mono - branch.sent_at, Micros(0));
  branch.history.Close(result, latency, std::string(CutReason(error)));
}

}  // namespace assent::core
