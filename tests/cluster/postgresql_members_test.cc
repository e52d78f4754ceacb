// What the store in PostgreSQL does on bad days, and what it writes for others to read.

#include <memory>
#include <string>
#include <vector>

#include <gmock/gmock.h>
#include <gtest/gtest.h>

#include "coordinator/log/epoch.h"
#include "coordinator/log/postgresql/member_store.h"
#include "coordinator/log/postgresql/slot_table.h"
#include "tests/support/postgresql.h"

namespace assent::log {
namespace {

using cluster::Heir;
using testing::ElementsAre;
using testing::HasSubstr;
using testing::IsEmpty;
using testing::SizeIs;
using Fenced = cluster::MemberStore::Fenced;
using test::PostgresServer;

class PostgresMembers : public testing::Test {
 protected:
  struct Member {
    std::unique_ptr<PostgresMemberStore> store;
    cluster::Joined joined;
    std::uint64_t epoch() const { return joined.epoch; }
  };

  PostgresMemberOptions Options() {
    return {.connection = {.url = server_.Url(database_)},
            .schema = {.slots_count = 4},
            .origin = {.lossless_failover = lossless_,
                       .on_new_generation = [this](const auto& words) { told_.push_back(words); }},
            .serial_now_ms = [this] { return now_ms_; }};
  }
  Member Join(const std::string& node) {
    Member member{.store = std::make_unique<PostgresMemberStore>(Options()), .joined = {}};
    auto joined = member.store->Join(
        {.node = node, .address = "h:1", .version = "it's \\ 1", .lanes_count = 2});
    EXPECT_TRUE(joined.ok()) << joined.status().ToString();
    if (joined.ok()) member.joined = *std::move(joined);
    return member;
  }
  std::string Sql(const std::string& sql) {
    return server_.Sql(database_, "SET search_path = assent; " + sql);
  }
  std::unique_ptr<Connection> Session() {
    auto session = Connection::Open({.url = server_.Url(database_)});
    EXPECT_TRUE(session.ok()) << session.status().ToString();
    return *std::move(session);
  }
  // A group of which the rest never arrives: it holds its lane, from this session.
  std::unique_ptr<Connection> HoldLaneOf(const Member& member) {
    auto session = Session();
    const std::string lane = " WHERE epoch = " + std::to_string(member.epoch()) + " AND lane = 1";
    EXPECT_TRUE(
        session->Run("UPDATE lane SET conn = conn + 1, backend = pg_backend_pid()" + lane).ok());
    EXPECT_TRUE(session->Run("BEGIN").ok());
    EXPECT_TRUE(session->Run("SELECT 1 FROM lane" + lane + " FOR SHARE").ok());
    return session;
  }

