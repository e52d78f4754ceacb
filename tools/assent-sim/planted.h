#pragma once

// Planted bugs, to test the tests: the switches. The simulator's own sources ask for them by name;
// in the coordinator's they stand in copies (planted/apply.py), of which only `assent-sim-mutants`
// is built. There at most one is switched on, and the simulator has to notice; mutants.h says in
// words what each of them is. In every other build Mutant() is a constant false.

#include <cstdint>

namespace assent {

enum class Planted : std::uint8_t {
  kNone,
  kCanary,
  // core
  kResumeUndecided,
  kCompensateForward,
  kPivotTurnsBack,
  kDecideEarly,
  kDecisionDoesNotGate,
  kStartDoesNotGate,
  kCompensationDoesNotGate,
  kFailedUndoIsSkipped,
  kDeadlineOnWallClock,
  kDeadlineOverCheckBack,
  kOnePhaseAborts,
  kRetryWithoutBackoff,
  kRefusedCommitIsDone,
  kEndBeforeLastAck,
  kAbortBeatsCommit,
  kBranchAfterEnd,
  kTimeoutIsDone,
  kUnknownStepIsSkipped,
  kMissingIsUndecided,
  // engine
  kSendBeforeDurable,
  kTellBeforeDurable,
  kShowBeforeDurable,
  kSwallowWriteError,
  kReuseGid,
  kUndecidedIsAbort,
  kPresumeOutsideHorizon,
  kFullIsSuccess,
  // transport
  kLostIsRefused,
  kLostIsNotSent,
  kTrustReply,
  kWordsAreNotSent,
  kSendExpired,
  // log
  kSyncOff,
  kSendBeforeEpoch,
  kEpochTwice,
  kRowSkippedOnReload,
  kSerialsFromOne,
  kTornGroupIsWhole,
  kGidPrefixIsGid,
  kCollisionIsFatal,
  kRetentionByWallClock,
  kLostWalIsClean,
  // several coordinators
  kFenceWithoutShareLock,
  kFenceByLeaseClock,
  kRetryWithoutReopen,
  kReopenWithoutConn,
  kWarningIsSuccess,
  kLoadBeforeFenceCommits,
  kActOnLoadWithoutCommit,
  kPresumeByNonOwner,
  kHandOverBeforeDrained,
  kDropAnswersUnavailable,
  kPresumeFromDeposedPrimary,
  kObserverTrustsOwnPause,
  kSerialReusedAfterMove,
  kRegressedLogGoesOn,
  kUnfencedRetention,
  kMovedIsForgotten,
  // participant
  kSkipTombstone,
  kDropRefusedRow,
  kAckBeforeCommit,
  kAnswerDifferently,
  kUndoWithoutForward,
  kUndoTwice,
  kForgetBarrierEarly,
  kUndoDropsRow,
  kEnlistOverNo,
  kForgetPrepared,
  kFinishOnlySaid,
  kCommitHitsHolder,
  // the business of participants: only its own books show these
  kDepositLost,
  kTokenTwice,
  kStockNotReturned,
  kCount
};

#ifdef ASSENT_MUTANTS
inline Planted planted = Planted::kNone;  // set once, before any thread starts
inline bool Mutant(Planted which) { return planted == which; }
#else
constexpr bool Mutant(Planted) { return false; }
#endif

}  // namespace assent
