// Two-phase commit over every shape of table that SQLite has; and those that cannot be recorded,
// which must be refused with a message and never lose a row in silence.

#include "tests/sdk_sqlite/two_phase_fixture.h"

namespace assent::sqlite::test {
namespace {

using Kind = Reply::Kind;

class ShapesTest : public TwoPhaseFixture {
 protected:
  // Prepares, expects nothing to show, commits; then the rows are those that the statements alone
  // would have made.
  void ExpectSameAsDirect(const std::string& setup, const std::string& sql,
                          const std::string& dump) {
    SCOPED_TRACE(sql);
    const std::string direct = path() + ".direct" + std::to_string(++next_);
    Outsider reference(direct);
    ASSERT_EQ(reference.Run("PRAGMA foreign_keys=ON"), "");
    ASSERT_EQ(reference.Run(setup), "");
    ASSERT_EQ(reference.Run("BEGIN; " + sql + "; COMMIT"), "");
    OpenSql(setup);
    const std::string gid = "g" + std::to_string(next_);
    const std::string before = Sql(dump);
    EXPECT_EQ(Prepare(gid, sql), Reply::Done("ok"));
    EXPECT_EQ(Sql(dump), before);
    EXPECT_EQ(Commit(gid), Reply::Done());
    EXPECT_EQ(Sql(dump), reference.Run(dump));
    EXPECT_EQ(Sql("PRAGMA integrity_check"), "ok");
    EXPECT_EQ(Sql("PRAGMA foreign_key_check"), "");
    EXPECT_NE(reference.Run(dump), before) << "the test changes nothing";
  }
  int next_ = 0;
};

TEST_F(ShapesTest, WithoutRowid) {
  ExpectSameAsDirect(
      "CREATE TABLE IF NOT EXISTS w(a, b, v, PRIMARY KEY(b, a)) WITHOUT ROWID;"
      "INSERT INTO w VALUES('a1', 'b1', 1), ('a2', 'b2', 2) ON CONFLICT DO NOTHING",
      "UPDATE w SET v = 5 WHERE a = 'a1'; INSERT INTO w VALUES('a3', 'b3', 3); UPDATE w SET a = "
      "'z' WHERE v = 2",
      "SELECT group_concat(a || b || v) FROM (SELECT * FROM w ORDER BY a)");
}

TEST_F(ShapesTest, CompositeKeysNullsAndBlobs) {
  ExpectSameAsDirect(
      "CREATE TABLE IF NOT EXISTS t(k1 BLOB NOT NULL, k2 REAL NOT NULL, n, b, PRIMARY KEY(k1, k2));"
      "INSERT INTO t VALUES(x'00ff', 1.5, NULL, x''), (x'', 2.0, 7, zeroblob(3)) ON CONFLICT DO "
      "NOTHING",
      "UPDATE t SET n = 1, b = NULL WHERE k2 = 1.5; UPDATE t SET n = NULL WHERE k2 = 2; "
      "INSERT INTO t VALUES(x'01', -0.0, '', x'0001')",
      "SELECT group_concat(quote(k1) || quote(k2) || quote(n) || quote(b)) FROM (SELECT * FROM t "
      "ORDER BY k1)");
}

TEST_F(ShapesTest, ExtremeNumbers) {
  ExpectSameAsDirect(
      "CREATE TABLE IF NOT EXISTS t(id INTEGER PRIMARY KEY, r REAL, v)",
      "INSERT INTO t VALUES(9223372036854775807, 9e999, 1e-300); INSERT INTO t "
      "VALUES(-9223372036854775808, "
      "-9e999, 9007199254740993)",
      "SELECT group_concat(quote(id) || quote(r) || quote(v)) FROM (SELECT * FROM t ORDER BY id)");
}

TEST_F(ShapesTest, TriggersActOnce) {
  ExpectSameAsDirect(
      "CREATE TABLE IF NOT EXISTS t(id INTEGER PRIMARY KEY, v);"
      "CREATE TABLE IF NOT EXISTS audit(id INTEGER PRIMARY KEY, what);"
      "CREATE TABLE IF NOT EXISTS total(id INTEGER PRIMARY KEY, n);"
      "INSERT INTO total VALUES(1, 0) ON CONFLICT DO NOTHING;"
      "CREATE TRIGGER IF NOT EXISTS t_in AFTER INSERT ON t BEGIN "
      "  INSERT INTO audit(what) VALUES('in ' || new.id); UPDATE total SET n = n + 1; END",
      "INSERT INTO t VALUES(1, 1); INSERT INTO t VALUES(2, 2)",
      "SELECT (SELECT n FROM total) || ':' || (SELECT group_concat(what) FROM audit) || ':' || "
      "count(*) FROM t");
  EXPECT_EQ(Sql("SELECT n FROM total"), "2");
  // Outside of the adapter's apply, triggers are on again.
  EXPECT_EQ(Local("INSERT INTO t VALUES(3, 3)"), OkStatus());
  EXPECT_EQ(Sql("SELECT n FROM total"), "3");
}

TEST_F(ShapesTest, ForeignKeyActionsActOnce) {
  const std::string setup =
      "CREATE TABLE IF NOT EXISTS p(id INTEGER PRIMARY KEY, v);"
      "CREATE TABLE IF NOT EXISTS c(id INTEGER PRIMARY KEY, p REFERENCES p ON DELETE CASCADE ON "
      "UPDATE CASCADE);"
      "CREATE TABLE IF NOT EXISTS n(id INTEGER PRIMARY KEY, p REFERENCES p ON DELETE SET NULL);"
      "INSERT INTO p VALUES(1, 0), (2, 0), (3, 0) ON CONFLICT DO NOTHING; INSERT INTO c VALUES(1, "
      "1), (2, 1), (3, 2) ON "
      "CONFLICT DO NOTHING; INSERT INTO n VALUES(1, 1), (2, 2) ON CONFLICT DO NOTHING";
  ExpectSameAsDirect(setup, "DELETE FROM p WHERE id = 1; UPDATE p SET id = 30 WHERE id = 3",
                     "SELECT (SELECT group_concat(id) FROM p) || ':' || (SELECT group_concat(id || "
                     "'-' || p) FROM c) || ':' || "
                     "group_concat(quote(p)) FROM n");
  // And foreign keys are enforced again.
  EXPECT_EQ(Local("INSERT INTO c VALUES(9, 99)").code(), Code::kFailedPrecondition);
}

TEST_F(ShapesTest, ParentAndChildTogetherAndATableThatRefersToItself) {
  ExpectSameAsDirect(
      "CREATE TABLE IF NOT EXISTS node(id TEXT PRIMARY KEY NOT NULL, up REFERENCES node(id));"
      "CREATE TABLE IF NOT EXISTS leaf(id INTEGER PRIMARY KEY, node REFERENCES node DEFERRABLE "
      "INITIALLY DEFERRED)",
      "INSERT INTO leaf VALUES(1, 'child'); INSERT INTO node VALUES('root', NULL); INSERT INTO "
      "node "
      "VALUES('child', 'root'); INSERT INTO node VALUES('self', 'self')",
      "SELECT group_concat(id || quote(up)) || (SELECT count(*) FROM leaf) FROM (SELECT * FROM "
      "node ORDER BY id)");
}

TEST_F(ShapesTest, AnUnresolvedDeferredForeignKeyIsRefused) {
  OpenSql(
      "CREATE TABLE IF NOT EXISTS p(id INTEGER PRIMARY KEY);"
      "CREATE TABLE IF NOT EXISTS c(id INTEGER PRIMARY KEY, p REFERENCES p DEFERRABLE INITIALLY "
      "DEFERRED)");
  EXPECT_EQ(Prepare("g1", "INSERT INTO c VALUES(1, 1)"),
            Reply::Refused("FOREIGN KEY constraint failed (deferred)"));
  EXPECT_EQ(Prepare("g2", "INSERT INTO p VALUES(5)").kind, Kind::kDone)
      << "and leaves nothing behind";
}

// What a parent's rows lost behind our back meanwhile is found at commit, since enforcement is off
// while applying.
TEST_F(ShapesTest, AForeignKeyBrokenBehindOurBackIsAHazard) {
  OpenSql(
      "CREATE TABLE IF NOT EXISTS p(id INTEGER PRIMARY KEY);"
      "CREATE TABLE IF NOT EXISTS c(id INTEGER PRIMARY KEY, p REFERENCES p);"
      "INSERT INTO p VALUES(1), (2) ON CONFLICT DO NOTHING");
  ASSERT_EQ(Prepare("g1", "INSERT INTO c VALUES(1, 1)").kind, Kind::kDone);
  ASSERT_EQ(Prepare("g2", "DELETE FROM p WHERE id = 2").kind, Kind::kDone);
  ASSERT_EQ(Sql("DELETE FROM p WHERE id = 1; INSERT INTO c VALUES(2, 2)"), "");
  EXPECT_EQ(Commit("g1"), Reply::Refused("HAZARD: a row of c refers to a row of p that is gone"));
  EXPECT_EQ(Commit("g2"), Reply::Refused("HAZARD: rows of c still refer to a row of p"));
  EXPECT_EQ(Sql("SELECT count(*) FROM p"), "1");
}

TEST_F(ShapesTest, ReplaceUpsertAndKeyChanges) {
  ExpectSameAsDirect(
      "CREATE TABLE IF NOT EXISTS u(id INTEGER PRIMARY KEY, x UNIQUE, v);"
      "INSERT INTO u VALUES(1, 'p', 0), (2, 'q', 0), (3, 'r', 0) ON CONFLICT DO NOTHING",
      "INSERT OR REPLACE INTO u VALUES(9, 'p', 1); INSERT INTO u VALUES(2, 'zz', 7) ON "
      "CONFLICT(id) DO UPDATE SET "
      "v = excluded.v; UPDATE u SET id = 33 WHERE id = 3",
      "SELECT group_concat(id || x || v) FROM (SELECT * FROM u ORDER BY id)");
}

// Compiled without a hook in place SQLite turns this into a truncation, which nothing would record.
TEST_F(ShapesTest, DeleteWithoutWhere) {
  ExpectSameAsDirect(
      "CREATE TABLE IF NOT EXISTS t(id INTEGER PRIMARY KEY, v); INSERT INTO t VALUES(1, 1), (2, 2) "
      "ON CONFLICT DO "
      "NOTHING",
      "DELETE FROM t", "SELECT count(*) FROM t");
  // The same statement from the cache, first compiled outside of a recording.
  ASSERT_EQ(Local("DELETE FROM t"), OkStatus());
  ASSERT_EQ(Local("INSERT INTO t VALUES(1, 1)"), OkStatus());
  ASSERT_EQ(Prepare("again", "DELETE FROM t"), Reply::Done("ok"));
  EXPECT_EQ(Sql("SELECT count(*) FROM t"), "1");
  EXPECT_EQ(Local("DELETE FROM t").code(), Code::kUnavailable) << "watched as well";
  EXPECT_EQ(Commit("again"), Reply::Done());
  EXPECT_EQ(Sql("SELECT count(*) FROM t"), "0");
}

TEST_F(ShapesTest, ChecksDefaultsAndPartialAndExpressionIndexes) {
  ExpectSameAsDirect(
      "CREATE TABLE IF NOT EXISTS t(id INTEGER PRIMARY KEY, a INT DEFAULT 5 CHECK(a > 0), b TEXT, "
      "live INT);"
      "CREATE UNIQUE INDEX IF NOT EXISTS t_live ON t(b) WHERE live;"
      "CREATE UNIQUE INDEX IF NOT EXISTS t_lower ON t(lower(b), a)",
      "INSERT INTO t(id, b, live) VALUES(1, 'X', 1); INSERT INTO t(id, a, b, live) VALUES(2, 6, "
      "'X', 0)",
      "SELECT group_concat(id || a || b || live) FROM t");
  // Keys by expression are claimed as one: two writers into such an index take turns.
  ASSERT_EQ(Prepare("g8", "INSERT INTO t(id, b, live) VALUES(8, 'y', 0)").kind, Kind::kDone);
  EXPECT_EQ(Prepare("g9", "INSERT INTO t(id, b, live) VALUES(9, 'Y', 0)").kind, Kind::kRetryLater);
}

TEST_F(ShapesTest, NamesThatNeedQuoting) {
  ExpectSameAsDirect(
      "CREATE TABLE IF NOT EXISTS \"my \"\"table\"(\"the key\" TEXT PRIMARY KEY NOT NULL, "
      "\"select\" UNIQUE, \"a\"\"b\","
      "  \"two\nlines\" TEXT);"
      "CREATE TABLE IF NOT EXISTS \"kid\"(id INTEGER PRIMARY KEY, \"of\" REFERENCES \"MY "
      "\"\"Table\"(\"THE key\"))",
      "INSERT INTO \"my \"\"table\" VALUES('k', 1, 2, 'x'); INSERT INTO kid VALUES(1, 'k')",
      "SELECT group_concat(\"the key\" || \"select\" || \"a\"\"b\" || \"two\nlines\") || (SELECT "
      "count(*) FROM kid) "
      "FROM \"my \"\"table\"");
}

// A number that a prepared branch took is not given to anybody else, though nobody sees its row
// yet.
TEST_F(ShapesTest, AutoincrementIsNotHandedOutTwice) {
  OpenSql("CREATE TABLE IF NOT EXISTS t(id INTEGER PRIMARY KEY AUTOINCREMENT, v)");
  for (int i = 1; i <= 3; ++i) {
    EXPECT_EQ(
        Prepare("g" + std::to_string(i), "INSERT INTO t(v) VALUES(" + std::to_string(i) + ")"),
        Reply::Done("ok"));
  }
  EXPECT_EQ(Local("INSERT INTO t(v) VALUES(4)"), OkStatus());
  EXPECT_EQ(Commit("g2"), Reply::Done());
  EXPECT_EQ(Rollback("g1"), Reply::Done());
  EXPECT_EQ(Commit("g3"), Reply::Done());
  EXPECT_EQ(Local("INSERT INTO t(v) VALUES(5)"), OkStatus());
  EXPECT_EQ(Sql("SELECT group_concat(id || '=' || v) FROM t"), "2=2,3=3,4=4,5=5");
}

// Without AUTOINCREMENT both take the same number: the second one waits.
TEST_F(ShapesTest, PlainRowidsOfTwoPreparedInsertsConflict) {
  OpenSql("CREATE TABLE IF NOT EXISTS t(id INTEGER PRIMARY KEY, v)");
  EXPECT_EQ(Prepare("g1", "INSERT INTO t(v) VALUES(1)"), Reply::Done("ok"));
  EXPECT_EQ(Prepare("g2", "INSERT INTO t(v) VALUES(2)").kind, Kind::kRetryLater);
  EXPECT_EQ(Commit("g1"), Reply::Done());
  EXPECT_EQ(Prepare("g2", "INSERT INTO t(v) VALUES(2)"), Reply::Done("ok"));
  EXPECT_EQ(Commit("g2"), Reply::Done());
}

TEST_F(ShapesTest, WhatCannotBeRecordedIsRefused) {
  OpenSql(
      "CREATE TABLE IF NOT EXISTS nokey(v); CREATE TABLE IF NOT EXISTS ok(id INTEGER PRIMARY KEY);"
      "CREATE TABLE IF NOT EXISTS gen(id INTEGER PRIMARY KEY, a INT, d INT AS (a * 3) STORED);"
      "CREATE VIRTUAL TABLE IF NOT EXISTS search USING fts5(x);"
      "CREATE TABLE IF NOT EXISTS n(id TEXT PRIMARY KEY, v);"
      "CREATE TRIGGER IF NOT EXISTS side AFTER UPDATE ON ok BEGIN INSERT INTO nokey "
      "VALUES(new.id); END;"
      "INSERT INTO ok VALUES(1) ON CONFLICT DO NOTHING");
  const std::vector<std::pair<std::string, std::string>> cases = {
      {"INSERT INTO nokey VALUES(1)",
       "table nokey has no PRIMARY KEY, so its changes cannot be recorded: declare one"},
      {"INSERT INTO ok VALUES(2); INSERT INTO nokey VALUES(1)",
       "table nokey has no PRIMARY KEY, so its changes cannot be recorded: declare one"},
      {"UPDATE ok SET id = 5",
       "table nokey has no PRIMARY KEY, so its changes cannot be recorded: declare one"},
      {"INSERT INTO gen(id, a) VALUES(1, 1)",
       "table gen has generated columns, which SQLite's sessions cannot record"},
      {"INSERT INTO n VALUES(NULL, 1)",
       "table n holds a row whose PRIMARY KEY is NULL, which cannot be recorded: declare column id "
       "NOT NULL"},
      {"INSERT INTO n VALUES(NULL, 1); DELETE FROM n; INSERT INTO n VALUES('x', NULL); INSERT INTO "
       "n VALUES(NULL, 2)",
       "table n holds a row whose PRIMARY KEY is NULL, which cannot be recorded: declare column id "
       "NOT NULL"},
  };
  int i = 0;
  for (const auto& [sql, reason] : cases) {
    for (const bool one_phase : {false, true}) {
      const std::string gid = "g" + std::to_string(++i);
      EXPECT_EQ(Prepare(gid, sql, {.one_phase = one_phase}), Reply::Refused(reason)) << sql;
    }
    EXPECT_EQ(Act("s" + std::to_string(++i), sql), Reply::Refused(reason)) << sql;
  }
  const Reply virtual_table = Prepare("v", "INSERT INTO search VALUES('hello')");
  EXPECT_EQ(virtual_table.kind, Kind::kRefused);
  EXPECT_NE(virtual_table.reason.find("belongs to a virtual table"), std::string::npos)
      << virtual_table.reason;
  EXPECT_EQ(Sql("SELECT (SELECT count(*) FROM nokey) + (SELECT count(*) FROM gen) + (SELECT "
                "count(*) FROM n)"),
            "0");
  EXPECT_EQ(Inspect().claims, 0);
  // TCC, Saga and Local are free to use all of them.
  EXPECT_EQ(Try("t",
                "INSERT INTO nokey VALUES(1); INSERT INTO gen(id, a) VALUES(1, 1); INSERT INTO n "
                "VALUES(NULL, 1); INSERT INTO "
                "search VALUES('hello')"),
            Reply::Done("ok"));
}

// A row with a NULL key that the handler deletes is in neither state that a look afterwards would
// see.
TEST_F(ShapesTest, DeletingARowWithANullKeyIsRefused) {
  OpenSql("CREATE TABLE IF NOT EXISTS n(id TEXT PRIMARY KEY, v)");
  ASSERT_EQ(Local("INSERT INTO n VALUES(NULL, 1); INSERT INTO n VALUES('a', 1)"), OkStatus());
  EXPECT_EQ(Prepare("g1", "DELETE FROM n").kind, Kind::kRefused);
  EXPECT_EQ(Act("g2", "DELETE FROM n").kind, Kind::kRefused);
  EXPECT_EQ(Sql("SELECT count(*) FROM n"), "2");
}

// What a changeset cannot do again is not promised: the vote is no, instead of a hazard at commit.
TEST_F(ShapesTest, WhatCouldNotBeAppliedIsRefusedAtPrepare) {
  OpenSql(
      "CREATE TABLE IF NOT EXISTS u(id INTEGER PRIMARY KEY, x UNIQUE);"
      "CREATE TABLE IF NOT EXISTS n(name TEXT COLLATE NOCASE PRIMARY KEY NOT NULL, v);"
      "INSERT INTO u VALUES(1, 'p'), (2, 'q') ON CONFLICT DO NOTHING; INSERT INTO n VALUES('bob', "
      "1) ON CONFLICT DO NOTHING");
  const std::string swap =
      "UPDATE u SET x = 'tmp' WHERE id = 1; UPDATE u SET x = 'p' WHERE id = 2; UPDATE u SET x = "
      "'q' WHERE id = 1";
  const Reply reply = Prepare("g1", swap);
  EXPECT_EQ(reply.kind, Kind::kRefused);
  EXPECT_NE(reply.reason.find("cannot be kept as a changeset"), std::string::npos) << reply.reason;
  EXPECT_EQ(Prepare("g2", swap, {.one_phase = true}).kind, Kind::kRefused);
  EXPECT_EQ(Act("g3", swap).kind, Kind::kRefused);
  EXPECT_EQ(Prepare("g4", "UPDATE n SET name = 'BOB'").kind, Kind::kRefused);
  EXPECT_EQ(Sql("SELECT group_concat(x) FROM u"), "p,q");
  EXPECT_EQ(Inspect().claims, 0);
}

// Equal keys under the collation of a primary key are one row.
TEST_F(ShapesTest, PrimaryKeysWithCollation) {
  OpenSql(
      "CREATE TABLE IF NOT EXISTS n(name TEXT COLLATE NOCASE PRIMARY KEY NOT NULL, v);"
      "CREATE TABLE IF NOT EXISTS r(name TEXT COLLATE RTRIM PRIMARY KEY NOT NULL, v)");
  EXPECT_EQ(Prepare("g1", "INSERT INTO n VALUES('Bob', 1)").kind, Kind::kDone);
  EXPECT_EQ(Prepare("g2", "INSERT INTO n VALUES('BOB', 1)").kind, Kind::kRetryLater);
  EXPECT_EQ(Prepare("g3", "INSERT INTO r VALUES('x', 1)").kind, Kind::kDone);
  EXPECT_EQ(Prepare("g4", "INSERT INTO r VALUES('x  ', 1)").kind, Kind::kRetryLater);
}

}  // namespace
}  // namespace assent::sqlite::test
