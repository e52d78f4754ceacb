#include <algorithm>
#include <memory>

#include <gtest/gtest.h>

#include "coordinator/core/codec.h"
#include "tests/engine/shard_rig.h"

namespace assent::engine {
namespace {

using core::AttemptResult;
using log::EntryKind;

Status Full() { return ResourceExhausted("disk full"); }

TEST(Shard, NothingIsSentOrToldBeforeBeginIsDurable) {
  ShardRig rig;
  ShardRig::Told told;
  rig.Do(ShardRig::Begin(ShardRig::Spec("a"), WaitFor::kAccepted, told));
  EXPECT_EQ(rig.Sent(), "");
  EXPECT_TRUE(told.words.empty());
  ASSERT_EQ(rig.appends.size(), 1U);
  EXPECT_EQ(rig.appends[0].entries[0].kind, EntryKind::kBegin);
  rig.Complete();
  EXPECT_EQ(rig.Sent(), "1:TRY 2:TRY");
  EXPECT_EQ(told.words, std::vector<std::string>{"OK UNDECIDED"});
}

TEST(Shard, WithoutASerialNothingBegins) {
  ShardRig rig;
  rig.StopSerials();
  ShardRig::Told told;
  rig.Do(ShardRig::Begin(ShardRig::Spec("a"), WaitFor::kAccepted, told));
  ASSERT_EQ(told.words.size(), 1U);
  EXPECT_EQ(told.words[0].rfind("UNAVAILABLE", 0), 0U) << told.words[0];
  EXPECT_TRUE(rig.appends.empty());
  EXPECT_EQ(rig.shard.live_count(), 0U);
}

TEST(Shard, ATransactionInThreeWritesOfWhichTwoGate) {
  ShardRig rig;
  ShardRig::Told decided;
  ShardRig::Told completed;
  rig.Do(ShardRig::Begin(ShardRig::Spec("a"), WaitFor::kDecided, decided));
  rig.Do(ShardRig::Begin(ShardRig::Spec("a"), WaitFor::kCompleted, completed));
  rig.Complete();
  rig.AnswerAll(AttemptResult::kDone);
  EXPECT_TRUE(decided.words.empty()) << "told of a decision that is not durable";
  EXPECT_EQ(rig.Sent(), "");
  rig.Complete();
  EXPECT_EQ(decided.words, std::vector<std::string>{"OK COMMITTED"});
  EXPECT_EQ(rig.Sent(), "1:CONFIRM 2:CONFIRM");
  rig.AnswerAll(AttemptResult::kDone);
  EXPECT_EQ(completed.words, std::vector<std::string>{"OK COMMITTED"});
  rig.Pass(core::Millis(20));  // the end rides alone when nobody comes by
  rig.Complete();
  EXPECT_EQ(rig.written,
            (std::vector<EntryKind>{EntryKind::kBegin, EntryKind::kUpdate, EntryKind::kEnd}));
  EXPECT_EQ(rig.shard.live_count(), 0U);
}

// What the log takes is no part of an attempt: it starts when it leaves, and its timeout counts
// from there.
TEST(Shard, AnAttemptBeginsWhenItLeavesNotWhenItIsDue) {
  ShardRig rig;
  ShardRig::Told begun;
  rig.Do(ShardRig::Begin(ShardRig::Spec("a"), WaitFor::kAccepted, begun));
  rig.Complete();
  rig.AnswerAll(AttemptResult::kDone);
  rig.Pass(core::Millis(500));  // a slow disk
  rig.Complete();
  rig.Do(GetRequest{"a", [&](const Status&, const core::Transaction* txn, const core::Now&) {
                      const core::Attempt& confirm = txn->branches()[0].history.kept().back();
                      EXPECT_EQ(confirm.operation, core::Operation::kConfirm);
                      EXPECT_EQ(confirm.started, rig.wall);
                      EXPECT_GE(confirm.started, txn->decided_at());
                    }});
  rig.Pass(core::Millis(9'999));
  EXPECT_EQ(rig.Sent(), "1:CONFIRM 2:CONFIRM") << "asked again before its time was over";
}

TEST(Shard, ADecisionThatIsNotDurableIsShownToNobody) {
  ShardRig rig;
  ShardRig::Told begun;
  ShardRig::Told seen;
  rig.Do(ShardRig::Begin(ShardRig::Spec("a"), WaitFor::kAccepted, begun));
  rig.Complete();
  rig.AnswerAll(AttemptResult::kDone);
  rig.Do(GetRequest{"a", seen.Callback()});
  transport::OutcomeAnswer answer;
  rig.Do(QuestionRequest{{"a", "1", 7, ShardRig::kEpochs.back()},
                         [&](transport::OutcomeAnswer given) { answer = given; }});
  EXPECT_TRUE(seen.words.empty());
  EXPECT_EQ(answer.verdict, transport::Verdict::kUndecided);
  bool visible = true;
  rig.Do(SliceRequest{
      [&](std::uint64_t, const core::Transaction&, bool v, const core::Now&) { visible = v; },
      [](const SliceEnd&) {}});
  EXPECT_FALSE(visible);
  rig.Complete();
  EXPECT_EQ(seen.words, std::vector<std::string>{"OK COMMITTED"});
  rig.Do(QuestionRequest{{"a", "1", 7, ShardRig::kEpochs.back()},
                         [&](transport::OutcomeAnswer given) { answer = given; }});
  EXPECT_EQ(answer.verdict, transport::Verdict::kCommit);
}

TEST(Shard, AFullDiskRefusesWhatIsNewAndKeepsWhatHasBegun) {
  ShardRig rig;
  ShardRig::Told first;
  ShardRig::Told second;
  rig.Do(ShardRig::Begin(ShardRig::Spec("old"), WaitFor::kDecided, first));
  rig.Complete();
  rig.AnswerAll(AttemptResult::kDone);
  rig.Complete(Full());  // the decision found no room
  EXPECT_TRUE(first.words.empty());
  EXPECT_EQ(rig.Sent(), "");
  rig.Do(ShardRig::Begin(ShardRig::Spec("new"), WaitFor::kDecided, second));
  EXPECT_TRUE(rig.appends.empty()) << "tried again at once";
  rig.Pass(core::Millis(250));
  rig.Complete(Full());  // still no room for what has begun
  rig.Complete(Full());  // nor for what is new
  EXPECT_EQ(second.words, std::vector<std::string>{"RESOURCE_EXHAUSTED"});
  EXPECT_EQ(rig.shard.live_count(), 1U);
  rig.Pass(core::Millis(250));
  ASSERT_EQ(rig.appends.size(), 1U);
  EXPECT_EQ(rig.appends[0].entries[0].version, 2U)
      << "the version that was not written is used again";
  rig.Complete();
  EXPECT_EQ(first.words, std::vector<std::string>{"OK COMMITTED"});
  EXPECT_EQ(rig.Sent(), "1:CONFIRM 2:CONFIRM");
}

// The log refuses a whole batch when the disk is full and anything in it begins. A stream of
// newcomers must not keep what has begun from ending on the reserve.
TEST(Shard, OnAFullDiskNewcomersDoNotHoldUpWhatHasBegun) {
  ShardRig rig;
  ShardRig::Told old;
  ShardRig::Told fresh;
  rig.Do(ShardRig::Begin(ShardRig::Spec("old"), WaitFor::kDecided, old));
  rig.Complete();
  rig.AnswerAll(AttemptResult::kDone);
  rig.Complete(Full());
  rig.Do(ShardRig::Begin(ShardRig::Spec("new"), WaitFor::kDecided, fresh));
  rig.Pass(core::Millis(250));
  ASSERT_EQ(rig.appends.size(), 2U) << "the decision shares a batch with a beginning";
  EXPECT_EQ(rig.appends[0].entries[0].kind, EntryKind::kUpdate);
  EXPECT_EQ(rig.appends[1].entries[0].kind, EntryKind::kBegin);
  rig.Complete();
  rig.Complete(Full());
  EXPECT_EQ(old.words, std::vector<std::string>{"OK COMMITTED"});
  EXPECT_EQ(fresh.words, std::vector<std::string>{"RESOURCE_EXHAUSTED"});
}

TEST(Shard, AnUnknownWriteEndsEverything) {
  ShardRig rig;
  ShardRig::Told told;
  rig.Do(ShardRig::Begin(ShardRig::Spec("a"), WaitFor::kAccepted, told));
  rig.Complete(UnknownOutcome("fsync: EIO"));
  EXPECT_EQ(rig.fatal.code(), Code::kUnknownOutcome);
  EXPECT_TRUE(told.words.empty());
  rig.Do(GetRequest{"a", told.Callback()});
  rig.Pass(core::Millis(100'000));
  EXPECT_TRUE(told.words.empty());
  EXPECT_EQ(rig.Sent(), "");
}

TEST(Shard, TheSameGidJoinsAndOtherContentIsRefused) {
  ShardRig rig;
  ShardRig::Told one;
  ShardRig::Told two;
  ShardRig::Told other;
  rig.Do(ShardRig::Begin(ShardRig::Spec("a"), WaitFor::kAccepted, one));
  rig.Do(ShardRig::Begin(ShardRig::Spec("a"), WaitFor::kAccepted, two));
  rig.Do(ShardRig::Begin(ShardRig::Spec("a", core::Protocol::kSaga), WaitFor::kAccepted, other));
  EXPECT_TRUE(other.words.empty()) << "told before it is known whose the gid is";
  rig.Complete();
  EXPECT_EQ(other.words, std::vector<std::string>{"ALREADY_EXISTS"});
  EXPECT_EQ(one.words, std::vector<std::string>{"OK UNDECIDED"});
  EXPECT_EQ(two.words, std::vector<std::string>{"OK UNDECIDED"});
  EXPECT_EQ(rig.Sent(), "1:TRY 2:TRY") << "begun twice";
}

// A TCC transaction that its first branch refused, as the history has it.
log::FinishedRow RefusedRow(const ShardRig& rig, const core::TransactionSpec& spec) {
  core::Transaction finished(spec);
  const core::Now now{rig.mono, rig.wall, 0};
  (void)finished.Apply(core::Begin{ShardRig::kEpochs.back()}, now);
  (void)finished.Apply(
      core::Answered{
          0, core::Operation::kTry, 1, AttemptResult::kRefused, {}, "no", core::Millis(0)},
      now);
  (void)finished.Apply(
      core::Answered{1, core::Operation::kCancel, 1, AttemptResult::kDone, {}, {}, core::Millis(0)},
      now);
  ASSENT_CHECK(finished.finished());
  return {1, spec.gid, core::Codec::EncodeSpec(spec), core::Codec::EncodeState(finished), 2, 0};
}

// A gid whose transaction has finished: the log refuses the BEGIN, and everybody who waits gets the
// finished one's answer.
TEST(Shard, ARepeatedSubmitOfAFinishedGidAnswersFromTheHistory) {
  ShardRig rig;
  ShardRig::Told one;
  ShardRig::Told two;
  const core::TransactionSpec spec = ShardRig::Spec("a");
  rig.Do(ShardRig::Begin(spec, WaitFor::kCompleted, one));
  rig.Do(GetRequest{"a", two.Callback()});
  rig.Complete({}, {{0, AlreadyExists("a")}});
  EXPECT_EQ(rig.Sent(), "");
  ASSERT_EQ(rig.finds.size(), 2U);
  const log::FinishedRow row = RefusedRow(rig, spec);
  rig.Do(FoundRequest{rig.finds[0].second, Finished(row)});
  rig.Do(FoundRequest{rig.finds[1].second, Finished(row)});
  EXPECT_EQ(one.words, std::vector<std::string>{"OK ABORTED"});
  EXPECT_EQ(two.words, std::vector<std::string>{"OK ABORTED"});
  EXPECT_EQ(rig.shard.live_count(), 0U);
  EXPECT_EQ(rig.shard.Stats().begun, 0U);
}

// What is asked of a gid while its BEGIN is on the way to the log must not be answered by a
// transaction that never began.
TEST(Shard, WhatIsAskedBeforeBeginIsDurableWaitsForItsFate) {
  ShardRig rig;
  ShardRig::Told begun;
  ShardRig::Told right;
  ShardRig::Told committed;
  Status executed;
  transport::OutcomeAnswer answer;
  core::TransactionSpec wrong = ShardRig::Spec("a", core::Protocol::kTcc, 0);
  const core::TransactionSpec spec = ShardRig::Spec("a");
  rig.Do(
      ShardRig::Begin(wrong, WaitFor::kAccepted, begun));   // open, and the gid is a finished one's
  rig.Do(ShardRig::Begin(spec, WaitFor::kDecided, right));  // the finished one, repeated
  rig.Do(CloseRequest{"a", true, {}, WaitFor::kDecided, committed.Callback()});
  rig.Do(ExecuteRequest{"a", ShardRig::Spec("x").branches[0],
                        [&](const Status& status, const core::Transaction*, core::BranchIndex) {
                          executed = status;
                        }});
  rig.Do(QuestionRequest{{"a", "1", 7, ShardRig::kEpochs.back()},
                         [&](transport::OutcomeAnswer given) { answer = given; }});
  EXPECT_TRUE(right.words.empty()) << "refused because of a transaction that is refused itself";
  ASSERT_EQ(rig.appends.size(), 1U);
  rig.Complete({}, {{0, AlreadyExists("a")}});
  ASSERT_EQ(rig.appends.size(), 1U) << "the repeated one has its own try";
  rig.Complete({}, {{0, AlreadyExists("a")}});
  const log::FinishedRow row = RefusedRow(rig, spec);
  for (std::size_t i = 0; i < rig.finds.size(); ++i)
    rig.Do(FoundRequest{rig.finds[i].second, Finished(row)});
  EXPECT_EQ(begun.words, std::vector<std::string>{"ALREADY_EXISTS"});
  EXPECT_EQ(right.words, std::vector<std::string>{"OK ABORTED"});
  EXPECT_EQ(committed.words, std::vector<std::string>{"FAILED_PRECONDITION"});
  EXPECT_EQ(executed.code(), Code::kFailedPrecondition);
  EXPECT_EQ(answer.verdict, transport::Verdict::kAbort);
  EXPECT_TRUE(answer.finished) << "answered by a transaction of another epoch";
  EXPECT_EQ(rig.Sent(), "");
  EXPECT_EQ(rig.shard.live_count(), 0U);
}

// The participant of a resolved branch has acknowledged nothing: were the row to expire, its
// question would be answered by presumption, and against the decision.
TEST(Shard, WhatAPersonResolvedIsNotRetentionsToRemove) {
  ShardRig rig;
  ShardRig::Told told;
  ShardRig::Told resolved;
  rig.Do(ShardRig::Begin(ShardRig::Spec("a", core::Protocol::kTcc, 1), WaitFor::kAccepted, told));
  rig.Complete();
  rig.AnswerAll(AttemptResult::kDone);
  rig.Complete();
  rig.Do(OperatorRequest{"a",
                         OperatorVerb::kResolve,
                         {"ada", "it is gone"},
                         "1",
                         core::Decision::kCommit,
                         false,
                         resolved.Callback()});
  ASSERT_EQ(rig.appends.size(), 1U);
  const log::Entry& end = rig.appends[0].entries[0];
  ASSERT_EQ(end.kind, EntryKind::kEnd);
  EXPECT_EQ(end.outcome, static_cast<unsigned>(core::Outcome::kCommitted) | kResolvedByHand);
  EXPECT_EQ(OutcomeFromLog(end.outcome), core::Outcome::kCommitted);
  const std::vector<std::uint8_t> pinned = PinnedOutcomes();
  EXPECT_NE(std::find(pinned.begin(), pinned.end(), end.outcome), pinned.end());
  rig.Complete();
  EXPECT_EQ(resolved.words, std::vector<std::string>{"OK COMMITTED"});
}

TEST(Shard, ForgetRemovesOnlyWhatIsFinished) {
  ShardRig rig;
  ShardRig::Told told;
  ShardRig::Told forgotten;
  rig.Do(ShardRig::Begin(ShardRig::Spec("a"), WaitFor::kAccepted, told));
  rig.Complete();
  rig.Do(ForgetRequest{"a", false, forgotten.Callback()});
  EXPECT_EQ(forgotten.words, std::vector<std::string>{"FAILED_PRECONDITION"});
  rig.Do(ForgetRequest{"b", false, forgotten.Callback()});
  rig.Complete();
  rig.Do(ForgetRequest{"c", false, forgotten.Callback()});
  rig.Complete({}, {{0, NotFound("c")}});
  EXPECT_EQ(forgotten.words, (std::vector<std::string>{"FAILED_PRECONDITION", "OK ", "NOT_FOUND"}));
}

// Its initiator has been told that it is completed; the record of that is still on its way.
TEST(Shard, ForgetRightAfterTheEndWaitsForTheEndToBeWritten) {
  ShardRig rig;
  ShardRig::Told told;
  ShardRig::Told forgotten;
  rig.Do(ShardRig::Begin(ShardRig::Spec("a", core::Protocol::kTcc, 1), WaitFor::kCompleted, told));
  rig.Complete();
  rig.AnswerAll(AttemptResult::kDone);
  rig.Complete();
  rig.AnswerAll(AttemptResult::kDone);
  EXPECT_EQ(told.words, std::vector<std::string>{"OK COMMITTED"});
  rig.Do(ForgetRequest{"a", false, forgotten.Callback()});
  EXPECT_TRUE(forgotten.words.empty());
  rig.Complete();
  EXPECT_EQ(rig.shard.live_count(), 0U);
  rig.Complete();
  EXPECT_EQ(rig.written, (std::vector<EntryKind>{EntryKind::kBegin, EntryKind::kUpdate,
                                                 EntryKind::kEnd, EntryKind::kForget}));
  EXPECT_EQ(forgotten.words, std::vector<std::string>{"OK "});
}

// Somebody who waits, gives up and asks again, for days, on a transaction that is stuck.
TEST(Shard, ThoseWhoHaveLeftAreNotKept) {
  ShardRig rig;
  ShardRig::Told begun;
  rig.Do(ShardRig::Begin(ShardRig::Spec("a"), WaitFor::kAccepted, begun));
  rig.Complete();
  const auto alive = std::make_shared<int>(0);
  long most = 0;
  for (int i = 0; i < 1000; ++i) {
    rig.Do(WaitRequest{"a", WaitFor::kCompleted,
                       [alive](const Status&, const core::Transaction*, const core::Now&) {},
                       [] { return true; }});
    most = std::max(most, alive.use_count());
  }
  EXPECT_LT(most, 40);
  ShardRig::Told patient;
  rig.Do(WaitRequest{"a", WaitFor::kDecided, patient.Callback(), [] { return false; }});
  rig.AnswerAll(AttemptResult::kDone);
  rig.CompleteAll();
  EXPECT_EQ(patient.words, std::vector<std::string>{"OK COMMITTED"});
}

TEST(Shard, AnswersForNobodyAreCountedAndForgotten) {
  ShardRig rig;
  rig.Do(RepliesRequest{
      {{"ghost", 0, core::Operation::kTry, 1, AttemptResult::kDone, {}, {}, core::Millis(0)}}});
  EXPECT_EQ(rig.shard.Stats().stale_replies, 1U);
}

TEST(Shard, AbortIsPresumedOnlyWithinTheHorizon) {
  ShardRig rig;
  const auto ask = [&](std::uint32_t coordinator, std::uint64_t epoch) {
    transport::OutcomeAnswer answer;
    rig.Do(QuestionRequest{{"gone", "1", coordinator, epoch},
                           [&](transport::OutcomeAnswer given) { answer = given; }});
    rig.Do(FoundRequest{rig.finds.back().second, ShardRig::Absent()});
    return answer.verdict;
  };
  for (const std::uint64_t epoch : ShardRig::kEpochs) {
    EXPECT_EQ(ask(7, epoch), transport::Verdict::kAbort);
    EXPECT_EQ(ask(8, epoch), transport::Verdict::kCannotTell) << "another coordinator's";
    EXPECT_EQ(ask(0, epoch), transport::Verdict::kCannotTell) << "of nobody in particular";
    // After an older copy was restored: an epoch that was lost has the number of one that is ours.
    EXPECT_EQ(ask(7, epoch - 1), transport::Verdict::kCannotTell);
    EXPECT_EQ(ask(7, epoch + 1), transport::Verdict::kCannotTell);
  }
  EXPECT_EQ(ask(7, log::NextEpoch(ShardRig::kEpochs.back(), 1)), transport::Verdict::kCannotTell)
      << "begun in an epoch that this log does not reach: a restored backup";
  EXPECT_EQ(ask(7, 0), transport::Verdict::kCannotTell) << "begun nobody knows when";
}

// The gid was used before, by a transaction that is not here any more: the participant holds a
// branch of that one.
TEST(Shard, AnEarlierTransactionOfThatNameIsPresumedAbortedWithinTheHorizonToo) {
  ShardRig rig;
  ShardRig::Told told;
  rig.Do(ShardRig::Begin(ShardRig::Spec("a", core::Protocol::kTwoPhase), WaitFor::kAccepted, told));
  rig.Complete();
  const auto ask = [&](const std::string& branch, std::uint64_t epoch) {
    transport::OutcomeAnswer answer;
    rig.Do(QuestionRequest{{"a", branch, 7, epoch},
                           [&](transport::OutcomeAnswer given) { answer = given; }});
    for (const auto& [gid, token] : std::exchange(rig.finds, {})) {
      log::Found found = ShardRig::Absent();
      found.what = log::Found::What::kLive;
      rig.Do(FoundRequest{token, std::move(found)});
    }
    return answer.verdict;
  };
  const std::uint64_t now = ShardRig::kEpochs.back();
  EXPECT_EQ(ask("1", now), transport::Verdict::kUndecided);
  EXPECT_EQ(ask("1", ShardRig::kEpochs.front()), transport::Verdict::kAbort);
  EXPECT_EQ(ask("1", now + 1), transport::Verdict::kCannotTell) << "of an epoch that was lost";
  EXPECT_EQ(ask("stranger", now), transport::Verdict::kAbort);
  EXPECT_EQ(ask("stranger", now + 1), transport::Verdict::kCannotTell);
}

TEST(Shard, OperatorsAreAnsweredWhenTheirActIsDurable) {
  ShardRig rig;
  ShardRig::Told begun;
  ShardRig::Told suspended;
  ShardRig::Told resumed;
  rig.Do(ShardRig::Begin(ShardRig::Spec("a"), WaitFor::kAccepted, begun));
  rig.Complete();
  const auto request = [&](OperatorVerb verb, ShardRig::Told& told, bool dry_run = false) {
    return OperatorRequest{"a",     verb,           {"ada", "because"}, {}, core::Decision::kNone,
                           dry_run, told.Callback()};
  };
  ShardRig::Told dry;
  rig.Do(request(OperatorVerb::kSuspend, dry, true));
  EXPECT_EQ(dry.words, std::vector<std::string>{"OK UNDECIDED"});
  EXPECT_TRUE(rig.appends.empty()) << "a dry run wrote";
  rig.Do(request(OperatorVerb::kSuspend, suspended));
  rig.Do(request(OperatorVerb::kResume, resumed));
  EXPECT_TRUE(suspended.words.empty());
  rig.Complete();
  EXPECT_TRUE(suspended.words.empty())
      << "shown a transaction that is resumed, which is not durable";
  EXPECT_TRUE(resumed.words.empty()) << "answered by the write before its own";
  rig.Complete();
  EXPECT_EQ(suspended.words.size(), 1U);
  EXPECT_EQ(resumed.words.size(), 1U);
}

TEST(Shard, TooManyTransactionsAreRefused) {
  ShardOptions options;
  options.max_live_count = 1;
  ShardRig rig(options);
  ShardRig::Told one;
  ShardRig::Told two;
  rig.Do(ShardRig::Begin(ShardRig::Spec("a"), WaitFor::kAccepted, one));
  rig.Do(ShardRig::Begin(ShardRig::Spec("b"), WaitFor::kAccepted, two));
  EXPECT_EQ(two.words, std::vector<std::string>{"RESOURCE_EXHAUSTED"});
}

TEST(Shard, MoreBytesThanMemoryIsMeantForAreRefusedUntilSomeAreFree) {
  ShardOptions options;
  options.max_live_bytes = 100;
  ShardRig rig(options);
  ShardRig::Told told;
  core::TransactionSpec spec = ShardRig::Spec("a", core::Protocol::kTcc, 1);
  spec.branches[0].payload.assign(60, 'x');
  rig.Do(ShardRig::Begin(spec, WaitFor::kCompleted, told));
  spec.gid = "b";
  ShardRig::Told refused;
  rig.Do(ShardRig::Begin(spec, WaitFor::kAccepted, refused));
  EXPECT_EQ(refused.words, std::vector<std::string>{"RESOURCE_EXHAUSTED"});
  for (int i = 0; i < 3; ++i) {  // begin, decision, end
    rig.CompleteAll();
    rig.AnswerAll(AttemptResult::kDone, "a result counts as well, while it is held");
    rig.Pass(core::Millis(100));
  }
  rig.CompleteAll();
  ASSERT_EQ(told.words, std::vector<std::string>{"OK COMMITTED"});
  ShardRig::Told room;
  rig.Do(ShardRig::Begin(spec, WaitFor::kAccepted, room));
  rig.CompleteAll();
  EXPECT_EQ(room.words, std::vector<std::string>{"OK UNDECIDED"});
}

// A participant that talks much and does nothing, or repeats itself, must not make the coordinator
// refuse others' work.
TEST(Shard, OnlyWhatIsKeptOfAnAnswerTakesRoom) {
  ShardOptions options;
  options.max_live_bytes = 100;
  ShardRig rig(options);
  ShardRig::Told told;
  rig.Do(ShardRig::Begin(ShardRig::Spec("a", core::Protocol::kTcc, 1), WaitFor::kAccepted, told));
  rig.CompleteAll();
  ASSERT_EQ(rig.sent.size(), 1U);
  const transport::Command command = rig.sent[0];
  const auto answer = [&](core::Operation operation, AttemptResult result) {
    rig.Do(RepliesRequest{{{command.gid, command.branch, operation, command.attempt, result,
                            std::string(90, 'x'), "", core::Millis(0)}}});
    rig.CompleteAll();
  };
  answer(core::Operation::kTry, AttemptResult::kRetryLater);
  answer(core::Operation::kConfirm, AttemptResult::kDone);  // not due
  core::TransactionSpec spec = ShardRig::Spec("b", core::Protocol::kTcc, 1);
  spec.branches[0].payload.assign(60, 'x');
  ShardRig::Told room;
  rig.Do(ShardRig::Begin(spec, WaitFor::kAccepted, room));
  rig.CompleteAll();
  EXPECT_EQ(room.words, std::vector<std::string>{"OK UNDECIDED"});
}

}  // namespace
}  // namespace assent::engine
