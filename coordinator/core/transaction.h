#pragma once

// One global transaction as a pure state machine: Apply(event, now) returns what must become
// durable and what may be done once it is. No I/O, no clock, no randomness, no thread; the same
// events give the same steps. Read protocol.h first.
//
// Invariant: an effect is justified by the transaction's state as of the record it is returned
// with. The shell must not perform the effects of a step before that step's record, and every
// gating record before it, is durable.

#include <algorithm>
#include <cstddef>
#include <cstdint>
#include <string>
#include <string_view>
#include <variant>
#include <vector>

#include <assent/status.h>

#include "coordinator/core/attempts.h"
#include "coordinator/core/protocol.h"
#include "coordinator/core/types.h"

namespace assent::core {

// ---- Events: what happens to a transaction ------------------------------------------------------

// First event of every transaction.
struct Begin {
  // That of the coordinator's start in which the transaction began; part of its identity for
  // participants.
  std::uint64_t epoch = 0;
};
// First event after a restart, on a transaction decoded from the log.
struct Recover {
  // Of the store that it was read from (log.h). Above the transaction's own: what others did to it
  // later may be missing, and undecided says nothing.
  std::uint64_t generation = 0;
};
// One more branch, normalised (spec.h). Open transactions only.
struct AddBranch {
  BranchSpec spec;
};
// The initiator of an open transaction asks for its commit.
struct Seal {};
// A participant answered, or the transport says what it knows instead.
struct Answered {
  BranchIndex branch = 0;
  Operation operation = kNoOperation;
  std::uint32_t attempt = 0;
  // kUnknown is not kRefused: the first may have happened. kNotSent certainly did not.
  AttemptResult result = AttemptResult::kUnknown;
  std::string bytes;   // kDone
  std::string reason;  // otherwise
  Millis retry_after{0};
  // With kNotSent: nobody of the service can be reached. ServiceAppeared will come when that
  // changes.
  bool service_absent = false;
  // kRetryLater: what another transaction has prepared stands in the way, for a moment.
  bool waits_for_rows = false;
};
// An older transaction waits for what this one has prepared at `service`. It gives way (aborts) if
// it waits for something itself: each might hold what the other needs.
struct GiveWay {
  std::string older_gid;
  WallTime older_began;
  std::string service;
};
// Time has passed: at or after Wakeup().
struct Tick {};
// Who and why, of a person or an initiator; recorded when `verb` is not empty.
struct Actor {
  std::string who;
  std::string reason;
};
struct Abort {
  Actor actor;
  bool by_operator = false;
};
struct Suspend {
  Actor actor;
};
struct Resume {
  Actor actor;
};
struct RetryNow {
  Actor actor;
};
// The initiator has come again: what it was to be asked about has an answer now, perhaps.
struct CheckBack {};
// A participant of this service has appeared: what could not be sent to it is due now.
struct ServiceAppeared {
  std::string service;
};
// A person declares what happened at a participant.
struct Resolve {
  Actor actor;
  BranchIndex branch = 0;
  Decision resolution = Decision::kNone;
};

using Event = std::variant<Begin, Recover, AddBranch, Seal, Answered, Tick, Abort, Suspend, Resume,
                           RetryNow, CheckBack, ServiceAppeared, Resolve, GiveWay>;

// ---- Steps: what must be durable, and what may be done then -------------------------------------

// What of a step must reach the log. The record itself is always the whole state (codec.h), so that
// the latest one is all that recovery needs. Ordered: a later kind includes what an earlier one
// asks for.
enum class Record : std::uint8_t {
  kNone,      // nothing that recovery could not find out again
  kLazy,      // worth keeping (an attempt's error); rides with the next batch and gates nothing
  kProgress,  // gates the effects: a branch starts only when what it comes after is durable
  kBegin,     // gates: the list of participants is durable before the first send
  kDecision,  // gates: the verdict is durable before anybody hears of it
  kEnd,       // finished; gates only if the decision is taken in this very step
};

// Ask a branch its due operation.
struct Send {
  BranchIndex branch = 0;
  Operation operation = kNoOperation;
  std::uint32_t attempt = 0;
  bool one_phase = false;
  friend bool operator==(const Send&, const Send&) = default;
};

enum class Milestone : std::uint8_t {
  kAccepted,        // it will be driven to an end whatever happens
  kBranchAnswered,  // the forward operation of `branch` has an answer
  kDecided,
  kCompleted,
  kIntervened,  // what a person did is recorded
};
// Tell those who wait.
struct Announce {
  Milestone milestone = Milestone::kAccepted;
  BranchIndex branch = 0;
  friend bool operator==(const Announce&, const Announce&) = default;
};

using Effect = std::variant<Send, Announce>;

struct Step {
  // Not OK: the event was refused; the rest of the step is what time alone had made due. Only for
  // Seal, AddBranch, Abort, Suspend, Resume, RetryNow and Resolve.
  Status status;
  Record record = Record::kNone;
  // The effects wait for `record`, even when they would not need it.
  bool gating = false;
  std::vector<Effect> effects;

