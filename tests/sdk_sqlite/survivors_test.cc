// What the adapter must not do: each of these is a mistake that was planted and that no other test
// noticed (tools/mutate.sh).

#include <chrono>
#include <memory>
#include <string>
#include <string_view>
#include <utility>

#include "participant-sdk/cpp/sqlite/waiting_room.h"
#include "tests/sdk_sqlite/two_phase_fixture.h"

namespace assent::sqlite::test {
namespace {

using Kind = Reply::Kind;

class SurvivorsTest : public TwoPhaseFixture {
 protected:
  void SetUp() override {
    OpenSql(
        "CREATE TABLE IF NOT EXISTS t(id TEXT PRIMARY KEY, v INT);"
        "INSERT INTO t VALUES('a', 1), ('b', 1) ON CONFLICT DO NOTHING;"
        "CREATE TABLE IF NOT EXISTS counted(n INTEGER PRIMARY KEY AUTOINCREMENT, v);"
        "CREATE TABLE IF NOT EXISTS sum(id INTEGER PRIMARY KEY, v INT, twice AS (2 * v));"
        "INSERT INTO sum(id, v) VALUES(1, 1) ON CONFLICT DO NOTHING;"
        "CREATE TABLE IF NOT EXISTS keyless(v)");
  }
};

// The handler's own no is what counts, and is kept, whatever else could be said against what it
// did.
TEST_F(SurvivorsTest, ARefusalIsTheHandlersOwn) {
  EXPECT_EQ(Prepare("g1", "INSERT INTO keyless VALUES(1)").kind, Kind::kRefused);
  EXPECT_EQ(Prepare("g2", "INSERT INTO keyless VALUES(1); refuse"), Reply::Refused("no"));
  EXPECT_EQ(Act("g3", "INSERT INTO keyless VALUES(1); refuse"), Reply::Refused("no"));
}

// One number after another, also if the first change of a branch is of another table.
TEST_F(SurvivorsTest, EveryTableOfABranchKeepsItsNumbers) {
  ASSERT_EQ(Prepare("g1", "UPDATE t SET v = 2 WHERE id = 'a'; INSERT INTO counted(v) VALUES('g1')"),
            Reply::Done("ok"));
  ASSERT_EQ(Local("INSERT INTO counted(v) VALUES('local')"), OkStatus());
  ASSERT_EQ(Commit("g1"), Reply::Done());
  EXPECT_EQ(Sql("SELECT group_concat(n || v) FROM counted"), "1g1,2local");
}

TEST_F(SurvivorsTest, WhoRollsEverythingBackIsToldHowNotTo) {
  EXPECT_NE(Try("g1", "INSERT OR ROLLBACK INTO t VALUES('a', 1)").reason.find("use ABORT"),
            std::string::npos);
  const Status status = Local("INSERT OR ROLLBACK INTO t VALUES('a', 1)");
  EXPECT_EQ(status.code(), Code::kUnavailable);
  EXPECT_NE(status.message().find("use ABORT, not ROLLBACK"), std::string::npos)
      << status.message();
}

// Work that cannot be looked for is not work that is not there: its claims would stay for ever.
TEST_F(SurvivorsTest, ARollbackThatCannotReadDoesNotSucceed) {
  ASSERT_EQ(Prepare("g1", "UPDATE t SET v = 2 WHERE id = 'a'"), Reply::Done("ok"));
  ASSERT_EQ(Sql("ALTER TABLE assent_prepared RENAME TO hidden"), "");
  EXPECT_EQ(Rollback("g1").kind, Kind::kRetryLater);
  ASSERT_EQ(Sql("ALTER TABLE hidden RENAME TO assent_prepared"), "");
  EXPECT_EQ(Rollback("g1"), Reply::Done());
  EXPECT_EQ(Inspect().claims, 0);
  EXPECT_EQ(Inspect().prepared, 0);
}

// Bytes that are nothing but the inside of characters have no place to be cut at.
TEST_F(SurvivorsTest, AReasonOfGarbageIsCut) {
  Open("", [](Store& store) {
    store.TwoPhase("garbage",
                   [](Db&, const Call&) { return Reply::Refused(std::string(5000, '\x80')); });
  });
  const Branch branch{"g1", "b1", Protocol::kTwoPhase, "garbage", {}};
  const Reply reply = Ask(store(), branch.To(Operation::kPrepare));
  EXPECT_EQ(reply.kind, Kind::kRefused);
  EXPECT_LE(reply.reason.size(), 1024U);
  EXPECT_EQ(Ask(store(), branch.To(Operation::kPrepare)), reply);
}

// A table with generated columns is claimed as a whole by who writes it, also against who claims
// one row of it.
TEST_F(SurvivorsTest, AClaimedRowIsOfItsTable) {
  Open("", [](Store& store) {
    RegisterSql(store);
    store.TwoPhase("hold", [](Db& db, const Call&) {
      db.Claim("sum", 1);
      return Reply::Done();
    });
  });
  const Branch hold{"g1", "b1", Protocol::kTwoPhase, "hold", {}};
  ASSERT_EQ(Ask(store(), hold.To(Operation::kPrepare)), Reply::Done());
  EXPECT_EQ(Try("g2", "UPDATE sum SET v = 2 WHERE id = 1").kind, Kind::kRetryLater);
  EXPECT_EQ(Local("UPDATE sum SET v = 2 WHERE id = 1").code(), Code::kUnavailable);
  ASSERT_EQ(Ask(store(), hold.To(Operation::kCommit)), Reply::Done());
  EXPECT_EQ(Try("g2", "UPDATE sum SET v = 2 WHERE id = 1"), Reply::Done("ok"));
}

// Waits for transaction "holder"; runs nothing.
class Waiter : public internal::Task {
 public:
  Waiter(std::string gid, bool tells, int& answers)
      : gid_(std::move(gid)), tells_(tells), answers_(answers) {}
  void Run(internal::Runner& /*runner*/) override {}
  void Answer() override { ++answers_; }
  void NotDone(const Status& /*why*/) override {}
  void Unknown(const Status& /*why*/) override {}
  std::string_view blocked_by() const override { return "holder"; }
  bool tells() const override { return tells_; }
  std::pair<std::int64_t, std::string_view> age() const override { return {0, gid_}; }

