#pragma once

// Coverage marks: the rare paths that a campaign must have walked. A mark that a campaign never set
// is a hole in the campaign, and is reported. Marks are set by the simulator from what it sees
// happen; the production code knows nothing of them.

#include <array>
#include <bitset>
#include <cstddef>
#include <cstdint>
#include <string>
#include <vector>

namespace assent::sim {

#define ASSENT_SIM_MARKS(X)                                                                        \
  X(kCancelBeforeForward, "undo arrived before its forward operation and left a tombstone")        \
  X(kLateForwardRefused, "forward operation arrived after its undo and was refused")               \
  X(kForwardRepeated, "forward operation repeated and answered from the barrier")                  \
  X(kFinishRepeated, "finishing operation repeated")                                               \
  X(kUndoRepeated, "undoing operation repeated")                                                   \
  X(kRefusedByBusiness, "participant refused")                                                     \
  X(kRefusedForFunds, "participant refused: not enough in the account")                            \
  X(kClaimConflict, "prepare met a row claimed by another prepared branch")                        \
  X(kReadOnlyVote, "prepare answered read-only")                                                   \
  X(kOnePhase, "single two-phase branch committed in one phase")                                   \
  X(kOnePhaseReplyLost, "one-phase commit happened, its answer was lost, and was found by asking") \
  X(kOnePhasePrevented, "one-phase commit had not happened, and the question prevented it")        \
  X(kPivotDecided, "a pivot's success was the decision")                                           \
  X(kPivotInDoubt, "recovery found a pivot on its way")                                            \
  X(kCommittedByItself, "an initiator committed its own part, about which it is asked")            \
  X(kAskedTooEarly, "who was asked whether an initiator has committed said: not yet")              \
  X(kAnsweredNo, "who was asked whether an initiator has committed said no, for good")             \
  X(kTooLateToCommit, "an initiator wanted to commit, and the answer had been no")                 \
  X(kForwardAfterPivot, "a step after the pivot failed and was retried")                           \
  X(kCompensatedTwo, "two or more steps compensated in one transaction")                           \
  X(kCommitFoundAtRecovery, "recovery found a commit decision and carried it out")                 \
  X(kAbortFoundAtRecovery, "recovery found an abort decision and carried it out")                  \
  X(kPresumedAbort, "recovery aborted an undecided two-phase transaction")                         \
  X(kResumedUndecided, "recovery went on with an undecided TCC or Saga transaction")               \
  X(kBeginLost, "the power went before a begin was durable")                                       \
  X(kDecisionLost, "the power went before a decision was durable")                                 \
  X(kDiedInRecovery, "a second death before the first recovery was over")                          \
  X(kUnsyncedSurvived, "the power went, and unsynchronised groups survived it")                    \
  X(kSeenNotDurable, "a process died with writes seen and not durable")                            \
  X(kSyncFailed, "fsync of the log failed and the process stopped")                                \
  X(kFullRefusedBegin, "the log was full and a begin was refused")                                 \
  X(kFullHeldUpdate, "the log was full and an update was written later")                           \
  X(kDeadlineAbort, "a deadline passed and aborted a transaction")                                 \
  X(kDeadlineWhileSuspended, "a deadline passed while a transaction was suspended")                \
  X(kAttemptTimedOut, "an attempt was given up and made again")                                    \
  X(kStaleReply, "a reply came for a command that nobody waits for")                               \
  X(kLieIgnored, "a reply naming another branch or operation was ignored")                         \
  X(kWordsLied, "a dialled participant executed, and answered in the transport's own words")       \
  X(kSessionLost, "a session broke with commands in flight")                                       \
  X(kHalfOpen, "one side of a stream learnt of its end long before the other")                     \
  X(kBreakerOpened, "a participant that did not answer was left alone for a while")                \
  X(kRouterQueued, "a command waited for room on a session")                                       \
  X(kNotSent, "a command certainly went nowhere")                                                  \
  X(kServiceAbsent, "a transaction waited for a service of which nobody was there")                \
  X(kServiceAppeared, "a parked command left because its service appeared")                        \
  X(kUnaryDuplicated, "a unary command arrived twice")                                             \
  X(kUnaryHoursLate, "a unary command arrived after its transaction had finished")                 \
  X(kParticipantDiedUncommitted, "a participant died with a group uncommitted")                    \
  X(kParticipantDiedUnanswered, "a participant died after its commit and before its answer")       \
  X(kParticipantUnknownCommit, "a participant's own commit had an unknown outcome")                \
  X(kParticipantFull, "a participant's disk was full")                                             \
  X(kCallJoined, "a repeated command joined the call that was running")                            \
  X(kQuestionCommit, "a held branch asked and was told commit")                                    \
  X(kQuestionAbort, "a held branch asked and was told abort")                                      \
  X(kQuestionUndecided, "a held branch asked and nothing was decided")                             \
  X(kBarrierRetired, "a barrier row was removed after its retention")                              \
  X(kRetriedAfterEnd, "an initiator repeated a finished transaction and got its answer")           \
  X(kJoinedLive, "an initiator repeated a live transaction and joined it")                         \
  X(kOtherContent, "a gid was used with other content and refused")                                \
  X(kAskedForgotten, "an initiator asked after the record was gone")                               \
  X(kInteractiveCommitted, "an interactive transaction committed")                                 \
  X(kInteractiveAborted, "an interactive transaction was rolled back by its initiator")            \
  X(kInteractiveVanished, "the initiator of an interactive transaction vanished")                  \
  X(kOperatorAbort, "an operator aborted")                                                         \
  X(kOperatorResolve, "an operator resolved a branch by hand")                                     \
  X(kOperatorResume, "an operator resumed what was suspended")                                     \
  X(kHazardHealed, "phase two was refused, and done later")                                        \
  X(kNeedsOperator, "a branch asked for a person's attention")                                     \
  X(kMixed, "a transaction ended mixed, and says so")                                              \
  X(kPaused, "the coordinator stood still for longer than its timeouts")                           \
  X(kWallJumped, "the wall clock jumped by hours")                                                 \
  X(kWallLeapt, "the wall clock leapt by more than the retention, with history to lose")           \
  X(kLostWalNoticed, "the WAL was gone between two starts, and the start was refused")             \
  X(kSetAside, "a transaction whose gid was taken came to its end, and was set aside")             \
  X(kParticipantStopped, "a participant stood still for longer than the timeouts, and went on")    \
  X(kTornGroup,                                                                                    \
    "the power went while a group was being written: part of it is on the disk, none of it "       \
    "counts")                                                                                      \
  X(kRestored, "an older copy of the log was put back")                                            \
  X(kRestoredMissed, "a copy that was put back had missed a transaction")                          \
  X(kCannotTell,                                                                                   \
    "a participant asked about an epoch that the log has missed, and was told CANNOT_TELL")        \
  X(kRestoredBegunAgain, "an initiator repeated what a restored log had missed, and it ran again") \
  X(kTooManyLive, "a begin was refused: too many transactions")                                    \
  X(kLogQueueFull, "an append was refused: the log's queue was full")                              \
  X(kTokenTakenBack, "a token or an order that stood was taken back by its compensation")          \
  X(kStockReturned, "what was held went back to what is available")                                \
  X(kTakenOver, "a member was fenced, and another has its slots")                                  \
  X(kHandedOver, "a slot changed hands between two that run")                                      \
  X(kFencedAlive, "a member that runs finds itself fenced, and ends")                              \
  X(kFenceWaited, "a fence met a group that did not end, and ended its connection")                \
  X(kSettledYes, "a group whose answer was lost was found committed")                              \
  X(kSettledNo, "a group whose answer was lost was found not committed, and written again")        \
  X(kArrivedLate, "a group arrived after its writer had settled it, and was refused")              \
  X(kStaleOwnerSends, "a member that has lost a slot, and does not know yet, sends for it")        \
  X(kRegressed, "a fail-over lost what was acknowledged, and its writer stopped")                  \
  X(kDeposedRead, "a primary that was deposed was read from, and what it said was not believed")   \
  X(kForwarded, "a request reached its owner through another coordinator")                         \
  X(kStoreWarned, "a commit was acknowledged with a warning, and settled")                         \
  X(kDrained, "a member gave all of its slots away, and left")                                     \
  X(kFencedStopped,                                                                                \
    "a member stood still, was fenced meanwhile, went on, and ended when it heard of it")          \
  X(kFencedCutOff, "a member was cut off from the store, fenced meanwhile, and ended behind that") \
  X(kAllDown, "all members died at once")                                                          \
  X(kHalfGroup, "half of a group arrived, and held its locks until somebody ended it")             \
  X(kHalfMessage, "half of another message arrived, and nothing of it was done")                   \
  X(kStoreAway, "the store was away for longer than the lease")                                    \
  X(kStandbyGone, "the standby was away for longer than the lease, and every commit waited")       \
  X(kStoreRestored, "an older state of the store was put back, as a new generation")               \
  X(kHeldForPeople, "a store lacked what became of a transaction, and it was held for people")     \
  X(kHeldWasCommitted, "people found that what a store had lost the decision of was committed")    \
  X(kNoticedAtRest, "a lane at rest noticed that a fail-over had lost something of it")            \
  X(kGrantLost, "a slot was given to a member, and a fail-over lost that before it was loaded")    \
  X(kLostSender, "a member sends for what a fail-over has lost, and does not know yet")            \
  X(kPeersCut, "nothing passed between two members, and a request was lost there")                 \
  X(kForwardAnswerLost, "a request was carried out for another member, and the answer lost")       \
  X(kReachesSome, "a participant had sessions to some of the members, and could not reach one")    \
  X(kEpochRaised, "a member goes on in a store that was put back, under a higher slot epoch")      \
  X(kClockBehind, "a slot came from a member whose clock is hours ahead")                          \
  X(kSlotSetAside, "a slot with a row that cannot be read was set aside, and the others served")   \
  X(kOldRowGone, "what had been kept for its time was removed in a slot that had moved")

enum class Mark : std::uint8_t {
#define ASSENT_SIM_MARK(name, text) name,
  ASSENT_SIM_MARKS(ASSENT_SIM_MARK)
#undef ASSENT_SIM_MARK
      kCount
};

class Marks {
 public:
  void Set(Mark mark) { bits_.set(static_cast<std::size_t>(mark)); }
  bool Has(std::size_t mark) const { return bits_.test(mark); }
  static constexpr std::size_t kCount = static_cast<std::size_t>(Mark::kCount);

 private:
  std::bitset<kCount> bits_;
};

// In how many schedules of a campaign each was reached.
class MarkCounts {
 public:
  void Add(const Marks& schedule);
  void Add(const MarkCounts& other);
  std::uint64_t operator[](std::size_t mark) const { return counts_[mark]; }
  static std::string Name(std::size_t mark);  // "kName: sentence"
  // Names of those never reached, in the order above.
  std::vector<std::string> Missed() const;

 private:
  std::array<std::uint64_t, Marks::kCount> counts_{};
};

}  // namespace assent::sim
