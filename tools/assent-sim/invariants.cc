#include "tools/assent-sim/invariants.h"

#include <algorithm>
#include <array>

#include "coordinator/core/protocol.h"

namespace assent::sim {
namespace {

using core::BranchState;
using core::Decision;
using core::Operation;
using core::Protocol;

template <typename Rule>
bool EveryBranch(const TransactionBooks& t, const Rule& rule) {
  for (std::size_t i = 0; i < t.branches.size(); ++i) {
    if (!rule(t.branches[i], t.plan->branches[i])) return false;
  }
  return true;
}
template <typename Rule>
bool AnyBranch(const TransactionBooks& t, const Rule& rule) {
  return !EveryBranch(t, [&](const BranchBooks& b, const BranchPlan& p) { return !rule(b, p); });
}

bool HasFinish(const BranchPlan& plan) { return core::Rules(plan.protocol).finish != kNoOperation; }
bool IsUndo(Operation op) { return RoleOf(op) == Role::kUndo; }
bool IsFinish(Operation op) { return RoleOf(op) == Role::kFinish; }

bool AfterPivot(const TransactionBooks& t, std::size_t i) {
  const auto& after = t.branches[i].after;
  return std::any_of(after.begin(), after.end(), [&](core::BranchIndex a) {
    return t.plan->branches[a].pivot || AfterPivot(t, a);
  });
}

// ---- Two-phase commit, as far as one transaction shows it ---------------------------------------

bool S1(const TransactionBooks& t) {
  if (t.by_hand) return true;
  const bool committed = AnyBranch(t, [](const auto& b, const auto&) { return b.finish > 0; });
  const bool aborted = AnyBranch(t, [](const auto& b, const auto&) { return b.undo > 0; });
  return !(committed && aborted);
}
bool S2(const TransactionBooks& t) {
  if (!t.commit_durable || t.by_hand) return true;
  for (std::size_t i = 0; i < t.listed; ++i) {
    if (AfterPivot(t, i)) continue;
    if (t.branches[i].forward == 0 && !t.branches[i].read_only) return false;
  }
  return true;
}
bool S4(const TransactionBooks& t) {
  return !(t.heard_commit && t.heard_abort) && !(t.commit_durable && t.abort_durable);
}
bool S6(const TransactionBooks& t) {
  return !(t.heard_commit && !t.commit_durable) && !(t.heard_abort && t.commit_durable);
}
bool Settled(const TransactionBooks& t, std::size_t i) {
  const BranchBooks& b = t.branches[i];
  if (b.resolved != Decision::kNone) return true;
  if (b.holds) return false;
  const BranchPlan& plan = t.plan->branches[i];
  if (t.abort_durable) return b.forward == b.undo || b.read_only;
  if (t.by_hand && b.forward == 0) return true;  // skipped: what it came after did not happen
  return b.read_only || (b.forward == 1 && b.undo == 0 && (b.finish == 1 || !HasFinish(plan)));
}
bool S7(const TransactionBooks& t) {
  if (!t.ended) return true;
  for (std::size_t i = 0; i < t.listed; ++i) {
    if (!Settled(t, i)) return false;
  }
  return true;
}
bool S8(const TransactionBooks& t) {
  // The log was put back by hand, unmarked, to before a branch was added; the next one is listed in
  // its place then.
  if (t.restored && t.plan->form == InitiatorForm::kInteractive) return true;
  for (std::size_t i = 0; i < t.branches.size(); ++i) {
    const BranchBooks& b = t.branches[i];
    if ((b.forward > 0 || b.refused || b.tombstone) && (!t.begun || i >= t.listed)) return false;
  }
  return true;
}
bool S10(const TransactionBooks& t) {
  return EveryBranch(t, [](const auto& b, const auto&) { return !b.acked_undurable; });
}

// ---- TCC, and what all three share --------------------------------------------------------------

bool T1(const TransactionBooks& t) {
  return EveryBranch(
      t, [](const auto& b, const auto&) { return b.forward <= 1 && b.finish <= 1 && b.undo <= 1; });
}
bool T2(const TransactionBooks& t) {
  return EveryBranch(t, [](const auto& b, const auto&) { return b.finish == 0 || b.undo == 0; });
}
bool T3(const TransactionBooks& t) {
  return EveryBranch(t, [](const auto& b, const auto&) { return !b.tombstone || b.forward == 0; });
}
bool T4(const TransactionBooks& t) {
  return EveryBranch(t, [](const auto& b, const auto&) { return b.undo <= b.forward; });
}
bool T5(const TransactionBooks& t) {
  return EveryBranch(t, [](const auto& b, const auto&) { return b.finish <= b.forward; });
}
bool T8(const TransactionBooks& t) {
  return EveryBranch(t, [](const auto& b, const auto&) { return !b.answered_twice_differently; });
}

// ---- Saga ---------------------------------------------------------------------------------------

bool G1(const TransactionBooks& t) {
  if (t.by_hand) return true;
  for (std::size_t i = 0; i < t.branches.size(); ++i) {
    if (t.branches[i].forward == 0) continue;
    for (const core::BranchIndex a : t.branches[i].after) {
      if (t.branches[a].forward == 0 && !t.branches[a].read_only) return false;
    }
  }
  return true;
}
bool G2(const TransactionBooks& t) {
  if (t.by_hand) return true;
  for (std::size_t i = 0; i < t.branches.size(); ++i) {
    for (const core::BranchIndex a : t.branches[i].after) {
      const bool stands = t.branches[i].forward > t.branches[i].undo;
      const bool step = t.plan->branches[a].protocol == Protocol::kSaga;
      if (step && t.branches[a].undo > 0 && stands) return false;
    }
  }
  return true;
}
bool G4(const TransactionBooks& t) {
  if (t.by_hand) return true;
  if (t.commit_durable && AnyBranch(t, [](const auto& b, const auto&) { return b.undo > 0; }))
    return false;
  // A pivot that said "retry later" may be given up; a copy of that command may still take effect,
  // and is then undone.
  return EveryBranch(t, [](const auto& b, const auto& plan) {
    return !plan.pivot || b.undo == 0 || (b.said_later && !plan.check_back);
  });
}

constexpr std::array kAlways = {
    AlwaysRule{"S1", "no transaction with one branch committed and another aborted", S1},
    AlwaysRule{"S2", "COMMIT is durable only after every voting branch's part is", S2, true},
    AlwaysRule{"S4", "a decision seen by anyone never changes", S4},
    AlwaysRule{"S6", "told COMMITTED: it is durable; told ABORTED: COMMIT never appears", S6},
    AlwaysRule{"S7", "ended or forgotten: every branch has durably finished", S7},
    AlwaysRule{"S8", "what a participant did has a durable BEGIN that lists it", S8, true},
    AlwaysRule{"S10", "an acknowledgement means durable at the participant", S10, true},
    AlwaysRule{"T1", "each effect happens at most once", T1, true},
    AlwaysRule{"T2", "never both finished and undone", T2, true},
    AlwaysRule{"T3", "nothing takes effect after its undoing", T3, true},
    AlwaysRule{"T4", "undoing runs only where the forward operation did", T4, true},
    AlwaysRule{"T5", "finishing needs its forward operation", T5, true},
    AlwaysRule{"T8", "a repeated request gets the first answer, byte for byte", T8, true},
    AlwaysRule{"G1", "a step starts only when what it depends on has durably succeeded", G1},
    AlwaysRule{"G2", "steps are compensated in reverse order", G2},
    AlwaysRule{"G4", "after the pivot, and after the decision to commit, only forward", G4},
};

// ---- At each send -------------------------------------------------------------------------------

const core::Branch* BranchOf(const SendSeen& s) {
  const std::size_t i = s.durable->FindBranch(s.command.branch_id);
  return i < s.durable->branches().size() ? &s.durable->branches()[i] : nullptr;
}
bool Executed(const core::Transaction& t, core::BranchIndex i) {
  const BranchState state = t.branches()[i].state;
  return state == BranchState::kExecuted || state == BranchState::kReadOnly ||
         state == BranchState::kDone || state == BranchState::kFinishing;
}

bool SendListed(const SendSeen& s) { return s.durable != nullptr && BranchOf(s) != nullptr; }
bool SendFinish(const SendSeen& s) {
  return !IsFinish(s.command.operation) || s.durable->decision() == Decision::kCommit;
}
bool SendUndo(const SendSeen& s) {
  if (!IsUndo(s.command.operation) || s.durable->decision() == Decision::kAbort) return true;
  // The question to a one-phase branch, which prevents as it asks.
  const core::Branch* branch = BranchOf(s);
  return s.durable->decision() == Decision::kNone && branch->one_phase &&
         branch->state == BranchState::kUndoing;
}
bool SendSurvives(const SendSeen& s) { return s.durable_epoch >= s.life_epoch; }
// Presumed abort: a vote that was asked for in an earlier epoch is never asked for again.
bool SendNotResumed(const SendSeen& s) {
  if (s.command.operation != Operation::kPrepare) return true;
  const std::size_t i = s.durable->FindBranch(s.command.branch_id);
  const auto& listed = s.books.branches[i].listed_epochs;
  const auto found = listed.find(s.books.serial);
  return found != listed.end() && found->second == s.life_epoch;
}
bool SendAfter(const SendSeen& s) {
  if (!IsForward(s.command.operation)) return true;
  const std::size_t i = s.durable->FindBranch(s.command.branch_id);
  const auto& after = s.durable->spec().branches[i].after;
  return std::all_of(after.begin(), after.end(),
                     [&](core::BranchIndex a) { return Executed(*s.durable, a); });
}
bool SendNotCompensating(const SendSeen& s) {
  return !IsForward(s.command.operation) || s.durable->decision() != Decision::kAbort;
}
bool SendIntent(const SendSeen& s) {
  return s.command.operation != Operation::kCompensate ||
         BranchOf(s)->state == BranchState::kUndoing;
}
bool SendPivot(const SendSeen& s) {
  const std::size_t i = s.durable->FindBranch(s.command.branch_id);
  return !IsForward(s.command.operation) || !s.durable->spec().branches[i].pivot ||
         s.durable->branches()[i].state == BranchState::kExecuting;
}

constexpr std::array kAtSend = {
    SendRule{"S8", "a branch that is sent to is in the durable list", SendListed},
    SendRule{"S5", "commit or confirm is sent only on a decision that is durable", SendFinish},
    SendRule{"S5", "undoing is sent only on a decision that is durable", SendUndo},
    SendRule{"S9", "an undecided two-phase transaction is aborted at recovery, never resumed",
             SendNotResumed},
    SendRule{"S12", "a send rests on an epoch that survives a power cut", SendSurvives},
    SendRule{"G1", "a step is sent only when what it comes after is recorded durably", SendAfter},
    SendRule{"G3", "once the abort is durable no forward operation is sent", SendNotCompensating},
    SendRule{"G6", "a compensation needs durable intent", SendIntent},
    SendRule{"S5", "a pivot is sent only when that it is on its way is durable", SendPivot},
};

// ---- When told ----------------------------------------------------------------------------------

bool ToldDurable(const ToldSeen& s) {
  switch (s.shown.decision()) {
    case Decision::kNone: return true;
    case Decision::kCommit: return s.books.commit_durable;
    case Decision::kAbort: return s.books.abort_durable;
  }
  return false;
}
bool ToldBegun(const ToldSeen& s) { return s.books.begun; }
// G7: what is shown as finished is finished where it happened.
bool ToldFinished(const ToldSeen& s) {
  if (!s.shown.finished() || s.books.restored) return true;
  for (std::size_t i = 0; i < s.books.listed; ++i) {
    if (!Settled(s.books, i)) return false;
  }
  return true;
}

// Only liveness may depend on clocks, and only on the one that nobody can set.
bool ToldInTime(const ToldSeen& s) {
  const bool by_deadline = s.shown.abort_reason().rfind("deadline of", 0) == 0;
  if (!by_deadline || s.books.recovered) return true;
  return s.now - s.books.asked_at >= s.shown.spec().deadline.count() * kMillisecond;
}

constexpr std::array kAtTold = {
    ToldRule{"S6", "what is shown as decided is durably decided", ToldDurable},
    ToldRule{"S6", "what is shown at all is durable", ToldBegun},
    ToldRule{"L1", "a deadline does not pass before its time, whatever the wall clock says",
             ToldInTime},
    ToldRule{"G7", "what is shown as finished is finished at every participant", ToldFinished},
};

// ---- At rest ------------------------------------------------------------------------------------

bool T7(const TransactionBooks& t) {
  if (t.by_hand) return true;
  for (std::size_t i = 0; i < t.branches.size(); ++i) {
    const BranchBooks& b = t.branches[i];
    const bool wanted = t.commit_durable && i < t.listed;
    const std::uint32_t standing = b.forward - b.undo;
    if (standing != (wanted && !b.read_only ? 1U : 0U)) return false;
    if (wanted && !b.read_only && HasFinish(t.plan->branches[i]) && b.finish != 1) return false;
  }
  return true;
}
bool L2(const TransactionBooks& t) {
  return EveryBranch(
      t, [](const auto& b, const auto&) { return !b.holds || b.resolved != Decision::kNone; });
}
bool L3(const TransactionBooks& t) {
  std::uint32_t hasty = 0;
  for (const BranchBooks& b : t.branches) hasty += b.hasty;
  return hasty <= t.wakers * t.branches.size();
}
bool Outcome(const TransactionBooks& t) {
  if (!t.ended || t.by_hand) return true;
  if (t.commit_durable) return t.outcome == core::Outcome::kCommitted;
  return t.outcome == core::Outcome::kAborted;
}

constexpr std::array kAtRest = {
    AlwaysRule{"T7", "all or nothing: every branch took effect exactly once, or none stands", T7},
    AlwaysRule{"L2", "nobody holds prepared or frozen state for a finished transaction", L2},
    AlwaysRule{"L3", "no retry came before its backoff without a reason", L3},
    AlwaysRule{"S7", "the recorded outcome is what happened", Outcome},
};

std::string Broken(const char* name, const char* says, const TransactionBooks& t) {
  return std::string(name) + " broken by " + t.plan->gid + ": " + says;
}

}  // namespace

std::string BrokenAlways(const TransactionBooks& books) {
  for (const AlwaysRule& rule : kAlways) {
    if (books.restored && !rule.after_restore) continue;
    if (!rule.holds(books)) return Broken(rule.name, rule.says, books);
  }
  return {};
}

std::string BrokenAtSend(const SendSeen& seen) {
  for (const SendRule& rule : kAtSend) {
    if (!rule.holds(seen)) {
      return Broken(rule.name, rule.says, seen.books) + " (" +
             std::string(core::Name(seen.command.operation)) + " " + seen.command.branch_id + ")";
    }
  }
  return {};
}

std::string BrokenAtTold(const ToldSeen& seen) {
  for (const ToldRule& rule : kAtTold) {
    if (!rule.holds(seen)) return Broken(rule.name, rule.says, seen.books);
  }
  return {};
}

std::string BrokenAtRest(const TransactionBooks& books) {
  for (const AlwaysRule& rule : kAtRest) {
    if (books.restored && !rule.after_restore) continue;
    if (!rule.holds(books)) return Broken(rule.name, rule.says, books);
  }
  return {};
}

}  // namespace assent::sim
