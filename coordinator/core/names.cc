#include "coordinator/core/types.h"

namespace assent::core {

std::string_view Name(Protocol protocol) {
  switch (protocol) {
    case Protocol::kTwoPhase: return "2pc";
    case Protocol::kTcc: return "tcc";
    case Protocol::kSaga: return "saga";
  }
  return "?";
}

std::string_view Name(Operation operation) {
  switch (operation) {
    case Operation::kNone: return "NONE";
    case Operation::kPrepare: return "PREPARE";
    case Operation::kCommit: return "COMMIT";
    case Operation::kRollback: return "ROLLBACK";
    case Operation::kTry: return "TRY";
    case Operation::kConfirm: return "CONFIRM";
    case Operation::kCancel: return "CANCEL";
    case Operation::kAction: return "ACTION";
    case Operation::kCompensate: return "COMPENSATE";
  }
  return "?";
}

std::string_view Name(Decision decision) {
  switch (decision) {
    case Decision::kNone: return "none";
    case Decision::kCommit: return "commit";
    case Decision::kAbort: return "abort";
  }
  return "?";
}

std::string_view Name(Outcome outcome) {
  switch (outcome) {
    case Outcome::kNone: return "UNDECIDED";
    case Outcome::kCommitted: return "COMMITTED";
    case Outcome::kAborted: return "ABORTED";
    case Outcome::kMixed: return "MIXED";
    case Outcome::kHazard: return "HAZARD";
  }
  return "?";
}

std::string_view Name(Phase phase) {
  switch (phase) {
    case Phase::kActive: return "ACTIVE";
    case Phase::kCommitting: return "COMMITTING";
    case Phase::kAborting: return "ABORTING";
    case Phase::kFinished: return "FINISHED";
  }
  return "?";
}

std::string_view Name(BranchState state) {
  switch (state) {
    case BranchState::kWaiting: return "WAITING";
    case BranchState::kExecuting: return "EXECUTING";
    case BranchState::kExecuted: return "EXECUTED";
    case BranchState::kReadOnly: return "READ_ONLY";
    case BranchState::kRefused: return "REFUSED";
    case BranchState::kFinishing: return "FINISHING";
    case BranchState::kDone: return "DONE";
    case BranchState::kUndoing: return "UNDOING";
    case BranchState::kUndone: return "UNDONE";
    case BranchState::kSkipped: return "SKIPPED";
  }
  return "?";
}

std::string_view Name(AttemptResult result) {
  switch (result) {
    case AttemptResult::kInFlight: return "IN_FLIGHT";
    case AttemptResult::kDone: return "DONE";
    case AttemptResult::kDoneReadOnly: return "DONE_READ_ONLY";
    case AttemptResult::kRefused: return "REFUSED";
    case AttemptResult::kRetryLater: return "RETRY_LATER";
    case AttemptResult::kUnknown: return "UNKNOWN";
    case AttemptResult::kNotSent: return "NOT_SENT";
  }
  return "?";
}

}  // namespace assent::core
