// The fence, and answers that are lost: what of a group is in the store, whoever dies in the middle
// of it, and that nobody hears anything else.

#include <atomic>
#include <csignal>
#include <future>
#include <memory>
#include <set>
#include <string>
#include <thread>
#include <utility>
#include <vector>

#include <gmock/gmock.h>
#include <gtest/gtest.h>

#include "coordinator/log/postgresql/lane_sql.h"
#include "tests/log/log_rig.h"
#include "tests/log/postgresql_member.h"
#include "tests/support/tcp_gate.h"

namespace assent::log {
namespace {

using std::chrono_literals::operator""s;
using std::chrono_literals::operator""ms;
using test::PostgresServer;
using test::TcpGate;
using test::WaitUntil;
using testing::ElementsAre;
using testing::HasSubstr;

constexpr auto kSoon = 30s;

class PostgresLane : public testing::Test {
 protected:
  // A member that comes in through the gate, with row 1, "a", in version 1.
  void SetUp() override {
    log_.GoThrough(gate_.port());
    options_ = log_.Member();
    options_.lane.on_settled = [this](bool committed) { settled_.push_back(committed); };
    options_.lane.on_away = [this](const Status&) { ++aways_; };
    options_.lane.on_back = [this] { ++backs_; };
    options_.on_regressed = [this](const Status& why) { regressed_ = why; };
    store_ = std::make_unique<PostgresRowStore>(options_);
    joined_ = store_->Join().value();
    std::vector<DamagedSlot> damaged;
    ASSERT_TRUE(store_
                    ->Load(
                        {0}, [](const LiveRow&) { return OkStatus(); }, damaged)
                    .ok());
    ASSERT_TRUE(Write(Batch(Begin(1, "a"))).ok());
    ASSERT_TRUE(settled_.empty());
  }
  void TearDown() override { log_.stop().Raise(); }

  Status Write(const std::vector<Entry>& batch) {
    outcome_ = GroupOutcome();
    return store_->Write({&batch}, unwritten_, outcome_);
  }
  std::future<Status> WriteMeanwhile(std::vector<Entry> batch) {
    return std::async(std::launch::async,
                      [this, batch = std::move(batch)] { return Write(batch); });
  }
  // In recovery the server lets nobody in.
  std::string Rows() {
    EXPECT_TRUE(WaitUntil([&] { return server_.TrySql("postgres", "SELECT 1").ok(); }, kSoon));
    return log_.Sql("SELECT string_agg(gid || ' v' || version, ', ' ORDER BY serial) FROM live");
  }
  int LastGroup() { return std::stoi("0" + log_.Sql("SELECT max(seq) FROM batch")); }
  std::string Backend() { return log_.Sql("SELECT backend FROM lane WHERE NOT fenced"); }
  bool HasBackend(const std::string& pid) {
    return log_.Sql("SELECT count(*) FROM pg_stat_activity WHERE pid = " + pid) == "1";
  }
  static void ExpectCommitted(std::future<Status>& group) {
    const Status status = group.get();
    EXPECT_TRUE(status.ok()) << status.ToString();
  }

