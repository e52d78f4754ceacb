#include "coordinator/core/soundness.h"

#include <algorithm>
#include <vector>

#include <assent/limits.h>

namespace assent::core {
namespace {

bool InRange(std::int64_t value, std::int64_t min, std::int64_t max) {
  return min <= value && value <= max;
}

// Years 1970 to 9999, so that no sum of a moment and a duration overflows.
bool IsMoment(WallTime time) {
  return InRange(time.time_since_epoch().count(), 0, 253'402'300'799'999);
}

bool SpecIsBounded(const BranchSpec& spec) {
  const RetryPolicy& retry = spec.retry;
  return InRange(spec.attempt_timeout.count(), 1, limits::kMaxAttemptTimeoutMs) &&
         InRange(retry.initial_backoff.count(), 1, limits::kMaxMaxBackoffMs) &&
         InRange(retry.max_backoff.count(), 1, limits::kMaxMaxBackoffMs);
}

// Every branch can be reached by starting those first that wait for nobody.
bool AfterHasNoCycle(const std::vector<BranchSpec>& branches) {
  std::vector<std::size_t> waits_for(branches.size());
  std::vector<std::vector<BranchIndex>> followers(branches.size());
  std::vector<BranchIndex> ready;
  for (BranchIndex i = 0; i < branches.size(); ++i) {
    waits_for[i] = branches[i].after.size();
    for (const BranchIndex a : branches[i].after) {
      if (a >= branches.size()) return false;
      followers[a].push_back(i);
    }
    if (waits_for[i] == 0) ready.push_back(i);
  }
  std::size_t reached = 0;
  while (!ready.empty()) {
    const BranchIndex i = ready.back();
    ready.pop_back();
    ++reached;
    for (const BranchIndex f : followers[i]) {
      if (--waits_for[f] == 0) ready.push_back(f);
    }
  }
  return reached == branches.size();
}

// Which states a branch may be in once the decision is known, and before.
bool StateFits(const Transaction& t, BranchIndex i) {
  const Branch& branch = t.branches()[i];
  const BranchSpec& spec = t.spec().branches[i];
  const bool step = Rules(spec.protocol).undo_in_reverse;
  const bool commit = t.decision() == Decision::kCommit;
  const bool abort = t.decision() == Decision::kAbort;
  switch (branch.state) {
    case BranchState::kUnknown: return false;
    case BranchState::kWaiting: return !abort && (!commit || step);  // after the pivot
    case BranchState::kExecuting: return step || t.decision() == Decision::kNone;
    case BranchState::kExecuted: return !commit && (!abort || step);
    case BranchState::kReadOnly: return spec.protocol == Protocol::kTwoPhase;
    case BranchState::kRefused: return abort;
    case BranchState::kFinishing: return commit && !step;
    case BranchState::kDone: return commit || branch.resolved == Decision::kCommit;
    case BranchState::kUndoing: return abort || (branch.one_phase && !commit);
    case BranchState::kUndone: return abort || branch.resolved == Decision::kAbort;
    case BranchState::kSkipped: return t.decision() != Decision::kNone;
  }
  return false;
}

std::string_view BrokenByBranch(const Transaction& t, BranchIndex i) {
  const Branch& branch = t.branches()[i];
  if (!SpecIsBounded(t.spec().branches[i])) return "a branch's times are out of range";
  const BranchSpec& spec = t.spec().branches[i];
  if (spec.check_back && (!spec.pivot || !spec.after.empty()))
    return "a branch stands for what its initiator commits, and is not the first";
  if (!StateFits(t, i)) return "a branch is in a state that does not fit the decision";
  const bool alone = t.sealed() && t.branches().size() == 1;
  if (branch.one_phase && (!alone || t.spec().branches[i].protocol != Protocol::kTwoPhase))
    return "a branch takes the one-phase path that is not alone";
  const bool late = t.phase() == Phase::kAborting && branch.state == BranchState::kExecuting;
  if (branch.in_flight && (t.Due(i) == kNoOperation || branch.attempts == 0 || late))
    return "a branch has an operation on its way that is not due";
  if (branch.not_sent > branch.attempts) return "a branch was sent less than never";
  if (branch.resolved != Decision::kNone && !IsFinal(branch.state))
    return "a branch is resolved and still at work";
  for (const Attempt& attempt : branch.history.kept()) {
    if (!IsMoment(attempt.started) || attempt.latency.count() < 0)
      return "an attempt's times are out of range";
  }
  return {};
}

std::string_view BrokenByPhase(const Transaction& t) {
  const Decision decision = t.decision();
  const bool all_final = std::all_of(t.branches().begin(), t.branches().end(),
                                     [](const Branch& b) { return IsFinal(b.state); });
  switch (t.phase()) {
    case Phase::kUnknown: return "in no phase";
    case Phase::kActive:
      if (decision != Decision::kNone) return "active, and decided";
      break;
    case Phase::kCommitting:
      if (decision != Decision::kCommit) return "committing, and the decision is not commit";
      break;
    case Phase::kAborting:
      if (decision != Decision::kAbort) return "aborting, and the decision is not abort";
      break;
    case Phase::kFinished:
      if (decision == Decision::kNone) return "finished, and undecided";
      if (!all_final) return "finished, and a branch is not";
      if (t.suspended()) return "finished, and suspended";
      break;
  }
  if (t.held() && (t.phase() != Phase::kActive || !t.suspended()))
    return "held, and decided or at work";
  if (decision != Decision::kNone && all_final && !t.finished()) return "all is done, but the end";
  if (decision == Decision::kCommit && !t.sealed()) return "committed, and still open";
  if (!t.sealed() && !t.spec().open) return "open, and never was";
  return {};
}

}  // namespace

std::string_view BrokenRule(const Transaction& t) {
  if (t.branches().size() != t.spec().branches.size()) return "states and branches do not pair up";
  if (t.branches().size() > limits::kMaxBranchesCount) return "there are too many branches";
  if (!InRange(t.spec().deadline.count(), 1, limits::kMaxDeadlineMs))
    return "the deadline is out of range";
  if (!IsMoment(t.began_at()) || !IsMoment(t.deadline_at()) || !IsMoment(t.decided_at()) ||
      !IsMoment(t.finished_at()))
    return "a moment is out of range";
  if (!AfterHasNoCycle(t.spec().branches)) return "branches wait for one another in a circle";
  const std::string_view broken = BrokenByPhase(t);
  if (!broken.empty()) return broken;
  for (BranchIndex i = 0; i < t.branches().size(); ++i) {
    const std::string_view by_branch = BrokenByBranch(t, i);
    if (!by_branch.empty()) return by_branch;
  }
  return {};
}

}  // namespace assent::core
