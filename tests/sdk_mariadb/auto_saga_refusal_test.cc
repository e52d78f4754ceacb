// What an automatic Saga step cannot undo soundly it refuses, in the step itself; what it may not
// rely on Open says, by name.

#include <map>

#include "participant-sdk/cpp/mariadb/undo_limits.h"
#include "tests/sdk_mariadb/auto_saga_fixture.h"

namespace assent::mariadb::test {
namespace {

using Kind = Reply::Kind;

constexpr char kUnseen[] =
    "the handler wrote rows that were not recorded: of a table that is not in "
    "Options::undo_tables, or of a column that came after the store was opened, or by a sequence, "
    "or by an INSERT IGNORE, REPLACE or INSERT … ON "
    "DUPLICATE KEY UPDATE that met a row that was there, which looks the same";

class AutoSagaRefusalTest : public AutoSagaFixture {};

// The server counts what a session writes, in whatever table and by whatever way.
TEST_F(AutoSagaRefusalTest, WhatIsNotNamed) {
  OpenWith(
      "CREATE TABLE t(id INT PRIMARY KEY, v INT) ENGINE=InnoDB; INSERT INTO t VALUES(1, 1), (2, 2);"
      "CREATE TABLE other(id INT PRIMARY KEY, v INT) ENGINE=InnoDB; INSERT INTO other VALUES(1, 1);"
      "CREATE TABLE parts(id INT PRIMARY KEY) ENGINE=InnoDB PARTITION BY HASH(id) PARTITIONS 3;"
      "CREATE VIEW other_view AS SELECT * FROM other; CREATE SEQUENCE numbers;"
      "CREATE FUNCTION hidden() RETURNS INT MODIFIES SQL DATA BEGIN INSERT INTO other VALUES(9, "
      "9); "
      "RETURN 1; END;"
      "CREATE TABLE noted(id INT PRIMARY KEY) ENGINE=InnoDB;"
      "CREATE TRIGGER note AFTER INSERT ON noted FOR EACH ROW UPDATE other SET v = v + 1",
      {"t", "noted"});
  ExpectRefused("INSERT INTO other VALUES(2, 2)", kUnseen);
  ExpectRefused("UPDATE other SET v = 9", kUnseen);
  ExpectRefused("UPDATE t SET v = 9; UPDATE other SET v = 9", kUnseen);
  ExpectRefused("UPDATE t, other SET t.v = 9, other.v = 9 WHERE t.id = other.id", kUnseen);
  ExpectRefused("DELETE FROM other WHERE id = 1", kUnseen);
  ExpectRefused("DELETE FROM other", kUnseen);
  ExpectRefused("DELETE other FROM other JOIN t ON t.id = other.id", kUnseen);
  ExpectRefused("INSERT INTO other SELECT id + 10, v FROM t", kUnseen);
  ExpectRefused("INSERT INTO other_view VALUES(3, 3)", kUnseen);
  ExpectRefused("INSERT INTO parts VALUES(3)", kUnseen);
  ExpectRefused("SELECT hidden()", kUnseen);
  ExpectRefused("UPDATE t SET v = hidden() WHERE id = 1", kUnseen);
  ExpectRefused("INSERT INTO noted VALUES(1)", kUnseen);
  ExpectRefused("SELECT NEXTVAL(numbers)", kUnseen);
  EXPECT_EQ(Rows("id, v", "t"), "(1,1) (2,2)");
  EXPECT_EQ(Rows("id, v", "other"), "(1,1)");
  // Read, and not written; sorted and gathered in tables that are the server's own.
  EXPECT_EQ(
      Act("g1",
          "SELECT * FROM other FOR UPDATE; UPDATE other SET v = 2 WHERE FALSE; SELECT v, "
          "count(*) FROM (SELECT DISTINCT v FROM t UNION SELECT v FROM other) q GROUP BY v "
          "ORDER BY v DESC; INSERT INTO t SELECT q.id, 1 FROM (SELECT DISTINCT id + 100 AS id "
          "FROM t ORDER BY id DESC) q; UPDATE t SET v = 3 WHERE id IN (SELECT id FROM other)"),
      Reply::Done("ok"));
  EXPECT_EQ(Compensate("g1"), Reply::Done());
  EXPECT_EQ(Rows("id, v", "t"), "(1,1) (2,2)");
}

// A row that was tried and not written counts as one that was written somewhere.
TEST_F(AutoSagaRefusalTest, WhatCannotBeToldFromIt) {
  OpenWith("CREATE TABLE t(id INT PRIMARY KEY, v INT) ENGINE=InnoDB; INSERT INTO t VALUES(1, 1)",
           {"t"});
  ExpectRefused("INSERT IGNORE INTO t VALUES(1, 5)", kUnseen);
  ExpectRefused("REPLACE INTO t VALUES(1, 5)", kUnseen);
  ExpectRefused("INSERT INTO t VALUES(1, 5) ON DUPLICATE KEY UPDATE v = 5", kUnseen);
  EXPECT_EQ(Act("g1",
                "INSERT IGNORE INTO t VALUES(2, 5); REPLACE INTO t VALUES(3, 5); INSERT INTO t "
                "VALUES(4, 5) ON DUPLICATE KEY UPDATE v = 5"),
            Reply::Done("ok"));
  EXPECT_EQ(Compensate("g1"), Reply::Done());
  EXPECT_EQ(Rows("id, v", "t"), "(1,1)");
}

// MariaDB runs the trigger for a row that an UPDATE leaves as it was, and shows it a time of ON
// UPDATE CURRENT_TIMESTAMP that is never written. An image of that would have stood for a row of
// another table, which the counters then did not miss.
TEST_F(AutoSagaRefusalTest, WhatWasNotWrittenHidesNothing) {
  OpenWith(
      "CREATE TABLE t(id INT PRIMARY KEY, v INT, changed TIMESTAMP NOT NULL DEFAULT '2020-01-01 "
      "00:00:00' ON UPDATE CURRENT_TIMESTAMP) ENGINE=InnoDB; INSERT INTO t(id, v) VALUES(1, 1);"
      "CREATE TABLE other(id INT PRIMARY KEY, v INT) ENGINE=InnoDB; INSERT INTO other VALUES(1, 1)",
      {"t"});
  ExpectRefused("UPDATE t SET v = v; UPDATE other SET v = 2", kUnseen);
  EXPECT_EQ(Sql("SELECT v FROM other"), "1");
  // What moves by itself, and is moved alone, is not told from that.
  ExpectRefused("UPDATE t SET changed = '2021-01-01 00:00:00'", kUnseen);
  EXPECT_EQ(Act("g1", "UPDATE t SET v = 2, changed = '2021-01-01 00:00:00'"), Reply::Done("ok"));
  EXPECT_EQ(Compensate("g1"), Reply::Done());
  EXPECT_EQ(Rows("id, v, changed", "t"), "(1,1,2020-01-01 00:00:00)");
}

// MariaDB runs the trigger for a row that an UPDATE IGNORE could not write, and counts it. The
// image of what never was would have been a HAZARD at the compensation.
TEST_F(AutoSagaRefusalTest, WhatAnUpdateCouldNotWrite) {
  OpenWith(
      "CREATE TABLE t(id INT PRIMARY KEY, v INT UNIQUE) ENGINE=InnoDB; INSERT INTO t VALUES(1, 1), "
      "(2, 2)",
      {"t"});
  const std::string untrue =
      "what was recorded is not what was written, as by an UPDATE IGNORE that met a key that was "
      "there";
  ExpectRefused("UPDATE IGNORE t SET v = 2 WHERE id = 1", untrue);
  ExpectRefused("UPDATE IGNORE t SET id = 2 WHERE id = 1", untrue);
  ExpectRefused("UPDATE IGNORE t SET v = 2 WHERE id = 1; UPDATE t SET v = 7 WHERE id = 1", untrue);
  ExpectRefused("UPDATE IGNORE t SET id = 2 WHERE id = 1; DELETE FROM t", untrue);
  EXPECT_EQ(Act("g1", "UPDATE IGNORE t SET v = 3 WHERE id = 1; UPDATE t SET v = 4 WHERE id = 1"),
            Reply::Done("ok"));
  EXPECT_EQ(Compensate("g1"), Reply::Done());
  EXPECT_EQ(Rows("id, v", "t"), "(1,1) (2,2)");
}

TEST_F(AutoSagaRefusalTest, SettingsAndStatementsThatAreNotForIt) {
  OpenWith("CREATE TABLE t(id INT PRIMARY KEY) ENGINE=InnoDB", {"t"});
  ExpectRefused("SELECT @assent_step := NULL; INSERT INTO t VALUES(1)",
                "the handler has changed a setting by which its changes are recorded");
  for (const char* sql : {"TRUNCATE t", "ALTER TABLE t ADD COLUMN w INT", "SET @assent_step = NULL",
                          "DROP TRIGGER assent_undo_forget", "FLUSH STATUS"}) {
    SCOPED_TRACE(sql);
    EXPECT_EQ(Act("m", sql).kind, Kind::kRetryLater);
  }
  // A trigger that was dropped by somebody else.
  const std::string trigger = Sql(
      "SELECT TRIGGER_NAME FROM information_schema.TRIGGERS WHERE TRIGGER_SCHEMA = DATABASE() AND "
      "EVENT_OBJECT_TABLE = 't' AND EVENT_MANIPULATION = 'INSERT'");
  Sql("DROP TRIGGER " + trigger);
  ExpectRefused("INSERT INTO t VALUES(1)", kUnseen);
  OpenWith("", {"t"});
  EXPECT_EQ(Act("g1", "INSERT INTO t VALUES(1)"), Reply::Done("ok")) << "Open makes it again";
  EXPECT_EQ(Compensate("g1"), Reply::Done());
  EXPECT_EQ(Sql("SELECT count(*) FROM t"), "0");
}

// What a trigger did is recorded. Whether it acts again when it is undone is tried out.
TEST_F(AutoSagaRefusalTest, TriggersThatActAgain) {
  OpenWith(
      "CREATE TABLE t(id INT PRIMARY KEY, v INT, touched INT DEFAULT 0) ENGINE=InnoDB; CREATE "
      "TABLE "
      "log(id INT AUTO_INCREMENT PRIMARY KEY, what TEXT) ENGINE=InnoDB; INSERT INTO t VALUES(1, 1, "
      "0)",
      {"t", "log"});
  const std::string no = "the changes could not be undone: ";
  Sql("CREATE TRIGGER one AFTER UPDATE ON t FOR EACH ROW INSERT INTO log(what) VALUES('U')");
  ExpectRefused("UPDATE t SET v = 2", no + "a trigger would write more than is written back");
  Sql("DROP TRIGGER one");
  Sql("CREATE TRIGGER one BEFORE UPDATE ON t FOR EACH ROW SET NEW.touched = OLD.touched + 1");
  ExpectRefused("UPDATE t SET v = 2", no + "row t(1) is not as it was in column touched: a trigger "
                                           "or rule acts when it is written back");
  Sql("DROP TRIGGER one");
  // One that only looks is in nobody's way, and one that stands aside is not either.
  Sql("CREATE TRIGGER one BEFORE UPDATE ON t FOR EACH ROW SET @seen = NEW.v");
  Sql("CREATE TRIGGER two AFTER UPDATE ON t FOR EACH ROW INSERT INTO log(what) SELECT 'U' FROM "
      "DUAL "
      "WHERE @assent_undoing IS NULL");
  EXPECT_EQ(Act("g1", "UPDATE t SET v = 2"), Reply::Done("ok"));
  EXPECT_EQ(Rows("id, v, touched", "t") + Rows("what", "log"), "(1,2,0)(U)");
  EXPECT_EQ(Compensate("g1"), Reply::Done());
  EXPECT_EQ(Rows("id, v, touched", "t") + Rows("what", "log"), "(1,1,0)");
}

// Open has not seen it: it came after, and no trigger and no counter sees what it does.
TEST_F(AutoSagaRefusalTest, AForeignKeyThatCameLaterAndCascades) {
  OpenWith(
      "CREATE TABLE t(id INT PRIMARY KEY, v INT) ENGINE=InnoDB; INSERT INTO t VALUES(1, 1), (2, 2)",
      {"t"});
  Sql("CREATE TABLE child(id INT PRIMARY KEY, t INT, FOREIGN KEY(t) REFERENCES t(id) ON DELETE SET "
      "NULL) ENGINE=InnoDB; INSERT INTO child VALUES(1, 1)");
  const std::string why =
      "table t has rows of " + database() +
      ".child that follow its own by CASCADE or SET NULL, which no trigger sees";
  ExpectRefused("DELETE FROM t WHERE id = 1", why);
  ExpectRefused("UPDATE t SET id = 7 WHERE id = 2", why);
  EXPECT_EQ(Sql("SELECT t FROM child"), "1");
  EXPECT_EQ(WhyNot("t"), why.substr(why.find("has rows")));
  // What is new has no children.
  EXPECT_EQ(Act("g1", "INSERT INTO t VALUES(3, 3)"), Reply::Done("ok"));
}

TEST_F(AutoSagaRefusalTest, MoreThanTheLimits) {
  OpenWith("CREATE TABLE t(id INT PRIMARY KEY, x LONGTEXT CHARACTER SET ascii) ENGINE=InnoDB",
           {"t"});
  const std::string most = std::to_string(limits::kMaxUndoBytes);
  // Of each row "=1,=7878…".
  const std::string fill = "INSERT INTO t SELECT seq, REPEAT('x', 524286) FROM seq_1_to_";
  EXPECT_EQ(Act("g1", fill + "9"), Reply::Done("ok"));
  EXPECT_EQ(Compensate("g1"), Reply::Done());
  ExpectRefused(fill + "9; UPDATE t SET x = CONCAT(x, 'y')",
                "the changes have 28311570 bytes; the limit is " + most);
  EXPECT_EQ(Act("g2", "INSERT INTO t SELECT seq, 'y' FROM seq_1_to_1000"), Reply::Done("ok"));
  EXPECT_EQ(Compensate("g2"), Reply::Done());
  EXPECT_EQ(Act("g3", "INSERT INTO t SELECT seq, 'y' FROM seq_1_to_10000"), Reply::Done("ok"));
  EXPECT_EQ(Compensate("g3"), Reply::Done());
  ExpectRefused("INSERT INTO t SELECT seq, NULL FROM seq_1_to_10001",
                "the changes have 10001 rows; the limit is 10000");
  EXPECT_EQ(Sql("SELECT count(*) FROM t"), "0");
}

TEST_F(AutoSagaRefusalTest, OpenSaysWhatIsWrongWithATable) {
  Sql("CREATE TABLE t(id INT PRIMARY KEY) ENGINE=InnoDB; CREATE VIEW v AS SELECT * FROM t;"
      "CREATE SEQUENCE s; CREATE TABLE bare(id INT UNIQUE) ENGINE=InnoDB;"
      "CREATE TABLE old(id INT PRIMARY KEY) ENGINE=MyISAM;"
      "CREATE TABLE past(id INT PRIMARY KEY) ENGINE=InnoDB WITH SYSTEM VERSIONING;"
      "CREATE TABLE parts(id INT PRIMARY KEY) ENGINE=InnoDB PARTITION BY HASH(id) PARTITIONS 3;"
      "CREATE TABLE boss(id INT PRIMARY KEY) ENGINE=InnoDB; CREATE TABLE man(id INT PRIMARY KEY, "
      "boss INT, FOREIGN KEY(boss) REFERENCES boss(id) ON UPDATE CASCADE) ENGINE=InnoDB");
  EXPECT_EQ(WhyNot("none"), "does not exist: create it in Options::setup");
  EXPECT_EQ(WhyNot("v"), "is no table");
  EXPECT_EQ(WhyNot("s"), "is no table");
  EXPECT_EQ(WhyNot("assent_barrier"), "is the adapter's own");
  EXPECT_EQ(WhyNot("old"), "is of the engine MyISAM, which undoes nothing");
  EXPECT_EQ(WhyNot("past"), "is system-versioned, which writes rows that no trigger sees");
  EXPECT_EQ(WhyNot("parts"), "is partitioned, and the server counts its rows in another way");
  EXPECT_EQ(WhyNot("boss"), "has rows of " + database() +
                                ".man that follow its own by CASCADE or SET NULL, which no trigger "
                                "sees");
  EXPECT_NE(WhyNot("bare").find("table bare has no PRIMARY KEY, so its changes cannot be undone: "
                                "declare one"),
            std::string::npos);
  OpenWith("", {"t", "man"});
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

// Whoever may not make triggers is told what would let it.
TEST_F(AutoSagaRefusalTest, RightsAndWhoHasThem) {
  Sql("CREATE TABLE t(id INT PRIMARY KEY, v INT) ENGINE=InnoDB; CREATE USER 'plain'@'%'; GRANT "
      "SELECT, INSERT, UPDATE, DELETE, CREATE, INDEX, ALTER ON " +
      database() + ".* TO 'plain'@'%'");
  const auto open = [this] {
    Options options = With("", {"t"});
    options.server.user = "plain";
    return Store::Open(std::move(options)).status();
  };
  const Status denied = open();
  EXPECT_EQ(denied.code(), Code::kPermissionDenied);
  EXPECT_NE(denied.message().find("GRANT TRIGGER on the tables"), std::string::npos)
      << denied.ToString();
  Sql("GRANT TRIGGER ON " + database() + ".* TO 'plain'@'%'");
  EXPECT_EQ(open(), OkStatus());
  Sql("DROP USER 'plain'@'%'");
}

TEST_F(AutoSagaRefusalTest, ALogOfStatementsInATableIsCountedAsRows) {
  Sql("CREATE TABLE t(id INT PRIMARY KEY, v INT) ENGINE=InnoDB; SET GLOBAL log_output = 'TABLE'; "
      "SET GLOBAL general_log = ON");
  const Status refused = Store::Open(With("", {"t"})).status();
  Sql("SET GLOBAL general_log = OFF; SET GLOBAL log_output = 'FILE'; TRUNCATE mysql.general_log");
  EXPECT_EQ(refused.code(), Code::kFailedPrecondition);
  EXPECT_NE(refused.message().find("set log_output to FILE"), std::string::npos);
}

// With a binary log, not everybody may make triggers.
class AutoSagaBinlogTest : public AutoSagaFixture {
 protected:
  AutoSagaBinlogTest() : AutoSagaFixture(OwnServer()) {}
  static MariaServer& OwnServer() {
    static MariaServer server({{"log-bin", "log"}, {"sync-binlog", "1"}, {"server-id", "7"}});
    if (!server.Running()) {
      EXPECT_TRUE(server.Start().ok());
    }
    return server;
  }
};

TEST_F(AutoSagaBinlogTest, WhoIsNotTrustedIsToldWhatToSet) {
  Sql("CREATE TABLE t(id INT PRIMARY KEY, v INT) ENGINE=InnoDB; CREATE USER 'plain'@'%'; GRANT ALL "
      "ON " +
      database() + ".* TO 'plain'@'%'");
  const auto with = [this] {
    Options options = With("", {"t"});
    options.server.user = "plain";
    return options;
  };
  const Status denied = Store::Open(with()).status();
  EXPECT_EQ(denied.code(), Code::kPermissionDenied);
  EXPECT_NE(denied.message().find("set log_bin_trust_function_creators to ON"), std::string::npos)
      << denied.ToString();
  Sql("SET GLOBAL log_bin_trust_function_creators = ON");
  OpenWith(with());
  EXPECT_EQ(Act("g1", "INSERT INTO t VALUES(1, 1)"), Reply::Done("ok"));
  EXPECT_EQ(Compensate("g1"), Reply::Done());
  EXPECT_EQ(Sql("SELECT count(*) FROM t"), "0");
}

}  // namespace
}  // namespace assent::mariadb::test
