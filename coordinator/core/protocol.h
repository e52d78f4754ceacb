#pragma once

// The three protocols as one idea with three tables.
//
// Every branch has a forward operation; when all have executed the transaction decides commit, and
// each branch gets its finishing operation; otherwise it decides abort, and each branch that may
// hold something gets its undoing operation. What differs between two-phase commit, TCC and Saga is
// data, and all of it is here. Because the table belongs to the branch and not to the transaction,
// mixing protocols in one transaction costs nothing.

#include <array>
#include <cstddef>

#include "coordinator/core/types.h"

namespace assent::core {

struct ProtocolRules : Operations {
  Protocol protocol;
  // Undo only once everything that came after has been undone (Saga: effects are visible, later
  // ones built on them).
  bool undo_in_reverse;
  // Undo also branches that were never contacted, so that a late forward operation finds a
  // tombstone.
  bool undo_if_never_sent;
  // An undecided transaction may go on after a restart. False for two-phase commit: presumed abort.
  bool resume_undecided;
  // Without an ordering of its own, a branch follows the one of its protocol before it.
  bool sequential_by_default;
};

inline constexpr std::array<ProtocolRules, 3> kProtocols{{
    {OperationsOf(Protocol::kTwoPhase), Protocol::kTwoPhase,
     /*undo_in_reverse=*/false, /*undo_if_never_sent=*/true, /*resume_undecided=*/false,
     /*sequential_by_default=*/false},
    {OperationsOf(Protocol::kTcc), Protocol::kTcc,
     /*undo_in_reverse=*/false, /*undo_if_never_sent=*/true, /*resume_undecided=*/true,
     /*sequential_by_default=*/false},
    {OperationsOf(Protocol::kSaga), Protocol::kSaga,
     /*undo_in_reverse=*/true, /*undo_if_never_sent=*/false, /*resume_undecided=*/true,
     /*sequential_by_default=*/true},
}};

constexpr const ProtocolRules& Rules(Protocol protocol) {
  return kProtocols[static_cast<std::size_t>(protocol) - 1];
}

// The legal moves of a branch.
//
//   the way forward
//     kWaiting ──► kExecuting ──► kExecuted ──► kFinishing ──► kDone
//                      │  ├──► kReadOnly            └────────► kUndone   a person resolved it so
//                      │  ├──► kRefused
//                      │  └──► kDone, kUndone    its answer is the decision; or a person's
//   the way back
//     kWaiting, kExecuting, kExecuted ──► kUndoing ──► kUndone
//                                             ├──────► kDone      one phase: it had committed;
//                                             │                   or a person resolved it so
//                                             └──────► kSkipped   certainly never sent
//     kWaiting, kExecuting ──────────────────────────► kSkipped   never ran
//
// A Saga step goes from kExecuted to kDone without a finishing operation. A one-phase branch goes
// from kExecuting to kDone: its own local commit was the decision.
struct BranchMove {
  BranchState from;
  BranchState to;
};

inline constexpr std::array<BranchMove, 18> kBranchMoves{{
    {BranchState::kWaiting, BranchState::kExecuting},
    {BranchState::kWaiting, BranchState::kUndoing},
    {BranchState::kWaiting, BranchState::kSkipped},
    {BranchState::kExecuting, BranchState::kExecuted},
    {BranchState::kExecuting, BranchState::kReadOnly},
    {BranchState::kExecuting, BranchState::kRefused},
    {BranchState::kExecuting, BranchState::kUndoing},
    {BranchState::kExecuting, BranchState::kSkipped},
    {BranchState::kExecuting, BranchState::kDone},
    {BranchState::kExecuting, BranchState::kUndone},
    {BranchState::kExecuted, BranchState::kFinishing},
    {BranchState::kExecuted, BranchState::kDone},
    {BranchState::kExecuted, BranchState::kUndoing},
    {BranchState::kFinishing, BranchState::kDone},
    {BranchState::kFinishing, BranchState::kUndone},
    {BranchState::kUndoing, BranchState::kUndone},
    {BranchState::kUndoing, BranchState::kDone},
    {BranchState::kUndoing, BranchState::kSkipped},
}};

constexpr bool MayMove(BranchState from, BranchState to) {
  for (const BranchMove& move : kBranchMoves) {
    if (move.from == from && move.to == to) return true;
  }
  return false;
}

// The operation that is due in a state; kNoOperation where nothing is asked.
constexpr Operation DueOperation(Protocol protocol, BranchState state) {
  switch (state) {
    case BranchState::kExecuting: return Rules(protocol).forward;
    case BranchState::kFinishing: return Rules(protocol).finish;
    case BranchState::kUndoing: return Rules(protocol).undo;
    case BranchState::kUnknown:
    case BranchState::kWaiting:
    case BranchState::kExecuted:
    case BranchState::kReadOnly:
    case BranchState::kRefused:
    case BranchState::kDone:
    case BranchState::kUndone:
    case BranchState::kSkipped: return kNoOperation;
  }
  return kNoOperation;
}

namespace internal {

constexpr bool TablesHold() {
  for (std::size_t i = 0; i < kProtocols.size(); ++i) {
    const ProtocolRules& rules = kProtocols[i];
    if (static_cast<std::size_t>(rules.protocol) != i + 1) return false;
    if (rules.forward == kNoOperation || rules.undo == kNoOperation) return false;
    // Without a finishing operation the effects are visible at once, so they must be undone in
    // reverse.
    if ((rules.finish == kNoOperation) != rules.undo_in_reverse) return false;
  }
  for (const BranchMove& move : kBranchMoves) {
    // Final means final.
    if (IsFinal(move.from)) return false;
    // Nobody returns to waiting, and nobody executes twice.
    if (move.to == BranchState::kWaiting) return false;
    if (move.to == BranchState::kExecuting && move.from != BranchState::kWaiting) return false;
  }
  // What is undone is never finished, and what has begun finishing is never asked to undo.
  return !MayMove(BranchState::kUndoing, BranchState::kFinishing) &&
         !MayMove(BranchState::kFinishing, BranchState::kUndoing);
}
static_assert(TablesHold());

}  // namespace internal
}  // namespace assent::core
