// Claims: what two prepared transactions, or a prepared one and any other write, may not do at the
// same time.

#include <atomic>
#include <thread>

#include "tests/sdk_sqlite/two_phase_fixture.h"

namespace assent::sqlite::test {
namespace {

using Kind = Reply::Kind;

class ClaimsTest : public TwoPhaseFixture {
 protected:
  void SetUp() override {
    OpenSql(
        "CREATE TABLE IF NOT EXISTS account(id TEXT PRIMARY KEY, balance INT);"
        "INSERT INTO account VALUES('A', 100), ('B', 100) ON CONFLICT DO NOTHING;"
        "CREATE TABLE IF NOT EXISTS user(id INTEGER PRIMARY KEY, email TEXT COLLATE NOCASE UNIQUE, "
        "team, seat, note,"
        "  UNIQUE(team, seat));"
        "INSERT INTO user VALUES(1, 'a@x', 't1', 1, ''), (2, 'b@x', 't1', 2, '') ON CONFLICT DO "
        "NOTHING;"
        "CREATE TABLE IF NOT EXISTS parent(id INTEGER PRIMARY KEY, code TEXT UNIQUE, v);"
        "INSERT INTO parent VALUES(1, 'p1', 0), (2, 'p2', 0), (3, 'p3', 0) ON CONFLICT DO NOTHING;"
        "CREATE TABLE IF NOT EXISTS child(id INTEGER PRIMARY KEY, parent_id REFERENCES parent ON "
        "DELETE CASCADE,"
        "  parent_code REFERENCES parent(code), v);"
        "CREATE TABLE IF NOT EXISTS free(x)");
  }
  // Prepares both; expects the second to wait for the first, and to succeed after it ended.
  void ExpectConflict(const std::string& first, const std::string& second) {
    SCOPED_TRACE(first + " / " + second);
    const std::string one = "g" + std::to_string(++next_);
    const std::string two = "g" + std::to_string(++next_);
    ASSERT_EQ(Prepare(one, first), Reply::Done("ok"));
    const Reply waiting = Prepare(two, second);
    EXPECT_EQ(waiting.kind, Kind::kRetryLater) << waiting.reason;
    EXPECT_NE(waiting.reason.find("transaction " + one), std::string::npos) << waiting.reason;
    EXPECT_EQ(Try(two + "t", second).kind, Kind::kRetryLater);
    EXPECT_EQ(Act(two + "s", second).kind, Kind::kRetryLater);
    EXPECT_EQ(Local(second).code(), Code::kUnavailable);
    EXPECT_EQ(Inspect().prepared, 1);
    ASSERT_EQ(Rollback(one), Reply::Done());
    EXPECT_EQ(Prepare(two, second), Reply::Done("ok"));
    EXPECT_EQ(Rollback(two), Reply::Done());
    EXPECT_EQ(Inspect().claims, 0);
  }
  void ExpectNoConflict(const std::string& first, const std::string& second) {
    SCOPED_TRACE(first + " / " + second);
    const std::string one = "g" + std::to_string(++next_);
    const std::string two = "g" + std::to_string(++next_);
    ASSERT_EQ(Prepare(one, first), Reply::Done("ok"));
    EXPECT_EQ(Prepare(two, second), Reply::Done("ok"));
    ASSERT_EQ(Rollback(two), Reply::Done());
    EXPECT_EQ(Local(second), OkStatus());
    // The first one's promise still holds.
    EXPECT_EQ(Commit(one), Reply::Done());
  }
  int next_ = 0;
};

TEST_F(ClaimsTest, TheSameRow) {
  ExpectConflict("UPDATE account SET balance = 1 WHERE id = 'A'",
                 "UPDATE account SET balance = 2 WHERE id = 'A'");
  ExpectConflict("DELETE FROM account WHERE id = 'A'",
                 "UPDATE account SET balance = 2 WHERE id = 'A'");
  ExpectConflict("INSERT INTO account VALUES('C', 1)", "INSERT INTO account VALUES('C', 2)");
  ExpectNoConflict("UPDATE account SET balance = 1 WHERE id = 'A'",
                   "UPDATE account SET balance = 2 WHERE id = 'B'");
}

TEST_F(ClaimsTest, TheReasonNamesRowAndHolder) {
  ASSERT_EQ(Prepare("holder", "UPDATE account SET balance = 1 WHERE id = 'A'").kind, Kind::kDone);
  EXPECT_EQ(Prepare("other", "DELETE FROM account WHERE id = 'A'").reason,
            "row account('A') is held by branch b1 of transaction holder, which is prepared");
}

TEST_F(ClaimsTest, UniqueKeys) {
  // Neither sees the other's row; both would be accepted, and the second commit would break the
  // index.
  ExpectConflict("INSERT INTO user(id, email) VALUES(10, 'new@x')",
                 "INSERT INTO user(id, email) VALUES(11, 'new@x')");
  // Equal under the column's collation.
  ExpectConflict("INSERT INTO user(id, email) VALUES(10, 'new@x')",
                 "INSERT INTO user(id, email) VALUES(11, 'NEW@X')");
  ExpectConflict("UPDATE user SET email = 'new@x' WHERE id = 1",
                 "UPDATE user SET email = 'new@x' WHERE id = 2");
  // A composite key of which one column is written.
  ExpectConflict("UPDATE user SET seat = 9 WHERE id = 1",
                 "INSERT INTO user(id, team, seat) VALUES(10, 't1', 9)");
  ExpectConflict("UPDATE user SET seat = 9 WHERE id = 1",
                 "INSERT INTO user(id, team, seat) VALUES(10, 't1', 9.0)");
}

TEST_F(ClaimsTest, AUniqueKeyThatIsGivenUpIsHeldUntilTheEnd) {
  // The rollback of the first would give the key a second owner.
  ASSERT_EQ(Prepare("g1", "DELETE FROM user WHERE id = 1").kind, Kind::kDone);
  EXPECT_EQ(Prepare("g2", "INSERT INTO user(id, email) VALUES(11, 'a@x')").kind, Kind::kRefused)
      << "the row is still there for everybody else, so SQLite says no";
  ASSERT_EQ(Sql("DELETE FROM user WHERE id = 2"), "");
  ASSERT_EQ(Prepare("g3", "UPDATE user SET email = 'b@x' WHERE id = 1").kind, Kind::kRetryLater);
}

TEST_F(ClaimsTest, NullsInUniqueKeysDoNotCollide) {
  ExpectNoConflict("INSERT INTO user(id, email) VALUES(10, NULL)",
                   "INSERT INTO user(id, email) VALUES(11, NULL)");
  ExpectNoConflict("INSERT INTO user(id, team, seat) VALUES(12, 't1', NULL)",
                   "INSERT INTO user(id, team, seat) VALUES(13, 't1', NULL)");
}

TEST_F(ClaimsTest, AKeyThatARowKeepsIsNotClaimed) {
  ExpectNoConflict("UPDATE user SET note = 'x' WHERE id = 1",
                   "UPDATE user SET note = 'y' WHERE id = 2");
}

TEST_F(ClaimsTest, AParentIsNotTakenFromUnderAChildToBe) {
  ExpectConflict("INSERT INTO child VALUES(1, 1, NULL, 0)", "DELETE FROM parent WHERE id = 1");
  ExpectConflict("INSERT INTO child VALUES(1, NULL, 'p1', 0)",
                 "UPDATE parent SET code = 'other' WHERE id = 1");
  ExpectConflict("DELETE FROM parent WHERE id = 1", "INSERT INTO child VALUES(1, 1, NULL, 0)");
  ExpectConflict("UPDATE parent SET code = 'other' WHERE id = 1",
                 "INSERT INTO child VALUES(1, NULL, 'p1', 0)");
  // The child's value is stored as text, the parent's key is an integer: the same row all the same.
  ExpectConflict("INSERT INTO child VALUES(1, '1', NULL, 0)", "DELETE FROM parent WHERE id = 1");
}

TEST_F(ClaimsTest, ChildrenShareAParentAndItsOtherColumnsStayFree) {
  ExpectNoConflict("INSERT INTO child VALUES(1, 1, 'p1', 0)",
                   "INSERT INTO child VALUES(2, 1, 'p1', 0)");
  ExpectNoConflict("INSERT INTO child VALUES(3, 1, 'p1', 0)",
                   "UPDATE parent SET v = v + 1 WHERE id = 1");
  ExpectNoConflict("UPDATE parent SET v = v + 1 WHERE id = 1",
                   "INSERT INTO child VALUES(4, 1, 'p1', 0)");
}

TEST_F(ClaimsTest, ACascadeClaimsTheChildren) {
  ASSERT_EQ(
      Local("INSERT INTO child VALUES(1, 3, NULL, 0); INSERT INTO child VALUES(2, 3, NULL, 0)"),
      OkStatus());
  ExpectConflict("DELETE FROM parent WHERE id = 3", "UPDATE child SET v = 1 WHERE id = 2");
}

TEST_F(ClaimsTest, ATableWithoutPrimaryKeyStillRespectsParents) {
  OpenSql("CREATE TABLE IF NOT EXISTS loose(parent_id REFERENCES parent)");
  ASSERT_EQ(Prepare("g1", "DELETE FROM parent WHERE id = 2").kind, Kind::kDone);
  EXPECT_EQ(Local("INSERT INTO loose VALUES(2)").code(), Code::kUnavailable);
  EXPECT_EQ(Local("INSERT INTO loose VALUES(1)"), OkStatus());
  EXPECT_EQ(Local("INSERT INTO free VALUES(2)"), OkStatus());
  EXPECT_EQ(Commit("g1"), Reply::Done());
}

TEST_F(ClaimsTest, ParentsOfEveryKind) {
  OpenSql(
      "CREATE TABLE IF NOT EXISTS pw(a TEXT COLLATE NOCASE, b INT, PRIMARY KEY(b, a)) WITHOUT "
      "ROWID;"
      "CREATE TABLE IF NOT EXISTS cw(id INTEGER PRIMARY KEY, b, a, FOREIGN KEY(a, b) REFERENCES "
      "pw(a, b));"
      "CREATE TABLE IF NOT EXISTS pg(id INTEGER PRIMARY KEY, v INT, twice INT AS (v * 2) VIRTUAL, "
      "w INT);"
      "CREATE TABLE IF NOT EXISTS cg(id INTEGER PRIMARY KEY, pg REFERENCES pg);"
      "INSERT INTO pw VALUES('x', 1), ('y', 1) ON CONFLICT DO NOTHING;"
      "INSERT INTO pg(id, v, w) VALUES(1, 1, 1) ON CONFLICT DO NOTHING");
  ExpectConflict("INSERT INTO cw VALUES(1, 1, 'X')", "DELETE FROM pw WHERE a = 'x'");
  ExpectNoConflict("INSERT INTO cw VALUES(1, '1', 'x')", "DELETE FROM pw WHERE a = 'y'");
  // A parent with generated columns is claimed as a table: it cannot be prepared itself, but
  // written by others.
  ASSERT_EQ(Prepare("p", "INSERT INTO cg VALUES(1, 1)"), Reply::Done("ok"));
  EXPECT_EQ(Local("DELETE FROM pg").code(), Code::kUnavailable);
  EXPECT_EQ(Local("UPDATE pg SET w = 5").code(), Code::kUnavailable);
  EXPECT_EQ(Local("INSERT INTO cg VALUES(2, 1)"), OkStatus());
  EXPECT_EQ(Commit("p"), Reply::Done());
  EXPECT_EQ(Local("UPDATE pg SET w = 5"), OkStatus());
}

TEST_F(ClaimsTest, TwoBranchesOfOneTransactionOnOneRowAreRefusedAtOnce) {
  ASSERT_EQ(Prepare("g1", "UPDATE account SET balance = 1 WHERE id = 'A'").kind, Kind::kDone);
  const Reply reply =
      Prepare("g1", "UPDATE account SET balance = 2 WHERE id = 'A'", {.branch_id = "b2"});
  EXPECT_EQ(reply, Reply::Refused("row account('A') is held by branch b1 of this same transaction: "
                                  "let one branch write it"));
}

TEST_F(ClaimsTest, LocalWaitsForTheHolder) {
  ASSERT_EQ(Prepare("g1", "UPDATE account SET balance = balance - 1 WHERE id = 'A'").kind,
            Kind::kDone);
  std::atomic<int> runs{0};
  Status status;
  std::thread writer([&] {
    status = store().Local(
        [&](Db& db) {
          ++runs;
          db.Exec("UPDATE account SET balance = balance - 10 WHERE id = 'A'");
          return OkStatus();
        },
        std::chrono::minutes(2));
  });
  ASSERT_TRUE(assent::test::WaitUntil([&] { return runs > 0; }, std::chrono::minutes(1)));
  EXPECT_EQ(Commit("g1"), Reply::Done());
  writer.join();
  EXPECT_EQ(status, OkStatus());
  EXPECT_GE(runs, 2) << "the first time in vain";
  EXPECT_EQ(Sql("SELECT balance FROM account WHERE id = 'A'"), "89");
}

TEST_F(ClaimsTest, ClaimHoldsARowThatIsOnlyRead) {
  OpenSql("");
  // Write skew: each reads the other's account and writes its own. With Claim, one of them waits.
  const auto withdraw = [](const char* from, const char* guard) {
    return [=](Db& db, const Call&) {
      db.Claim("account", guard);
      const auto other =
          db.Get<std::int64_t>("SELECT balance FROM account WHERE id = ?", guard).value_or(0);
      if (other < 100) return Reply::Refused("the other account is too low");
      db.Exec("UPDATE account SET balance = balance - 100 WHERE id = ?", from);
      return Reply::Done();
    };
  };
  Open("", [&](Store& store) {
    store.TwoPhase("a", withdraw("A", "B"));
    store.TwoPhase("b", withdraw("B", "A"));
    store.TwoPhase("only", [](Db& db, const Call& call) {
      db.Claim("account", call.payload);
      return Reply::Done();
    });
  });
  Branch a{"g1", "b1", Protocol::kTwoPhase, "a", {}};
  Branch b{"g2", "b1", Protocol::kTwoPhase, "b", {}};
  EXPECT_EQ(Ask(store(), a.To(Operation::kPrepare)).kind, Kind::kDone);
  EXPECT_EQ(Ask(store(), b.To(Operation::kPrepare)).kind, Kind::kRetryLater);
  EXPECT_EQ(Ask(store(), a.To(Operation::kCommit)).kind, Kind::kDone);
  EXPECT_EQ(Ask(store(), b.To(Operation::kPrepare)),
            Reply::Refused("the other account is too low"));
  // A claim alone is prepared work, too.
  Branch only{"g3", "b1", Protocol::kTwoPhase, "only", "A"};
  EXPECT_EQ(Ask(store(), only.To(Operation::kPrepare)), Reply::Done());
  EXPECT_EQ(Local("UPDATE account SET balance = 1 WHERE id = 'A'").code(), Code::kUnavailable);
  EXPECT_EQ(Ask(store(), only.To(Operation::kCommit)), Reply::Done());
  EXPECT_EQ(Inspect().claims, 0);
  Branch missing{"g4", "b1", Protocol::kTwoPhase, "only", "nobody"};
  EXPECT_EQ(Ask(store(), missing.To(Operation::kPrepare)).reason,
            "NOT_FOUND: Claim: no row account('nobody')");
}

// Schema versions are given again after a change was undone: what was read under the first must not
// stand for the second.
TEST_F(ClaimsTest, AnUndoneChangeOfTheSchemaIsForgotten) {
  EXPECT_EQ(store().Local([](Db& db) {
    db.Exec("CREATE TABLE mine(id INTEGER PRIMARY KEY)");
    db.Claim("account", "A");  // looks at the schema as it is now
    return Status(Code::kAborted, "no, not yet");
  }),
            Status(Code::kAborted, "no, not yet"));
  ASSERT_EQ(Sql("CREATE TABLE theirs(id INTEGER PRIMARY KEY)"), "");
  EXPECT_EQ(Prepare("g1", "INSERT INTO theirs VALUES(1)"), Reply::Done("ok"));
  EXPECT_EQ(Commit("g1"), Reply::Done());
}

TEST_F(ClaimsTest, TheSchemaChangesOnlyIfPreparedWorkStillFits) {
  ASSERT_EQ(Prepare("g1", "UPDATE account SET balance = 1 WHERE id = 'A'").kind, Kind::kDone);
  EXPECT_EQ(Local("CREATE TABLE later(id INTEGER PRIMARY KEY)"), OkStatus());
  EXPECT_EQ(Local("ALTER TABLE account ADD COLUMN note TEXT DEFAULT 'n'"), OkStatus());
  const Status refused = Local("ALTER TABLE account DROP COLUMN balance");
  EXPECT_EQ(refused.code(), Code::kUnavailable) << refused.ToString();
  EXPECT_NE(refused.message().find("transaction g1"), std::string::npos);
  EXPECT_EQ(Local("DROP TABLE account").code(), Code::kUnavailable);
  // What is prepared holds no claim on a key that did not exist.
  EXPECT_EQ(Local("CREATE UNIQUE INDEX one_balance ON account(balance, id)").code(),
            Code::kUnavailable);
  EXPECT_EQ(Local("CREATE TABLE kid(id INTEGER PRIMARY KEY, a REFERENCES account)").code(),
            Code::kUnavailable);
  EXPECT_EQ(Local("CREATE INDEX by_balance ON account(balance)"), OkStatus());
  EXPECT_EQ(Commit("g1"), Reply::Done());
  EXPECT_EQ(Sql("SELECT balance || note FROM account WHERE id = 'A'"), "1n");
  EXPECT_EQ(Local("DROP TABLE account"), OkStatus());
  EXPECT_EQ(Prepare("g2", "INSERT INTO later VALUES(5)"), Reply::Done("ok"))
      << "a table created later";
  EXPECT_EQ(Commit("g2"), Reply::Done());
}

}  // namespace
}  // namespace assent::sqlite::test
