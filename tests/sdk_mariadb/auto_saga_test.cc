// Automatic Saga steps: in force at once, compensated by the inverse of what they wrote.

#include "tests/sdk_mariadb/auto_saga_fixture.h"

namespace assent::mariadb::test {
namespace {

using Kind = Reply::Kind;

constexpr char kTables[] =
    "CREATE TABLE IF NOT EXISTS t(id VARCHAR(20) CHARACTER SET utf8mb4 PRIMARY KEY, v INT, w INT, "
    "changed TIMESTAMP NOT NULL DEFAULT '2020-01-01 10:00:00' ON UPDATE CURRENT_TIMESTAMP) "
    "ENGINE=InnoDB;"
    "INSERT IGNORE INTO t(id, v, w) VALUES('a', 1, 1), ('b', 2, 2);"
    "CREATE TABLE IF NOT EXISTS c(id INT PRIMARY KEY, t VARCHAR(20) CHARACTER SET utf8mb4, "
    "CONSTRAINT c_t FOREIGN KEY(t) REFERENCES t(id)) ENGINE=InnoDB";

class AutoSagaTest : public AutoSagaFixture {
 protected:
  void Open() { OpenWith(kTables, {"t", "c"}); }
  std::string All() { return Rows("id, v, w", "t") + "/" + Rows("id, t", "c"); }
};

TEST_F(AutoSagaTest, ActionAndInverse) {
  Open();
  const std::string when = Rows("id, changed", "t");
  EXPECT_EQ(Act("g1",
                "INSERT INTO t(id, v, w) VALUES('n', 9, 9); UPDATE t SET v = 10 WHERE id = 'a'; "
                "DELETE FROM t WHERE id = 'b'; INSERT INTO c VALUES(1, 'n')"),
            Reply::Done("ok"));
  EXPECT_EQ(All(), "(a,10,1) (n,9,9)/(1,n)");
  EXPECT_EQ(Act("g1", "anything"), Reply::Done("ok")) << "a duplicate";
  EXPECT_EQ(Compensate("g1"), Reply::Done());
  EXPECT_EQ(All(), "(a,1,1) (b,2,2)/");
  EXPECT_EQ(Rows("id, changed", "t"), when);
  EXPECT_EQ(Compensate("g1"), Reply::Done());
  EXPECT_EQ(Sql("SELECT count(*) FROM assent_undo"), "0");
}

// What MariaDB writes at each UPDATE by itself it does not write at the one that takes back.
TEST_F(AutoSagaTest, WhatMovesByItselfStaysWhereItIs) {
  Open();
  ASSERT_EQ(Act("g1", "UPDATE t SET v = 10, changed = changed WHERE id = 'a'"), Reply::Done("ok"));
  EXPECT_EQ(Compensate("g1"), Reply::Done());
  EXPECT_EQ(Sql("SELECT changed FROM t WHERE id = 'a'"), "2020-01-01 10:00:00");
}

TEST_F(AutoSagaTest, CompensationWithoutActionAndOfNothing) {
  Open();
  EXPECT_EQ(Compensate("g1"), Reply::Done());
  EXPECT_EQ(Act("g1", "DELETE FROM t"), Reply::Refused("compensated before it was executed"));
  EXPECT_EQ(Act("g2", "SELECT 1"), Reply::Done("ok"));
  EXPECT_EQ(Compensate("g2"), Reply::Done());
  EXPECT_EQ(Act("g3", "DELETE FROM t; refuse"), Reply::Refused("no"));
  EXPECT_EQ(Compensate("g3"), Reply::Done());
  const Reply nothing = Act("g4", "UPDATE t SET v = v");
  EXPECT_EQ(nothing, Reply::Done("ok")) << nothing.reason;
  EXPECT_EQ(Compensate("g4"), Reply::Done());
  EXPECT_EQ(All(), "(a,1,1) (b,2,2)/");
  EXPECT_EQ(Sql("SELECT count(*) FROM assent_undo"), "0");
}

TEST_F(AutoSagaTest, SeveralWritesOfOneRow) {
  Open();
  EXPECT_EQ(Act("g1",
                "UPDATE t SET v = 10 WHERE id = 'a'; UPDATE t SET v = 11, w = 11 WHERE id = 'a'; "
                "DELETE FROM t WHERE id = 'a'; INSERT INTO t(id, v, w) VALUES('a', 12, 12), "
                "('x', 1, 1); UPDATE t SET id = 'y' WHERE id = 'x'; DELETE FROM t WHERE id = 'y'; "
                "UPDATE t SET id = 'B' WHERE id = 'b'"),
            Reply::Done("ok"));
  EXPECT_EQ(All(), "(a,12,12) (B,2,2)/");
  EXPECT_EQ(Compensate("g1"), Reply::Done());
  EXPECT_EQ(All(), "(a,1,1) (b,2,2)/") << "also what is equal to the table's collation";
}

// What a statement wrote that has failed was taken back by the server, and is still counted by it.
TEST_F(AutoSagaTest, AStatementThatFailsInATryIsForgiven) {
  Open();
  EXPECT_EQ(Act("g1",
                "try INSERT INTO t(id, v) VALUES('n', 1), ('a', 1); UPDATE t SET v = 5 WHERE id = "
                "'a'; try INSERT INTO c VALUES(1, 'nobody'); try INSERT INTO c VALUES(2, 'a'); "
                "try DELETE FROM t"),
            Reply::Done("ok"));
  EXPECT_EQ(All(), "(a,5,1) (b,2,2)/(2,a)");
  EXPECT_EQ(Compensate("g1"), Reply::Done());
  EXPECT_EQ(All(), "(a,1,1) (b,2,2)/");
}

TEST_F(AutoSagaTest, ARowChangedSinceIsAHazardAndNotOverwritten) {
  Open();
  ASSERT_EQ(
      Act("g1", "UPDATE t SET v = 10 WHERE id = 'a'; UPDATE t SET v = 20 WHERE id = 'b'").kind,
      Kind::kDone);
  Sql("UPDATE t SET v = 11, changed = changed WHERE id = 'a'");
  const Reply hazard = Compensate("g1");
  EXPECT_EQ(hazard, Reply::Refused("HAZARD: row t('a') was changed since"));
  EXPECT_EQ(Compensate("g1"), hazard) << "stuck, and still tried";
  EXPECT_EQ(All(), "(a,11,1) (b,20,2)/");
  // Another column of the same row is not in the way.
  Sql("UPDATE t SET v = 10, w = 77, changed = changed WHERE id = 'a'");
  EXPECT_EQ(Compensate("g1"), Reply::Done());
  EXPECT_EQ(All(), "(a,1,77) (b,2,2)/");
}

TEST_F(AutoSagaTest, ARowDeletedOrInsertedSinceIsAHazard) {
  Open();
  ASSERT_EQ(Act("g1", "INSERT INTO t(id, v) VALUES('n', 1)").kind, Kind::kDone);
  Sql("DELETE FROM t WHERE id = 'n'");
  EXPECT_EQ(Compensate("g1"), Reply::Refused("HAZARD: row t('n') was deleted since"));
  ASSERT_EQ(Act("g2", "DELETE FROM t WHERE id = 'a'").kind, Kind::kDone);
  Sql("INSERT INTO t(id, v, w) VALUES('a', 5, 5)");
  EXPECT_EQ(Compensate("g2"), Reply::Refused("HAZARD: row t('a') was inserted since"));
  Sql("UPDATE t SET id = 'A' WHERE id = 'a'");
  const Reply hazard = Compensate("g2");
  EXPECT_TRUE(hazard.reason.starts_with("HAZARD: row t('a') would violate a constraint: "))
      << hazard.reason;
  EXPECT_EQ(All(), "(A,5,5) (b,2,2)/");
}

TEST_F(AutoSagaTest, WhatWouldViolateAConstraintIsAHazard) {
  Open();
  ASSERT_EQ(Act("g1", "INSERT INTO t(id, v) VALUES('n', 1)").kind, Kind::kDone);
  Sql("INSERT INTO c VALUES(1, 'n')");
  const Reply hazard = Compensate("g1");
  EXPECT_TRUE(hazard.reason.starts_with("HAZARD: row t('n') would violate a constraint: "))
      << hazard.reason;
  Sql("DELETE FROM c");
  EXPECT_EQ(Compensate("g1"), Reply::Done());
}

// Which came after the step: the rows of others would go along.
TEST_F(AutoSagaTest, AForeignKeyThatCascadesIsInTheWayOfTheWayBack) {
  Open();
  ASSERT_EQ(Act("g1", "INSERT INTO t(id, v) VALUES('n', 1)").kind, Kind::kDone);
  Sql("CREATE TABLE late(id INT PRIMARY KEY, t VARCHAR(20) CHARACTER SET utf8mb4, FOREIGN KEY(t) "
      "REFERENCES t(id) ON DELETE CASCADE) ENGINE=InnoDB; INSERT INTO late VALUES(1, 'n')");
  EXPECT_EQ(Compensate("g1"),
            Reply::Refused("HAZARD: table t has rows of " + database() +
                           ".late that follow its own by CASCADE or SET NULL, which no trigger "
                           "sees"));
  EXPECT_EQ(Sql("SELECT count(*) FROM late"), "1");
  Sql("DROP TABLE late");
  EXPECT_EQ(Compensate("g1"), Reply::Done());
}

TEST_F(AutoSagaTest, LostOrDamagedImagesAreAHazard) {
  Open();
  ASSERT_EQ(Act("g1", "UPDATE t SET v = 10 WHERE id = 'a'").kind, Kind::kDone);
  const Reply damaged =
      Reply::Refused("HAZARD: what the action changed is damaged: its checksum is wrong");
  Sql("UPDATE assent_undo SET before_image = CONCAT(before_image, ' ') WHERE kind = 'U'");
  EXPECT_EQ(Compensate("g1"), damaged);
  Sql("DELETE FROM assent_undo WHERE kind = 'U'");
  EXPECT_EQ(Compensate("g1"), damaged);
  Sql("DELETE FROM assent_undo");
  EXPECT_EQ(Compensate("g1"), Reply::Refused("HAZARD: what the action changed is lost"));
  EXPECT_EQ(All(), "(a,10,1) (b,2,2)/");
}

TEST_F(AutoSagaTest, TablesMayGetColumnsAndLoseNone) {
  Open();
  ASSERT_EQ(Act("g1", "DELETE FROM t WHERE id = 'a'").kind, Kind::kDone);
  ASSERT_EQ(Act("g2", "UPDATE t SET w = 9 WHERE id = 'b'").kind, Kind::kDone);
  Sql("ALTER TABLE t ADD COLUMN x INT DEFAULT 4 FIRST");
  EXPECT_EQ(Compensate("g1"), Reply::Done());
  EXPECT_EQ(Rows("id, v, w, x", "t"), "(a,1,1,4) (b,2,9,4)");
  // Its triggers do not know the new one: what they would keep is not the whole row.
  ASSERT_EQ(Act("g4", "UPDATE t SET x = 9 WHERE id = 'b'").kind, Kind::kRefused);
  const Reply later = Act("g3", "UPDATE t SET x = 9, v = 9 WHERE id = 'b'");
  EXPECT_EQ(later, Reply::RetryLater("table " + database() +
                                     ".t has other columns than its triggers know: open the store "
                                     "again"));
  Open();
  EXPECT_EQ(Act("g3", "UPDATE t SET x = 9, v = 9 WHERE id = 'b'"), Reply::Done("ok"));
  EXPECT_EQ(Compensate("g3"), Reply::Done());
  EXPECT_EQ(Rows("id, v, w, x", "t"), "(a,1,1,4) (b,2,9,4)");
  Sql("ALTER TABLE t DROP COLUMN w");
  EXPECT_EQ(Compensate("g2"), Reply::Refused("HAZARD: column w of table t is gone or has changed"));
  Sql("DROP TABLE c; DROP TABLE t");
  EXPECT_EQ(Compensate("g2"), Reply::Refused("HAZARD: table " + database() + ".t is gone"));
}

// Every value comes back to the bit, whatever the server's time zone and modes are for others.
TEST_F(AutoSagaTest, EveryTypeComesBack) {
  const std::string setup =
      "CREATE TABLE v(id INT PRIMARY KEY AUTO_INCREMENT, ti TINYINT, tu TINYINT UNSIGNED ZEROFILL, "
      "si SMALLINT, mi MEDIUMINT, bu BIGINT UNSIGNED, bi BIGINT, n DECIMAL(40,12), f FLOAT, "
      "f2 FLOAT(7,2), d DOUBLE, y YEAR, b1 BIT(1), b BIT(64), dd DATE, dt DATETIME(6), tm TIME(3), "
      "ts TIMESTAMP(6) NULL, ts0 TIMESTAMP NULL, c CHAR(5) CHARACTER SET latin1, vc VARCHAR(20) "
      "CHARACTER SET utf8mb4, u2 VARCHAR(20) CHARACTER SET ucs2, tx LONGTEXT CHARACTER SET "
      "utf8mb4, "
      "bn BINARY(4), vb VARBINARY(20), bl LONGBLOB, e ENUM('x','so, \"so\"',''), st SET('a','b'), "
      "j JSON, g POINT, gg GEOMETRY, i6 INET6, k INT NOT NULL DEFAULT 7, hid INT INVISIBLE, "
      "gv INT AS (k * 2) VIRTUAL, gs INT AS (k + 1) STORED, touched DATETIME(6) DEFAULT "
      "CURRENT_TIMESTAMP(6) ON UPDATE CURRENT_TIMESTAMP(6)) ENGINE=InnoDB;"
      "INSERT INTO v(id, ti, tu, si, mi, bu, bi, n, f, f2, d, y, b1, b, dd, dt, tm, ts, ts0, c, "
      "vc, "
      "u2, tx, bn, vb, bl, e, st, j, g, gg, i6, k, hid) VALUES(1, -128, 7, -32768, 8388607, "
      "18446744073709551615, -9223372036854775808, '1234567890123456789012345678.000000000012', "
      "1.1, 12345.67, 0.1, 1999, b'1', b'1111111111111111111111111111111111111111111111111111111111"
      "111110', '0000-00-00', '9999-12-31 23:59:59.999999', '-838:59:59.999', '2026-03-29 "
      "01:59:59.123456', '0000-00-00 00:00:00', 'ab\\\\', 'Ünï, =x''\\0', 'ucs', '', x'00ff', "
      "x'00275c', x'', 2, 3, '{\"a\":  [1, 2.50] }', ST_GeomFromText('POINT(1.1 -2)', 4326), "
      "ST_GeomFromText('LINESTRING(1 2,3 4)'), 'fe80::1', -1, 5), (2, 0, 0, 0, 0, 0, 0, 0, '-0', "
      "-0.5, 1e-310, 0, b'0', b'0', '2020-00-10', '0000-00-00 00:00:00', '00:00:00', NULL, NULL, "
      "'', '', '', ' ', x'', x'', x'', 3, '', 'null', NULL, NULL, '::', 0, NULL);"
      "INSERT INTO v(k) VALUES(3);"
      "UPDATE v SET id = 0 WHERE k = 3;";
  OpenWith(setup, {"v"});
  std::string all;
  for (const char* column :
       {"id",      "ti",       "tu",    "si",     "mi",      "bu",      "bi",      "n",
        "f * 1e0", "f2 * 1e0", "d",     "y",      "b1 + 0",  "b + 0",   "dd",      "dt",
        "tm",      "ts",       "ts0",   "HEX(c)", "HEX(vc)", "HEX(u2)", "HEX(tx)", "HEX(bn)",
        "HEX(vb)", "HEX(bl)",  "e + 0", "st + 0", "HEX(j)",  "HEX(g)",  "HEX(gg)", "i6",
        "k",       "hid",      "gv",    "gs",     "touched"}) {
    all += (all.empty() ? "" : ", ") + std::string(column);
  }
  const std::string before = Rows(all, "v");
  ASSERT_NE(before.find("1.100000023841858"), std::string::npos) << before;
  ASSERT_EQ(
      Act("g1",
          "UPDATE v SET ti = 1, tu = 1, si = 1, mi = 1, bu = 1, bi = 1, n = 1, f = 5, f2 = 5, "
          "d = 5, y = 2001, b1 = b'0', b = 5, dd = '2021-01-01', dt = NULL, tm = '1:00:00', ts "
          "= NOW(), ts0 = NOW(), c = NULL, vc = 'x', u2 = NULL, tx = 'x', bn = NULL, vb = "
          "NULL, bl = 'x', e = 'x', st = NULL, j = '5', g = NULL, gg = NULL, i6 = NULL, k = 5, "
          "hid = 6"),
      Reply::Done("ok"));
  ASSERT_NE(Rows(all, "v"), before);
  EXPECT_EQ(Compensate("g1"), Reply::Done());
  EXPECT_EQ(Rows(all, "v"), before);
  ASSERT_EQ(Act("g2", "DELETE FROM v"), Reply::Done("ok"));
  ASSERT_EQ(Sql("SELECT count(*) FROM v"), "0");
  EXPECT_EQ(Compensate("g2"), Reply::Done());
  EXPECT_EQ(Rows(all, "v"), before) << "generated columns and a 0 of AUTO_INCREMENT, too";
}

// Rows are found by keys of every sort.
TEST_F(AutoSagaTest, OddNamesAndKeys) {
  const std::string other = database() + "_x";
  OpenWith(
      "CREATE TABLE `Odd ``Name`(`A b` INT, `select` VARCHAR(20) CHARACTER SET latin1, v INT, "
      "PRIMARY KEY(`select`, `A b`)) ENGINE=InnoDB;"
      "INSERT INTO `Odd ``Name` VALUES(1, 'ü', 1), (2, 'x', 1);"
      "CREATE TABLE kf(k FLOAT PRIMARY KEY, v INT) ENGINE=InnoDB; INSERT INTO kf VALUES(1.1, 1);"
      "CREATE TABLE kd(k DATETIME(3) PRIMARY KEY, v INT) ENGINE=InnoDB; INSERT INTO kd "
      "VALUES('2020-01-01 00:00:00.5', 1);"
      "CREATE TABLE ks(k TIMESTAMP(6), e ENUM('x','y'), b BIT(9), n BIGINT UNSIGNED, v INT, "
      "PRIMARY KEY(k, e, b, n)) ENGINE=InnoDB; INSERT INTO ks VALUES('2020-07-01 00:00:00.25', "
      "'y', 300, 18446744073709551615, 1);"
      "CREATE TABLE kb(k VARBINARY(9) PRIMARY KEY, v INT) ENGINE=InnoDB; INSERT INTO kb "
      "VALUES(x'00ff27', 1);"
      "CREATE DATABASE " +
          other + "; CREATE TABLE " + other +
          ".o(id INT PRIMARY KEY, v INT) ENGINE=InnoDB; INSERT INTO " + other + ".o VALUES(1, 1)",
      {"Odd `Name", "kf", "kd", "ks", "kb", other + ".o"});
  ASSERT_EQ(Act("g1",
                "UPDATE `Odd ``Name` SET v = 2 WHERE `A b` = 2; UPDATE kf SET v = 2; UPDATE kd SET "
                "v = 2; UPDATE ks SET v = 2; UPDATE kb SET v = 2; UPDATE " +
                    other + ".o SET v = 2"),
            Reply::Done("ok"));
  Sql("UPDATE `Odd ``Name` SET v = 3 WHERE `A b` = 2");
  EXPECT_EQ(Compensate("g1"), Reply::Refused("HAZARD: row Odd `Name('x', 2) was changed since"));
  Sql("UPDATE `Odd ``Name` SET v = 2 WHERE `A b` = 2");
  EXPECT_EQ(Compensate("g1"), Reply::Done());
  EXPECT_EQ(Sql("SELECT CONCAT_WS(',', (SELECT GROUP_CONCAT(v) FROM `Odd ``Name`), (SELECT v FROM "
                "kf), (SELECT v FROM kd), (SELECT v FROM ks), (SELECT v FROM kb), (SELECT v FROM " +
                other + ".o))"),
            "1,1,1,1,1,1,1");
  Close();
  Sql("DROP DATABASE " + other);
}

TEST_F(AutoSagaTest, CompensationWaitsForAPreparedBranch) {
  Options options = With(kTables, {"t", "c"});
  options.lock_timeout = std::chrono::seconds(1);
  OpenWith(std::move(options));
  ASSERT_EQ(Act("g1", "UPDATE t SET v = 10 WHERE id = 'a'").kind, Kind::kDone);
  const Branch prepared{"g3", "b1", Protocol::kTwoPhase, "sql", "DELETE FROM t WHERE id = 'a'"};
  ASSERT_EQ(Ask(store(), prepared.To(Operation::kPrepare)).kind, Kind::kDone);
  EXPECT_EQ(Compensate("g1").kind, Kind::kRetryLater);
  ASSERT_EQ(Ask(store(), prepared.To(Operation::kRollback)), Reply::Done());
  EXPECT_EQ(Compensate("g1"), Reply::Done());
  EXPECT_EQ(All(), "(a,1,1) (b,2,2)/");
}

TEST_F(AutoSagaTest, StepsShareACommitAndKeepApart) {
  Open();
  std::vector<Call> calls;
  for (int i = 0; i < 40; ++i) {
    const std::string id = "'s" + std::to_string(i) + "'";
    const char* const no = i % 4 == 0   ? "; refuse"
                           : i % 4 == 1 ? "; INSERT INTO c VALUES(1, 'no')"
                                        : "";
    calls.push_back(
        ActionOf("s" + std::to_string(i), "INSERT INTO t(id, v, w) VALUES(" + id +
                                              ", 1, 1); UPDATE t SET v = 2 WHERE id = " + id +
                                              "; try INSERT INTO t(id) VALUES('a')" + no));
    // What is no automatic step leaves no image, in the same local transaction.
    calls.push_back(Branch{"n" + std::to_string(i), "b1", Protocol::kTcc, "sql",
                           "UPDATE t SET w = w + 1 WHERE id = 'b'"}
                        .To(Operation::kTry));
  }
  const std::vector<Reply> replies = AskAll(store(), calls);
  for (int i = 0; i < 40; ++i) {
    const Reply& reply = replies[static_cast<std::size_t>(2 * i)];
    EXPECT_EQ(reply.kind, i % 4 < 2 ? Kind::kRefused : Kind::kDone) << reply.reason;
    EXPECT_EQ(replies[static_cast<std::size_t>(2 * i + 1)], Reply::Done("ok"));
  }
  EXPECT_EQ(Sql("SELECT count(*) FROM t"), "22");
  EXPECT_EQ(Sql("SELECT count(*) FROM assent_undo WHERE gid LIKE 'n%'"), "0");
  std::vector<Call> undoing;
  for (std::size_t i = 0; i < calls.size(); i += 2) {
    undoing.push_back(calls[i]);
    undoing.back().operation = Operation::kCompensate;
  }
  for (const Reply& reply : AskAll(store(), undoing)) EXPECT_EQ(reply, Reply::Done());
  EXPECT_EQ(All(), "(a,1,1) (b,2,42)/");
  EXPECT_EQ(Sql("SELECT count(*) FROM assent_undo"), "0");
}

// A step that ended otherwise than it should does not go on recording for whoever comes next.
TEST_F(AutoSagaTest, TheRecordingEndsWithTheStep) {
  Options options = With(kTables, {"t", "c"});
  options.connections = 2;
  OpenWith(std::move(options));
  for (const char* end :
       {"throw", "refuse", "UPDATE nothing SET v = 1", "INSERT INTO c VALUES(1, 'no')"}) {
    SCOPED_TRACE(end);
    (void)Act(std::string("s") + end[0] + end[1], std::string("UPDATE t SET v = 77; ") + end);
    for (int i = 0; i < 4; ++i) {
      EXPECT_EQ(store().Local([](Db& db) {
        db.Exec("UPDATE t SET w = w + 1 WHERE id = 'a'");
        return OkStatus();
      }),
                OkStatus());
    }
    EXPECT_EQ(Sql("SELECT count(*) FROM assent_undo"), "0");
  }
  EXPECT_EQ(All(), "(a,1,17) (b,2,2)/");
}

TEST_F(AutoSagaTest, SurvivesReopeningAndGoesWithItsBarrierRow) {
  Open();
  ASSERT_EQ(Act("g1", "UPDATE t SET v = 10 WHERE id = 'a'").kind, Kind::kDone);
  ASSERT_EQ(Act("g2", "UPDATE t SET v = 20 WHERE id = 'b'").kind, Kind::kDone);
  Open();
  EXPECT_EQ(Compensate("g1"), Reply::Done());
  EXPECT_EQ(All(), "(a,1,1) (b,20,2)/");
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
}  // namespace assent::mariadb::test
