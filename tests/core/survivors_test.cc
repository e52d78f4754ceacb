// Each of these is a mistake that was planted in core and that no other test noticed
// (tools/mutate.sh).

#include <algorithm>
#include <set>
#include <string>
#include <utility>
#include <vector>

#include <gtest/gtest.h>

#include <assent/limits.h>

#include "coordinator/core/codec.h"
#include "coordinator/core/spec.h"
#include "coordinator/core/transaction.h"

namespace assent::core {
namespace {

Now At(std::int64_t ms) {
  Now now;
  now.mono = MonoTime(Millis(ms));
  now.wall = WallTime(Millis(1'700'000'000'000 + ms));
  return now;
}

TransactionSpec Spec(const std::vector<Protocol>& protocols) {
  TransactionSpec spec;
  spec.gid = "g1";
  for (const Protocol protocol : protocols) {
    BranchSpec branch;
    branch.protocol = protocol;
    branch.service = "s";
    branch.action = "act";
    spec.branches.push_back(branch);
  }
  EXPECT_EQ(Normalise(spec), OkStatus());
  return spec;
}

Answered Answer(BranchIndex branch, Operation operation, AttemptResult result) {
  return Answered{branch, operation, 1, result, {}, {}, Millis(0)};
}

// A command that waited for the disk has its whole time from when it left.
TEST(Survivors, AnAttemptsTimeCountsFromWhenItLeft) {
  Transaction t(Spec({Protocol::kTcc, Protocol::kTcc}));
  const Step begun = t.Apply(Begin{3}, At(0));
  for (const Effect& effect : begun.effects) {
    if (const auto* send = std::get_if<Send>(&effect)) t.NoteSent(*send, At(5'000));
  }
  (void)t.Apply(Tick{}, At(14'999));
  EXPECT_TRUE(t.branches()[0].in_flight) << "given up " << limits::kDefaultAttemptTimeoutMs
                                         << " ms after it was due, not after it left";
  (void)t.Apply(Tick{}, At(15'000));
  EXPECT_FALSE(t.branches()[0].in_flight);
}

// It was answered before the shell said that it had left: what is on record of it stays.
TEST(Survivors, AnAnsweredAttemptIsNotStartedAgain) {
  Transaction t(Spec({Protocol::kTcc, Protocol::kTcc}));
  const Step begun = t.Apply(Begin{3}, At(0));
  (void)t.Apply(Answer(0, Operation::kTry, AttemptResult::kDone), At(7));
  for (const Effect& effect : begun.effects) {
    if (const auto* send = std::get_if<Send>(&effect)) t.NoteSent(*send, At(5'000));
  }
  EXPECT_EQ(t.branches()[0].history.kept().back().started, At(0).wall);
  EXPECT_EQ(t.branches()[1].history.kept().back().started, At(5'000).wall);
}

TEST(Survivors, WhatLeftLateIsNotTakenForItsSuccessor) {
  Transaction t(Spec({Protocol::kTcc}));
  const Step begun = t.Apply(Begin{3}, At(0));
  (void)t.Apply(Answer(0, Operation::kTry, AttemptResult::kUnknown), At(1));
  (void)t.Apply(Tick{}, At(40'000));
  ASSERT_EQ(t.branches()[0].attempts, 2U);
  for (const Effect& effect : begun.effects) {
    if (const auto* send = std::get_if<Send>(&effect)) t.NoteSent(*send, At(45'000));
  }
  EXPECT_EQ(t.branches()[0].history.kept().back().started, At(40'000).wall);
}

// Keys and values have different limits; what the one may be the other may not.
TEST(Survivors, LabelsAndHeadersOfFullLengthAreRead) {
  TransactionSpec spec = Spec({Protocol::kTcc});
  spec.labels = {
      {std::string(limits::kMaxLabelKeyBytes, 'k'), std::string(limits::kMaxLabelValueBytes, 'v')}};
  spec.branches[0].headers = {{std::string(limits::kMaxHeaderKeyBytes, 'k'),
                               std::string(limits::kMaxHeaderValueBytes, 'v')}};
  ASSERT_EQ(Normalise(spec), OkStatus());
  Transaction t(spec);
  (void)t.Apply(Begin{3}, At(0));
  const auto decoded = Codec::Decode("g1", Codec::EncodeSpec(t), Codec::EncodeState(t));
  ASSERT_EQ(decoded.status(), OkStatus());
  EXPECT_EQ(decoded->spec().labels, spec.labels);
  EXPECT_EQ(decoded->spec().branches[0].headers, spec.branches[0].headers);
}

// Open is open, whatever else it is.
TEST(Survivors, FlagsOfTheStateDoNotMix) {
  for (const bool sealed : {false, true}) {
    for (const bool suspended : {false, true}) {
      TransactionSpec spec;
      spec.gid = "g1";
      spec.open = true;
      ASSERT_EQ(Normalise(spec), OkStatus());
      Transaction t(std::move(spec));
      (void)t.Apply(Begin{3}, At(0));
      BranchSpec branch = Spec({Protocol::kTcc}).branches[0];
      ASSERT_EQ(NormaliseAdded(branch, t), OkStatus());
      (void)t.Apply(AddBranch{branch}, At(1));
      if (suspended) (void)t.Apply(Suspend{{"ann", ""}}, At(2));
      if (sealed) (void)t.Apply(Seal{}, At(3));
      const auto decoded = Codec::Decode("g1", Codec::EncodeSpec(t), Codec::EncodeState(t));
      ASSERT_EQ(decoded.status(), OkStatus());
      EXPECT_EQ(decoded->sealed(), sealed);
      EXPECT_EQ(decoded->suspended(), suspended);
    }
  }
}

// A participant's index comes from outside; one that is none must not be looked up.
TEST(Survivors, AnAnswerOfNoBranchIsNothing) {
  Transaction t(Spec({Protocol::kTcc}));
  (void)t.Apply(Begin{3}, At(0));
  const Step step = t.Apply(Answer(99, Operation::kTry, AttemptResult::kDone), At(1));
  EXPECT_EQ(step.record, Record::kNone);
  EXPECT_TRUE(step.effects.empty());
  EXPECT_EQ(t.branches()[0].state, BranchState::kExecuting);
}

// Given up on, and answered after all: people see the answer, not only that there was none in time.
TEST(Survivors, ALateRefusalOfTheLatestAttemptIsShown) {
  Transaction t(Spec({Protocol::kTcc}));
  (void)t.Apply(Begin{3}, At(0));
  (void)t.Apply(Answer(0, Operation::kTry, AttemptResult::kDone), At(1));
  (void)t.Apply(Answer(0, Operation::kConfirm, AttemptResult::kUnknown), At(2));
  ASSERT_EQ(t.branches()[0].history.kept().back().result, AttemptResult::kUnknown);
  (void)t.Apply(Answer(0, Operation::kConfirm, AttemptResult::kRefused), At(3));
  EXPECT_TRUE(t.branches()[0].needs_operator);
  EXPECT_EQ(t.branches()[0].history.kept().back().result, AttemptResult::kRefused);
}

TEST(Survivors, ALateRefusalOfAnEarlierAttemptIsShownToo) {
  Transaction t(Spec({Protocol::kTcc}));
  (void)t.Apply(Begin{3}, At(0));
  (void)t.Apply(Answer(0, Operation::kTry, AttemptResult::kDone), At(1));
  (void)t.Apply(Answer(0, Operation::kConfirm, AttemptResult::kUnknown), At(2));
  (void)t.Apply(Tick{}, At(3'600'000));
  ASSERT_EQ(t.branches()[0].attempts, 2U);
  (void)t.Apply(Answer(0, Operation::kConfirm, AttemptResult::kRefused), At(3'600'001));
  EXPECT_TRUE(t.branches()[0].in_flight);
  for (const Attempt& attempt : t.branches()[0].history.kept()) {
    if (attempt.operation != Operation::kConfirm) continue;
    EXPECT_EQ(attempt.result,
              attempt.number == 1 ? AttemptResult::kRefused : AttemptResult::kInFlight);
  }
}

// Nothing ever reached it, so the abort is decided, and its ROLLBACK is no question.
TEST(Survivors, ASoleBranchThatRefusesItsRollbackNeedsAPerson) {
  Transaction t(Spec({Protocol::kTwoPhase}));
  (void)t.Apply(Begin{3}, At(0));
  ASSERT_TRUE(t.branches()[0].one_phase);
  (void)t.Apply(Answer(0, Operation::kPrepare, AttemptResult::kNotSent), At(1));
  (void)t.Apply(Abort{{{}, "changed my mind"}, /*by_operator=*/false}, At(2));
  ASSERT_EQ(t.decision(), Decision::kAbort);
  (void)t.Apply(Answer(0, Operation::kRollback, AttemptResult::kRefused), At(3));
  EXPECT_EQ(t.decision(), Decision::kAbort);
  EXPECT_FALSE(t.finished());
  EXPECT_TRUE(t.branches()[0].needs_operator);
}

TEST(Survivors, TheEndIsTheEnd) {
  Transaction t(Spec({Protocol::kSaga}));
  (void)t.Apply(Begin{3}, At(0));
  (void)t.Apply(Answer(0, Operation::kAction, AttemptResult::kDone), At(1));
  ASSERT_TRUE(t.finished());
  for (const Event& event : {Event(Tick{}), Event(ServiceAppeared{"s"}),
                             Event(Answer(0, Operation::kAction, AttemptResult::kDone))}) {
    const Step step = t.Apply(event, At(60'000));
    EXPECT_EQ(step.record, Record::kNone);
    EXPECT_TRUE(step.effects.empty());
  }
  EXPECT_EQ(t.finished_at(), At(1).wall);
}

// One that had nothing to prepare has executed all the same.
TEST(Survivors, WhatFollowsAReadOnlyBranchStarts) {
  TransactionSpec spec = Spec({Protocol::kTwoPhase, Protocol::kTcc});
  spec.branches[1].after_ids = {spec.branches[0].id};
  ASSERT_EQ(Normalise(spec), OkStatus());
  Transaction t(spec);
  (void)t.Apply(Begin{3}, At(0));
  ASSERT_EQ(t.branches()[1].state, BranchState::kWaiting);
  (void)t.Apply(Answer(0, Operation::kPrepare, AttemptResult::kDoneReadOnly), At(1));
  EXPECT_EQ(t.branches()[1].state, BranchState::kExecuting);
}

// Only what has an operation that nobody answers can be resolved by hand.
TEST(Survivors, WhatIsDoneIsNotResolved) {
  Transaction t(Spec({Protocol::kTcc, Protocol::kTcc}));
  (void)t.Apply(Begin{3}, At(0));
  (void)t.Apply(Answer(0, Operation::kTry, AttemptResult::kDone), At(1));
  (void)t.Apply(Answer(1, Operation::kTry, AttemptResult::kDone), At(2));
  (void)t.Apply(Answer(0, Operation::kConfirm, AttemptResult::kDone), At(3));
  ASSERT_EQ(t.phase(), Phase::kCommitting);
  for (const Decision decision : {Decision::kCommit, Decision::kAbort}) {
    const Step step = t.Apply(Resolve{{"ann", "why not"}, 0, decision}, At(4));
    EXPECT_EQ(step.status.code(), Code::kFailedPrecondition);
    EXPECT_EQ(t.branches()[0].state, BranchState::kDone);
    EXPECT_TRUE(t.interventions().empty());
  }
}

// Its result is not kept, so its size is no objection.
TEST(Survivors, AConfirmMayAnswerAtLength) {
  Transaction t(Spec({Protocol::kTcc}));
  (void)t.Apply(Begin{3}, At(0));
  (void)t.Apply(Answer(0, Operation::kTry, AttemptResult::kDone), At(1));
  Answered confirmed = Answer(0, Operation::kConfirm, AttemptResult::kDone);
  confirmed.bytes.assign(limits::kMaxResultBytes + 1, 'x');
  (void)t.Apply(confirmed, At(2));
  EXPECT_TRUE(t.finished());
  EXPECT_TRUE(t.branches()[0].result.empty());
}

// What a branch promised is as good as done once the decision stands: what follows it does not wait
// for its CONFIRM.
TEST(Survivors, AStepAfterThePivotStartsWithTheDecision) {
  TransactionSpec spec = Spec({Protocol::kTcc, Protocol::kSaga, Protocol::kSaga});
  spec.branches[1].pivot = true;
  spec.branches[2].after_ids = {spec.branches[0].id, spec.branches[1].id};
  ASSERT_EQ(Normalise(spec), OkStatus());
  Transaction t(spec);
  (void)t.Apply(Begin{3}, At(0));
  (void)t.Apply(Answer(0, Operation::kTry, AttemptResult::kDone), At(1));
  ASSERT_EQ(t.branches()[1].state, BranchState::kExecuting);
  (void)t.Apply(Answer(1, Operation::kAction, AttemptResult::kDone), At(2));
  EXPECT_EQ(t.branches()[0].state, BranchState::kFinishing);
  EXPECT_EQ(t.branches()[2].state, BranchState::kExecuting);
}

// Transactions in every phase, whose bytes are changed one at a time.
std::vector<Transaction> SomeTransactions() {
  std::vector<Transaction> some;
  const auto add = [&](const std::vector<Protocol>& protocols, const std::vector<Event>& events,
                       bool tight = false) {
    TransactionSpec spec = Spec(protocols);
    if (tight) {
      spec.deadline = Millis(1);
      spec.branches[0].attempt_timeout = Millis(1);
      spec.branches[0].retry = {Millis(1), Millis(1), 0};
    }
    Transaction t(spec);
    (void)t.Apply(Begin{3}, At(0));
    some.push_back(t);
    std::int64_t ms = 0;
    for (const Event& event : events) {
      (void)t.Apply(event, At(++ms));
      some.push_back(t);
    }
  };
  const auto done = AttemptResult::kDone;
  const auto no = AttemptResult::kRefused;
  add({Protocol::kTcc, Protocol::kTcc},
      {Answer(0, Operation::kTry, done), Suspend{{"ann", ""}}, Answer(1, Operation::kTry, done),
       Resume{{"ann", ""}}, Answer(0, Operation::kConfirm, done),
       Answer(1, Operation::kConfirm, done)});
  add({Protocol::kTwoPhase, Protocol::kTwoPhase},
      {Answer(0, Operation::kPrepare, done), Answer(1, Operation::kPrepare, no),
       Answer(0, Operation::kRollback, done)});
  add({Protocol::kSaga, Protocol::kSaga},
      {Answer(0, Operation::kAction, done), Answer(1, Operation::kAction, no),
       Answer(0, Operation::kCompensate, done)});
  add({Protocol::kTwoPhase}, {Answer(0, Operation::kPrepare, done)});
  add({Protocol::kTcc}, {Answer(0, Operation::kTry, done)}, /*tight=*/true);
  return some;
}

// Each rule of soundness is what stands between some damaged row and a transaction that does what
// no transaction may.
TEST(Survivors, EveryRuleOfSoundnessRefusesSomeRow) {
  std::set<std::string> said;
  const auto look = [&](const std::string& spec, const std::string& state) {
    const auto decoded = Codec::Decode("g1", spec, state);
    const std::string marker = "makes no sense: ";
    const std::string message = decoded.status().message();
    const std::size_t at = message.find(marker);
    if (at != std::string::npos) said.insert(message.substr(at + marker.size()));
  };
  for (const Transaction& t : SomeTransactions()) {
    const std::string spec = Codec::EncodeSpec(t);
    const std::string state = Codec::EncodeState(t);
    for (std::size_t i = 0; i < spec.size() + state.size(); ++i) {
      for (int value = 0; value < 32; ++value) {
        std::string one = spec;
        std::string two = state;
        (i < spec.size() ? one[i] : two[i - spec.size()]) = static_cast<char>(value);
        look(one, two);
      }
    }
  }
  const std::set<std::string> rules = {
      "a branch is in a state that does not fit the decision",
      "a branch is resolved and still at work",
      "a branch has an operation on its way that is not due",
      "a branch takes the one-phase path that is not alone",
      "a branch was sent less than never",
      "a branch's times are out of range",
      "a moment is out of range",
      "aborting, and the decision is not abort",
      "active, and decided",
      "all is done, but the end",
      "an attempt's times are out of range",
      "branches wait for one another in a circle",
      "committed, and still open",
      "committing, and the decision is not commit",
      "finished, and a branch is not",
      "finished, and suspended",
      "finished, and undecided",
      "open, and never was",
      "the deadline is out of range",
  };
  EXPECT_EQ(said, rules);
}

}  // namespace
}  // namespace assent::core
