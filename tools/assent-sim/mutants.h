#pragma once

// Tests of the tests: what each planted bug is (planted.h), and whether the simulator notices it.

#include <array>
#include <cstdint>

#include "tools/assent-sim/planted.h"

namespace assent::sim {

struct MutantText {
  Planted which;
  const char* name;
  const char* says;
  // Not null: only a rule of this name notices it (workloads.h), which is shown by switching those
  // rules off.
  const char* only = nullptr;
};

inline constexpr std::array kMutants = {
    MutantText{Planted::kResumeUndecided, "resume-undecided",
               "recovery goes on with an undecided two-phase transaction"},
    MutantText{Planted::kCompensateForward, "compensate-forward",
               "steps are compensated all at once, not in reverse order"},
    MutantText{Planted::kPivotTurnsBack, "pivot-turns-back",
               "a pivot on its way is given up and compensated"},
    MutantText{Planted::kDecideEarly, "decide-early", "commit is decided without all the votes"},
    MutantText{Planted::kDecisionDoesNotGate, "decision-does-not-gate",
               "the decision is sent before it is durable"},
    MutantText{Planted::kStartDoesNotGate, "start-does-not-gate",
               "a branch starts before what it rests on is durable"},
    MutantText{Planted::kCompensationDoesNotGate, "compensation-does-not-gate",
               "a compensation is sent before its intent is durable"},
    MutantText{Planted::kFailedUndoIsSkipped, "failed-undo-is-skipped",
               "an undoing operation that failed counts as not needed"},
    MutantText{Planted::kDeadlineOnWallClock, "deadline-on-wall-clock",
               "the deadline is read off the clock for people"},
    MutantText{Planted::kOnePhaseAborts, "one-phase-aborts",
               "a one-phase branch in doubt is aborted without asking it"},
    MutantText{Planted::kRetryWithoutBackoff, "retry-without-backoff",
               "what failed is sent again at once"},
    MutantText{Planted::kRefusedCommitIsDone, "refused-commit-is-done",
               "a refusal in phase two is taken for done (\"unknown XID\")"},
    MutantText{Planted::kEndBeforeLastAck, "end-before-last-ack",
               "a transaction is forgotten before its last acknowledgement"},
    MutantText{Planted::kAbortBeatsCommit, "abort-beats-commit",
               "an abort overwrites a decision to commit"},
    MutantText{Planted::kBranchAfterEnd, "branch-after-end",
               "a branch is registered after commit was asked for"},
    MutantText{Planted::kSendBeforeDurable, "send-before-durable",
               "effects leave the engine before their record is durable"},
    MutantText{Planted::kTellBeforeDurable, "tell-before-durable",
               "a decision is shown before it is durable"},
    MutantText{Planted::kShowBeforeDurable, "show-before-durable",
               "what a person declared is shown before it is durable"},
    MutantText{Planted::kSwallowWriteError, "swallow-write-error",
               "an I/O error of the log is taken for success"},
    MutantText{Planted::kReuseGid, "reuse-gid", "the gid of a finished transaction begins another"},
    MutantText{Planted::kUndecidedIsAbort, "undecided-is-abort",
               "a participant that asks about an undecided transaction is told abort"},
    MutantText{Planted::kLostIsRefused, "lost-is-refused",
               "a lost session (UNAVAILABLE) is taken for a refusal"},
    MutantText{Planted::kLostIsNotSent, "lost-is-not-sent",
               "a command in flight on a lost session counts as never sent"},
    MutantText{Planted::kTrustReply, "trust-reply",
               "a reply is believed that names another transaction or operation"},
    MutantText{
        Planted::kWordsAreNotSent, "words-are-not-sent",
        "a participant's words are taken for the transport's knowledge that nothing was sent"},
    MutantText{Planted::kSendExpired, "send-expired",
               "an expired command stays where it waits, and is sent late"},
    MutantText{Planted::kSyncOff, "sync-off",
               "the log reports durable what it did not synchronise"},
    MutantText{Planted::kSendBeforeEpoch, "send-before-epoch",
               "recovered rows are acted on before the epoch is durable"},
    MutantText{Planted::kEpochTwice, "epoch-twice", "two starts get the same epoch"},
    MutantText{Planted::kRowSkippedOnReload, "row-skipped-on-reload",
               "recovery leaves out rows that it should replay"},
    MutantText{Planted::kSkipTombstone, "skip-tombstone",
               "an undo without its forward operation leaves no tombstone"},
    MutantText{Planted::kDropRefusedRow, "drop-refused-row",
               "the barrier row goes with the first refusal"},
    MutantText{Planted::kAckBeforeCommit, "ack-before-commit",
               "a participant answers before its local commit"},
    MutantText{Planted::kAnswerDifferently, "answer-differently",
               "a repeated request gets another answer than the first"},
    MutantText{Planted::kUndoWithoutForward, "undo-without-forward",
               "a never-run operation is undone all the same"},
    MutantText{Planted::kUndoTwice, "undo-twice", "a repeated undo undoes again"},
    MutantText{Planted::kForgetBarrierEarly, "forget-barrier-early",
               "a barrier row is removed while messages may still come"},
    MutantText{Planted::kTimeoutIsDone, "timeout-is-done",
               "phase two without an answer counts as done"},
    MutantText{Planted::kUnknownStepIsSkipped, "unknown-step-is-skipped",
               "a step that was sent and not answered is left alone by the abort"},
    MutantText{Planted::kPresumeOutsideHorizon, "presume-outside-horizon",
               "abort is presumed of epochs that a restored log has missed"},
    MutantText{Planted::kFullIsSuccess, "full-is-success",
               "what a full log refused runs all the same, unlogged"},
    MutantText{Planted::kSerialsFromOne, "serials-from-one",
               "row numbers are given out again after a restart"},
    MutantText{Planted::kTornGroupIsWhole, "torn-group-is-whole",
               "recovery takes what it finds of a group that was torn"},
    MutantText{Planted::kGidPrefixIsGid, "gid-prefix-is-gid",
               "a gid finds a transaction whose gid only begins like it"},
    MutantText{Planted::kRetentionByWallClock, "retention-by-wall-clock",
               "what has finished is removed by its age on the clock for people"},
    MutantText{Planted::kCollisionIsFatal, "collision-is-fatal",
               "an end under a gid that is taken ends the coordinator, at each start again"},
    MutantText{Planted::kLostWalIsClean, "lost-wal-is-clean",
               "a start takes a WAL that is gone for a tidy end"},
    MutantText{Planted::kUndoDropsRow, "undo-drops-row",
               "the barrier row goes with the undo, and a late forward operation runs again"},
    MutantText{Planted::kForgetPrepared, "forget-prepared",
               "a participant that restarts has forgotten what it prepared"},
    MutantText{Planted::kFinishOnlySaid, "finish-only-said",
               "a commit or confirm is answered done, and nothing is done"},
    MutantText{Planted::kCommitHitsHolder, "commit-hits-holder",
               "a repeated commit commits whoever holds the row now"},
    MutantText{Planted::kDepositLost, "deposit-lost",
               "a confirmed deposit is answered and not made", "W1"},
    MutantText{Planted::kTokenTwice, "token-twice",
               "a repeated append is answered from the barrier, and appends again", "W2"},
    MutantText{Planted::kStockNotReturned, "stock-not-returned",
               "cancelled stock does not go back on the shelf", "W"},
};
static_assert(kMutants.size() + 2 == static_cast<std::size_t>(Planted::kCount),
              "every planted bug but the canary is in the table");

}  // namespace assent::sim
