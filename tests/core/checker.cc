#include "tests/core/checker.h"

#include <algorithm>
#include <array>
#include <variant>

#include "coordinator/core/codec.h"
#include "coordinator/core/soundness.h"

namespace assent::core::testing {
namespace {

constexpr std::size_t kStates = static_cast<std::size_t>(BranchState::kSkipped) + 1;

// A step may make several moves: whether `to` can be reached from `from` by legal ones.
bool Reachable(BranchState from, BranchState to) {
  std::array<bool, kStates> seen{};
  seen[static_cast<std::size_t>(from)] = true;
  for (bool grew = true; grew;) {
    grew = false;
    for (const BranchMove& move : kBranchMoves) {
      bool& target = seen[static_cast<std::size_t>(move.to)];
      if (seen[static_cast<std::size_t>(move.from)] && !target) grew = target = true;
    }
  }
  return seen[static_cast<std::size_t>(to)];
}

bool Is(const ProtocolRules& rules, Operation operation, Operation ProtocolRules::*which) {
  return operation != kNoOperation && rules.*which == operation;
}

std::string BrokenBySend(const Transaction& t, const Send& send) {
  const Branch& branch = t.branches()[send.branch];
  const ProtocolRules& rules = Rules(t.spec().branches[send.branch].protocol);
  if (t.suspended()) return "something was sent for a suspended transaction";
  if (IsFinal(branch.state)) return "something was sent to a branch that is final";
  if (send.operation != t.Due(send.branch)) return "what was sent is not what is due";
  if (!branch.in_flight || branch.attempts != send.attempt) return "a send is not accounted for";
  if (Is(rules, send.operation, &ProtocolRules::forward) && t.decision() == Decision::kAbort)
    return "G3: a forward operation was sent although the decision is abort";
  if (Is(rules, send.operation, &ProtocolRules::finish) && t.decision() != Decision::kCommit)
    return "a finishing operation was sent without a decision to commit";
  if (Is(rules, send.operation, &ProtocolRules::undo) && t.decision() != Decision::kAbort &&
      !branch.one_phase)
    return "an undoing operation was sent without a decision to abort";
  return {};
}

std::string BrokenByBranch(const Transaction& before, const Transaction& after, BranchIndex i,
                           const Step& step) {
  const Branch& now = after.branches()[i];
  const bool is_new = i >= before.branches().size();
  const BranchState was = is_new ? BranchState::kWaiting : before.branches()[i].state;
  if (!Reachable(was, now.state)) {
    return "no legal moves lead from " + std::string(Name(was)) + " to " +
           std::string(Name(now.state));
  }
  const bool gated = step.gating && step.record >= Record::kProgress;
  const bool started = was == BranchState::kWaiting && now.state != was && !IsFinal(now.state);
  if (started && !gated) return "a branch started without a record that gates its first send";
  const bool reverse = Rules(after.spec().branches[i].protocol).undo_in_reverse;
  if (reverse && was != now.state && now.state == BranchState::kUndoing && !gated)
    return "G6: a compensation was started without a record that gates it";
  // S1 and T7, as far as they can be seen from here.
  if (now.state == BranchState::kUndone && after.decision() != Decision::kAbort &&
      now.resolved != Decision::kAbort)
    return "S1: a branch was undone although the decision is not abort";
  if (now.state == BranchState::kDone && after.decision() != Decision::kCommit &&
      now.resolved != Decision::kCommit)
    return "S1: a branch is done although the decision is not commit";
  return {};
}

std::string BrokenByVerdict(const Transaction& before, const Step& step, const Transaction& after) {
  const bool decided = before.decision() != after.decision();
  if (decided && before.decision() != Decision::kNone) return "S4: a decision changed";
  if (after.phase() < before.phase() && after.phase() != Phase::kFinished)
    return "the phase went back";
  if (decided && !(step.gating && step.record >= Record::kDecision))
    return "S5: a decision was not recorded, or gates nothing";
  const bool finished = !before.finished() && after.finished();
  if (before.finished() && !after.finished()) return "a finished transaction came back";
  if (finished && step.record != Record::kEnd) return "the end was not recorded";
  bool told_decided = false;
  bool told_completed = false;
  for (const Effect& effect : step.effects) {
    const auto* announce = std::get_if<Announce>(&effect);
    if (announce == nullptr) continue;
    told_decided = told_decided || announce->milestone == Milestone::kDecided;
    told_completed = told_completed || announce->milestone == Milestone::kCompleted;
  }
  if (told_decided != decided) return "the decision and its announcement do not go together";
  if (told_completed != finished) return "the end and its announcement do not go together";
  return {};
}

}  // namespace

std::string BrokenByStep(const Transaction& before, const Event& event, const Step& step,
                         const Transaction& after, const Now& now) {
  if (step.gating && step.record < Record::kProgress) return "a step gates on a record it lacks";
  std::string broken = BrokenByVerdict(before, step, after);
  if (!broken.empty()) return broken;
  if (after.branches().size() < before.branches().size()) return "a branch disappeared";
  for (BranchIndex i = 0; i < after.branches().size(); ++i) {
    broken = BrokenByBranch(before, after, i, step);
    if (!broken.empty()) return "branch " + after.spec().branches[i].id + ": " + broken;
  }
  for (const Effect& effect : step.effects) {
    if (const auto* send = std::get_if<Send>(&effect)) {
      broken = BrokenBySend(after, *send);
      if (!broken.empty())
        return "branch " + after.spec().branches[send->branch].id + ": " + broken;
    }
  }
  const bool awaited = std::any_of(after.branches().begin(), after.branches().end(),
                                   [](const Branch& b) { return b.absent_since != kNever; });
  if (!after.finished() && !after.suspended() && !awaited && after.Wakeup() == kNever)
    return "L1: nothing will ever move this transaction on";
  if (std::holds_alternative<Tick>(event) && after.Wakeup() <= now.mono)
    return "a tick leaves the transaction due at once: its shell would spin";
  const std::string_view unsound = BrokenRule(after);
  if (!unsound.empty()) return std::string(unsound);
  return BrokenByCodec(after);
}

std::string BrokenByCodec(const Transaction& transaction) {
  const std::string spec = Codec::EncodeSpec(transaction);
  const std::string state = Codec::EncodeState(transaction);
  const Result<Transaction> decoded = Codec::Decode(transaction.gid(), spec, state);
  if (!decoded.ok()) return "codec: " + decoded.status().ToString();
  if (Codec::EncodeSpec(decoded.value()) != spec) return "codec: the spec changed on the way";
  if (Codec::EncodeState(decoded.value()) != state) return "codec: the state changed on the way";
  return {};
}

}  // namespace assent::core::testing