  // At least `kind`; and what gates once, gates.
  void Require(Record kind, bool gates) {
    record = std::max(record, kind);
    gating = gating || gates;
  }
};

// ---- State --------------------------------------------------------------------------------------

struct Branch {
  BranchState state = BranchState::kWaiting;
  // A send of the due operation is unanswered.
  bool in_flight = false;
  // Some forward send may have reached the participant.
  bool maybe_sent = false;
  // Nothing is known of some forward send: not even that it did not happen. Not recorded: recovery
  // assumes it of everything that was on its way.
  bool doubtful = false;
  // PREPARE carried one_phase: the participant's local commit is the decision.
  bool one_phase = false;
  // Phase two (or a step after the pivot) was refused, or has failed often. Still retried.
  bool needs_operator = false;
  // Phase two was refused: what the participant says contradicts the decision.
  bool hazard = false;
  // What a person declared.
  Decision resolved = Decision::kNone;
  // Sends of the due operation so far; of those, the ones that were certainly not sent.
  std::uint32_t attempts = 0;
  std::uint32_t not_sent = 0;
  MonoTime sent_at{};
  MonoTime next_attempt = kNever;  // when not in flight and something is due
  // Since when nobody of its service could be reached; kNever: it is not known to be so. Not
  // recorded: recovery asks, and is told again. Until somebody appears nothing is sent, and no time
  // is set for it.
  MonoTime absent_since = kNever;
  std::string result;  // of the forward operation
  std::string last_error;
  AttemptHistory history;
};

class Transaction {
 public:
  // `spec` must have passed Normalise. Apply(Begin) comes next.
  explicit Transaction(TransactionSpec spec);

  // Takes one event, once. `now.mono` never goes back.
  Step Apply(const Event& event, const Now& now);

  // When Tick is next of use; kNever if only an answer or a person can move it on.
  MonoTime Wakeup() const;

  // The shell learnt when the decision's record became durable.
  void NoteDecisionDurable(WallTime when) { decided_at_ = when; }
  // The shell performs a Send now: what its record took to become durable is no part of the
  // attempt.
  void NoteSent(const Send& send, const Now& now);
  // Before it is encoded: the store's generation, in which its owner knows that this is the newest
  // state there is. Not of one that is held.
  void NoteGeneration(std::uint64_t generation);

  const TransactionSpec& spec() const { return spec_; }
  const std::string& gid() const { return spec_.gid; }
  Phase phase() const { return phase_; }
  Decision decision() const { return decision_; }
  Outcome outcome() const;
  bool finished() const { return phase_ == Phase::kFinished; }
  bool sealed() const { return sealed_; }
  bool suspended() const { return suspended_; }
  // It may have been decided, unknown to this log. Suspended until a person says how it goes on:
  // aborts it, resolves a branch (then that is how it was decided), or resumes it.
  bool held() const { return held_; }
  bool needs_operator() const;
  // Nothing moves it on until a participant that is away is back, and a start goes on where it
  // stands: nobody gains by waiting for it to end.
  bool Rests() const;
  const std::string& abort_reason() const { return abort_reason_; }
  const std::vector<Branch>& branches() const { return branches_; }
  Operation Due(BranchIndex branch) const;
  WallTime began_at() const { return began_at_; }
  WallTime deadline_at() const { return deadline_at_; }
  WallTime decided_at() const { return decided_at_; }
  WallTime finished_at() const { return finished_at_; }
  std::uint64_t began_epoch() const { return began_epoch_; }
  std::uint64_t generation() const { return generation_; }
  std::uint32_t recoveries() const { return recoveries_; }
  const std::vector<Intervention>& interventions() const { return interventions_; }
  // Branches that were part of the spec from the beginning; the rest were added one by one.
  std::size_t initial_branches() const { return initial_branches_; }
  // The index of a branch id, or branches().size().
  std::size_t FindBranch(std::string_view id) const;
  // Whether its initiator has committed is open, and asked.
  bool ChecksBack() const;
  // It has prepared work that nothing but its decision will free; anywhere, or at `service`.
  bool HoldsPrepared(std::string_view service = {}) const;

 private:
  friend class Codec;