  PostgresServer& server_ = PostgresServer::OfThisBinary();
  PostgresTestLog log_{server_};
  TcpGate gate_{server_.port()};
  PostgresStoreOptions options_;
  std::vector<bool> settled_;
  std::atomic<int> aways_ = 0;
  std::atomic<int> backs_ = 0;
  Status regressed_;
  std::unique_ptr<PostgresRowStore> store_;
  Joined joined_;
  Unwritten unwritten_;
  GroupOutcome outcome_;
};

// ---- The fence ----------------------------------------------------------------------------------

TEST_F(PostgresLane, AFencedMemberWritesNothing) {
  log_.Sql("UPDATE lane SET fenced = true");
  const Status status = Write(Batch(Update(1, 2, "a", "x")));
  EXPECT_EQ(status.code(), Code::kFailedPrecondition);
  EXPECT_THAT(status.message(), HasSubstr("fenced"));
  EXPECT_TRUE(store_->fenced());
  EXPECT_EQ(Rows(), "a v1");
  // Nor does it read what others may have changed.
  EXPECT_FALSE(store_->Find("a").ok());
}

// Whoever takes over sees all that was acknowledged, because he waits for what is under way; and
// what comes behind him sees him.
TEST_F(PostgresLane, TheFenceWaitsForTheGroupInFlight) {
  auto holder = Connection::Open({.url = log_.url()}).value();
  ASSERT_TRUE(holder->Run("BEGIN; SELECT 1 FROM live WHERE serial = 1 FOR UPDATE").ok());
  auto group = WriteMeanwhile(Batch(Update(1, 2, "a", "x")));
  EXPECT_TRUE(WaitUntil(
      [&] {
        return log_.Sql("SELECT count(*) FROM pg_stat_activity WHERE wait_event_type = 'Lock'") ==
               "1";
      },
      kSoon));
  auto taker = Connection::Open({.url = log_.url()}).value();
  const std::string fence = "SET lock_timeout = '100ms'; UPDATE lane SET fenced = true";
  EXPECT_EQ(taker->Run(fence).verdict, Verdict::kLocked);
  ASSERT_TRUE(holder->Run("ROLLBACK").ok());
  ExpectCommitted(group);
  EXPECT_TRUE(taker->Run(fence).ok());
  EXPECT_FALSE(Write(Batch(Update(1, 3, "a", "y"))).ok());
  EXPECT_EQ(Rows(), "a v2");
}

// Its session lacks the settings on which durability rests: a pooler stands between.
TEST_F(PostgresLane, AGroupOfAnotherSessionIsRefused) {
  auto other = Connection::Open({.url = log_.url()}).value();
  const std::string conn = log_.Sql("SELECT conn FROM lane");
  for (const LaneStatement& statement : kLaneStatements) {
    if (std::string_view(statement.name) == "fence") other->AddPrepare("fence", statement.sql);
  }
  ASSERT_TRUE(other->Exchange().at(0).ok());
  const auto fence = [&](std::int64_t conn_number) {
    other->Add(
        "fence",
        Params().Int(joined_.epoch).Int(std::int64_t{0}).Int(std::int64_t{99}).Int(conn_number));
    return other->Exchange().at(0).verdict;
  };
  EXPECT_EQ(fence(std::stoll(conn)), Verdict::kCondition);
  log_.Sql("UPDATE lane SET backend = " + std::to_string(other->backend_pid()));
  EXPECT_EQ(fence(std::stoll(conn) + 1), Verdict::kCondition);
  EXPECT_EQ(fence(std::stoll(conn)), Verdict::kDone);
}

// ---- Answers that are lost ----------------------------------------------------------------------

TEST_F(PostgresLane, ALostSessionIsOpenedAgainAndTheGroupSent) {
  log_.Sql("SELECT pg_terminate_backend(backend) FROM lane");
  ASSERT_TRUE(Write(Batch(Update(1, 2, "a", "x"))).ok());
  EXPECT_EQ(Rows(), "a v2");
  log_.Sql("SELECT pg_terminate_backend(backend) FROM lane");
  EXPECT_TRUE(store_->BeforeReads().ok());
  EXPECT_EQ(store_->Find("a").value().what, Found::What::kLive);
  EXPECT_TRUE(store_->AfterReads().ok());
}

// It is there, and whoever waits hears so: what was refused in it too.
TEST_F(PostgresLane, AGroupThatWasCommittedWithoutAnAnswer) {
  ASSERT_TRUE(Write(Batch(Begin(2, "b"), End(2, 2, "b"))).ok());
  const int before = LastGroup();
  gate_.HoldAnswers();
  auto group = WriteMeanwhile(Batch(Update(1, 2, "a", "x"), Begin(3, "b"), Update(3, 2, "b", "x"),
                                    Begin(4, "d"), Begin(5, "e"), End(5, 2, "e")));
  EXPECT_TRUE(WaitUntil([&] { return LastGroup() == before + 1; }, kSoon));
  EXPECT_EQ(group.wait_for(0s), std::future_status::timeout);
  gate_.CutClients();
  ExpectCommitted(group);
  EXPECT_THAT(settled_, ElementsAre(true));
  ASSERT_EQ(outcome_.refused.at(0).size(), 2u);
  EXPECT_EQ(outcome_.refused[0][0].index, 1u);
  EXPECT_EQ(outcome_.refused[0][0].status.code(), Code::kAlreadyExists);
  EXPECT_EQ(outcome_.refused[0][1].status.code(), Code::kNotFound);
  EXPECT_THAT(outcome_.never_begun, ElementsAre(3u));
  EXPECT_EQ(Rows(), "a v2, d v1");
  EXPECT_EQ(store_->Find("e").value().what, Found::What::kFinished);
}

// "Not committed" is said once it can never be: the old group comes later, whole, and is refused.
TEST_F(PostgresLane, ALateGroupIsRefused) {
  const int before = LastGroup();
  const std::string old = Backend();
  gate_.HoldRequestsAfter(0);
  auto group = WriteMeanwhile(Batch(Update(1, 2, "a", "x"), Begin(2, "b")));
  EXPECT_TRUE(WaitUntil([&] { return gate_.held() > 300; }, kSoon));
  gate_.CutClients();
  ExpectCommitted(group);
  EXPECT_THAT(settled_, ElementsAre(false));
  EXPECT_EQ(LastGroup(), before + 1);
  ASSERT_TRUE(Write(Batch(Update(1, 3, "a", "y"))).ok());
  EXPECT_TRUE(HasBackend(old));
  gate_.Deliver();
  EXPECT_TRUE(WaitUntil([&] { return !HasBackend(old); }, kSoon));
  EXPECT_EQ(Rows(), "a v3, b v1");
  EXPECT_EQ(LastGroup(), before + 2);
}

// Half a message keeps its locks for as long as the other half may come, and no timeout of the
// server's ends it: we do.
TEST_F(PostgresLane, AHalfSentGroupIsEnded) {
  for (const std::size_t bytes : {60u, 150u, 250u}) {
    const std::string old = Backend();
    const int before = LastGroup();
    gate_.HoldRequestsAfter(bytes);
    auto group = WriteMeanwhile(Batch(Begin(bytes, "g" + std::to_string(bytes))));
    EXPECT_TRUE(WaitUntil([&] { return gate_.held() > 0; }, kSoon));
    gate_.CutClients();
    ExpectCommitted(group);
    EXPECT_TRUE(WaitUntil([&] { return !HasBackend(old) || gate_.held() > 0; }, kSoon));
    EXPECT_EQ(LastGroup(), before + 1);
    gate_.Deliver();
    EXPECT_TRUE(WaitUntil([&] { return !HasBackend(old); }, kSoon));
  }
  EXPECT_EQ(Rows(), "a v1, g60 v1, g150 v1, g250 v1");
}

// A backend dies by kill -9, and takes all the others down, with any part of the message there.
TEST_F(PostgresLane, ABackendIsKilledAtEachPoint) {
  std::string expected = "a v1";
  std::uint64_t serial = 2;
  for (const std::size_t bytes : {0u, 20u, 110u, 200u, 320u, 5000u}) {
    const pid_t backend = std::stoi(Backend());
    gate_.HoldRequestsAfter(bytes);
    gate_.HoldAnswers();
    const std::string gid = "g" + std::to_string(serial);
    const int before = LastGroup();
    auto group = WriteMeanwhile(Batch(Begin(serial, gid)));
    EXPECT_TRUE(WaitUntil([&] { return gate_.held() > 0 || LastGroup() == before + 1; }, kSoon));
    EXPECT_EQ(group.wait_for(0s), std::future_status::timeout);
    kill(backend, SIGKILL);
    gate_.CutClients();
    ExpectCommitted(group);
    expected += ", " + gid + " v1";
    ++serial;
    EXPECT_EQ(Rows(), expected);
  }
}

TEST_F(PostgresLane, TheServerIsKilledAndComesBack) {
  server_.Kill();
  auto group = WriteMeanwhile(Batch(Update(1, 2, "a", "x")));
  EXPECT_TRUE(WaitUntil([&] { return store_->away(); }, kSoon));
  EXPECT_EQ(group.wait_for(0s), std::future_status::timeout);
  ASSERT_TRUE(server_.Start().ok());
  ExpectCommitted(group);
  EXPECT_FALSE(store_->away());
  EXPECT_EQ(aways_, 1);
  EXPECT_EQ(backs_, 1);
  EXPECT_EQ(Rows(), "a v2");
}

TEST_F(PostgresLane, WhoWaitsForAServerCanBeToldToStop) {
  server_.Kill();
  auto group = WriteMeanwhile(Batch(Update(1, 2, "a", "x")));
  EXPECT_TRUE(WaitUntil([&] { return store_->away(); }, kSoon));
  log_.stop().Raise();
  const Status status = group.get();
  EXPECT_EQ(status.code(), Code::kUnavailable);
  EXPECT_THAT(status.message(), HasSubstr("stopped"));
  EXPECT_FALSE(store_->fenced());
  ASSERT_TRUE(server_.Start().ok());
}

// What commits with a warning may be here and nowhere else: a person cancelled the wait for the
// standby, and the server said COMMIT.
TEST_F(PostgresLane, AWarningIsNoSuccess) {
  ASSERT_TRUE(server_.Set("synchronous_standby_names", "nobody").ok());
  // It is so once a commit waits.
  EXPECT_TRUE(WaitUntil(
      [&] {
        auto probe = Connection::Open({.url = log_.url(), .answer_within = 300ms}).value();
        return probe->Run("UPDATE log SET age_ms = 0").verdict == Verdict::kUnknown;
      },
      kSoon));
  const auto waits = [&] {
    return server_.Sql(
               "postgres",
               "SELECT count(*) FROM pg_stat_activity WHERE wait_event = 'SyncRep' AND pid = " +
                   Backend()) == "1";
  };
  auto group = WriteMeanwhile(Batch(Update(1, 2, "a", "x")));
  EXPECT_TRUE(WaitUntil(waits, kSoon));
  EXPECT_TRUE(WaitUntil([&] { return store_->away(); }, kSoon));
  const std::string old = Backend();
  server_.Sql("postgres", "SELECT pg_cancel_backend(" + old + ")");
  // It is there for all to see. Nobody hears of it until a commit behind it is where it has to be.
  EXPECT_TRUE(WaitUntil([&] { return Rows() == "a v2"; }, kSoon));
  const std::string opens =
      "SELECT count(*) FROM pg_stat_activity WHERE wait_event = 'SyncRep' AND query LIKE "
      "'SET LOCAL lock_timeout%UPDATE lane%'";
  EXPECT_TRUE(WaitUntil([&] { return server_.Sql("postgres", opens) == "1"; }, kSoon));
  EXPECT_EQ(group.wait_for(0s), std::future_status::timeout);
  ASSERT_TRUE(server_.Set("synchronous_standby_names", "").ok());
  ExpectCommitted(group);
  EXPECT_THAT(settled_, ElementsAre(true));
}

TEST_F(PostgresLane, AStoreThatLostWhatItHadAcknowledged) {
  ASSERT_TRUE(Write(Batch(Begin(2, "b"))).ok());
  log_.Sql(
      "DELETE FROM batch WHERE seq = (SELECT max(seq) FROM batch);"
      " SELECT pg_terminate_backend(backend) FROM lane");
  const Status status = Write(Batch(Update(1, 2, "a", "x")));
  EXPECT_EQ(status.code(), Code::kDataLoss);
  EXPECT_EQ(regressed_, status);
  EXPECT_FALSE(store_->fenced());
  EXPECT_EQ(Rows(), "a v1, b v1");
  EXPECT_EQ(log_.Sql("SELECT generation FROM log"), "2") << "the next start presumes nothing";
}

// By a fence that a fail-over has lost: nothing of our own lane is missing. Who noticed ended with
// 76, and the next start went on presuming, as if nothing were lost.
TEST_F(PostgresLane, ASlotWhoseGrantTheStoreHasLostIsNotServed) {
  std::string generation;
  options_.on_regressed = [&](const Status& why) {
    regressed_ = why;
    generation = log_.Sql("SELECT generation FROM log");
  };
  store_ = std::make_unique<PostgresRowStore>(options_);
  ASSERT_TRUE(store_->Join().ok());
  log_.Sql("UPDATE slot SET owner = owner - 1");
  std::vector<DamagedSlot> damaged;
  const Status status = store_->Load(
      {0}, [](const LiveRow&) { return OkStatus(); }, damaged);
  EXPECT_EQ(status.code(), Code::kDataLoss) << status.ToString();
  EXPECT_EQ(regressed_, status);
  EXPECT_EQ(generation, "2") << "the process ends there";
  EXPECT_FALSE(store_->Find("a").ok()) << "the lane is closed";
}

// Nothing is written, so nobody asks; only the observer sees that the store is another.
TEST_F(PostgresLane, ALaneAtRestNoticesWhatAFailOverHasLost) {
  log_.Sql(
      "DELETE FROM batch WHERE seq = (SELECT max(seq) FROM batch);"
      " SELECT pg_terminate_backend(backend) FROM lane");
  EXPECT_TRUE(store_->UpkeepIdle().ok());
  options_.slots->SetGeneration(2);
  EXPECT_EQ(store_->UpkeepIdle().status().code(), Code::kDataLoss);
  EXPECT_EQ(regressed_.code(), Code::kDataLoss);
}

TEST_F(PostgresLane, ALaneAtRestThatHasLostNothingGoesOn) {
  log_.Sql("SELECT pg_terminate_backend(backend) FROM lane");
  options_.slots->SetGeneration(2);
  EXPECT_TRUE(store_->UpkeepIdle().ok());
  EXPECT_TRUE(Write(Batch(Update(1, 2, "a", "x"))).ok());
  EXPECT_TRUE(regressed_.ok());
}

// Put back to an older copy, the store has taken another group since.
TEST_F(PostgresLane, AStoreThatLostGroupsBeforeTheLast) {
  EXPECT_TRUE(Write(Batch(Update(1, 2, "a", "x"))).ok());
  EXPECT_TRUE(Write(Batch(Update(1, 3, "a", "x"))).ok());
  log_.Sql(
      "DELETE FROM batch WHERE seq = (SELECT max(seq) - 1 FROM batch);"
      " SELECT pg_terminate_backend(backend) FROM lane");
  EXPECT_EQ(Write(Batch(Update(1, 4, "a", "x"))).code(), Code::kDataLoss);
  EXPECT_EQ(regressed_.code(), Code::kDataLoss);
}

// What was lost is only that the lane was opened: by then a deposed primary may have been read.
TEST_F(PostgresLane, AStoreThatLostAnOpening) {
  log_.Sql("UPDATE lane SET conn = conn - 1; SELECT pg_terminate_backend(backend) FROM lane");
  EXPECT_EQ(Write(Batch(Update(1, 2, "a", "x"))).code(), Code::kDataLoss);
  EXPECT_EQ(regressed_.code(), Code::kDataLoss);
  EXPECT_EQ(Rows(), "a v1");
}

TEST_F(PostgresLane, AStoreThatLostTheLane) {
  log_.Sql("SELECT pg_terminate_backend(backend) FROM lane; DELETE FROM lane");
  EXPECT_EQ(Write(Batch(Update(1, 2, "a", "x"))).code(), Code::kDataLoss);
  EXPECT_EQ(regressed_.code(), Code::kDataLoss);
}

// The standby that took over had not heard of the last groups.
TEST_F(PostgresLane, AnAsynchronousStandbyThatLostCommits) {
  PostgresServer standby({.primary = &server_});
  ASSERT_TRUE(standby.Start().ok());
  options_.lane.connection.url = "postgresql://assent@127.0.0.1:" + std::to_string(server_.port()) +
                                 ",127.0.0.1:" + std::to_string(standby.port()) +
                                 log_.url().substr(log_.url().rfind('/'));
  store_ = std::make_unique<PostgresRowStore>(options_);
  ASSERT_TRUE(store_->Join().ok());
  std::vector<DamagedSlot> damaged;
  ASSERT_TRUE(store_
                  ->Load(
                      {0}, [](const LiveRow&) { return OkStatus(); }, damaged)
                  .ok());
  const std::string last = std::to_string(LastGroup());
  EXPECT_TRUE(WaitUntil(
      [&] {
        const auto seq = standby.TrySql(log_.url().substr(log_.url().rfind('/') + 1),
                                        "SELECT count(*) FROM assent.batch WHERE seq = " + last);
        return seq.ok() && seq.value() != "0";
      },
      kSoon));
  standby.Sql("postgres", "SELECT pg_wal_replay_pause()");
  ASSERT_TRUE(Write(Batch(Update(1, 2, "a", "x"))).ok());
  // A standby that is behind because it is slow has the WAL; one that is cut off has not.
  standby.Kill();
  ASSERT_TRUE(Write(Batch(Update(1, 3, "a", "y"))).ok());
  server_.Kill();
  ASSERT_TRUE(standby.Start().ok());
  ASSERT_TRUE(standby.Promote().ok());
  const Status status = Write(Batch(Update(1, 4, "a", "z")));
  EXPECT_EQ(status.code(), Code::kDataLoss) << status.ToString();
  EXPECT_EQ(regressed_, status);
  ASSERT_TRUE(server_.Start().ok());
}

// ---- No space -----------------------------------------------------------------------------------

TEST_F(PostgresLane, NoSpaceIsAnAnswer) {
  log_.Sql(
      "CREATE FUNCTION no_space() RETURNS trigger LANGUAGE plpgsql AS $$ BEGIN"
      " RAISE EXCEPTION 'could not extend file' USING ERRCODE = '53100'; END $$;"
      " CREATE TRIGGER no_space BEFORE INSERT ON live EXECUTE FUNCTION no_space()");
  EXPECT_EQ(Write(Batch(Update(1, 2, "a", "x"), Begin(2, "b"))).code(), Code::kResourceExhausted);
  EXPECT_TRUE(store_->full());
  EXPECT_EQ(Rows(), "a v1");
  EXPECT_TRUE(Write(Batch(Update(1, 2, "a", "x"))).ok());
  log_.Sql("DROP TRIGGER no_space ON live");
  EXPECT_TRUE(Write(Batch(Begin(2, "b"))).ok());
  EXPECT_FALSE(store_->full());
  EXPECT_EQ(Rows(), "a v2, b v1");
}

TEST_F(PostgresLane, ADeadlockIsSentAgain) {
  log_.Sql(
      "CREATE SEQUENCE tries; CREATE FUNCTION once() RETURNS trigger LANGUAGE plpgsql AS $$"
      " BEGIN IF nextval('assent.tries') < 3 THEN RAISE EXCEPTION 'again' USING ERRCODE = '40P01'; "
      "END IF;"
      " RETURN NEW; END $$; CREATE TRIGGER once BEFORE UPDATE ON live FOR EACH ROW"
      " EXECUTE FUNCTION once()");
  EXPECT_TRUE(Write(Batch(Update(1, 2, "a", "x"))).ok());
  EXPECT_EQ(Rows(), "a v2");
  EXPECT_TRUE(settled_.empty());
}

TEST_F(PostgresLane, RightsThatAreTakenAwayStopTheLog) {
  log_.Sql("ALTER TABLE live RENAME COLUMN state TO state_of_ours");
  EXPECT_EQ(Write(Batch(Update(1, 2, "a", "x"))).code(), Code::kInternal);
}

// Old groups go, and the newest thousand stay.
TEST_F(PostgresLane, GroupsAreForgottenAThousandLater) {
  options_.join = [this, join = options_.join] {
    Result<Joined> joined = join();
    log_.Sql(
        "INSERT INTO batch SELECT max(epoch), 0, seq FROM lane, generate_series(1, 1998) AS seq "
        "GROUP BY seq");
    return joined;
  };
  store_ = std::make_unique<PostgresRowStore>(options_);
  const std::string mine =
      " FROM batch WHERE epoch = " + std::to_string(store_->Join().value().epoch);
  EXPECT_TRUE(store_->AfterReads().ok());
  EXPECT_EQ(log_.Sql("SELECT min(seq)" + mine), "1");
  EXPECT_TRUE(store_->AfterReads().ok());
  EXPECT_EQ(log_.Sql("SELECT min(seq)" + mine), "1001");
  EXPECT_EQ(log_.Sql("SELECT max(seq)" + mine), "2000");
}

}  // namespace
}  // namespace assent::log
