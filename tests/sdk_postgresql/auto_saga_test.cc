// Automatic Saga steps: in force at once, compensated by the inverse of what they wrote.

#include "tests/sdk_postgresql/auto_saga_fixture.h"

namespace assent::postgresql::test {
namespace {

using Kind = Reply::Kind;

constexpr char kTables[] =
    "CREATE TABLE IF NOT EXISTS t(id text PRIMARY KEY, v int, w int);"
    "INSERT INTO t VALUES('a', 1, 1), ('b', 2, 2) ON CONFLICT DO NOTHING;"
    "CREATE TABLE IF NOT EXISTS c(id int PRIMARY KEY, t text REFERENCES t ON DELETE CASCADE);"
    "CREATE TABLE IF NOT EXISTS n(id int PRIMARY KEY, t text REFERENCES t ON DELETE SET NULL)";

class AutoSagaTest : public AutoSagaFixture {
 protected:
  void Open() { OpenWith(kTables, {"t", "c", "n"}); }
  std::string Rows() {
    return Lines("SELECT id, v, w FROM t") + "/" + Lines("SELECT * FROM c") + "/" +
           Lines("SELECT * FROM n");
  }
};

TEST_F(AutoSagaTest, ActionAndInverse) {
  Open();
  EXPECT_EQ(Act("g1",
                "INSERT INTO t VALUES('n', 9, 9); UPDATE t SET v = 10 WHERE id = 'a'; DELETE FROM "
                "t WHERE id = 'b'; INSERT INTO c VALUES(1, 'n')"),
            Reply::Done("ok"));
  EXPECT_EQ(Rows(), "(a,10,1) (n,9,9)/(1,n)/");
  EXPECT_EQ(Act("g1", "anything"), Reply::Done("ok")) << "a duplicate";
  EXPECT_EQ(Compensate("g1"), Reply::Done());
  EXPECT_EQ(Rows(), "(a,1,1) (b,2,2)//");
  EXPECT_EQ(Compensate("g1"), Reply::Done());
  EXPECT_EQ(Sql("SELECT count(*) FROM assent_undo"), "0");
}

TEST_F(AutoSagaTest, CompensationWithoutActionAndOfNothing) {
  Open();
  EXPECT_EQ(Compensate("g1"), Reply::Done());
  EXPECT_EQ(Act("g1", "DELETE FROM t"), Reply::Refused("compensated before it was executed"));
  EXPECT_EQ(Act("g2", "SELECT 1"), Reply::Done("ok"));
  EXPECT_EQ(Compensate("g2"), Reply::Done());
  EXPECT_EQ(Act("g3", "DELETE FROM t; refuse"), Reply::Refused("no"));
  EXPECT_EQ(Compensate("g3"), Reply::Done());
  EXPECT_EQ(Act("g4", "UPDATE t SET v = v"), Reply::Done("ok"));
  EXPECT_EQ(Compensate("g4"), Reply::Done());
  EXPECT_EQ(Rows(), "(a,1,1) (b,2,2)//");
  EXPECT_EQ(Sql("SELECT count(*) FROM assent_undo"), "0");
}

TEST_F(AutoSagaTest, SeveralWritesOfOneRow) {
  Open();
  EXPECT_EQ(Act("g1",
                "UPDATE t SET v = 10 WHERE id = 'a'; UPDATE t SET v = 11, w = 11 WHERE id = 'a'; "
                "DELETE FROM t WHERE id = 'a'; INSERT INTO t VALUES('a', 12, 12), ('x', 1, 1); "
                "UPDATE t SET id = 'y' WHERE id = 'x'; DELETE FROM t WHERE id = 'y'; "
                "UPDATE t SET id = 'bb' WHERE id = 'b'"),
            Reply::Done("ok"));
  EXPECT_EQ(Rows(), "(a,12,12) (bb,2,2)//");
  EXPECT_EQ(Compensate("g1"), Reply::Done());
  EXPECT_EQ(Rows(), "(a,1,1) (b,2,2)//");
}

TEST_F(AutoSagaTest, WhatForeignKeysDidIsUndoneWithIt) {
  Open();
  Sql("INSERT INTO c VALUES(1, 'a'), (2, 'a'); INSERT INTO n VALUES(1, 'a'), (2, 'b')");
  const std::string before = Rows();
  EXPECT_EQ(Act("g1", "DELETE FROM t WHERE id = 'a'"), Reply::Done("ok"));
  EXPECT_EQ(Rows(), "(b,2,2)//(1,) (2,b)");
  EXPECT_EQ(Compensate("g1"), Reply::Done());
  EXPECT_EQ(Rows(), before);
}

TEST_F(AutoSagaTest, ARowChangedSinceIsAHazardAndNotOverwritten) {
  Open();
  ASSERT_EQ(
      Act("g1", "UPDATE t SET v = 10 WHERE id = 'a'; UPDATE t SET v = 20 WHERE id = 'b'").kind,
      Kind::kDone);
  Sql("UPDATE t SET v = 11 WHERE id = 'a'");
  const Reply hazard = Compensate("g1");
  EXPECT_EQ(hazard, Reply::Refused("HAZARD: row t('a') was changed since"));
  EXPECT_EQ(Compensate("g1"), hazard) << "stuck, and still tried";
  EXPECT_EQ(Rows(), "(a,11,1) (b,20,2)//");
  // Another column of the same row is not in the way.
  Sql("UPDATE t SET v = 10, w = 77 WHERE id = 'a'");
  EXPECT_EQ(Compensate("g1"), Reply::Done());
  EXPECT_EQ(Rows(), "(a,1,77) (b,2,2)//");
}

TEST_F(AutoSagaTest, ARowDeletedInsertedOrReferencedSinceIsAHazard) {
  Open();
  ASSERT_EQ(Act("g1", "INSERT INTO t VALUES('n', 1, 1)").kind, Kind::kDone);
  Sql("INSERT INTO c VALUES(5, 'n')");
  // ON DELETE CASCADE would take somebody else's row along.
  EXPECT_EQ(Compensate("g1"), Reply::Refused("HAZARD: rows of c still refer to a row of t"));
  EXPECT_EQ(Sql("SELECT count(*) FROM c"), "1");
  Sql("DELETE FROM t WHERE id = 'n'");
  EXPECT_EQ(Compensate("g1"), Reply::Refused("HAZARD: row t('n') was deleted since"));
  ASSERT_EQ(Act("g2", "DELETE FROM t WHERE id = 'a'").kind, Kind::kDone);
  Sql("INSERT INTO t VALUES('a', 5, 5)");
  EXPECT_EQ(Compensate("g2"), Reply::Refused("HAZARD: row t('a') was inserted since"));
  EXPECT_EQ(Rows(), "(a,5,5) (b,2,2)//");
}

TEST_F(AutoSagaTest, WhatWouldViolateAConstraintIsAHazard) {
  Open();
  Sql("CREATE TABLE u(id int PRIMARY KEY, t text REFERENCES t)");
  ASSERT_EQ(Act("g1", "INSERT INTO t VALUES('n', 1, 1)").kind, Kind::kDone);
  Sql("INSERT INTO u VALUES(1, 'n')");
  const Reply hazard = Compensate("g1");
  EXPECT_EQ(hazard.kind, Kind::kRefused);
  EXPECT_TRUE(hazard.reason.starts_with("HAZARD: row t('n') would violate a constraint: "))
      << hazard.reason;
  Sql("DELETE FROM u");
  EXPECT_EQ(Compensate("g1"), Reply::Done());
}

TEST_F(AutoSagaTest, LostOrDamagedImagesAreAHazard) {
  Open();
  ASSERT_EQ(Act("g1", "UPDATE t SET v = 10 WHERE id = 'a'").kind, Kind::kDone);
  const Reply damaged =
      Reply::Refused("HAZARD: what the action changed is damaged: its checksum is wrong");
  Sql("UPDATE assent_undo SET before = '(a,7,1)' WHERE kind = 'U'");
  EXPECT_EQ(Compensate("g1"), damaged);
  Sql("DELETE FROM assent_undo WHERE kind = 'U'");
  EXPECT_EQ(Compensate("g1"), damaged);
  Sql("DELETE FROM assent_undo");
  EXPECT_EQ(Compensate("g1"), Reply::Refused("HAZARD: what the action changed is lost"));
  EXPECT_EQ(Rows(), "(a,10,1) (b,2,2)//");
}

TEST_F(AutoSagaTest, TablesMayGetColumnsAndLoseNone) {
  Open();
  ASSERT_EQ(Act("g1", "DELETE FROM t WHERE id = 'a'").kind, Kind::kDone);
  ASSERT_EQ(Act("g2", "UPDATE t SET w = 9 WHERE id = 'b'").kind, Kind::kDone);
  Sql("ALTER TABLE t ADD COLUMN x int DEFAULT 4");
  EXPECT_EQ(Compensate("g1"), Reply::Done());
  EXPECT_EQ(Lines("SELECT * FROM t"), "(a,1,1,4) (b,2,9,4)");
  Sql("ALTER TABLE t DROP COLUMN w");
  EXPECT_EQ(Compensate("g2"), Reply::Refused("HAZARD: column w of table t is gone or has changed"));
  Sql("DROP TABLE t CASCADE");
  EXPECT_EQ(Compensate("g2"), Reply::Refused("HAZARD: table public.t is gone"));
}

// Every value comes back to the letter, in a session that writes dates in another way.
TEST_F(AutoSagaTest, EveryTypeComesBack) {
  const std::string setup =
      "CREATE TYPE mood AS ENUM('sad', 'so \"so\"'); CREATE TYPE pair AS (a int, b text);"
      "CREATE DOMAIN short AS varchar(9);"
      "CREATE TABLE v(id int PRIMARY KEY, n numeric, f float8, s float4, ts timestamptz, t0 "
      "timestamp, d date, tt timetz, i interval, b bytea, a int[], aa text[][], e mood, p pair, "
      "j json, jb jsonb, c char(5), x text, o boolean, u uuid, ip inet, m macaddr, r int4range, "
      "bits varbit, pt point, sh short, cl regclass, mo money, xx xml, tsv tsvector, "
      "g numeric GENERATED ALWAYS AS (n * 2) STORED, "
      "k bigint GENERATED ALWAYS AS IDENTITY, k2 int GENERATED BY DEFAULT AS IDENTITY);"
      "INSERT INTO v VALUES(1, 1.2300, 0.1, 1e-20, '2026-03-29 01:59:59.123456+00', "
      "'infinity', '0044-03-15 BC', '12:00:00.5+05:30', '-1 mon +2 days -03:00:00.25', "
      "'\\x00ff5c22', '[2:3]={1,NULL}', '{{\"a,b\",\"\"},{NULL,\"NULL\"}}', 'so \"so\"', "
      "ROW(1, 'x,\"y\"\\'), '{\"a\":  [1, 2.50] }', '{\"b\": 1.10}', 'ab', "
      "E'(\"\\\\, \\n\\t ü''', true, 'a0eebc99-9c0b-4ef8-bb6d-6bb9bd380a11', '10.0.0.1/8', "
      "'08:00:2b:01:02:03', '[1,5)', B'101', '(1.5,-2)', 'shrt', 'assent_barrier', '12.34', "
      "'<a> b</a>', 'a:1 b:2'), "
      "(2, 'NaN', '-0', 'NaN', '-infinity', NULL, NULL, NULL, NULL, '', '{}', NULL, NULL, "
      "ROW(NULL, NULL), 'null', 'null', '', '', false, NULL, NULL, NULL, 'empty', B'', NULL, NULL, "
      "NULL, '-1', NULL, '');"
      "INSERT INTO v(id) VALUES(3);";
  OpenWith(setup, {"v"});
  Sql("ALTER DATABASE " + database() + " SET datestyle = 'SQL, DMY'");
  Sql("ALTER DATABASE " + database() + " SET intervalstyle = 'sql_standard'");
  Sql("ALTER DATABASE " + database() + " SET extra_float_digits = 0");
  Options again = MakeOptions();
  again.setup = nullptr;
  again.undo_tables = {"v"};
  OpenWith(std::move(again));
  const std::string rows = "SET extra_float_digits = 3; " +
                           std::string(
                               "SELECT string_agg(md5(v::text) || encode(record_send(v), 'hex'), ' "
                               "' ORDER BY id) FROM v");
  const std::string before = Sql(rows);
  std::string change =
      "UPDATE v SET n = 5, f = 5, s = 5, ts = now(), t0 = now(), d = now(), tt = "
      "now()::timetz, i = '5 days', b = 'x', a = '{5}', aa = '{a}', e = 'sad', p = "
      "NULL, j = '5', jb = '5', c = 'x', x = NULL, o = NULL, u = NULL, ip = NULL, "
      "m = NULL, r = NULL, bits = NULL, pt = '(1,1)', sh = NULL, cl = NULL, mo = "
      "'5', xx = NULL, tsv = NULL, k2 = 77";
  ASSERT_EQ(Act("g1", change), Reply::Done("ok"));
  ASSERT_NE(Sql(rows), before);
  EXPECT_EQ(Compensate("g1"), Reply::Done());
  EXPECT_EQ(Sql(rows), before);
  ASSERT_EQ(Act("g2", "DELETE FROM v"), Reply::Done("ok"));
  ASSERT_EQ(Sql("SELECT count(*) FROM v"), "0");
  EXPECT_EQ(Compensate("g2"), Reply::Done());
  EXPECT_EQ(Sql(rows), before) << "generated and identity columns, too";
}

TEST_F(AutoSagaTest, OddNamesCompositeKeysAndPartitions) {
  OpenWith(
      "CREATE SCHEMA \"My Shop\"; CREATE TABLE \"My Shop\".\"Odd \"\"Name\"(\"A b\" int, "
      "\"select\" "
      "text, v int, PRIMARY KEY(\"select\", \"A b\") INCLUDE (v));"
      "INSERT INTO \"My Shop\".\"Odd \"\"Name\" VALUES(1, 'x', 1), (2, 'x', 1);"
      "CREATE TABLE part(id int, v int, PRIMARY KEY(id)) PARTITION BY RANGE (id);"
      "CREATE TABLE part_low PARTITION OF part FOR VALUES FROM (0) TO (10);"
      "CREATE TABLE part_high PARTITION OF part FOR VALUES FROM (10) TO (20);"
      "INSERT INTO part VALUES(1, 1), (11, 1)",
      {"\"My Shop\".\"Odd \"\"Name\"", "part"});
  Sql("CREATE TABLE part_top PARTITION OF part FOR VALUES FROM (20) TO (30)");
  const auto rows = [this] {
    return Lines("SELECT * FROM \"My Shop\".\"Odd \"\"Name\"") + "/" + Lines("SELECT * FROM part");
  };
  const std::string before = rows();
  ASSERT_EQ(Act("g1",
                "UPDATE \"My Shop\".\"Odd \"\"Name\" SET v = 2 WHERE \"A b\" = 2; UPDATE part SET "
                "id = id + 12, v = 5; INSERT INTO part VALUES(5, 5)"),
            Reply::Done("ok"));
  EXPECT_EQ(Lines("SELECT * FROM part"), "(13,5) (23,5) (5,5)");
  Sql("UPDATE \"My Shop\".\"Odd \"\"Name\" SET v = 3 WHERE \"A b\" = 2");
  EXPECT_EQ(Compensate("g1"), Reply::Refused("HAZARD: row \"My Shop\".\"Odd \"\"Name\"('x', 2) was "
                                             "changed since"));
  Sql("UPDATE \"My Shop\".\"Odd \"\"Name\" SET v = 2 WHERE \"A b\" = 2");
  EXPECT_EQ(Compensate("g1"), Reply::Done());
  EXPECT_EQ(rows(), before);
}

TEST_F(AutoSagaTest, CompensationWaitsForAPreparedBranch) {
  Options options = With(kTables, {"t", "c", "n"});
  options.lock_timeout = std::chrono::milliseconds(100);
  OpenWith(std::move(options));
  ASSERT_EQ(Act("g1", "UPDATE t SET v = 10 WHERE id = 'a'").kind, Kind::kDone);
  const Branch prepared{"g3", "b1", Protocol::kTwoPhase, "sql", "DELETE FROM t WHERE id = 'a'"};
  ASSERT_EQ(Ask(store(), prepared.To(Operation::kPrepare)).kind, Kind::kDone);
  EXPECT_EQ(Compensate("g1").kind, Kind::kRetryLater);
  ASSERT_EQ(Ask(store(), prepared.To(Operation::kRollback)), Reply::Done());
  EXPECT_EQ(Compensate("g1"), Reply::Done());
  EXPECT_EQ(Rows(), "(a,1,1) (b,2,2)//");
}

TEST_F(AutoSagaTest, StepsShareACommitAndKeepApart) {
  Open();
  std::vector<Call> calls;
  for (int i = 0; i < 40; ++i) {
    const std::string id = "'s" + std::to_string(i) + "'";
    const std::string no = i % 4 == 0 ? "; refuse" : "";
    calls.push_back(
        ActionOf("s" + std::to_string(i), "INSERT INTO t VALUES(" + id +
                                              ", 1, 1); UPDATE t SET v = 2 WHERE id = " + id +
                                              "; try INSERT INTO t VALUES('a', 0, 0)" + no));
  }
  const std::vector<Reply> replies = AskAll(store(), calls);
  for (int i = 0; i < 40; ++i)
    EXPECT_EQ(replies[static_cast<std::size_t>(i)],
              i % 4 == 0 ? Reply::Refused("no") : Reply::Done("ok"));
  EXPECT_EQ(Sql("SELECT count(*) FROM t"), "32");
  for (Call& call : calls) call.operation = Operation::kCompensate;
  for (const Reply& reply : AskAll(store(), calls)) EXPECT_EQ(reply, Reply::Done());
  EXPECT_EQ(Rows(), "(a,1,1) (b,2,2)//");
  EXPECT_EQ(Sql("SELECT count(*) FROM assent_undo"), "0");
}

TEST_F(AutoSagaTest, SurvivesReopeningAndGoesWithItsBarrierRow) {
  Open();
  ASSERT_EQ(Act("g1", "UPDATE t SET v = 10 WHERE id = 'a'").kind, Kind::kDone);
  ASSERT_EQ(Act("g2", "UPDATE t SET v = 20 WHERE id = 'b'").kind, Kind::kDone);
  Open();
  EXPECT_EQ(Compensate("g1"), Reply::Done());
  EXPECT_EQ(Rows(), "(a,1,1) (b,20,2)//");
  EXPECT_NE(Sql("SELECT count(*) FROM assent_undo"), "0");
  // As an SDK of another language does, which knows nothing of images.
  Sql("DELETE FROM assent_barrier WHERE gid = 'g2'");
  EXPECT_EQ(Sql("SELECT count(*) FROM assent_undo"), "0");
}

TEST_F(AutoSagaTest, TheCoordinatorsWordEndsTheImagesOfWhatStays) {
  Open();
  ASSERT_EQ(Act("g1", "UPDATE t SET v = 10 WHERE id = 'a'").kind, Kind::kDone);
  now_ms_ += std::chrono::milliseconds(std::chrono::hours(2)).count();
  const std::vector<HeldBranch> held = store().Questions(10);
  ASSERT_EQ(held.size(), 1U);
  store().Answer(held.front(), Verdict::kCommit, /*finished=*/true);
  Close();  // waits for what is queued
  EXPECT_EQ(Sql("SELECT count(*) FROM assent_barrier"), "0");
  EXPECT_EQ(Sql("SELECT count(*) FROM assent_undo"), "0");
}

}  // namespace
}  // namespace assent::postgresql::test