 private:
  const std::string gid_;
  const bool tells_;
  int& answers_;
};

// Who is told of a younger holder again and again waits twice as long each time; who tells nobody
// waits for all of its patience, and does not count.
TEST(WaitingRoomSurvivorsTest, OnlyWhoSpeaksWaitsLongerTheNextTime) {
  using std::chrono::milliseconds;
  constexpr milliseconds kPatience(1000);
  constexpr milliseconds kGrace(100);
  internal::WaitingRoom room(kPatience, kGrace);
  int answers = 0;
  auto now = internal::WaitingRoom::Clock::time_point();
  // How long it takes until somebody new is answered.
  const auto wait = [&](const std::string& gid, bool tells) {
    std::unique_ptr<internal::Task> task = std::make_unique<Waiter>(gid, tells, answers);
    EXPECT_TRUE(room.Admit(task, now));
    const auto before = std::exchange(now, room.next_expiry().value());
    room.DismissExpired(now);
    return now - before;
  };
  const auto leave = [&] {
    while (room.size() > 0) {
      now = room.next_expiry().value();
      room.DismissExpired(now);
    }
  };
  EXPECT_EQ(wait("a", false), kPatience);
  EXPECT_EQ(room.size(), 0U);
  EXPECT_EQ(wait("a", true), kGrace) << "it had told nobody";
  EXPECT_EQ(room.size(), 1U) << "it keeps its place";
  leave();
  EXPECT_EQ(wait("a", true), 2 * kGrace) << "it spoke once, and not again when it left";
  leave();
  EXPECT_EQ(wait("a", true), 4 * kGrace);
  EXPECT_EQ(answers, 6);
  room.Free({"holder"});
  EXPECT_EQ(room.TakeFreed(2).size(), 1U);
  EXPECT_EQ(wait("a", true), kGrace) << "whoever holds it now is somebody else";
}

}  // namespace
}  // namespace assent::sqlite::test
