// The test kit: that it drives handlers as the contract says, and that it sees what breaks it.

#include <algorithm>
#include <chrono>
#include <map>
#include <mutex>
#include <string>
#include <utility>
#include <vector>

#include <gmock/gmock.h>
#include <gtest/gtest.h>

#include <assent/testkit.h>

#include "participant-sdk/cpp/src/action_table.h"
#include "tests/sdk/shelf.h"

namespace assent::testkit {
namespace {

using std::chrono_literals::operator""s;
using assent::testing::Shelf;
using ::testing::ElementsAre;
using ::testing::HasSubstr;
using ::testing::IsEmpty;

std::vector<std::string> OperationsIn(const Coordinator& kit) {
  std::vector<std::string> names;
  for (const Event& event : kit.history())
    names.push_back(event.call.branch_id + " " + OperationName(event.call.operation));
  return names;
}

class TestKitTest : public ::testing::Test {
 protected:
  TestKitTest() { kit_.Serve("shelf", shelf_).Serve("other", other_); }

  Shelf shelf_{10};
  Shelf other_{10};
  Coordinator kit_;
};

TEST_F(TestKitTest, CommitsEachProtocol) {
  for (const Protocol protocol : {Protocol::kTwoPhase, Protocol::kTcc, Protocol::kSaga}) {
    Transaction order;
    order.Add({protocol, "shelf", "take", "1", {}}).Add({protocol, "other", "take", "1", {}});
    const Result<Report> report = kit_.client().Submit(order);
    ASSERT_TRUE(report.ok()) << report.status().ToString();
    EXPECT_TRUE(report->committed());
    EXPECT_EQ(report->state, TransactionState::kFinished);
    EXPECT_EQ(report->results.at("1"), "took 1");
  }
  EXPECT_EQ(shelf_.free(), 7);
  EXPECT_EQ(shelf_.sold(), 3);
  EXPECT_EQ(shelf_.held(), 0);
  EXPECT_EQ(other_.sold(), 3);
  EXPECT_THAT(kit_.violations(), IsEmpty());
}

TEST_F(TestKitTest, TheHandlerHasItsInitiatorsTrace) {
  const std::string trace = "00-4bf92f3577b34da6a3ce929d0e0e4736-00f067aa0ba902b7-01";
  Transaction order;
  order.Tcc("shelf", "take", "1").Trace(trace, "a=1");
  ASSERT_TRUE(kit_.client().Submit(order)->committed());
  ASSERT_THAT(OperationsIn(kit_), ElementsAre("1 TRY", "1 CONFIRM"));
  for (const Event& event : kit_.history()) {
    EXPECT_EQ(event.call.traceparent, trace);
    EXPECT_EQ(event.call.tracestate, "a=1");
  }
}

TEST_F(TestKitTest, ARefusalUndoesTheOthersInReverse) {
  Transaction order;
  order.Saga("shelf", "take", "1").Saga("shelf", "take", "1").Saga("other", "take", "99");
  const Result<Report> report = kit_.client().Submit(order);
  ASSERT_TRUE(report.ok());
  EXPECT_TRUE(report->aborted());
  EXPECT_THAT(report->abort_reason, HasSubstr("branch 3 other/take refused: only 10 left"));
  EXPECT_THAT(OperationsIn(kit_),
              ElementsAre("1 ACTION", "2 ACTION", "3 ACTION", "2 COMPENSATE", "1 COMPENSATE"));
  EXPECT_EQ(shelf_.free(), 10);
}

TEST_F(TestKitTest, ALoneTwoPhaseBranchIsCommittedInOnePhase) {
  Transaction order;
  order.TwoPhase("shelf", "take", "2");
  ASSERT_TRUE(kit_.client().Submit(order)->committed());
  EXPECT_THAT(OperationsIn(kit_), ElementsAre("1 PREPARE"));
  EXPECT_TRUE(kit_.history()[0].call.one_phase);
  EXPECT_EQ(shelf_.sold(), 2);
  EXPECT_EQ(shelf_.held(), 0);
}

TEST_F(TestKitTest, ALostReplyIsAskedAgainAndAnsweredTheSame) {
  kit_.LoseNext(Operation::kTry, Loss::kReply);
  kit_.LoseNext(Operation::kConfirm, Loss::kReply, "2");
  kit_.LoseNext(Operation::kConfirm, Loss::kCommand, "1");
  Transaction order;
  order.Tcc("shelf", "take", "1").Tcc("other", "take", "1");
  ASSERT_TRUE(kit_.client().Submit(order)->committed());
  EXPECT_EQ(shelf_.sold(), 1);
  EXPECT_EQ(other_.sold(), 1);
  EXPECT_THAT(kit_.violations(), IsEmpty());
  EXPECT_EQ(kit_.history().size(), 7u);
}

TEST_F(TestKitTest, ALateTryIsRefused) {
  kit_.LoseNext(Operation::kTry, Loss::kLate, "2");
  Transaction order;
  order.Tcc("shelf", "take", "1").Tcc("other", "take", "1");
  EXPECT_TRUE(kit_.client().Submit(order)->aborted());
  kit_.DeliverLate();
  EXPECT_EQ(kit_.history().back().reply.kind, Reply::Kind::kRefused);
  EXPECT_EQ(other_.free(), 10);
  EXPECT_EQ(other_.held(), 0);
}

TEST_F(TestKitTest, CrashesEndRightAfterRestart) {
  struct Case {
    CrashPoint point;
    Outcome outcome;
  };
  const std::vector<Case> cases = {{CrashPoint::kAfterFirstForward, Outcome::kAborted},
                                   {CrashPoint::kBeforeDecision, Outcome::kAborted},
                                   {CrashPoint::kAfterDecision, Outcome::kCommitted},
                                   {CrashPoint::kAfterFirstFinish, Outcome::kCommitted}};
  int sold = 0;
  for (const Protocol protocol : {Protocol::kTwoPhase, Protocol::kTcc, Protocol::kSaga}) {
    for (const Case& c : cases) {
      if (protocol == Protocol::kSaga && c.point == CrashPoint::kAfterFirstFinish)
        continue;  // has no finish
      kit_.CrashAt(c.point);
      Transaction order;
      order.Add({protocol, "shelf", "take", "1", {}}).Add({protocol, "other", "take", "1", {}});
      const Client client = kit_.client();
      EXPECT_EQ(client.Submit(order).status().code(), Code::kUnknownOutcome);
      EXPECT_TRUE(kit_.crashed());
      EXPECT_EQ(client.Submit(order).status().code(), Code::kUnavailable);
      kit_.Restart();
      const Result<Report> report = client.Submit(order);  // the same gid: the same transaction
      ASSERT_TRUE(report.ok());
      EXPECT_EQ(report->outcome, c.outcome);
      EXPECT_EQ(report->state, TransactionState::kFinished);
      sold += report->committed() ? 1 : 0;
    }
  }
  EXPECT_EQ(shelf_.sold(), sold);
  EXPECT_EQ(other_.sold(), sold);
  EXPECT_EQ(shelf_.held() + other_.held(), 0);
  EXPECT_THAT(kit_.violations(), IsEmpty());
}

// A test that passes because its fault never came has shown nothing: once it stayed silent.
TEST_F(TestKitTest, ACrashOrALossThatNeverComesIsSaid) {
  kit_.CrashAt(CrashPoint::kAfterFirstFinish);  // a Saga has none
  kit_.LoseNext(Operation::kCancel, Loss::kReply, "7");
  Transaction order;
  order.Saga("shelf", "take", "1");
  EXPECT_TRUE(kit_.client().Submit(order)->committed());
  EXPECT_THAT(
      kit_.violations(),
      ElementsAre("CrashAt(kAfterFirstFinish) was never reached",
                  "LoseNext(CANCEL, kReply) was never reached: no such message of branch 7"));
  kit_.CrashAt(CrashPoint::kAfterDecision);
  EXPECT_THAT(
      kit_.violations()[0],
      HasSubstr("kAfterFirstFinish) was never reached before CrashAt(kAfterDecision) replaced"));
}

TEST(TestKitDeathTest, ATestThatDoesNotLookEndsWithThePointsName) {
  EXPECT_DEATH(
      {
        Coordinator kit;
        kit.CrashAt(CrashPoint::kAfterDecision);
      },
      "CrashAt\\(kAfterDecision\\) was never reached");
}

TEST_F(TestKitTest, InteractiveCommitsRollsBackAndExpires) {
  const Client client = kit_.client();
  {
    auto order = client.Begin();
    ASSERT_TRUE(order.ok());
    const auto first = order->Tcc("shelf", "take", "1");
    ASSERT_TRUE(first.ok());
    EXPECT_EQ(first->result, "took 1");
    EXPECT_EQ(order->Saga("other", "take", "1")->branch_id, "2");
    EXPECT_TRUE(order->Commit()->committed());
  }
  {
    auto order = client.Begin();
    ASSERT_TRUE(order->Tcc("shelf", "take", "1").ok());
    EXPECT_EQ(shelf_.held(), 1);
  }  // goes out of scope
  EXPECT_EQ(shelf_.held(), 0);
  {
    auto order = client.Begin();
    ASSERT_TRUE(order->Tcc("shelf", "take", "1").ok());
    EXPECT_TRUE(order->Tcc("other", "take", "99")->refused);
    EXPECT_EQ(shelf_.held(), 0);
    EXPECT_EQ(order->Commit().status().code(), Code::kFailedPrecondition);
  }
  {
    auto order = client.Begin(Transaction().Deadline(30s));
    ASSERT_TRUE(order->Tcc("shelf", "take", "1").ok());
    kit_.Advance(31s);
    EXPECT_EQ(shelf_.held(), 0);
    EXPECT_EQ(order->Commit().status().code(), Code::kFailedPrecondition);
  }
  EXPECT_EQ(shelf_.sold(), 1);
  EXPECT_EQ(other_.sold(), 1);
}

TEST_F(TestKitTest, APivotCommitsAndWhatFollowsGoesForwardOnly) {
  Transaction trip;
  trip.Saga("shelf", "take", "1")
      .Saga("shelf", "take", "2", {.pivot = true})
      .Saga("other", "busy", "1", {.receive_results = true});
  const Client client = kit_.client();
  const Result<Report> report = client.Submit(trip);
  ASSERT_TRUE(report.ok());
  EXPECT_TRUE(report->committed());
  EXPECT_EQ(report->state, TransactionState::kCommitting);  // the last step is "busy"
  other_.set_busy(false);
  kit_.Advance(1s);
  EXPECT_EQ(client.Wait(trip.gid(), {.wait = WaitFor::kCompleted})->state,
            TransactionState::kFinished);
  EXPECT_EQ(other_.sold(), 1);
}

// While a pivot may have happened nothing else decides: not even the deadline.
TEST_F(TestKitTest, APivotWhoseAnswerIsLostIsAskedAgainAfterTheDeadline) {
  kit_.LoseNext(Operation::kAction, Loss::kLate, "2");
  Transaction trip;
  trip.Saga("shelf", "take", "1").Saga("shelf", "take", "2", {.pivot = true});
  const Result<Report> report = kit_.client().Submit(trip);
  ASSERT_TRUE(report.ok());
  EXPECT_TRUE(report->committed()) << report->abort_reason;
  kit_.DeliverLate();
  EXPECT_EQ(shelf_.sold(), 3);
  EXPECT_THAT(kit_.violations(), IsEmpty());
}

TEST_F(TestKitTest, APivotInDoubtSurvivesARestart) {
  kit_.CrashAt(CrashPoint::kBeforeDecision);  // the pivot has executed, which nobody remembers
  Transaction trip;
  trip.Saga("shelf", "take", "1").Saga("shelf", "take", "2", {.pivot = true});
  EXPECT_EQ(kit_.client().Submit(trip).status().code(), Code::kUnknownOutcome);
  kit_.Restart();
  EXPECT_TRUE(kit_.client().Submit(trip)->committed());
  EXPECT_THAT(OperationsIn(kit_), ElementsAre("1 ACTION", "2 ACTION", "2 ACTION"));
  EXPECT_EQ(shelf_.sold(), 3);
}

// Its local commit was the decision: ROLLBACK asks what became of it, and prevents it if it has not
// happened.
TEST_F(TestKitTest, OnePhaseInDoubtIsAskedByRollback) {
  kit_.CrashAt(CrashPoint::kBeforeDecision);
  Transaction order;
  order.TwoPhase("shelf", "take", "2");
  EXPECT_EQ(kit_.client().Submit(order).status().code(), Code::kUnknownOutcome);
  kit_.Restart();
  EXPECT_TRUE(kit_.client().Submit(order)->committed());
  EXPECT_THAT(OperationsIn(kit_), ElementsAre("1 PREPARE", "1 ROLLBACK"));
  EXPECT_EQ(shelf_.sold(), 2);

  kit_.LoseNext(Operation::kPrepare, Loss::kLate);
  Transaction late;
  late.TwoPhase("shelf", "take", "1");
  EXPECT_TRUE(kit_.client().Submit(late)->aborted());
  kit_.DeliverLate();
  EXPECT_EQ(kit_.history().back().reply.kind, Reply::Kind::kRefused);
  EXPECT_EQ(shelf_.sold(), 2);
  EXPECT_THAT(kit_.violations(), IsEmpty()) << "a refused ROLLBACK was the answer, no violation";
}

TEST_F(TestKitTest, WhatCannotGoOnAbortsAtItsDeadline) {
  Transaction trip;
  trip.Saga("shelf", "take", "1").Saga("other", "busy", "1").Deadline(20s);
  const Client client = kit_.client();
  EXPECT_EQ(client.Submit(trip)->state, TransactionState::kActive);
  EXPECT_THAT(client.Get(trip.gid())->why_not_finished, HasSubstr("busy"));
  kit_.Advance(18s);
  EXPECT_EQ(client.Get(trip.gid())->state, TransactionState::kActive);
  kit_.Advance(2s);
  const Result<Report> report = client.Wait(trip.gid());
  ASSERT_TRUE(report.ok()) << report.status().ToString();
  EXPECT_THAT(report->abort_reason, HasSubstr("deadline of 20000 ms passed: branch 2 other/busy"));
  other_.set_busy(false);  // its compensation was kept waiting too
  kit_.Advance(30s);
  EXPECT_EQ(client.Get(trip.gid())->state, TransactionState::kFinished);
  EXPECT_EQ(shelf_.free(), 10);
  // At 0, 50, 150, 350 ms, ...: of each wait half is kept, and here nothing is drawn.
  const std::vector<std::string> asked = OperationsIn(kit_);
  EXPECT_EQ(std::count(asked.begin(), asked.end(), "2 ACTION"), 9);
}

TEST_F(TestKitTest, WhatIsBuiltUponIsCompensatedLast) {
  Transaction trip;
  trip.Saga("shelf", "take", "1", {.id = "flight"})
      .Saga("shelf", "take", "1", {.id = "hotel", .after = {"flight"}})
      .Saga("shelf", "take", "1", {.id = "car", .after = {"flight"}})
      .Saga("other", "take", "99", {.id = "tour", .after = {"hotel", "car"}});
  EXPECT_TRUE(kit_.client().Submit(trip)->aborted());
  EXPECT_EQ(OperationsIn(kit_).back(), "flight COMPENSATE");
  EXPECT_EQ(kit_.history().size(), 7u);
}

TEST_F(TestKitTest, ABranchWaitsUntilSomebodyServesIt) {
  Shelf late(10);
  Transaction order;
  order.Tcc("shelf", "take", "1").Tcc("late", "take", "1");
  const Client client = kit_.client();
  EXPECT_EQ(client.Submit(order)->state, TransactionState::kActive);
  EXPECT_EQ(kit_.history().size(), 1u);
  kit_.Serve("late", late);
  kit_.Advance(0s);
  EXPECT_TRUE(client.Wait(order.gid())->committed());
  EXPECT_EQ(late.sold(), 1);
}

TEST_F(TestKitTest, ResultsReachTheBranchesThatAskForThem) {
  Transaction trip;
  trip.Tcc("shelf", "take", "3", {.id = "a"})
      .Tcc("other", "take", "1", {.id = "b", .after = {"a"}, .receive_results = true});
  ASSERT_TRUE(kit_.client().Submit(trip)->committed());
  EXPECT_EQ(kit_.history()[1].call.results.at("a"), "took 3");
}

TEST_F(TestKitTest, TheSameGidWithOtherContentIsRefused) {
  Transaction first;
  first.Tcc("shelf", "take", "1");
  ASSERT_TRUE(kit_.client().Submit(first).ok());
  Transaction second;
  second.Gid(first.gid()).Tcc("shelf", "take", "2");
  EXPECT_EQ(kit_.client().Submit(second).status().code(), Code::kAlreadyExists);
}

TEST(CheckContractTest, AGoodResourceKeepsIt) {
  for (const Protocol protocol : {Protocol::kTwoPhase, Protocol::kTcc, Protocol::kSaga}) {
    Shelf shelf(100);
    const ContractReport report =
        CheckContract(shelf, {.action = "take", .protocol = protocol, .payload = "1"});
    EXPECT_TRUE(report.ok()) << report.ToString();
    EXPECT_EQ(shelf.sold(), static_cast<int>(report.committed));
    EXPECT_EQ(shelf.held(), 0);
    EXPECT_EQ(shelf.free() + shelf.sold(), 100);
    EXPECT_GT(report.undone, 3u);
  }
}

// Each planted bug is seen, by the scenario that is there for it.
struct BugCase {
  const char* name;
  Shelf::Bug bug;
  Protocol protocol;
  const char* words;
};

class PlantedBugTest : public ::testing::TestWithParam<BugCase> {};

TEST_P(PlantedBugTest, IsSeen) {
  Shelf shelf(100);
  shelf.set_bug(GetParam().bug);
  const ContractReport report =
      CheckContract(shelf, {.action = "take", .protocol = GetParam().protocol, .payload = "1"});
  EXPECT_THAT(report.ToString(), HasSubstr(GetParam().words));
}

INSTANTIATE_TEST_SUITE_P(
    Each, PlantedBugTest,
    ::testing::Values(BugCase{"no_tombstone", Shelf::Bug::kNoTombstone, Protocol::kTcc,
                              "undo before the forward operation"},
                      BugCase{"other_answer", Shelf::Bug::kOtherAnswer, Protocol::kSaga,
                              "and asked again"},
                      BugCase{"confirm_without_try", Shelf::Bug::kConfirmWithoutTry, Protocol::kTcc,
                              "finish without the forward operation"},
                      BugCase{"commit_lost_work", Shelf::Bug::kConfirmWithoutTry,
                              Protocol::kTwoPhase, "finish without the forward operation"},
                      BugCase{"refused_undo", Shelf::Bug::kRefusesEmptyUndo, Protocol::kSaga,
                              "there is nothing to undo"}),
    [](const auto& parameter) { return parameter.param.name; });

// The kit sees a handler that answers differently the second time.
TEST(TestKitViolationTest, ADifferentAnswerIsNoted) {
  int calls = 0;
  internal::ActionTable table;
  table.Add(Protocol::kSaga, "count",
            [&](const Call&) { return Reply::Done(std::to_string(++calls)); }, {}, {});
  Coordinator kit;
  kit.Serve("counter", table);
  kit.LoseNext(Operation::kAction, Loss::kReply);
  Transaction t;
  t.Saga("counter", "count");
  ASSERT_TRUE(kit.client().Submit(t).ok());
  ASSERT_EQ(kit.violations().size(), 1u);
  EXPECT_THAT(kit.violations()[0], HasSubstr("done '1', and asked again done '2'"));
}

// Another instance may have executed it, and its answer been lost: refused here, it would never be
// compensated.
TEST(ActionTableTest, WhatIsNotKnownIsNeverRefused) {
  internal::ActionTable table;
  for (const Operation operation : {Operation::kAction, Operation::kTry, Operation::kPrepare,
                                    Operation::kConfirm, Operation::kRollback}) {
    Call call;
    call.operation = operation;
    call.action = "of-a-newer-version";
    Reply reply;
    table.Execute(call, [&](Reply given) { reply = std::move(given); });
    EXPECT_EQ(reply.kind, Reply::Kind::kRetryLater);
    EXPECT_THAT(reply.reason, HasSubstr("of-a-newer-version is registered here"));
  }
}

// A message without an outbox, whose initiator says nothing after Prepare.
class CheckBackTest : public TestKitTest {
 protected:
  CheckBackTest() {
    message_.CheckBack("shelf", "take").Saga("other", "take", "1").Deadline(5s);
    const Result<Report> prepared = kit_.client().Prepare(message_);
    EXPECT_TRUE(prepared.ok()) << prepared.status().ToString();
    EXPECT_EQ(prepared->state, TransactionState::kActive);
    EXPECT_THAT(OperationsIn(kit_), IsEmpty()) << "nobody is asked before there is an answer";
  }
  Transaction message_;
};

TEST_F(CheckBackTest, WhoFallsSilentIsAsked) {
  kit_.Advance(2s);
  EXPECT_EQ(OperationsIn(kit_).front(), "1 ACTION");
}

TEST_F(CheckBackTest, WhoComesAgainIsAskedAtOnce) {
  EXPECT_TRUE(kit_.client().Submit(message_).ok());
  EXPECT_EQ(OperationsIn(kit_).front(), "1 ACTION");
}

TEST_F(TestKitTest, WhatHasNothingToAskAboutCannotBePrepared) {
  Transaction plain;
  plain.Saga("shelf", "take", "1");
  const Status status = kit_.client().Prepare(plain).status();
  EXPECT_EQ(status.code(), Code::kInvalidArgument);
  EXPECT_THAT(status.message(), HasSubstr("CheckBack"));
  EXPECT_EQ(kit_.client().Prepare(Transaction()).status().code(), Code::kInvalidArgument);
}

TEST_F(TestKitTest, OnlyTheFirstStepIsCheckedBack) {
  Transaction late;
  late.Saga("shelf", "take", "1").CheckBack("other", "take");
  EXPECT_EQ(kit_.client().Prepare(late).status().code(), Code::kInvalidArgument);
  EXPECT_EQ(kit_.client().Submit(late).status().code(), Code::kInvalidArgument);
  Transaction beside;
  beside.CheckBack("other", "take").Tcc("shelf", "take", "1");
  EXPECT_EQ(kit_.client().Prepare(beside).status().code(), Code::kInvalidArgument);
  EXPECT_THAT(OperationsIn(kit_), IsEmpty());
}

}  // namespace
}  // namespace assent::testkit
