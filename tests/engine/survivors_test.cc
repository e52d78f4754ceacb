// What a shard must not do: each of these is a mistake that was planted and that no other test
// noticed (tools/mutate.sh).

#include <string>
#include <utility>
#include <vector>

#include <gtest/gtest.h>

#include "coordinator/core/codec.h"
#include "tests/engine/shard_rig.h"

namespace assent::engine {
namespace {

using core::AttemptResult;
using core::Operation;

using Words = std::vector<std::string>;

OperatorRequest Operate(const std::string& gid, OperatorVerb verb, ShardRig::Told& told) {
  return {gid, verb, {"ada", "because"}, {}, core::Decision::kNone, false, told.Callback()};
}

// Its deadline sleeps as long as it does, whatever else makes the shard look at it.
TEST(Survivors, ASuspendedTransactionOutlivesItsDeadline) {
  ShardRig rig;
  ShardRig::Told told;
  ShardRig::Told people;
  core::TransactionSpec spec = ShardRig::Spec("a");
  rig.Do(ShardRig::Begin(spec, WaitFor::kDecided, told));
  rig.CompleteAll();
  const transport::Command second = rig.sent.at(1);
  rig.Do(Operate("a", OperatorVerb::kSuspend, people));
  rig.CompleteAll();
  rig.sent.clear();
  rig.Pass(spec.deadline + core::Millis(60'000));  // its commands have timed out: a tick
  rig.Do(ServiceAppearedRequest{"s1"});
  rig.CompleteAll();
  EXPECT_TRUE(told.words.empty()) << "the deadline has decided";
  EXPECT_EQ(rig.Sent(), "");
  rig.Do(RepliesRequest{
      {{"a", 0, Operation::kTry, 1, AttemptResult::kDone, {}, {}, core::Millis(0)},
       {"a", 1, Operation::kTry, second.attempt, AttemptResult::kDone, {}, {}, core::Millis(0)}}});
  rig.CompleteAll();
  EXPECT_EQ(told.words, Words{"OK COMMITTED"}) << "answers are taken all the same";
  rig.Do(Operate("a", OperatorVerb::kResume, people));
  rig.CompleteAll();
  EXPECT_EQ(rig.Sent(), "1:CONFIRM 2:CONFIRM");
}

// One whose milestone has passed is told at once; kept as well, it would be told again.
TEST(Survivors, WhoeverWaitsIsToldOnce) {
  ShardRig rig;
  ShardRig::Told begun;
  ShardRig::Told late;
  rig.Do(ShardRig::Begin(ShardRig::Spec("a"), WaitFor::kAccepted, begun));
  rig.CompleteAll();
  rig.Do(WaitRequest{"a", WaitFor::kAccepted, late.Callback()});
  EXPECT_EQ(late.words, Words{"OK UNDECIDED"});
  rig.AnswerAll(AttemptResult::kDone);
  rig.CompleteAll();
  rig.AnswerAll(AttemptResult::kDone);
  rig.Pass(core::Millis(100));
  rig.CompleteAll();
  EXPECT_EQ(rig.shard.live_count(), 0U);
  EXPECT_EQ(late.words.size(), 1U);
  EXPECT_EQ(begun.words.size(), 1U);
}

// ExecuteBranch shows the branch's answer to its initiator, who acts on it.
TEST(Survivors, ABranchIsNotCalledAnsweredBeforeItIs) {
  ShardRig rig;
  ShardRig::Told begun;
  rig.Do(ShardRig::Begin(ShardRig::Spec("a", core::Protocol::kTcc, 0), WaitFor::kAccepted, begun));
  rig.CompleteAll();
  int answered = 0;
  core::BranchSpec branch = ShardRig::Spec("x").branches[0];
  branch.id = "b";
  const auto execute = [&] {
    rig.Do(ExecuteRequest{"a", branch,
                          [&](const Status& status, const core::Transaction*, core::BranchIndex) {
                            EXPECT_TRUE(status.ok()) << status.ToString();
                            ++answered;
                          }});
  };
  execute();
  EXPECT_EQ(answered, 0);
  rig.CompleteAll();
  EXPECT_EQ(rig.Sent(), "b:TRY");
  EXPECT_EQ(answered, 0) << "sent is not answered";
  execute();
  EXPECT_EQ(answered, 0) << "the second to ask waits as well";
  rig.AnswerAll(AttemptResult::kDone);
  rig.CompleteAll();
  EXPECT_EQ(answered, 2);
}

// What was kept of an answer counts once, however often the branch answers afterwards.
TEST(Survivors, AResultTakesRoomOnce) {
  ShardOptions options;
  options.max_live_bytes = 100;
  ShardRig rig(options);
  ShardRig::Told told;
  rig.Do(ShardRig::Begin(ShardRig::Spec("a", core::Protocol::kTcc, 1), WaitFor::kAccepted, told));
  rig.CompleteAll();
  rig.AnswerAll(AttemptResult::kDone, std::string(40, 'x'));
  rig.CompleteAll();
  ASSERT_EQ(rig.Sent(), "1:CONFIRM");
  for (int i = 0; i < 3; ++i) {
    rig.AnswerAll(AttemptResult::kRetryLater, "later");
    rig.CompleteAll();
    rig.Pass(std::chrono::hours(1));
    rig.CompleteAll();
  }
  core::TransactionSpec spec = ShardRig::Spec("b", core::Protocol::kTcc, 1);
  spec.branches[0].payload.assign(61, 'x');
  ShardRig::Told refused;
  rig.Do(ShardRig::Begin(spec, WaitFor::kAccepted, refused));
  EXPECT_EQ(refused.words, Words{"RESOURCE_EXHAUSTED"}) << "and the result does take room";
  spec.branches[0].payload.assign(60, 'x');
  ShardRig::Told room;
  rig.Do(ShardRig::Begin(spec, WaitFor::kAccepted, room));
  rig.CompleteAll();
  EXPECT_EQ(room.words, Words{"OK UNDECIDED"});
}

// A participant that once worked for another coordinator must not take this one's word for that
// one's transactions.
TEST(Survivors, AnotherCoordinatorsQuestionIsNotAnsweredByALiveNamesake) {
  ShardRig rig;
  ShardRig::Told told;
  rig.Do(ShardRig::Begin(ShardRig::Spec("a"), WaitFor::kAccepted, told));
  rig.CompleteAll();
  rig.AnswerAll(AttemptResult::kDone);
  rig.CompleteAll();
  const auto ask = [&](std::uint32_t coordinator) {
    transport::OutcomeAnswer answer;
    rig.Do(QuestionRequest{{"a", "1", coordinator, ShardRig::kEpochs.back()},
                           [&](transport::OutcomeAnswer given) { answer = given; }});
    return answer.verdict;
  };
  EXPECT_EQ(ask(7), transport::Verdict::kCommit);
  EXPECT_EQ(ask(0), transport::Verdict::kCommit) << "of nobody in particular";
  EXPECT_EQ(ask(8), transport::Verdict::kCannotTell);
  transport::OutcomeAnswer answer;
  rig.Do(
      QuestionRequest{{"a", "1", 7, 0}, [&](transport::OutcomeAnswer given) { answer = given; }});
  EXPECT_EQ(answer.verdict, transport::Verdict::kCommit)
      << "it does not know in which life, and need not";
}

// Whoever watches hears of each change once, for as long as they want to.
TEST(Survivors, WatchersHearOfEachChangeOnceUntilTheyLeave) {
  ShardRig rig;
  ShardRig::Told told;
  rig.Do(ShardRig::Begin(ShardRig::Spec("a"), WaitFor::kAccepted, told));
  rig.CompleteAll();
  int patient = 0;
  int brief = 0;
  rig.Do(WatchRequest{"a", [&](const Status&, const core::Transaction*, const core::Now&) {
                        ++patient;
                        return true;
                      }});
  rig.Do(WatchRequest{"a", [&](const Status&, const core::Transaction*, const core::Now&) {
                        ++brief;
                        return false;
                      }});
  EXPECT_EQ(patient, 2) << "what it is, and once more for the other";
  EXPECT_EQ(brief, 1);
  rig.AnswerAll(AttemptResult::kRetryLater, "later");  // two changes in one turn
  EXPECT_EQ(patient, 3);
  rig.Pass(std::chrono::seconds(1));
  EXPECT_EQ(patient, 4);
  EXPECT_EQ(brief, 1) << "called although it had left";
}

// A beginning that found no room says so of all beginnings, until one has: what has begun has a
// batch of its own.
TEST(Survivors, ABeginningThatFindsNoRoomIsNotRoom) {
  ShardRig rig;
  ShardRig::Told old;
  ShardRig::Told refused;
  ShardRig::Told fresh;
  rig.Do(ShardRig::Begin(ShardRig::Spec("old"), WaitFor::kDecided, old));
  rig.CompleteAll();
  rig.Do(ShardRig::Begin(ShardRig::Spec("refused"), WaitFor::kDecided, refused));
  rig.Complete(ResourceExhausted("disk full"));
  EXPECT_EQ(refused.words, Words{"RESOURCE_EXHAUSTED"});
  std::vector<transport::Reply> replies;
  for (const transport::Command& c : rig.sent)
    replies.push_back({c.gid, c.branch, c.operation, c.attempt, AttemptResult::kDone, {}, {}, {}});
  rig.shard.Handle(RepliesRequest{std::move(replies)}, rig.mono, rig.wall);
  rig.Do(ShardRig::Begin(ShardRig::Spec("fresh"), WaitFor::kDecided, fresh));
  rig.Pass(core::Millis(250));
  ASSERT_EQ(rig.appends.size(), 2U) << "the decision shares a batch with a beginning";
  EXPECT_EQ(rig.appends[0].entries[0].kind, log::EntryKind::kUpdate);
  EXPECT_EQ(rig.appends[1].entries[0].kind, log::EntryKind::kBegin);
}

// Asked again after a restart: it waits for another branch, and nobody has answered it.
TEST(Survivors, ABranchThatWaitsIsNotAnsweredByARestart) {
  ShardRig before;
  ShardRig::Told told;
  before.Do(
      ShardRig::Begin(ShardRig::Spec("a", core::Protocol::kTcc, 0), WaitFor::kAccepted, told));
  log::LiveRow row;
  const auto keep = [&] {
    for (const log::Entry& entry : before.appends.back().entries) {
      if (entry.kind == log::EntryKind::kBegin) row.spec = entry.spec;
      row.state = entry.state;
      row.version = entry.version;
      row.serial = entry.serial;
    }
  };
  keep();
  before.CompleteAll();
  row.gid = "a";
  core::BranchSpec first = ShardRig::Spec("x").branches[0];
  first.id = "first";
  first.after.clear();
  core::BranchSpec second = first;
  second.id = "second";
  second.after_ids = {"first"};
  int answered = 0;
  const auto execute = [&](const core::BranchSpec& branch) {
    return ExecuteRequest{"a", branch,
                          [&](const Status& status, const core::Transaction*, core::BranchIndex) {
                            EXPECT_TRUE(status.ok()) << status.ToString();
                            ++answered;
                          }};
  };
  for (const core::BranchSpec& branch : {first, second}) {
    before.Do(execute(branch));
    ASSERT_FALSE(before.appends.empty());
    keep();
    before.CompleteAll();
  }
  ShardRig ports;  // only its ports are used
  Shard shard({}, ports);
  std::vector<log::LiveRow> rows;
  rows.push_back(row);
  ports.Start(shard, rows, ShardRig::Recovered(ShardRig::kEpochs));
  EXPECT_EQ(ports.Sent(), "first:TRY");
  shard.Handle(execute(second), ports.mono, ports.wall);
  shard.EndTurn(ports.mono, ports.wall);
  EXPECT_EQ(answered, 0);
}

// An index that is just past the last branch is none.
TEST(Survivors, AnAnswerOfNoBranchIsNothing) {
  ShardRig rig;
  ShardRig::Told told;
  rig.Do(ShardRig::Begin(ShardRig::Spec("a"), WaitFor::kAccepted, told));
  rig.CompleteAll();
  rig.Do(RepliesRequest{{{"a", 2, Operation::kTry, 1, AttemptResult::kDone, {}, {}, {}}}});
  EXPECT_TRUE(rig.appends.empty());
  EXPECT_EQ(rig.shard.Stats().active, 1U);
}

// Those who have left are removed, and nobody else.
TEST(Survivors, WhoStaysIsKeptAmongThoseWhoHaveLeft) {
  ShardRig rig;
  ShardRig::Told told;
  ShardRig::Told patient;
  ShardRig::Told unknown;
  rig.Do(ShardRig::Begin(ShardRig::Spec("a"), WaitFor::kAccepted, told));
  rig.CompleteAll();
  rig.Do(WaitRequest{"a", WaitFor::kDecided, patient.Callback(), [] { return false; }});
  rig.Do(WaitRequest{"a", WaitFor::kDecided, unknown.Callback(), {}});
  for (int i = 0; i < 100; ++i) {
    rig.Do(WaitRequest{"a", WaitFor::kDecided,
                       [](const Status&, const core::Transaction*, const core::Now&) {},
                       [] { return true; }});
  }
  rig.AnswerAll(AttemptResult::kDone);
  rig.CompleteAll();
  EXPECT_EQ(patient.words, Words{"OK COMMITTED"});
  EXPECT_EQ(unknown.words, Words{"OK COMMITTED"});
}

// What waits until it is known whose the gid is looks for nothing meanwhile.
TEST(Survivors, AQuestionThatWaitsAsksNothingElse) {
  ShardRig rig;
  ShardRig::Told told;
  int answers = 0;
  rig.Do(ShardRig::Begin(ShardRig::Spec("a"), WaitFor::kAccepted, told));
  rig.Do(QuestionRequest{{"a", "1", 7, ShardRig::kEpochs.back()},
                         [&](const transport::OutcomeAnswer&) { ++answers; }});
  EXPECT_EQ(answers, 0);
  rig.CompleteAll();
  EXPECT_EQ(answers, 1);
  EXPECT_TRUE(rig.finds.empty());
}

// Other records become durable before it.
TEST(Survivors, TheMomentOfADecisionIsNotBeforeIt) {
  ShardRig rig;
  ShardRig::Told told;
  rig.Do(ShardRig::Begin(ShardRig::Spec("a"), WaitFor::kAccepted, told));
  rig.CompleteAll();
  core::WallTime decided_at{core::Millis(-1)};
  const auto look = [&] {
    rig.Do(GetRequest{"a", [&](const Status&, const core::Transaction* txn, const core::Now&) {
                        decided_at = txn->decided_at();
                      }});
  };
  look();
  EXPECT_EQ(decided_at, core::WallTime());
  rig.AnswerAll(AttemptResult::kDone);
  rig.wall += core::Millis(70);
  rig.CompleteAll();
  look();
  const core::WallTime decision = rig.wall;
  EXPECT_EQ(decided_at, decision);
  ShardRig::Told suspended;
  rig.Pass(std::chrono::seconds(5));
  rig.Do(Operate("a", OperatorVerb::kSuspend, suspended));
  rig.CompleteAll();
  look();
  EXPECT_EQ(decided_at, decision) << "moved by a later record";
}

// One write for a turn, whatever is in it, unless the disk is full; and again once something could
// begin.
TEST(Survivors, WhatBeginsSharesItsWriteWithWhatHasBegun) {
  ShardRig rig;
  ShardRig::Told told;
  const auto turn = [&](const std::string& gid) {
    std::vector<transport::Reply> replies;
    for (const transport::Command& c : std::exchange(rig.sent, {})) {
      replies.push_back(
          {c.gid, c.branch, c.operation, c.attempt, AttemptResult::kDone, {}, {}, {}});
    }
    rig.shard.Handle(RepliesRequest{std::move(replies)}, rig.mono, rig.wall);
    rig.Do(ShardRig::Begin(ShardRig::Spec(gid), WaitFor::kDecided, told));
  };
  turn("a");
  rig.CompleteAll();
  turn("b");
  ASSERT_EQ(rig.appends.size(), 1U) << "b begins with the write of a's decision";
  EXPECT_EQ(rig.appends[0].entries.size(), 2U);
  rig.CompleteAll();
  rig.Do(ShardRig::Begin(ShardRig::Spec("full"), WaitFor::kDecided, told));
  rig.Complete(ResourceExhausted("disk full"));
  rig.Pass(core::Millis(250));
  rig.Do(ShardRig::Begin(ShardRig::Spec("room"), WaitFor::kDecided, told));
  rig.CompleteAll();
  turn("c");
  EXPECT_EQ(rig.appends.size(), 1U) << "there is room again";
}

// Commit said again, long after: what became of it, not that it failed.
TEST(Survivors, ACommitThatIsRepeatedFromTheHistoryIsOne) {
  core::Transaction finished(ShardRig::Spec("a", core::Protocol::kTcc, 1));
  ShardRig rig;
  const core::Now now{rig.mono, rig.wall, 0};
  (void)finished.Apply(core::Begin{ShardRig::kEpochs.back()}, now);
  for (const Operation operation : {Operation::kTry, Operation::kConfirm}) {
    (void)finished.Apply(core::Answered{0, operation, 1, AttemptResult::kDone, {}, {}, {}}, now);
  }
  ASSERT_TRUE(finished.finished());
  const log::FinishedRow row{
      1, "a", core::Codec::EncodeSpec(finished), core::Codec::EncodeState(finished), 1, 0};
  ShardRig::Told committed;
  ShardRig::Told rolled_back;
  rig.Do(CloseRequest{"a", true, {}, WaitFor::kDecided, committed.Callback()});
  rig.Do(CloseRequest{"a", false, {}, WaitFor::kDecided, rolled_back.Callback()});
  ASSERT_EQ(rig.finds.size(), 2U);
  for (const auto& [gid, token] : rig.finds) rig.Do(FoundRequest{token, Finished(row)});
  EXPECT_EQ(committed.words, Words{"OK COMMITTED"});
  EXPECT_EQ(rolled_back.words, Words{"FAILED_PRECONDITION"});
}

// Somebody answers what has not left: it is not sent then, but when it is due again.
TEST(Survivors, WhatIsAnsweredBeforeItLeftIsNotSent) {
  ShardRig rig;
  ShardRig::Told told;
  rig.Do(ShardRig::Begin(ShardRig::Spec("a"), WaitFor::kAccepted, told));
  rig.Do(RepliesRequest{{{"a", 0, Operation::kTry, 1, AttemptResult::kRetryLater, {}, {}, {}}}});
  rig.Complete();
  EXPECT_EQ(rig.Sent(), "2:TRY");
}

TEST(Survivors, WhatNeedsAPersonIsCounted) {
  ShardRig rig;
  ShardRig::Told told;
  for (const char* gid : {"a", "b"})
    rig.Do(ShardRig::Begin(ShardRig::Spec(gid, core::Protocol::kTcc, 1), WaitFor::kAccepted, told));
  rig.CompleteAll();
  EXPECT_EQ(rig.shard.Stats().needs_operator, 0U);
  const transport::Command first = rig.sent.at(0);
  rig.sent.clear();
  rig.Do(RepliesRequest{{{first.gid, 0, Operation::kTry, 1, AttemptResult::kDone, {}, {}, {}}}});
  rig.CompleteAll();
  rig.AnswerAll(AttemptResult::kRefused, "cannot confirm");
  const ShardStats stats = rig.shard.Stats();
  EXPECT_EQ(stats.needs_operator, 1U);
  EXPECT_EQ(stats.active, 1U);
  EXPECT_EQ(stats.committing, 1U);
  EXPECT_EQ(stats.begun, 2U);
}

// Were what a start has found not counted, its end would make the count negative, which is full for
// ever.
TEST(Survivors, WhatWasRecoveredTakesRoomUntilItEnds) {
  ShardRig before;
  ShardRig::Told told;
  core::TransactionSpec spec = ShardRig::Spec("a", core::Protocol::kTcc, 1);
  spec.branches[0].payload.assign(60, 'x');
  before.Do(ShardRig::Begin(spec, WaitFor::kAccepted, told));
  const log::Entry begun = before.appends[0].entries[0];

  ShardRig ports;  // only its ports are used
  ShardOptions options;
  options.max_live_bytes = 100;
  Shard shard(options, ports);
  std::vector<log::LiveRow> rows;
  const auto turn = [&](Request request) {
    shard.Handle(std::move(request), ports.mono, ports.wall);
    shard.EndTurn(ports.mono, ports.wall);
  };
  const auto write = [&] {
    while (!ports.appends.empty()) {
      const std::uint64_t batch = ports.appends.front().batch;
      ports.appends.pop_front();
      turn(AppendedRequest{batch, {{}, batch, 0, {}}});
    }
  };
  const auto answer = [&](Operation operation) {
    turn(RepliesRequest{{{"a", 0, operation, 1, AttemptResult::kDone, {}, {}, core::Millis(0)}}});
    write();
  };
  rows.push_back(ShardRig::RowOf(begun));
  ports.Start(shard, rows, ShardRig::Recovered(ShardRig::kEpochs));
  write();
  spec.gid = "b";
  ShardRig::Told refused;
  turn(ShardRig::Begin(spec, WaitFor::kAccepted, refused));
  EXPECT_EQ(refused.words, Words{"RESOURCE_EXHAUSTED"});
  answer(Operation::kTry);
  answer(Operation::kConfirm);
  ports.mono += core::Millis(100);
  shard.EndTurn(ports.mono, ports.wall);
  write();
  ASSERT_EQ(shard.live_count(), 0U);
  ShardRig::Told room;
  turn(ShardRig::Begin(spec, WaitFor::kAccepted, room));
  write();
  EXPECT_EQ(room.words, Words{"OK UNDECIDED"});
}

// Rows that recovery has not come to yet stand among those that it has, in the order of their
// beginning.
TEST(Survivors, RowsThatWaitForRecoveryAreSeenInTheirPlace) {
  ShardRig before;
  ShardRig::Told told;
  ShardRig ports;  // only its ports are used
  ShardOptions options;
  options.slice_count = 1;
  Shard shard(options, ports);
  std::vector<log::LiveRow> rows;
  for (const char* gid : {"a", "b", "c", "d"}) {
    before.Do(
        ShardRig::Begin(ShardRig::Spec(gid, core::Protocol::kTcc, 1), WaitFor::kAccepted, told));
    const log::Entry begun = before.appends.back().entries[0];
    rows.push_back(ShardRig::RowOf(begun));
  }
  ports.Start(shard, rows, ShardRig::Recovered(ShardRig::kEpochs));
  // Asked for, and so taken up before its turn: a and c are live now.
  shard.Handle(GetRequest{"c", told.Callback()}, ports.mono, ports.wall);
  const auto look = [&](Part part) {
    std::string seen;
    SliceEnd end{0, true};
    while (end.more) {
      const auto show = [&](std::uint64_t, const core::Transaction& txn, bool, const core::Now&) {
        seen += txn.gid();
      };
      const auto done = [&](const SliceEnd& ended) { end = ended; };
      shard.Handle(SliceRequest{show, done, part, 1, end.serial, 1}, ports.mono, ports.wall);
      seen += ' ';
    }
    return seen;
  };
  EXPECT_EQ(look(Part::kNewestFirst), "d c b a ");
  EXPECT_EQ(look(Part::kOthers), "a b c d ");
}

}  // namespace
}  // namespace assent::engine
