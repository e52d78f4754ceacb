#pragma once

// Where transactions and branches stand, and what becomes of them: said once for the coordinator,
// its wire and the SDK. The numbers are those of assent.v1 (proto/words holds them to it), and are
// stored: never renumber.

#include <array>
#include <cstddef>
#include <cstdint>
#include <string_view>

#include <assent/operation.h>

namespace assent {

// Where a transaction stands.
//
//   kActive --commit--> kCommitting --all finished--> kFinished
//      \------abort---> kAborting   --all undone----> kFinished
enum class TransactionState : std::uint8_t {
  kUnknown = 0,  // said by a newer coordinator, or by nobody
  kActive = 1,
  kCommitting = 2,
  kAborting = 3,
  kFinished = 4,
};

// The logged verdict; kNone until there is one. Written once.
enum class Decision : std::uint8_t { kNone = 0, kCommit = 1, kAbort = 2 };

// What became of a transaction, as its initiator is told.
enum class Outcome : std::uint8_t {
  kUndecided = 0,  // not known yet (only after WaitFor::kAccepted, Wait or Get)
  kCommitted = 1,  // every branch did, or is bound to do, its part
  kAborted = 2,    // every branch undid, or is bound to undo, its part
  kMixed = 3,      // a person resolved branches against the decision
  kHazard = 4,     // it is not known what happened in some branch: look at the branches
};

// Where a branch stands.
enum class BranchState : std::uint8_t {
  kUnknown = 0,    // said by a newer coordinator, or by nobody
  kWaiting = 1,    // not started
  kExecuting = 2,  // PREPARE, TRY or ACTION is due or on its way
  kExecuted = 3,   // it succeeded
  kReadOnly = 4,   // it succeeded, wrote nothing, and is out of phase two; final
  kRefused = 5,    // it said no; final
  kFinishing = 6,  // COMMIT or CONFIRM is due or on its way
  kDone = 7,       // final
  kUndoing = 8,    // ROLLBACK, CANCEL or COMPENSATE is due or on its way
  kUndone = 9,     // final
  kSkipped = 10,   // never ran and never will; final
};
constexpr bool IsFinal(BranchState state) {
  switch (state) {
    case BranchState::kReadOnly:
    case BranchState::kRefused:
    case BranchState::kDone:
    case BranchState::kUndone:
    case BranchState::kSkipped: return true;
    case BranchState::kUnknown:
    case BranchState::kWaiting:
    case BranchState::kExecuting:
    case BranchState::kExecuted:
    case BranchState::kFinishing:
    case BranchState::kUndoing: return false;
  }
  return false;
}

// What became of one attempt.
enum class AttemptResult : std::uint8_t {
  kInFlight = 1,
  kDone = 2,
  kDoneReadOnly = 3,
  kRefused = 4,
  kRetryLater = 5,
  kUnknown = 6,  // it may or may not have happened
  kNotSent = 7,  // certainly never reached the participant
};

// In which order branches start when their own `after` says nothing.
enum class Ordering : std::uint8_t {
  kDefault = 0,     // Saga steps follow one another; other branches start at once
  kSequential = 1,  // every branch follows the one before it
  kDeclared = 2,    // only `after` counts
};

// How long a call waits before it answers.
enum class WaitFor : std::uint8_t {
  kDefault = 0,    // what ClientOptions::wait says
  kAccepted = 1,   // the transaction is durable and will be driven to an end whatever happens
  kDecided = 2,    // the decision is durable: the outcome will not change any more
  kCompleted = 3,  // every branch has carried the decision out
};

// The coordinator's answer about a branch that a participant holds.
enum class Verdict : std::uint8_t {
  kUndecided = 1,   // keep holding; the coordinator will send the decision
  kCommit = 2,      // commit it
  kAbort = 3,       // roll it back; final (also for a gid the coordinator never heard of)
  kCannotTell = 4,  // keep holding and tell a person: the coordinator's log does not reach that far
};

// What keeps an unfinished transaction from ending.
enum class CauseKind : std::uint8_t {
  kNotConnected = 1,  // nobody of the service can be reached
  kNotSentOn = 2,     // somebody of it is there, and it could not be sent all the same
  kFailing = 3,       // the operation is tried again and again
  kContradicted = 4,  // what the participant says contradicts the decision
  kNotAnswered = 5,   // sent, not answered yet; nothing has gone wrong
  kHeld = 6,          // held for a person: the log may lack what became of it
  kNotSealed = 7,     // the initiator has not said Commit yet
  kUnderWay = 8,      // nothing has gone wrong
  kSuspended = 9,     // by a person
};

namespace internal {

inline constexpr std::array<std::string_view, 5> kTransactionStateNames{
    "UNKNOWN", "ACTIVE", "COMMITTING", "ABORTING", "FINISHED"};
inline constexpr std::array<std::string_view, 3> kDecisionNames{"none", "commit", "abort"};
inline constexpr std::array<std::string_view, 5> kOutcomeNames{"UNDECIDED", "COMMITTED", "ABORTED",
                                                               "MIXED", "HAZARD"};
inline constexpr std::array<std::string_view, 11> kBranchStateNames{
    "UNKNOWN",   "WAITING", "EXECUTING", "EXECUTED", "READ_ONLY", "REFUSED",
    "FINISHING", "DONE",    "UNDOING",   "UNDONE",   "SKIPPED"};
inline constexpr std::array<std::string_view, 8> kAttemptResultNames{
    "?", "IN_FLIGHT", "DONE", "DONE_READ_ONLY", "REFUSED", "RETRY_LATER", "UNKNOWN", "NOT_SENT"};

}  // namespace internal

// As on the wire: "ACTIVE".
constexpr std::string_view Name(TransactionState state) {
  return internal::NameIn(internal::kTransactionStateNames, state);
}
// "commit"
constexpr std::string_view Name(Decision decision) {
  return internal::NameIn(internal::kDecisionNames, decision);
}
// "COMMITTED"; "UNDECIDED"
constexpr std::string_view Name(Outcome outcome) {
  return internal::NameIn(internal::kOutcomeNames, outcome);
}
// "EXECUTED"
constexpr std::string_view Name(BranchState state) {
  return internal::NameIn(internal::kBranchStateNames, state);
}
// "DONE"
constexpr std::string_view Name(AttemptResult result) {
  return internal::NameIn(internal::kAttemptResultNames, result);
}

}  // namespace assent