  void On(const Begin& event, const Now& now, Step& step);
  void On(const Recover&, const Now& now, Step& step);
  void On(const AddBranch& event, const Now& now, Step& step);
  void On(const Seal&, const Now& now, Step& step);
  void On(const Answered& event, const Now& now, Step& step);
  void On(const Tick&, const Now& now, Step& step);
  void On(const Abort& event, const Now& now, Step& step);
  void On(const Suspend& event, const Now& now, Step& step);
  void On(const Resume& event, const Now& now, Step& step);
  void On(const RetryNow& event, const Now& now, Step& step);
  void On(const CheckBack&, const Now& now, Step& step);
  void On(const ServiceAppeared& event, const Now& now, Step& step);
  void On(const Resolve& event, const Now& now, Step& step);
  void On(const GiveWay& event, const Now& now, Step& step);

  // What the answers to a branch's operations mean.
  void ForwardDone(BranchIndex i, const Answered& event, const Now& now, Step& step);
  void ForwardRefused(BranchIndex i, const Answered& event, const Now& now, Step& step);
  // … of a finishing or an undoing operation, or of a step after the pivot.
  void FollowingDone(BranchIndex i, const Answered& event, const Now& now, Step& step);
  void FollowingRefused(BranchIndex i, const Answered& event, const Now& now, Step& step);
  void Failed(BranchIndex i, const Answered& event, const Now& now, Step& step);
  // The log may lack what became of it.
  void Hold();
  // A person knows more than the log.
  void Release() { held_ = suspended_ = false; }
  Status HeldStatus() const;
  Status PivotStatus() const;
  // What a person says of one branch tells how the whole was decided.
  void DecideAsRemembered(Decision decision, const Now& now, Step& step);
  // The fate of this one branch is the decision.
  void SettleUndecided(BranchIndex i, bool committed, const Now& now, Step& step);

  // The single place that moves the transaction on.
  void Advance(const Now& now, Step& step);
  void StartReadyBranches(const Now& now, Step& step);
  void SkipWhatCannotStart();
  void ContinueUndoing(const Now& now, Step& step);
  void Decide(Decision decision, const Now& now, Step& step);
  void FinishIfAllFinal(const Now& now, Step& step);
  // Gives up, if that is possible: decides abort, or asks the one-phase branch what it did.
  void GiveUp(const std::string& reason, const Now& now, Step& step);
  bool GivingUpIsPossible() const;
  // Some forward operation has had no answer for so long that it may be waiting for somebody else's
  // rows.
  bool WaitsForOthers(const Now& now) const;
  // The pivot may have happened and has not said so.
  bool PivotIsInDoubt(BranchIndex i) const;
  // Undecided, and what the one-phase branch did would be the decision.
  bool OnePhaseIsInDoubt() const;
  // Undecided, and the one-phase branch is being asked what it did.
  bool OnePhaseIsAsked() const;

  void Move(BranchIndex i, BranchState to);
  void StartOperation(BranchIndex i, BranchState state, const Now& now, Step& step);
  void Dispatch(BranchIndex i, const Now& now, Step& step);
  void CloseAnswered(const Answered& event, const Now& now);
  void CloseAttempt(BranchIndex i, AttemptResult result, std::string_view error, const Now& now);
  void SendWhatIsDue(const Now& now, Step& step);
  void Intervene(std::string verb, std::string branch_id, const Actor& actor, const Now& now,
                 Step& step);
  bool MayBeSent(BranchIndex i) const;
  // Its failure can still end in the abort of the transaction, and need not be carried on for ever.
  bool MayGiveUpOn(BranchIndex i) const;
  // When a branch that waits for its service asks for a person; kNever: it has done so, or need
  // not.
  MonoTime AttentionAt(BranchIndex i) const;
  bool AfterIsMet(BranchIndex i) const;
  // Which branches something unfinished comes after, directly or through others.
  std::vector<bool> BuiltUpon() const;
  std::string BranchLabel(BranchIndex i) const;

  TransactionSpec spec_;
  std::vector<Branch> branches_;
  std::size_t initial_branches_ = 0;

  Phase phase_ = Phase::kActive;
  Decision decision_ = Decision::kNone;
  bool sealed_ = false;
  bool suspended_ = false;
  bool held_ = false;
  std::string abort_reason_;

  WallTime began_at_{};
  WallTime deadline_at_{};
  WallTime decided_at_{};
  WallTime finished_at_{};
  MonoTime deadline_ = kNever;
  std::uint64_t began_epoch_ = 0;
  std::uint64_t generation_ = kFirstStoreGeneration;
  std::uint32_t recoveries_ = 0;
  std::vector<Intervention> interventions_;
};

}  // namespace assent::core