  PostgresServer& server_ = PostgresServer::OfThisBinary();
  const std::string database_ = server_.NewDatabase();
  std::int64_t now_ms_ = 1'000'000;
  bool lossless_ = false;
  std::vector<std::string> told_;
};

// Its last beat said how far its serials may go; so no clock but its own is needed.
TEST_F(PostgresMembers, WhenWhoHasEndedWasLastSeenIsKnown) {
  Member a = Join("a");
  now_ms_ = 2'000'000;
  Member b = Join("b");
  EXPECT_TRUE(b.store->Beat().ok());
  now_ms_ = 9'000'000;
  ASSERT_TRUE(a.store->Fence(b.epoch(), 1, {}, {}).ok());
  const auto view = a.store->Look();
  ASSERT_TRUE(view.ok());
  ASSERT_THAT(view->departed, SizeIs(1));
  EXPECT_EQ(view->departed[0].last_beat_unix_ms, UnixMs(2'000'000));
  Sql("UPDATE member SET serial_limit_ms = 9223372036854775807");
  EXPECT_TRUE(a.store->Look().ok()) << "whatever stands there";
}

TEST_F(PostgresMembers, AGroupThatDoesNotEndIsEnded) {
  Member a = Join("a");
  Member b = Join("b");
  const auto zombie = HoldLaneOf(a);
  Result<Fenced> fenced = b.store->Fence(a.epoch(), 0, {{.slot = 0, .epoch = b.epoch()}}, {});
  ASSERT_TRUE(fenced.ok()) << fenced.status().ToString();
  EXPECT_EQ(fenced.value(), Fenced::kHeld);
  EXPECT_EQ(Sql("SELECT count(*) FROM member WHERE ended"), "0") << "all of it or nothing";
  EXPECT_FALSE(zombie->Run("COMMIT").ok());
  EXPECT_EQ(b.store->Fence(a.epoch(), 0, {{.slot = 0, .epoch = b.epoch()}}, {}).value(),
            Fenced::kDone);
  EXPECT_EQ(Sql("SELECT count(*) FROM lane WHERE fenced AND epoch = " + std::to_string(a.epoch())),
            "2");
  EXPECT_EQ(Sql("SELECT count(*) FROM lane WHERE NOT fenced"), "2");
}

TEST_F(PostgresMembers, AQuickRestartWaitsForTheGroupOfTheOneBefore) {
  Member a = Join("a");
  const auto zombie = HoldLaneOf(a);
  Member again = Join("a");
  EXPECT_THAT(again.joined.slots, SizeIs(4));
  EXPECT_FALSE(zombie->Run("COMMIT").ok());
}

// It was stopped, and does now what it decided then.
TEST_F(PostgresMembers, AnEndedMemberFencesNobody) {
  Member a = Join("a");
  Member b = Join("b");
  EXPECT_EQ(a.store->Fence(b.epoch(), 0, {}, {}).value(), Fenced::kDone);
  EXPECT_EQ(b.store->Fence(a.epoch(), 0, {}, {}).value(), Fenced::kMoved);
  EXPECT_TRUE(b.store->Want(a.epoch(), {0}, b.epoch()).ok());
  EXPECT_EQ(Sql("SELECT count(*) FROM slot WHERE wanted <> 0"), "0");
}

// A clock that is hours behind must not give a serial that the last owner has given.
TEST_F(PostgresMembers, WhoTakesASlotBeginsBehindTheLastOwnersSerials) {
  Member a = Join("a");
  EXPECT_EQ(a.store->serial_limit_ms(), 1'060'000);
  now_ms_ = 1'500'000;
  EXPECT_TRUE(a.store->Beat().ok());
  EXPECT_EQ(a.store->serial_limit_ms(), 1'560'000);
  now_ms_ = 10;
  EXPECT_TRUE(a.store->Beat().ok());
  EXPECT_EQ(a.store->serial_limit_ms(), 1'560'000) << "what was given stays";
  Member b = Join("b");
  EXPECT_EQ(a.store->Fence(b.epoch(), 0, {}, {}).value(), Fenced::kDone);
  Member c = Join("c");
  EXPECT_EQ(c.store->Fence(a.epoch(), 2, {{.slot = 2, .epoch = c.epoch()}}, {}).value(),
            Fenced::kDone);
  EXPECT_EQ(Sql("SELECT serial_floor_ms FROM slot WHERE id = 2"), "1560000");
  EXPECT_EQ(Sql("SELECT serial_floor_ms FROM slot WHERE id = 1"), "0");
  EXPECT_TRUE(c.store->Claim({{.slot = 1, .epoch = c.epoch()}}).ok());
  EXPECT_EQ(Sql("SELECT serial_floor_ms FROM slot WHERE id = 1"), "1560000");
  Member d = Join("d");
  EXPECT_EQ(Sql("SELECT min(serial_floor_ms) FROM slot"), "1560000");
}

// It was sent on an earlier connection, and given up: the server runs it behind a newer one.
TEST_F(PostgresMembers, ABeatThatComesLateTakesNoLimitBack) {
  Member a = Join("a");
  (void)Sql("UPDATE member SET serial_limit_ms = 2000000, beat = beat + 1");
  EXPECT_TRUE(a.store->Beat().ok());
  EXPECT_EQ(Sql("SELECT serial_limit_ms FROM member"), "2000000");
}

// A commit whose answer was lost: nobody may rest on a limit that is perhaps not durable.
TEST_F(PostgresMembers, AServerThatIsAwayIsTriedAgain) {
  Member a = Join("a");
  server_.Kill();
  now_ms_ += 1000;
  const std::int64_t limit = a.store->serial_limit_ms();
  EXPECT_EQ(a.store->Beat().code(), Code::kUnavailable);
  EXPECT_EQ(a.store->Look().status().code(), Code::kUnavailable);
  EXPECT_EQ(a.store->Fence(7, 0, {}, {}).status().code(), Code::kUnavailable);
  EXPECT_EQ(a.store->serial_limit_ms(), limit);
  ASSERT_TRUE(server_.Start().ok());
  EXPECT_TRUE(a.store->Beat().ok());
  EXPECT_EQ(a.store->serial_limit_ms(), limit + 1000);
  EXPECT_EQ(a.store->Look().value().generation, 1u) << "the same server";
  EXPECT_THAT(told_, IsEmpty());
}

// Another server may have lost what the first had promised: what began before is presumed about no
// more.
TEST_F(PostgresMembers, AnotherServerIsANewGeneration) {
  Member a = Join("a");
  EXPECT_EQ(a.joined.generation, 1u);
  Sql("UPDATE log SET origin = 'elsewhere/1'");
  Member b = Join("b");
  EXPECT_EQ(b.joined.generation, 2u);
  EXPECT_THAT(b.joined.epochs, ElementsAre(b.epoch()));
  EXPECT_EQ(b.joined.log_id, a.joined.log_id);
  ASSERT_THAT(told_, SizeIs(1));
  EXPECT_THAT(told_[0], HasSubstr("elsewhere/1"));
  EXPECT_EQ(a.store->Look().value().generation, 2u);
  Member c = Join("c");
  EXPECT_EQ(c.joined.generation, 2u);
}

TEST_F(PostgresMembers, ALosslessFailOverHasToBeOne) {
  lossless_ = true;
  Member a = Join("a");
  Sql("UPDATE log SET origin = 'elsewhere/1'");
  Member b = Join("b");
  EXPECT_EQ(b.joined.generation, 2u) << "this server has no synchronous standby";
}

TEST(Origin, AFailOverIsTheSameTablesOnAnotherTimeline) {
  EXPECT_TRUE(SameTables("77/00000001/16386", "77/00000002/16386"));
  EXPECT_FALSE(SameTables("77/00000001/16386", "77/00000001/16480")) << "read in from a dump";
  EXPECT_FALSE(SameTables("77/00000001/16386", "78/00000001/16386"));
  EXPECT_FALSE(SameTables("elsewhere/1", "77/00000001/16386"));
}

// A member that runs while another server takes over hears of it as well.
TEST_F(PostgresMembers, AFailOverWhileRunning) {
  Member a = Join("a");
  Sql("UPDATE log SET origin = 'elsewhere/1'");
  Sql("SELECT pg_terminate_backend(pid) FROM pg_stat_activity WHERE application_name = 'assentd'");
  EXPECT_EQ(a.store->Beat().code(), Code::kUnavailable);
  EXPECT_TRUE(a.store->Beat().ok());
  EXPECT_EQ(a.store->Look().value().generation, 2u);
  EXPECT_THAT(told_, SizeIs(1));
}

// A dump that was read in again: the same server, other tables.
TEST_F(PostgresMembers, ACopyOfTheTablesIsANewGeneration) {
  Member a = Join("a");
  Sql("CREATE TABLE copy AS SELECT * FROM log; DROP TABLE log; ALTER TABLE copy RENAME TO log");
  Member b = Join("b");
  EXPECT_EQ(b.joined.generation, 2u);
  EXPECT_THAT(b.joined.epochs, ElementsAre(b.epoch()));
  ASSERT_THAT(told_, SizeIs(1));
  EXPECT_THAT(told_[0], HasSubstr("or a copy, has taken over"));
}

// Participants drop what comes with a lower epoch of a slot than they have heard, and the restored
// log does not know how high it has been.
TEST_F(PostgresMembers, SlotEpochsOfAnOlderCopyAreAboveThoseThatAreLost) {
  Member a = Join("a");
  Sql("CREATE TABLE copy AS SELECT * FROM slot");
  for (int i = 0; i < 5; ++i) {
    now_ms_ += 1000;
    a = Join("a");
  }
  const std::uint64_t heard = a.joined.slots.at(3).slot_epoch;
  Sql("UPDATE slot SET slot_epoch = copy.slot_epoch FROM copy WHERE slot.id = copy.id");
  now_ms_ += 1000;
  EXPECT_GT(Join("a").joined.slots.at(3).slot_epoch, heard);
}

// What its owner had before the fail-over goes on, under an epoch that no lost owner can have had.
TEST_F(PostgresMembers, SlotEpochsRiseWithTheGeneration) {
  Member a = Join("a");
  const std::uint64_t before = a.joined.slots.at(3).slot_epoch;
  Sql("UPDATE log SET origin = 'elsewhere/1'");
  Member b = Join("b");
  EXPECT_GT(a.store->Look().value().slots.at(3).slot_epoch, before + 1'000'000'000);
}

// A disk that was set back looks like the one it was: who was told more than is there says so.
TEST_F(PostgresMembers, WhoseBeatsAreLostSaysThatTheStoreHasLostThem) {
  Member a = Join("a");
  Member b = Join("b");
  for (Member* member : {&a, &a, &a, &b, &b, &b}) EXPECT_TRUE(member->store->Beat().ok());
  Sql("UPDATE member SET beat = 1");
  EXPECT_EQ(a.store->Beat().code(), Code::kDataLoss);
  EXPECT_EQ(Sql("SELECT generation FROM log"), "2");
  EXPECT_EQ(b.store->Beat().code(), Code::kDataLoss);
  EXPECT_EQ(Sql("SELECT generation FROM log"), "2") << "said once";
  EXPECT_THAT(told_, ElementsAre(HasSubstr("lacks what it had acknowledged")));
  Member c = Join("c");
  EXPECT_TRUE(c.store->Beat().ok());
  Sql("DELETE FROM member WHERE epoch = " + std::to_string(c.epoch()));
  EXPECT_EQ(c.store->Beat().code(), Code::kDataLoss);
  EXPECT_EQ(Sql("SELECT generation FROM log"), "3");
}

TEST_F(PostgresMembers, TheClusterAgesWhileSomebodyRuns) {
  Member a = Join("a");
  Sql("UPDATE log SET age_ms = 5000");
  Member b = Join("b");
  EXPECT_TRUE(a.store->Beat().ok());
  EXPECT_EQ(Sql("SELECT age_ms FROM log"), "5000") << "a has not run that long";
  Sql("UPDATE log SET age_ms = 3000");
  EXPECT_TRUE(b.store->Beat().ok());
  EXPECT_GE(std::stoll(Sql("SELECT age_ms FROM log")), 5000);
  EXPECT_LT(std::stoll(Sql("SELECT age_ms FROM log")), 3'600'000);
}

TEST_F(PostgresMembers, OldEpochsGo) {
  Member a = Join("a");
  const std::string first = std::to_string(a.epoch());
  Sql("INSERT INTO batch VALUES (" + first + ", 0, 1)");
  Sql("INSERT INTO member SELECT n::bigint << 24, 1, 'x', '', '', 0, 0, false, true, 1, NULL FROM "
      "unnest(ARRAY(SELECT generate_series(2, " +
      std::to_string(kMaxEpochsCount + 5) + "))) AS u(n)");
  Sql("UPDATE log SET starts = " + std::to_string(kMaxEpochsCount + 5));
  Member again = Join("a");
  EXPECT_THAT(again.joined.epochs, SizeIs(kMaxEpochsCount));
  EXPECT_EQ(again.joined.epochs.back(), again.epoch());
  EXPECT_EQ(Sql("SELECT count(*) FROM member"), std::to_string(kMaxEpochsCount));
  EXPECT_EQ(Sql("SELECT count(*) FROM batch"), "0");
  EXPECT_EQ(Sql("SELECT count(*) FROM lane"), "2");
}

// Tables that no member has left so: whoever counts on them must not be led astray.
TEST_F(PostgresMembers, SlotsThatDoNotFitTheLogAreSaid) {
  Member a = Join("a");
  const std::string lost = Sql("DELETE FROM slot WHERE id = 2 RETURNING slot_epoch");
  const Result<cluster::View> view = a.store->Look();
  EXPECT_EQ(view.status().code(), Code::kDataLoss);
  EXPECT_THAT(view.status().message(), HasSubstr("no row for slot 2"));
  Sql("INSERT INTO slot VALUES (2, 0, " + lost + ", 0, 0)");
  EXPECT_TRUE(a.store->Look().ok());
  Sql("INSERT INTO slot VALUES (4, 0, 1, 0, 0)");
  EXPECT_EQ(a.store->Look().status().code(), Code::kDataLoss);
  PostgresMemberStore b(Options());
  EXPECT_THAT(b.Join({.node = "b"}).status().message(), HasSubstr("has slot 4"));
  for (const char* count : {"0", "1025", "65536"}) {
    Sql(std::string("UPDATE log SET slots = ") + count);
    const Status status = PostgresMemberStore(Options()).Join({.node = "b"}).status();
    EXPECT_EQ(status.code(), Code::kDataLoss) << status.ToString();
    EXPECT_THAT(status.message(), HasSubstr(std::string(count) + " slots"));
  }
}

}  // namespace
}  // namespace assent::log
