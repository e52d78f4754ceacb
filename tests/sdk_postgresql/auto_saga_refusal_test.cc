// What an automatic Saga step cannot undo soundly it refuses, in the step itself and by name; what
// it may not rely on Open says.

#include "tests/sdk_postgresql/auto_saga_fixture.h"

namespace assent::postgresql::test {
namespace {

using Kind = Reply::Kind;

class AutoSagaRefusalTest : public AutoSagaFixture {};

std::string Unnamed(const std::string& table) {
  return "table " + table + " is not in Options::undo_tables, so its changes are not recorded";
}

TEST_F(AutoSagaRefusalTest, WhatIsNotNamed) {
  OpenWith(
      "CREATE TABLE t(id int PRIMARY KEY, v int); INSERT INTO t VALUES(1, 1), (2, 2);"
      "CREATE TABLE other(id int PRIMARY KEY, v int); INSERT INTO other VALUES(1, 1);"
      "CREATE TABLE child(id int PRIMARY KEY, t int REFERENCES t ON DELETE CASCADE);"
      "CREATE TABLE nulled(id int PRIMARY KEY, t int REFERENCES t ON DELETE SET NULL);"
      "CREATE TABLE heir() INHERITS (t); INSERT INTO heir VALUES(8, 8);"
      "INSERT INTO child VALUES(1, 1); INSERT INTO nulled VALUES(1, 2);"
      "CREATE FUNCTION hidden() RETURNS int LANGUAGE sql AS 'INSERT INTO other VALUES(9, 9) "
      "RETURNING v'",
      {"t"});
  ExpectRefused("INSERT INTO other VALUES(2, 2)", Unnamed("other"));
  ExpectRefused("UPDATE t SET v = 9", Unnamed("heir"));
  ExpectRefused("UPDATE ONLY t SET v = 9; UPDATE other SET v = 9", Unnamed("other"));
  ExpectRefused("DELETE FROM other", Unnamed("other"));
  ExpectRefused("SELECT hidden()", Unnamed("other"));
  ExpectRefused("DELETE FROM t WHERE id = 1", Unnamed("child"));
  ExpectRefused("DELETE FROM t WHERE id = 2", Unnamed("nulled"));
  ExpectRefused(
      "WITH a AS (INSERT INTO other VALUES(3, 3) RETURNING id) UPDATE ONLY t SET v = 7 "
      "FROM a",
      Unnamed("other"));
  EXPECT_EQ(Lines("SELECT * FROM t"), "(1,1) (2,2) (8,8)");
  EXPECT_EQ(Lines("SELECT * FROM other"), "(1,1)");
  // Read, and not written.
  EXPECT_EQ(Act("g1", "SELECT * FROM other FOR UPDATE; UPDATE other SET v = 2 WHERE false"),
            Reply::Done("ok"));
}

TEST_F(AutoSagaRefusalTest, TruncationAndChangesOfTheSchema) {
  OpenWith(
      "CREATE TABLE t(id int PRIMARY KEY, v int); CREATE TABLE empty(id int PRIMARY KEY);"
      "CREATE MATERIALIZED VIEW seen AS SELECT * FROM t;"
      "CREATE FUNCTION hidden() RETURNS void LANGUAGE plpgsql AS 'BEGIN TRUNCATE empty; END'",
      {"t"});
  for (const char* sql :
       {"TRUNCATE t", "TRUNCATE empty", "SELECT hidden()", "CREATE TABLE made(id int)",
        "ALTER TABLE t ADD COLUMN w int", "DROP TABLE empty", "CREATE INDEX ON t(v)",
        "REFRESH MATERIALIZED VIEW seen", "CREATE TEMP TABLE mine(id int)", "SELECT lo_create(7)",
        "ALTER TABLE t DISABLE TRIGGER assent_undo"}) {
    SCOPED_TRACE(sql);
    static int number = 0;
    const Reply reply = Act("s" + std::to_string(++number), sql);
    EXPECT_EQ(reply.kind, Kind::kRefused) << reply.reason;
    EXPECT_TRUE(
        reply.reason.starts_with("the handler changed the schema or truncated a table (pg_"))
        << reply.reason;
  }
  EXPECT_EQ(Act("g1", "INSERT INTO t VALUES(1, 1)"), Reply::Done("ok"));
}

TEST_F(AutoSagaRefusalTest, TablesWithoutPrimaryKeyAndSettings) {
  OpenWith("CREATE TABLE t(id int PRIMARY KEY); CREATE TABLE bare(id int UNIQUE)", {"t", "bare"});
  ExpectRefused("INSERT INTO bare VALUES(1)",
                "table bare has no PRIMARY KEY, so its changes cannot be undone: declare one");
  const std::string setting = "the handler has changed a setting by which its changes are recorded";
  ExpectRefused("SELECT set_config('assent.step', '', true); INSERT INTO t VALUES(1)", setting);
  ExpectRefused(
      "SELECT set_config('session_replication_role', 'replica', true); INSERT INTO t "
      "VALUES(1)",
      setting);
  EXPECT_EQ(Sql("SELECT count(*) FROM t"), "0");
}

// What a trigger did is recorded. Whether it acts again when it is undone is tried out.
TEST_F(AutoSagaRefusalTest, TriggersThatActAgain) {
  OpenWith(
      "CREATE TABLE t(id int PRIMARY KEY, v int, touched int DEFAULT 0); CREATE TABLE log(id int "
      "GENERATED ALWAYS AS IDENTITY PRIMARY KEY, what text); INSERT INTO t VALUES(1, 1);"
      "CREATE FUNCTION note() RETURNS trigger LANGUAGE plpgsql AS 'BEGIN INSERT INTO log(what) "
      "VALUES (TG_OP); RETURN NULL; END';"
      "CREATE FUNCTION touch() RETURNS trigger LANGUAGE plpgsql AS 'BEGIN NEW.touched := "
      "OLD.touched + 1; RETURN NEW; END';"
      "CREATE FUNCTION positive() RETURNS trigger LANGUAGE plpgsql AS 'BEGIN IF NEW.v < 0 THEN "
      "RAISE EXCEPTION ''below 0''; END IF; RETURN NEW; END'",
      {"t", "log"});
  const std::string no = "the changes could not be undone: ";
  Sql("CREATE TRIGGER one AFTER UPDATE ON t FOR EACH ROW EXECUTE FUNCTION note()");
  ExpectRefused("UPDATE t SET v = 2", no + "a trigger or rule would write table log once more");
  Sql("DROP TRIGGER one ON t");
  Sql("CREATE TRIGGER one BEFORE UPDATE ON t FOR EACH ROW EXECUTE FUNCTION touch()");
  ExpectRefused("UPDATE t SET v = 2", no + "row t(1) is not as it was in column touched: a trigger "
                                           "or rule acts when it is written back");
  Sql("DROP TRIGGER one ON t");
  Sql("CREATE RULE one AS ON DELETE TO t DO INSTEAD NOTHING");
  ExpectRefused("INSERT INTO t VALUES(2, 2)",
                no + "row t(2) cannot be written back: a trigger or rule is in the way");
  Sql("DROP RULE one ON t");
  // One that only looks is in nobody's way, and one that stands aside is not either.
  Sql("CREATE TRIGGER one BEFORE UPDATE ON t FOR EACH ROW EXECUTE FUNCTION positive()");
  Sql("CREATE TRIGGER two AFTER UPDATE ON t FOR EACH ROW WHEN (current_setting('assent.undoing', "
      "true) IS DISTINCT FROM 'on') EXECUTE FUNCTION note()");
  EXPECT_EQ(Act("g1", "UPDATE t SET v = 2"), Reply::Done("ok"));
  EXPECT_EQ(Lines("SELECT * FROM t") + Lines("SELECT what FROM log"), "(1,2,0)(UPDATE)");
  EXPECT_EQ(Compensate("g1"), Reply::Done());
  EXPECT_EQ(Lines("SELECT * FROM t") + Lines("SELECT what FROM log"), "(1,1,0)");
}

// One order of writing is possible, and the inverse one is not.
TEST_F(AutoSagaRefusalTest, RowsThatCannotGoBackOneByOne) {
  OpenWith(
      "CREATE TABLE tree(id int PRIMARY KEY, parent int REFERENCES tree);"
      "INSERT INTO tree VALUES(1, NULL), (2, 1);"
      "CREATE TABLE boss(id int PRIMARY KEY); CREATE TABLE man(id int PRIMARY KEY, boss int "
      "REFERENCES boss ON UPDATE CASCADE); INSERT INTO boss VALUES(1); INSERT INTO man VALUES(1, "
      "1)",
      {"tree", "boss", "man"});
  EXPECT_EQ(Act("g1", "DELETE FROM tree"), Reply::Done("ok")) << "the parent first";
  EXPECT_EQ(Compensate("g1"), Reply::Done());
  EXPECT_EQ(Act("g2", "DELETE FROM tree WHERE id = 2; DELETE FROM tree"), Reply::Done("ok"));
  EXPECT_EQ(Compensate("g2"), Reply::Done());
  EXPECT_EQ(Lines("SELECT * FROM tree"), "(1,) (2,1)");
  const Reply reply = Act("g3", "UPDATE boss SET id = 7");
  EXPECT_EQ(reply.kind, Kind::kRefused);
  EXPECT_TRUE(reply.reason.starts_with(
      "the changes could not be undone: row man(1) would violate a constraint: "))
      << reply.reason;
}

TEST_F(AutoSagaRefusalTest, MoreThanTheLimits) {
  OpenWith("CREATE TABLE t(id int PRIMARY KEY, x text)", {"t"});
  const std::string most = std::to_string(limits::kMaxUndoBytes);
  // Of each row "(1,xxx…)".
  const std::string fill = "INSERT INTO t SELECT i, repeat('x', 1048572) FROM generate_series(1, ";
  EXPECT_EQ(Act("g1", fill + "9) i"), Reply::Done("ok"));
  EXPECT_EQ(Compensate("g1"), Reply::Done());
  ExpectRefused(fill + "9) i; UPDATE t SET x = x || 'y'",
                "the changes have 28311561 bytes; the limit is " + most);
  EXPECT_EQ(Act("g2", "INSERT INTO t SELECT i, 'y' FROM generate_series(1, 1000) i"),
            Reply::Done("ok"));
  EXPECT_EQ(Compensate("g2"), Reply::Done());
  ExpectRefused("INSERT INTO t SELECT i FROM generate_series(1, 10001) i",
                "the changes have 10001 rows; the limit is 10000");
  EXPECT_EQ(Sql("SELECT count(*) FROM t"), "0");
}

TEST_F(AutoSagaRefusalTest, OpenSaysWhatIsWrongWithATable) {
  Sql("CREATE TABLE t(id int PRIMARY KEY); CREATE VIEW v AS SELECT * FROM t;"
      "CREATE FUNCTION f() RETURNS trigger LANGUAGE plpgsql AS 'BEGIN RETURN NULL; END';"
      "CREATE TABLE taken(id int); CREATE TRIGGER assent_undo AFTER INSERT ON taken FOR EACH ROW "
      "EXECUTE FUNCTION f()");
  const auto why = [this](const std::string& table) {
    Options options = MakeOptions();
    options.undo_tables = {table};
    const Status status = Store::Open(std::move(options)).status();
    EXPECT_EQ(status.code(), Code::kFailedPrecondition);
    const std::size_t at = status.message().find("Options::undo_tables names ");
    return at == std::string::npos ? status.ToString() : status.message().substr(at + 27);
  };
  EXPECT_EQ(why("none"), "none, which does not exist: create it in Options::setup");
  EXPECT_EQ(why("v"), "v, which is no table");
  EXPECT_EQ(why("assent_barrier"), "assent_barrier, which is the adapter's own");
  EXPECT_EQ(
      why("taken"),
      "taken, which has a trigger assent_undo that is not the adapter's: give it another name");
  OpenWith("", {"t"});
  Sql("ALTER TABLE t DISABLE TRIGGER assent_undo");
  ExpectRefused("INSERT INTO t VALUES(1)", Unnamed("t"));
  EXPECT_EQ(why("t"),
            "t, whose trigger assent_undo is disabled: ALTER TABLE t ENABLE TRIGGER assent_undo");
}

TEST_F(AutoSagaRefusalTest, WithoutTablesOrHandlerItIsNotRegistered) {
  Open(MakeOptions(),
       [](Store& store) { store.AutoSaga("act", [](Db&, const Call&) { return Reply::Done(); }); });
  EXPECT_EQ(store().Registration().code(), Code::kFailedPrecondition);
  EXPECT_NE(store().Registration().message().find("action saga:act cannot be undone: "
                                                  "Options::undo_tables names no table"),
            std::string::npos);
  Options options = MakeOptions();
  options.undo_tables = {"account"};
  Open(std::move(options), [](Store& store) { store.AutoSaga("act", nullptr); });
  EXPECT_EQ(store().Registration().code(), Code::kInvalidArgument);
}

}  // namespace
}  // namespace assent::postgresql::test
