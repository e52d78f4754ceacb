// Two-phase commit through recorded changesets: prepare, commit, rollback, in every order, one
// phase, hazards.

#include "tests/sdk_sqlite/two_phase_fixture.h"

namespace assent::sqlite::test {
namespace {

using Kind = Reply::Kind;

constexpr char kAccounts[] =
    "CREATE TABLE IF NOT EXISTS account(id TEXT PRIMARY KEY, balance INT NOT NULL, note TEXT);"
    "INSERT INTO account VALUES('A', 100, NULL), ('B', 100, NULL) ON CONFLICT DO NOTHING";

class TwoPhaseTest : public TwoPhaseFixture {
 protected:
  void SetUp() override { OpenSql(kAccounts); }
  std::string Balances() {
    return Sql("SELECT group_concat(balance) FROM (SELECT balance FROM account ORDER BY id)");
  }
  static constexpr char kDebitA[] = "UPDATE account SET balance = balance - 30 WHERE id = 'A'";
};

TEST_F(TwoPhaseTest, PreparedWorkIsInvisibleUntilCommitted) {
  EXPECT_EQ(Prepare("g1", kDebitA), Reply::Done("ok"));
  EXPECT_EQ(Balances(), "100,100");
  Stats stats = Inspect();
  EXPECT_EQ(stats.prepared, 1);
  EXPECT_GT(stats.claims, 0);
  EXPECT_EQ(Commit("g1"), Reply::Done());
  EXPECT_EQ(Balances(), "70,100");
  stats = Inspect();
  EXPECT_EQ(stats.prepared, 0);
  EXPECT_EQ(stats.claims, 0);
}

TEST_F(TwoPhaseTest, RollbackDropsIt) {
  ASSERT_EQ(Prepare("g1", kDebitA).kind, Kind::kDone);
  EXPECT_EQ(Rollback("g1"), Reply::Done());
  EXPECT_EQ(Rollback("g1"), Reply::Done());
  EXPECT_EQ(Balances(), "100,100");
  EXPECT_EQ(Inspect().claims, 0);
  EXPECT_EQ(Commit("g1"), Reply::Refused("HAZARD: rolled back here"));
  EXPECT_EQ(Prepare("g1", kDebitA), Reply::Done("ok"))
      << "the first reply, though nothing is prepared any more";
  EXPECT_EQ(Inspect().prepared, 0);
}

TEST_F(TwoPhaseTest, DuplicatesGetTheFirstReplyAndOneEffect) {
  for (int i = 0; i < 3; ++i) EXPECT_EQ(Prepare("g1", kDebitA), Reply::Done("ok"));
  EXPECT_EQ(Inspect().prepared, 1);
  for (int i = 0; i < 3; ++i) EXPECT_EQ(Commit("g1"), Reply::Done());
  EXPECT_EQ(Balances(), "70,100");
  EXPECT_EQ(Prepare("g1", kDebitA), Reply::Done("ok"));
  EXPECT_EQ(Balances(), "70,100");
  EXPECT_EQ(Rollback("g1"), Reply::Refused("already committed"));
}

TEST_F(TwoPhaseTest, WhatIsPreparedSurvivesReopening) {
  ASSERT_EQ(Prepare("g1", kDebitA).kind, Kind::kDone);
  OpenSql(kAccounts);
  EXPECT_EQ(Inspect().prepared, 1);
  EXPECT_EQ(Prepare("g2", kDebitA).kind, Kind::kRetryLater) << "its claims are in the file";
  EXPECT_EQ(Commit("g1"), Reply::Done());
  EXPECT_EQ(Balances(), "70,100");
}

// "unknown XID" taken for done (dtm 470): commit of work that is not here is a hazard.
TEST_F(TwoPhaseTest, CommitOfAnUnknownGidIsAHazard) {
  EXPECT_EQ(Commit("g1"), Reply::Refused("HAZARD: not prepared here"));
  EXPECT_EQ(Inspect().barrier_rows, 0);
}

TEST_F(TwoPhaseTest, LostPreparedWorkIsAHazard) {
  ASSERT_EQ(Prepare("g1", kDebitA).kind, Kind::kDone);
  ASSERT_EQ(Sql("DELETE FROM assent_prepared"), "");
  EXPECT_EQ(Commit("g1"), Reply::Refused("HAZARD: the prepared work is lost"));
}

TEST_F(TwoPhaseTest, RollbackBeforePrepareRefusesTheLatePrepare) {
  EXPECT_EQ(Rollback("g1"), Reply::Done());
  EXPECT_EQ(Prepare("g1", kDebitA), Reply::Refused("rolled back before it was prepared"));
  EXPECT_EQ(Inspect().prepared, 0);
  EXPECT_EQ(Commit("g1"), Reply::Refused("HAZARD: rolled back here"));
}

TEST_F(TwoPhaseTest, ARefusedPrepareIsKeptAndHoldsNothing) {
  const Reply refused = Prepare("g1", std::string(kDebitA) + "; refuse");
  EXPECT_EQ(refused, Reply::Refused("no"));
  EXPECT_EQ(Prepare("g1", kDebitA), refused);
  EXPECT_EQ(Inspect().claims, 0);
  EXPECT_EQ(Commit("g1").reason, "HAZARD: not prepared here: the prepare was refused");
  EXPECT_EQ(Rollback("g1"), Reply::Done());
}

TEST_F(TwoPhaseTest, WithoutChangesItIsReadOnly) {
  const Reply reply = Prepare("g1", "SELECT * FROM account");
  EXPECT_EQ(reply, Reply::DoneReadOnly("ok"));
  EXPECT_EQ(Prepare("g1", "SELECT 1"), reply);
  EXPECT_EQ(Inspect().claims, 0);
  EXPECT_EQ(Commit("g1"), Reply::Done()) << "should not come, and does nothing";
  // Changes that cancel out are no changes.
  EXPECT_EQ(Prepare("g2",
                    "UPDATE account SET balance = 1 WHERE id = 'A'; UPDATE account SET balance = "
                    "100 WHERE id = 'A'"),
            Reply::DoneReadOnly("ok"));
}

TEST_F(TwoPhaseTest, OnePhaseCommitsAtOnce) {
  EXPECT_EQ(Prepare("g1", kDebitA, {.one_phase = true}), Reply::Done("ok"));
  EXPECT_EQ(Balances(), "70,100");
  EXPECT_EQ(Inspect().prepared, 0);
  EXPECT_EQ(Prepare("g1", kDebitA, {.one_phase = true}), Reply::Done("ok"));
  EXPECT_EQ(Prepare("g1", kDebitA), Reply::Done("ok"));
  EXPECT_EQ(Commit("g1"), Reply::Done());
  EXPECT_EQ(Rollback("g1"), Reply::Refused("already committed"));
  EXPECT_EQ(Balances(), "70,100");
}

TEST_F(TwoPhaseTest, OnePhaseRespectsClaims) {
  ASSERT_EQ(Prepare("g1", kDebitA).kind, Kind::kDone);
  const Reply reply = Prepare("g2", kDebitA, {.one_phase = true});
  EXPECT_EQ(reply.kind, Kind::kRetryLater);
  EXPECT_EQ(Balances(), "100,100");
  ASSERT_EQ(Rollback("g1").kind, Kind::kDone);
  EXPECT_EQ(Prepare("g2", kDebitA, {.one_phase = true}), Reply::Done("ok"));
  EXPECT_EQ(Balances(), "70,100");
}

TEST_F(TwoPhaseTest, OnePhaseWithoutChangesIsReadOnlyAndRollsBackHarmlessly) {
  EXPECT_EQ(Prepare("g1", "SELECT 1", {.one_phase = true}), Reply::DoneReadOnly("ok"));
  EXPECT_EQ(Rollback("g1"), Reply::Done());
}

// A row changed behind the SDK's back is reported, never overwritten, and the prepared work stays
// for a person.
TEST_F(TwoPhaseTest, ARowChangedBehindOurBackIsAHazard) {
  ASSERT_EQ(Prepare("g1", "UPDATE account SET balance = 1, note = 'x'").kind, Kind::kDone);
  ASSERT_EQ(Sql("UPDATE account SET balance = 55 WHERE id = 'A'"), "");
  const Reply hazard = Commit("g1");
  EXPECT_EQ(hazard, Reply::Refused("HAZARD: row account('A') was changed since"));
  EXPECT_EQ(Commit("g1"), hazard);
  EXPECT_EQ(Balances(), "55,100") << "neither the row nor its neighbour was written";
  EXPECT_EQ(Sql("SELECT count(note) FROM account"), "0");
  EXPECT_EQ(Inspect().prepared, 1);
  EXPECT_EQ(Inspect().hazards, 1);
  // Mended by hand, it commits.
  ASSERT_EQ(Sql("UPDATE account SET balance = 100 WHERE id = 'A'"), "");
  EXPECT_EQ(Commit("g1"), Reply::Done());
  EXPECT_EQ(Balances(), "1,1");
  EXPECT_EQ(Inspect().hazards, 0);
}

TEST_F(TwoPhaseTest, ARowDeletedOrInsertedBehindOurBackIsAHazard) {
  ASSERT_EQ(Prepare("g1", kDebitA).kind, Kind::kDone);
  ASSERT_EQ(Prepare("g2", "INSERT INTO account VALUES('C', 1, NULL)").kind, Kind::kDone);
  ASSERT_EQ(Sql("DELETE FROM account WHERE id = 'A'; INSERT INTO account VALUES('C', 5, NULL)"),
            "");
  EXPECT_EQ(Commit("g1"), Reply::Refused("HAZARD: row account('A') was deleted since"));
  EXPECT_EQ(Commit("g2"), Reply::Refused("HAZARD: row account('C') was inserted since"));
  EXPECT_EQ(Rollback("g1"), Reply::Done()) << "a person may still decide to roll back";
  EXPECT_EQ(Rollback("g2"), Reply::Done());
  EXPECT_EQ(Sql("SELECT balance FROM account WHERE id = 'C'"), "5");
  EXPECT_EQ(Inspect().claims, 0);
}

// SQLite skips a table that does not fit with nothing but a log line; a commit must not.
TEST_F(TwoPhaseTest, ATableDroppedOrRebuiltBehindOurBackIsAHazard) {
  ASSERT_EQ(Prepare("g1", kDebitA).kind, Kind::kDone);
  ASSERT_EQ(Sql("ALTER TABLE account RENAME TO moved"), "");
  EXPECT_EQ(Commit("g1"), Reply::Refused("HAZARD: table account is gone"));
  ASSERT_EQ(Sql("CREATE TABLE account(id TEXT PRIMARY KEY, note TEXT, balance INT)"), "");
  EXPECT_EQ(Commit("g1"),
            Reply::Refused("HAZARD: column balance of table account is gone or has moved"));
  ASSERT_EQ(Sql("DROP TABLE account; ALTER TABLE moved RENAME TO account; ALTER TABLE account ADD "
                "COLUMN more INT DEFAULT 5"),
            "");
  EXPECT_EQ(Commit("g1"), Reply::Done()) << "a column added at the end does no harm";
  EXPECT_EQ(Balances(), "70,100");
}

TEST_F(TwoPhaseTest, ADamagedChangesetIsAHazard) {
  ASSERT_EQ(Prepare("g1", kDebitA).kind, Kind::kDone);
  ASSERT_EQ(Sql("UPDATE assent_prepared SET changeset = x'54024242'"), "");
  const Reply reply = Commit("g1");
  EXPECT_EQ(reply.kind, Kind::kRefused);
  EXPECT_EQ(reply.reason.rfind("HAZARD: ", 0), 0U) << reply.reason;
  EXPECT_EQ(Balances(), "100,100");
}

TEST_F(TwoPhaseTest, ManyRowsAndManyTransactions) {
  ASSERT_EQ(Prepare("seed",
                    "CREATE TEMP TABLE n(i); WITH RECURSIVE r(i) AS (SELECT 1 UNION ALL SELECT i + "
                    "1 FROM r WHERE "
                    "i < 2000) INSERT INTO account SELECT 'x' || i, 0, NULL FROM r")
                .kind,
            Kind::kDone);
  EXPECT_GE(Inspect().claims, 2000);
  EXPECT_EQ(Commit("seed"), Reply::Done());
  EXPECT_EQ(Sql("SELECT count(*) FROM account"), "2002");
  EXPECT_EQ(Inspect().claims, 0);
  std::vector<Call> calls;
  for (int i = 1; i <= 500; ++i) {
    calls.push_back(
        PrepareCall("t" + std::to_string(i),
                    "UPDATE account SET balance = 1 WHERE id = 'x" + std::to_string(i) + "'"));
  }
  for (const Reply& reply : AskAll(store(), calls)) EXPECT_EQ(reply, Reply::Done("ok"));
  EXPECT_EQ(Inspect().prepared, 500);
  for (Call& call : calls) call.operation = Operation::kCommit;
  for (const Reply& reply : AskAll(store(), calls)) EXPECT_EQ(reply, Reply::Done());
  EXPECT_EQ(Sql("SELECT sum(balance) FROM account"), "700");
}

TEST_F(TwoPhaseTest, TooManyRowsAreRefusedWithTheLimit) {
  const Reply reply =
      Prepare("g1",
              "WITH RECURSIVE r(i) AS (SELECT 1 UNION ALL SELECT i + 1 FROM r WHERE i < 100001) "
              "INSERT INTO account SELECT 'x' || i, 0, NULL FROM r");
  EXPECT_EQ(reply, Reply::Refused("more than 100000 rows and keys are written"));
  const Reply big = Prepare("g2", "INSERT INTO account VALUES('big', 0, hex(zeroblob(9000000)))");
  EXPECT_EQ(big.kind, Kind::kRefused);
  EXPECT_NE(big.reason.find("the limit is 16777216"), std::string::npos) << big.reason;
}

TEST_F(TwoPhaseTest, TheHandlerMayNotChangeTheSchemaOrEndTheTransaction) {
  for (const char* sql :
       {"CREATE TABLE more(id INTEGER PRIMARY KEY)", "ALTER TABLE account ADD COLUMN x",
        "DROP TABLE account", "COMMIT", "ROLLBACK", "BEGIN", "ATTACH ':memory:' AS other",
        "PRAGMA synchronous=OFF", "RELEASE assent_op", "ROLLBACK TO assent_op",
        "DELETE FROM assent_barrier", "INSERT INTO assent_lock VALUES('x', 1, 1)", "VACUUM",
        "PRAGMA writable_schema=ON"}) {
    const Reply reply = Prepare(std::string("g-") + std::to_string(std::hash<std::string>()(sql)),
                                std::string(kDebitA) + "; " + sql);
    EXPECT_EQ(reply.kind, Kind::kRetryLater) << sql << ": " << reply.reason;
  }
  EXPECT_EQ(Inspect().barrier_rows, 0);
  EXPECT_EQ(
      Prepare("g2", std::string("SAVEPOINT mine; ") + kDebitA + "; ROLLBACK TO mine; RELEASE mine"),
      Reply::DoneReadOnly("ok"))
      << "savepoints of its own are fine";
}

// An action that a newer version of the service no longer has must still be finished.
TEST_F(TwoPhaseTest, PreparedWorkIsFinishedWithoutItsHandler) {
  ASSERT_EQ(Prepare("g1", kDebitA).kind, Kind::kDone);
  ASSERT_EQ(Prepare("g2", "UPDATE account SET balance = 0 WHERE id = 'B'").kind, Kind::kDone);
  Open(kAccounts, [](Store&) {});
  EXPECT_EQ(Commit("g1"), Reply::Done());
  EXPECT_EQ(Rollback("g2"), Reply::Done());
  EXPECT_EQ(Balances(), "70,100");
}

TEST_F(TwoPhaseTest, ALateDuplicateAmongItsCommitInOneGroup) {
  ASSERT_EQ(Prepare("g1", kDebitA).kind, Kind::kDone);
  Call prepare = PrepareCall("g1", kDebitA);
  Call commit = prepare;
  commit.operation = Operation::kCommit;
  for (const Reply& reply : AskAll(store(), {prepare, commit, prepare, commit, prepare})) {
    EXPECT_EQ(reply.kind, Kind::kDone) << reply.reason;
  }
  EXPECT_EQ(Balances(), "70,100");
}

}  // namespace
}  // namespace assent::sqlite::test
