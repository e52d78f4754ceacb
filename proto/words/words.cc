#include "proto/words/words.h"

namespace assent::wire {

// The same numbers: all of them, so that a word that only one side gets is noticed here.

static_assert(ToWire(Protocol::kTwoPhase) == v1::TWO_PHASE);
static_assert(ToWire(Protocol::kTcc) == v1::TCC);
static_assert(ToWire(Protocol::kSaga) == v1::Protocol_MAX && v1::Protocol_MAX == v1::SAGA);

static_assert(ToWire(kNoOperation) == v1::OPERATION_UNSPECIFIED);
static_assert(ToWire(Operation::kPrepare) == v1::PREPARE);
static_assert(ToWire(Operation::kCommit) == v1::COMMIT);
static_assert(ToWire(Operation::kRollback) == v1::ROLLBACK);
static_assert(ToWire(Operation::kTry) == v1::TRY);
static_assert(ToWire(Operation::kConfirm) == v1::CONFIRM);
static_assert(ToWire(Operation::kCancel) == v1::CANCEL);
static_assert(ToWire(Operation::kAction) == v1::ACTION);
static_assert(ToWire(Operation::kCompensate) == v1::COMPENSATE);
static_assert(v1::Operation_MAX == v1::COMPENSATE);

static_assert(ToWire(Decision::kNone) == v1::DECISION_UNSPECIFIED);
static_assert(ToWire(Decision::kCommit) == v1::DECISION_COMMIT);
static_assert(ToWire(Decision::kAbort) == v1::DECISION_ABORT);
static_assert(v1::Decision_MAX == v1::DECISION_ABORT);

static_assert(ToWire(Outcome::kUndecided) == v1::OUTCOME_UNSPECIFIED);
static_assert(ToWire(Outcome::kCommitted) == v1::COMMITTED);
static_assert(ToWire(Outcome::kAborted) == v1::ABORTED);
static_assert(ToWire(Outcome::kMixed) == v1::MIXED);
static_assert(ToWire(Outcome::kHazard) == v1::HAZARD && v1::Outcome_MAX == v1::HAZARD);

static_assert(ToWire(TransactionState::kUnknown) == v1::TRANSACTION_STATE_UNSPECIFIED);
static_assert(ToWire(TransactionState::kActive) == v1::ACTIVE);
static_assert(ToWire(TransactionState::kCommitting) == v1::COMMITTING);
static_assert(ToWire(TransactionState::kAborting) == v1::ABORTING);
static_assert(ToWire(TransactionState::kFinished) == v1::FINISHED);
static_assert(v1::TransactionState_MAX == v1::FINISHED);

static_assert(ToWire(BranchState::kUnknown) == v1::BRANCH_STATE_UNSPECIFIED);
static_assert(ToWire(BranchState::kWaiting) == v1::WAITING);
static_assert(ToWire(BranchState::kExecuting) == v1::EXECUTING);
static_assert(ToWire(BranchState::kExecuted) == v1::EXECUTED);
static_assert(ToWire(BranchState::kReadOnly) == v1::READ_ONLY);
static_assert(ToWire(BranchState::kRefused) == v1::REFUSED);
static_assert(ToWire(BranchState::kFinishing) == v1::FINISHING);
static_assert(ToWire(BranchState::kDone) == v1::DONE);
static_assert(ToWire(BranchState::kUndoing) == v1::UNDOING);
static_assert(ToWire(BranchState::kUndone) == v1::UNDONE);
static_assert(ToWire(BranchState::kSkipped) == v1::SKIPPED && v1::BranchState_MAX == v1::SKIPPED);

static_assert(ToWire(AttemptResult::kInFlight) == v1::Attempt::IN_FLIGHT);
static_assert(ToWire(AttemptResult::kDone) == v1::Attempt::DONE);
static_assert(ToWire(AttemptResult::kDoneReadOnly) == v1::Attempt::DONE_READ_ONLY);
static_assert(ToWire(AttemptResult::kRefused) == v1::Attempt::REFUSED);
static_assert(ToWire(AttemptResult::kRetryLater) == v1::Attempt::RETRY_LATER);
static_assert(ToWire(AttemptResult::kUnknown) == v1::Attempt::UNKNOWN);
static_assert(ToWire(AttemptResult::kNotSent) == v1::Attempt::NOT_SENT);
static_assert(v1::Attempt::Result_MAX == v1::Attempt::NOT_SENT);

static_assert(ToWire(Ordering::kDefault) == v1::ORDERING_UNSPECIFIED);
static_assert(ToWire(Ordering::kSequential) == v1::ORDERING_SEQUENTIAL);
static_assert(ToWire(Ordering::kDeclared) == v1::ORDERING_DECLARED);
static_assert(v1::Ordering_MAX == v1::ORDERING_DECLARED);

static_assert(ToWire(WaitFor::kDefault) == v1::WAIT_UNSPECIFIED);
static_assert(ToWire(WaitFor::kAccepted) == v1::WAIT_ACCEPTED);
static_assert(ToWire(WaitFor::kDecided) == v1::WAIT_DECIDED);
static_assert(ToWire(WaitFor::kCompleted) == v1::WAIT_COMPLETED);
static_assert(v1::WaitFor_MAX == v1::WAIT_COMPLETED);

static_assert(ToWire(ReplyKind::kDone) == v1::BranchReply::DONE);
static_assert(ToWire(ReplyKind::kDoneReadOnly) == v1::BranchReply::DONE_READ_ONLY);
static_assert(ToWire(ReplyKind::kRefused) == v1::BranchReply::REFUSED);
static_assert(ToWire(ReplyKind::kRetryLater) == v1::BranchReply::RETRY_LATER);
static_assert(v1::BranchReply::Kind_MAX == v1::BranchReply::RETRY_LATER);

static_assert(ToWire(Verdict::kUndecided) == v1::OutcomeAnswer::UNDECIDED);
static_assert(ToWire(Verdict::kCommit) == v1::OutcomeAnswer::COMMIT);
static_assert(ToWire(Verdict::kAbort) == v1::OutcomeAnswer::ABORT);
static_assert(ToWire(Verdict::kCannotTell) == v1::OutcomeAnswer::CANNOT_TELL);
static_assert(v1::OutcomeAnswer::Verdict_MAX == v1::OutcomeAnswer::CANNOT_TELL);

static_assert(ToWire(CauseKind::kNotConnected) == v1::NOT_CONNECTED);
static_assert(ToWire(CauseKind::kNotSentOn) == v1::NOT_SENT_ON);
static_assert(ToWire(CauseKind::kFailing) == v1::FAILING);
static_assert(ToWire(CauseKind::kContradicted) == v1::CONTRADICTED);
static_assert(ToWire(CauseKind::kNotAnswered) == v1::NOT_ANSWERED);
static_assert(ToWire(CauseKind::kHeld) == v1::HELD);
static_assert(ToWire(CauseKind::kNotSealed) == v1::NOT_SEALED);
static_assert(ToWire(CauseKind::kUnderWay) == v1::UNDER_WAY);
static_assert(ToWire(CauseKind::kSuspended) == v1::SUSPENDED && v1::CauseKind_MAX == v1::SUSPENDED);

static_assert(ToWire(EventKind::kBegan) == v1::BEGAN);
static_assert(ToWire(EventKind::kDecided) == v1::DECIDED);
static_assert(ToWire(EventKind::kEnded) == v1::ENDED);
static_assert(ToWire(EventKind::kNeedsPerson) == v1::NEEDS_PERSON);
static_assert(ToWire(EventKind::kNeedsNobody) == v1::NEEDS_NOBODY);
static_assert(ToWire(EventKind::kIntervened) == v1::INTERVENED);
static_assert(ToWire(EventKind::kServiceAway) == v1::SERVICE_AWAY);
static_assert(ToWire(EventKind::kNobodyWaits) == v1::NOBODY_WAITS);
static_assert(v1::EventKind_MAX == v1::NOBODY_WAITS);
static_assert(v1::EventKind_ARRAYSIZE == kEventKindsCount);

}  // namespace assent::wire
