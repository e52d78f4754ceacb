// Automatic Saga steps: in force at once, compensated by the inverse of what they wrote.

#include "tests/sdk_sqlite/two_phase_fixture.h"

namespace assent::sqlite::test {
namespace {

using Kind = Reply::Kind;

class AutoSagaTest : public TwoPhaseFixture {
 protected:
  void SetUp() override {
    OpenSql(
        "CREATE TABLE IF NOT EXISTS t(id TEXT PRIMARY KEY, v INT, w INT);"
        "INSERT INTO t VALUES('a', 1, 1), ('b', 2, 2) ON CONFLICT DO NOTHING;"
        "CREATE TABLE IF NOT EXISTS c(id INTEGER PRIMARY KEY, t REFERENCES t ON DELETE CASCADE);"
        "CREATE TABLE IF NOT EXISTS log(id INTEGER PRIMARY KEY, what);"
        "CREATE TRIGGER IF NOT EXISTS t_up AFTER UPDATE ON t BEGIN INSERT INTO log(what) "
        "VALUES(old.v || '>' || new.v); END");
  }
  std::string Rows() {
    return Sql(
        "SELECT group_concat(id || v) || '/' || (SELECT count(*) FROM c) || '/' || (SELECT "
        "count(*) FROM log) "
        "FROM (SELECT * FROM t ORDER BY id)");
  }
};

TEST_F(AutoSagaTest, ActionAndInverse) {
  EXPECT_EQ(Act("g1",
                "INSERT INTO t VALUES('n', 9, 9); UPDATE t SET v = 10 WHERE id = 'a'; DELETE FROM "
                "t WHERE id = 'b'; INSERT INTO c "
                "VALUES(1, 'n')"),
            Reply::Done("ok"));
  EXPECT_EQ(Rows(), "a10,n9/1/1");
  EXPECT_EQ(Act("g1", "anything"), Reply::Done("ok"));
  EXPECT_EQ(Compensate("g1"), Reply::Done());
  EXPECT_EQ(Rows(), "a1,b2/0/0")
      << "the trigger's row is gone with the rest, and the trigger did not act again";
  EXPECT_EQ(Compensate("g1"), Reply::Done());
  EXPECT_EQ(Sql("SELECT count(*) FROM assent_undo"), "0");
}

TEST_F(AutoSagaTest, CompensationWithoutActionAndOfNothing) {
  EXPECT_EQ(Compensate("g1"), Reply::Done());
  EXPECT_EQ(Act("g1", "DELETE FROM t"), Reply::Refused("compensated before it was executed"));
  EXPECT_EQ(Act("g2", "SELECT 1"), Reply::Done("ok"));
  EXPECT_EQ(Compensate("g2"), Reply::Done());
  EXPECT_EQ(Act("g3", "DELETE FROM t; refuse"), Reply::Refused("no"));
  EXPECT_EQ(Compensate("g3"), Reply::Done());
  EXPECT_EQ(Rows(), "a1,b2/0/0");
}

TEST_F(AutoSagaTest, ARowChangedSinceIsAHazardAndNotOverwritten) {
  ASSERT_EQ(
      Act("g1", "UPDATE t SET v = 10 WHERE id = 'a'; UPDATE t SET v = 20 WHERE id = 'b'").kind,
      Kind::kDone);
  ASSERT_EQ(Local("UPDATE t SET v = 11 WHERE id = 'a'"), OkStatus());
  const Reply hazard = Compensate("g1");
  EXPECT_EQ(hazard, Reply::Refused("HAZARD: row t('a') was changed since"));
  EXPECT_EQ(Compensate("g1"), hazard) << "stuck, and still tried";
  EXPECT_EQ(Sql("SELECT group_concat(v) FROM t"), "11,20");
  // Another column of the same row is not in the way.
  ASSERT_EQ(Local("UPDATE t SET v = 10, w = 77 WHERE id = 'a'"), OkStatus());
  EXPECT_EQ(Compensate("g1"), Reply::Done());
  EXPECT_EQ(Sql("SELECT group_concat(v || ':' || w) FROM t"), "1:77,2:2");
}

TEST_F(AutoSagaTest, ARowDeletedSinceOrReferencedSinceIsAHazard) {
  ASSERT_EQ(Act("g1", "INSERT INTO t VALUES('n', 1, 1)").kind, Kind::kDone);
  ASSERT_EQ(Local("INSERT INTO c VALUES(5, 'n')"), OkStatus());
  // ON DELETE CASCADE would take somebody else's row along.
  EXPECT_EQ(Compensate("g1"), Reply::Refused("HAZARD: rows of c still refer to a row of t"));
  EXPECT_EQ(Sql("SELECT count(*) FROM c"), "1");
  ASSERT_EQ(Local("DELETE FROM t WHERE id = 'n'"), OkStatus());
  EXPECT_EQ(Compensate("g1"), Reply::Refused("HAZARD: row t('n') was deleted since"));
}

TEST_F(AutoSagaTest, LostOrDamagedChangesAreAHazard) {
  ASSERT_EQ(Act("g1", "UPDATE t SET v = 10 WHERE id = 'a'").kind, Kind::kDone);
  ASSERT_EQ(Sql("UPDATE assent_undo SET changeset = x'00'"), "");
  EXPECT_EQ(Compensate("g1"),
            Reply::Refused("HAZARD: what the action changed is damaged: its checksum is wrong"));
  ASSERT_EQ(Sql("DELETE FROM assent_undo"), "");
  EXPECT_EQ(Compensate("g1"), Reply::Refused("HAZARD: what the action changed is lost"));
}

TEST_F(AutoSagaTest, CompensationWaitsForAPreparedBranch) {
  ASSERT_EQ(Act("g1", "UPDATE t SET v = 10 WHERE id = 'a'").kind, Kind::kDone);
  ASSERT_EQ(Prepare("g3", "DELETE FROM t WHERE id = 'a'").kind, Kind::kDone);
  EXPECT_EQ(Compensate("g1").kind, Kind::kRetryLater);
  ASSERT_EQ(Rollback("g3"), Reply::Done());
  EXPECT_EQ(Compensate("g1"), Reply::Done());
}

TEST_F(AutoSagaTest, SurvivesReopening) {
  ASSERT_EQ(Act("g1", "UPDATE t SET v = 10 WHERE id = 'a'").kind, Kind::kDone);
  SetUp();
  EXPECT_EQ(Compensate("g1"), Reply::Done());
  EXPECT_EQ(Rows(), "a1,b2/0/0");
}

}  // namespace
}  // namespace assent::sqlite::test
