#pragma once

// The rules of participants, as a table: docs/contract.md has the same rows, and a test compares.

#include <span>
#include <string>

#include "tests/contract/examination.h"

namespace assent::contract {

enum Need : unsigned {
  kAlways = 0,
  kSession = 1,   // the participant dials
  kStart = 4,     // it can be killed and started
  kTwoPhase = 8,  // `add` is there for two-phase commit
  kTwoSteps = 16  // … for two-phase commit or TCC: there is something between try and end
};

struct Rule {
  const char* name;
  const char* sentence;
  unsigned needs;
  void (*check)(Examination&);
};

// In the order in which they are looked at.
std::span<const Rule> Rules();
// "session", "2pc, --start"; empty: none.
std::string NeedsOf(const Rule& rule);

// Each in the file of its kind: rules_once.cc, rules_undo.cc, …
void Completes(Examination& e);
void Once(Examination& e);
void SameBytes(Examination& e);
void TwoAtOnce(Examination& e);
void BranchesApart(Examination& e);
void OddNames(Examination& e);

void UndoLeavesNothing(Examination& e);
void EmptyUndo(Examination& e);
void LateForward(Examination& e);
void UndoDuringForward(Examination& e);
void NeverBoth(Examination& e);
void FinishWithoutForward(Examination& e);
void OnePhase(Examination& e);

void RefusalFinal(Examination& e);
void RefusalLeavesNothing(Examination& e);
void FailedHandler(Examination& e);
void UnknownAction(Examination& e);

void Durable(Examination& e);
void Remembers(Examination& e);
void CrashBeforeCommit(Examination& e);
void PreparedSurvives(Examination& e);
void OutcomeQuestion(Examination& e);
void LostAnswer(Examination& e);

void HelloIsSound(Examination& e);
void Reconnect(Examination& e);
void Goodbye(Examination& e);
void CoordinatorGoodbye(Examination& e);
void StaleSlot(Examination& e);
void BackPressure(Examination& e);
void SeveralCoordinators(Examination& e);

void AnyBytes(Examination& e);
void ReasonBytes(Examination& e);
void Large(Examination& e);
void Hostile(Examination& e);
void Oversized(Examination& e);
void Headers(Examination& e);
void Trace(Examination& e);

// Looked at in every rule: what every reply and every frame keeps (Peer::TakeFaults). Its verdict
// is made by the runner.
inline constexpr char kWellFormed[] = "well-formed";
inline constexpr char kWellFormedSentence[] =
    "Every reply echoes gid, branch, operation and command_id; every frame keeps its limits.";

}  // namespace assent::contract
