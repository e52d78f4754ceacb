#include <assent/call.h>
#include <assent/transaction.h>

namespace assent {

const char* OperationName(Operation operation) {
  switch (operation) {
    case Operation::kPrepare: return "PREPARE";
    case Operation::kCommit: return "COMMIT";
    case Operation::kRollback: return "ROLLBACK";
    case Operation::kTry: return "TRY";
    case Operation::kConfirm: return "CONFIRM";
    case Operation::kCancel: return "CANCEL";
    case Operation::kAction: return "ACTION";
    case Operation::kCompensate: return "COMPENSATE";
  }
  return "INVALID_OPERATION";
}

const char* ProtocolName(Protocol protocol) {
  switch (protocol) {
    case Protocol::kTwoPhase: return "2pc";
    case Protocol::kTcc: return "tcc";
    case Protocol::kSaga: return "saga";
  }
  return "invalid";
}

const char* OutcomeName(Outcome outcome) {
  switch (outcome) {
    case Outcome::kUndecided: return "undecided";
    case Outcome::kCommitted: return "committed";
    case Outcome::kAborted: return "aborted";
    case Outcome::kMixed: return "mixed";
    case Outcome::kHazard: return "hazard";
  }
  return "invalid";
}

const char* TransactionStateName(TransactionState state) {
  switch (state) {
    case TransactionState::kUnknown: return "unknown";
    case TransactionState::kActive: return "active";
    case TransactionState::kCommitting: return "committing";
    case TransactionState::kAborting: return "aborting";
    case TransactionState::kFinished: return "finished";
  }
  return "invalid";
}

const char* BranchStateName(BranchState state) {
  switch (state) {
    case BranchState::kUnknown: return "unknown";
    case BranchState::kWaiting: return "waiting";
    case BranchState::kExecuting: return "executing";
    case BranchState::kExecuted: return "executed";
    case BranchState::kReadOnly: return "read-only";
    case BranchState::kRefused: return "refused";
    case BranchState::kFinishing: return "finishing";
    case BranchState::kDone: return "done";
    case BranchState::kUndoing: return "undoing";
    case BranchState::kUndone: return "undone";
    case BranchState::kSkipped: return "skipped";
  }
  return "invalid";
}

}  // namespace assent
