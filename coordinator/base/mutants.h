#pragma once

// Planted bugs, to test the tests. In every build but that of `assent-sim-mutants` Mutant() is a constant false and its
// branch does not exist. There, at most one mutant is switched on, and the simulator has to notice
// (tools/assent-sim/mutants.cc says what each is and how it was found).

#include <cstdint>

namespace assent {

enum class Planted : std::uint8_t {
  kNone,
  // core
  kResumeUndecided,
  kUnknownIsRefused,
  kCompensateForward,
  kCompensateNeverRun,
  kAbortAfterPivot,
  kDecideEarly,
  kDecisionDoesNotGate,
  kBeginDoesNotGate,
  kStartDoesNotGate,
  kPivotDoesNotGate,
  kSkipUnsent,
  kFinishWithUnanswered,
  kDeadlineOnWallClock,
  kStaleAttemptCounts,
  kOnePhaseAborts,
  kRetryWithoutBackoff,
  kAbortBeatsCommit,
  kRefusedIsDone,
  kDeadlineIgnored,
  // engine
  kSendBeforeDurable,
  kTellBeforeDurable,
  kSwallowWriteError,
  kReuseGid,
  kFullDropsUpdate,
  kPresumeAlways,
  kUndecidedIsAbort,
  kAddBranchUnlogged,
  // transport
  kDropOnDetach,
  kTrustReply,
  kDetachLosesFlight,
  // log
  kSyncOff,
  kForgetEarly,
  kRecoverSkipsEpoch,
  kCorruptIsAbsent,
  // participant
  kSkipTombstone,
  kDropRefusedRow,
  kAckBeforeCommit,
  kAnswerDifferently,
  kConfirmWithoutTry,
  kUndoTwice,
  kForgetBarrierEarly,
  kLostPreparedIsDone,
  kCanary,
  kCount
};

#ifdef ASSENT_MUTANTS
extern Planted planted;  // set once, before any thread starts
inline bool Mutant(Planted which) { return planted == which; }
#else
constexpr bool Mutant(Planted) { return false; }
#endif

}  // namespace assent
