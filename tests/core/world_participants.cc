// The participants of the tiny world, and what must be true of them together.

#include <algorithm>

#include "tests/core/world.h"

namespace assent::core::testing {

bool World::Follows(BranchIndex later, BranchIndex earlier) const {
  const auto& after = transaction_->spec().branches[later].after;
  return std::any_of(after.begin(), after.end(),
                     [&](BranchIndex a) { return a == earlier || Follows(a, earlier); });
}

// Steps after the pivot must not refuse: their writers have promised.
bool World::MayRefuse(BranchIndex i) const {
  const auto& branches = transaction_->spec().branches;
  for (BranchIndex p = 0; p < branches.size(); ++p) {
    if (branches[p].pivot && Follows(i, p)) return false;
  }
  return true;
}

AttemptResult World::Handle(const Send& command, bool healthy) {
  if (command.branch >= transaction_->branches().size()) {
    Break("S8: a branch was asked that no log knows");
    return AttemptResult::kRefused;
  }
  const ProtocolRules& rules = Rules(transaction_->spec().branches[command.branch].protocol);
  if (!healthy && draw_.Percent(10)) return AttemptResult::kRetryLater;
  AttemptResult result = AttemptResult::kDone;
  if (command.operation == rules.forward) {
    result = HandleForward(command, healthy);
  } else if (command.operation == rules.undo) {
    result = HandleUndo(command);
  } else {
    Row& row = participants_[command.branch].row;
    if (row != Row::kExecuted && row != Row::kFinished) {
      Break("T5: asked to finish what was not executed");
      return AttemptResult::kRefused;
    }
    if (plant_ != Plant::kFinishWithoutAsking) row = Row::kFinished;
  }
  CheckAtomicity();
  return result;
}

AttemptResult World::HandleForward(const Send& command, bool healthy) {
  Participant& p = participants_[command.branch];
  switch (p.row) {
    case Row::kNothing: break;
    case Row::kExecuted:
    case Row::kFinished: return AttemptResult::kDone;
    case Row::kReadOnly: return AttemptResult::kDoneReadOnly;
    case Row::kRefused:
    case Row::kUndone:
    case Row::kTombstone: return AttemptResult::kRefused;
  }
  if (!healthy && MayRefuse(command.branch) && draw_.Percent(15)) {
    if (plant_ != Plant::kRefusalForgotten) p.row = Row::kRefused;
    return AttemptResult::kRefused;
  }
  p.one_phase = command.one_phase;
  CheckForwardEffect(command.branch);
  if (command.operation == Operation::kPrepare && draw_.Percent(20)) {
    ++tally_.read_only;
    p.row = Row::kReadOnly;
    return AttemptResult::kDoneReadOnly;
  }
  p.row = p.one_phase ? Row::kFinished : Row::kExecuted;
  if (transaction_->spec().branches[command.branch].pivot) ++tally_.pivots;
  return AttemptResult::kDone;
}

AttemptResult World::HandleUndo(const Send& command) {
  Participant& p = participants_[command.branch];
  switch (p.row) {
    case Row::kNothing:
      if (plant_ != Plant::kNoTombstone) p.row = Row::kTombstone;
      return AttemptResult::kDone;
    case Row::kExecuted:
      p.row = Row::kUndone;
      CheckUndoEffect(command.branch);
      return AttemptResult::kDone;
    case Row::kFinished:
      if (!p.one_phase) Break("T2: asked to undo what was finished");
      return AttemptResult::kRefused;
    case Row::kReadOnly:
    case Row::kRefused:
    case Row::kUndone:
    case Row::kTombstone: return AttemptResult::kDone;
  }
  return AttemptResult::kDone;
}

// A late message may take effect after the decision to abort, and before its own undoing arrives.
// What it comes after must have happened; a step that it comes after must not have been undone yet,
// either.
void World::CheckForwardEffect(BranchIndex i) {
  for (const BranchIndex a : transaction_->spec().branches[i].after) {
    const Row row = participants_[a].row;
    const bool step = Rules(transaction_->spec().branches[a].protocol).undo_in_reverse;
    if (row != Row::kExecuted && row != Row::kReadOnly && row != Row::kFinished &&
        (step || row != Row::kUndone))
      Break("G1: a branch took effect without what it comes after");
  }
}

void World::CheckUndoEffect(BranchIndex i) {
  if (Rules(transaction_->spec().branches[i].protocol).undo_in_reverse) ++tally_.compensated;
  for (BranchIndex j = 0; j < participants_.size(); ++j) {
    if (!Rules(transaction_->spec().branches[j].protocol).undo_in_reverse) continue;
    if (!Rules(transaction_->spec().branches[i].protocol).undo_in_reverse) continue;
    if (participants_[j].row == Row::kExecuted && Follows(j, i))
      Break("G2: a step was compensated before one that builds upon it");
  }
}

// A person does at the participant what is due there, or sees what was done, and says so. What is
// said of a pivot that is certainly not sent is refused, and what was done there only makes it
// refuse.
void World::ResolveByHand() {
  // People are shown what is durable, and act on that.
  if (participants_.empty() || durable_ < last_gate_) return;
  const auto i = static_cast<BranchIndex>(draw_.Below(participants_.size()));
  const BranchState state = transaction_->branches()[i].state;
  const bool pivot = transaction_->spec().branches[i].pivot;
  const bool after_pivot = transaction_->phase() == Phase::kCommitting;
  Row& row = participants_[i].row;
  Decision happened = Decision::kCommit;
  if (state == BranchState::kFinishing) {
    row = Row::kFinished;
  } else if (state == BranchState::kExecuting && after_pivot) {
    row = Row::kExecuted;
  } else if (state == BranchState::kUndoing || (state == BranchState::kExecuting && pivot)) {
    const bool decided_there = row == Row::kFinished || (pivot && row == Row::kExecuted);
    if (!decided_there) {
      happened = Decision::kAbort;
      const bool executed = row == Row::kExecuted;
      if (executed || row == Row::kNothing) row = executed ? Row::kUndone : Row::kTombstone;
      if (executed) CheckUndoEffect(i);
    }
  } else {
    return;
  }
  ++tally_.resolved;
  Apply(Resolve{{"ann", "did it by hand"}, i, happened});
  CheckAtomicity();
}

// At every moment: nobody has finished, and the pivot has not happened, where somebody was undone.
void World::CheckAtomicity() {
  bool committed = false;
  bool undone = false;
  for (BranchIndex i = 0; i < participants_.size(); ++i) {
    const Row row = participants_[i].row;
    const bool pivot = transaction_->spec().branches[i].pivot;
    committed = committed || row == Row::kFinished || (pivot && row == Row::kExecuted);
    undone = undone || row == Row::kUndone || row == Row::kTombstone;
  }
  if (committed && undone) Break("S1: one branch committed and another was undone");
  if (committed && told_ == Decision::kAbort) Break("S6: told aborted, and a branch committed");
}

// At rest: all of it, or nothing of it; and nobody holds anything.
void World::CheckEnd() {
  const bool commit = !gone_ && transaction_->decision() == Decision::kCommit;
  if (gone_) {
    ++tally_.never_began;
  } else if (commit) {
    ++tally_.committed;
  } else {
    ++tally_.aborted;
  }
  for (BranchIndex i = 0; i < participants_.size(); ++i) {
    const Row row = participants_[i].row;
    const bool in_two_steps = !Rules(transaction_->spec().branches[i].protocol).undo_in_reverse;
    const std::string id = transaction_->spec().branches[i].id;
    if (gone_ && row != Row::kNothing) Break("S8: " + id + " was asked by what never began");
    if (commit && row != Row::kFinished && row != Row::kReadOnly &&
        (in_two_steps || row != Row::kExecuted))
      Break("T7: committed, and " + id + " is not");
    if (!commit && (row == Row::kExecuted || row == Row::kFinished))
      Break("L2: not committed, and " + id + " holds something");
  }
}

}  // namespace assent::core::testing
