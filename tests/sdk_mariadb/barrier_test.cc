// One operation after the other: the barrier's rules over a real MariaDB, and what a handler may
// do with its Db.

#include <limits>

#include "tests/sdk_mariadb/store_fixture.h"

namespace assent::mariadb::test {
namespace {

using Kind = Reply::Kind;

TEST_F(StoreTest, ATryIsConfirmedOnce) {
  OpenAccounts();
  const Branch branch{.payload = "1 -40"};
  const Reply tried = Ask(store(), branch.To(Operation::kTry));
  EXPECT_EQ(tried, Reply::Done("moved 1 -40"));
  EXPECT_EQ(Balance(1), "60/40");
  EXPECT_EQ(Ask(store(), branch.To(Operation::kTry)), tried) << "a duplicate";
  EXPECT_EQ(Ask(store(), branch.To(Operation::kConfirm)).kind, Kind::kDone);
  EXPECT_EQ(Ask(store(), branch.To(Operation::kConfirm)).kind, Kind::kDone);
  EXPECT_EQ(Balance(1), "60/0");
  EXPECT_EQ(Ask(store(), branch.To(Operation::kCancel)), Reply::Refused("already confirmed"));
  EXPECT_EQ(Balance(1), "60/0");
}

TEST_F(StoreTest, AfterARestartTheSameIsAnswered) {
  OpenAccounts();
  const Branch branch{.payload = "1 -40"};
  const Reply tried = Ask(store(), branch.To(Operation::kTry));
  OpenAccounts();
  EXPECT_EQ(Ask(store(), branch.To(Operation::kTry)), tried);
  EXPECT_EQ(Balance(1), "60/40");
}

TEST_F(StoreTest, ACancelBeforeItsTryRefusesTheTryForGood) {
  OpenAccounts();
  const Branch branch{.payload = "1 -40"};
  EXPECT_EQ(Ask(store(), branch.To(Operation::kCancel)).kind, Kind::kDone);
  const Reply late = Ask(store(), branch.To(Operation::kTry));
  EXPECT_EQ(late, Reply::Refused("cancelled before it was tried"));
  EXPECT_EQ(Ask(store(), branch.To(Operation::kTry)), late);
  EXPECT_EQ(Balance(1), "100/0");
}

TEST_F(StoreTest, ARefusalIsKeptAndLeavesNothing) {
  OpenAccounts();
  const Branch branch{.protocol = Protocol::kSaga, .payload = "1 -101"};
  EXPECT_EQ(Ask(store(), branch.To(Operation::kAction)), Reply::Refused("not enough"));
  Sql("UPDATE account SET free = 1000");
  EXPECT_EQ(Ask(store(), branch.To(Operation::kAction)), Reply::Refused("not enough"));
  EXPECT_EQ(Ask(store(), branch.To(Operation::kCompensate)).kind, Kind::kDone);
  EXPECT_EQ(Balance(1), "1000/0");
}

TEST_F(StoreTest, AConstraintIsARefusalAndAFailureIsAskedAgain) {
  Open([](Store& store) {
    store.Saga("act", {.action =
                           [](Db& db, const Call&) {
                             db.Exec("UPDATE account SET held = 7 WHERE id = 1");
                             db.Exec("UPDATE account SET free = -1 WHERE id = 1");
                             db.Exec("UPDATE account SET held = 8 WHERE id = 1");
                             return Reply::Done();
                           },
                       .compensate = [](Db&, const Call&) { return Reply::Done(); }});
    store.Saga("broken", {.action =
                              [](Db& db, const Call&) {
                                db.Exec("UPDATE account SET held = 7 WHERE id = 1");
                                db.Exec("UPDATE no_such_table SET x = 1");
                                return Reply::Done();
                              },
                          .compensate = [](Db&, const Call&) { return Reply::Done(); }});
  });
  const Branch branch{.protocol = Protocol::kSaga};
  const Reply refused = Ask(store(), branch.To(Operation::kAction));
  EXPECT_EQ(refused.kind, Kind::kRefused);
  EXPECT_NE(refused.reason.find("account_free_check"), std::string::npos) << refused.reason;
  EXPECT_EQ(Ask(store(), branch.To(Operation::kAction)), refused);
  const Branch broken{.gid = "g2", .protocol = Protocol::kSaga, .action = "broken"};
  const Reply failed = Ask(store(), broken.To(Operation::kAction));
  EXPECT_EQ(failed.kind, Kind::kRetryLater);
  EXPECT_NE(failed.reason.find("no_such_table"), std::string::npos) << failed.reason;
  EXPECT_EQ(Balance(1), "100/0");
  EXPECT_EQ(Sql("SELECT count(*) FROM assent_barrier"), "1");
}

TEST_F(StoreTest, AnExceptionLeavesNoTrace) {
  Open([](Store& store) {
    store.Saga("act", {.action = [](Db& db, const Call&) -> Reply {
                         db.Exec("UPDATE account SET held = 7 WHERE id = 1");
                         throw std::runtime_error("no luck");
                       },
                       .compensate = [](Db&, const Call&) { return Reply::Done(); }});
  });
  const Reply reply = Ask(store(), Branch{.protocol = Protocol::kSaga}.To(Operation::kAction));
  EXPECT_EQ(reply, Reply::RetryLater("the handler threw: no luck"));
  EXPECT_EQ(Balance(1), "100/0");
}

// Each statement, and what is said of it. MariaDB commits what is open at most of them.
TEST_F(StoreTest, OnlyReadingAndWritingIsForHandlers) {
  static std::string sql;
  Open([](Store& store) {
    store.Saga("act", {.action =
                           [](Db& db, const Call&) {
                             db.Exec("UPDATE account SET held = 7 WHERE id = 1");
                             db.Exec(sql);
                             return Reply::Done();
                           },
                       .compensate = [](Db&, const Call&) { return Reply::Done(); }});
  });
  Sql("CREATE PROCEDURE ends() BEGIN COMMIT; START TRANSACTION; END");
  int number = 0;
  for (const char* one : {"COMMIT",
                          "rollback",
                          " /* a */ BEGIN",
                          "-- x\nCOMMIT",
                          "#x\nCOMMIT",
                          "START TRANSACTION",
                          "XA START 'x'",
                          "SAVEPOINT s",
                          "RELEASE SAVEPOINT assent_op",
                          "SET autocommit = 0",
                          "LOCK TABLES account WRITE",
                          "CREATE TABLE t(x int)",
                          "CREATE TEMPORARY TABLE t(x int)",
                          "ALTER TABLE account ADD x int",
                          "TRUNCATE account",
                          "CALL ends()",
                          "/*!50000 COMMIT */",
                          "/*M!100100 COMMIT */",
                          "ROLLBACK TO SAVEPOINT assent_op",
                          ";COMMIT",
                          "SELECT 1; COMMIT",
                          "EXECUTE IMMEDIATE 'COMMIT'",
                          "BEGIN NOT ATOMIC COMMIT; END",
                          "ANALYZE TABLE account",
                          "FLUSH TABLES",
                          "PREPARE s FROM 'COMMIT'",
                          "DO RELEASE_ALL_LOCKS()",
                          ""}) {
    SCOPED_TRACE(one);
    sql = one;
    const Branch branch{.gid = "g" + std::to_string(++number), .protocol = Protocol::kSaga};
    const Reply reply = Ask(store(), branch.To(Operation::kAction));
    EXPECT_EQ(reply.kind, Kind::kRetryLater);
    EXPECT_NE(reply.reason, "");
  }
  EXPECT_EQ(Balance(1), "100/0");
  EXPECT_EQ(Sql("SELECT count(*) FROM assent_barrier"), "0");
}

TEST_F(StoreTest, ValuesGoThereAndComeBack) {
  Options options = MakeOptions();
  options.setup = [](Db& db) {
    db.Exec(
        "CREATE TABLE kept(id int PRIMARY KEY, t text, b blob, d double, f boolean, u bigint "
        "unsigned, n decimal(20, 3), w datetime(3), bits bit(12)) CHARACTER SET utf8mb4");
  };
  Open(std::move(options), [](Store&) {});
  const std::string bytes("\x00\xff\x01 \\x'", 7);
  const std::string longer(70'000, 'x');
  constexpr auto kMost = std::numeric_limits<std::uint64_t>::max();
  ASSERT_EQ(store().Local([&](Db& db) {
    EXPECT_EQ(db.Exec("INSERT INTO kept VALUES(?, ?, ?, ?, ?, ?, ?, ?, ?)", 1, "it's \\ \"ü🙂\"",
                      Blob{bytes}, 0.1, true, kMost, "12.500", "2026-11-28 10:00:00.250", 2051),
              1);
    EXPECT_EQ(
        db.Exec("INSERT INTO kept(id, t, u) VALUES(?, ?, 7)", 2, std::optional<std::string>()), 1);
    return OkStatus();
  }),
            OkStatus());
  ASSERT_EQ(store().Read([&](Db& db) {
    const auto row = db.GetRow<std::string, std::string, double, bool, std::uint64_t>(
        "SELECT t, b, d, f, u FROM kept WHERE id = ?", 1);
    EXPECT_EQ(row, std::make_tuple(std::string("it's \\ \"ü🙂\""), bytes, 0.1, true, kMost));
    const auto others =
        db.GetRow<std::string, std::string, int>("SELECT n, w, bits FROM kept WHERE id = ?", 1);
    EXPECT_EQ(others,
              std::make_tuple(std::string("12.500"), std::string("2026-11-28 10:00:00.250"), 2051));
    EXPECT_EQ(db.Get<std::string>("SELECT t FROM kept WHERE id = 2"), std::nullopt);
    EXPECT_EQ(db.Get<std::string>("SELECT d FROM kept WHERE id = 1"), "0.1");
    EXPECT_EQ(db.Get<std::string>("SELECT ?", longer), longer);
    std::string ids;
    for (const Row& one : db.Query("SELECT id FROM kept ORDER BY id"))
      ids += one.Get<std::string>(0);
    EXPECT_EQ(ids, "12");
    return OkStatus();
  }),
            OkStatus());
  const Status written = store().Read([](Db& db) {
    db.Exec("DELETE FROM kept");
    return OkStatus();
  });
  EXPECT_FALSE(written.ok()) << "a reader writes";
  const Status too_few = store().Local([](Db& db) {
    db.Exec("UPDATE kept SET t = ? WHERE id = ?", "x");
    return OkStatus();
  });
  EXPECT_EQ(too_few.message(), "the statement has 2 parameters and was given 1");
}

// What an UPDATE finds is what it counts, as in the other databases.
TEST_F(StoreTest, ExecCountsTheRowsThatItHasFound) {
  OpenAccounts();
  ASSERT_EQ(store().Local([](Db& db) {
    EXPECT_EQ(db.Exec("UPDATE account SET held = 0 WHERE id = 1"), 1) << "it was 0 before";
    EXPECT_EQ(db.Exec("UPDATE account SET held = 0 WHERE id = 999"), 0);
    EXPECT_EQ(db.Exec("SELECT * FROM account"), 0);
    EXPECT_EQ(db.Exec("DELETE FROM account WHERE id > 198 RETURNING id"), 2);
    EXPECT_EQ(db.Changes(), 2);
    return OkStatus();
  }),
            OkStatus());
}

// A value that does not fit is cut by MariaDB's old modes, and is an error here.
TEST_F(StoreTest, WhatDoesNotFitIsNotCut) {
  Options options = MakeOptions();
  options.setup = [](Db& db) {
    db.ExecScript(
        "CREATE TABLE narrow(t varchar(3), u int unsigned); INSERT INTO narrow "
        "VALUES('a', 1)");
  };
  Open(std::move(options), [](Store& store) {
    store.Saga("less", {.action =
                            [](Db& db, const Call&) {
                              db.Exec("UPDATE narrow SET u = u - 2");
                              return Reply::Done();
                            },
                        .compensate = [](Db&, const Call&) { return Reply::Done(); }});
  });
  const Status cut = store().Local([](Db& db) {
    db.Exec("UPDATE narrow SET t = ?", "abcd");
    return OkStatus();
  });
  EXPECT_EQ(cut.code(), Code::kInternal) << cut.ToString();
  const Branch less{.protocol = Protocol::kSaga, .action = "less"};
  const Reply refused = Ask(store(), less.To(Operation::kAction));
  EXPECT_EQ(refused.kind, Kind::kRefused) << "an UNSIGNED column says that there is not enough";
  EXPECT_EQ(Sql("SELECT CONCAT(t, u) FROM narrow"), "a1");
}

// MariaDB keeps what was written there through every rollback, so it has to be said.
TEST_F(StoreTest, ATableThatUndoesNothingIsAnError) {
  Options options = MakeOptions();
  options.setup = [](Db& db) {
    db.ExecScript(kMakeAccounts);
    db.ExecScript("CREATE TABLE notes(x int) ENGINE=MyISAM");
  };
  Open(std::move(options), [](Store& store) {
    RegisterAccounts(store);
    store.Saga("note", {.action =
                            [](Db& db, const Call&) {
                              db.Exec("UPDATE account SET held = 7 WHERE id = 1");
                              db.Exec("INSERT INTO notes VALUES(1)");
                              return Reply::Done();
                            },
                        .compensate = [](Db&, const Call&) { return Reply::Done(); }});
  });
  for (int i = 0; i < 2; ++i) {
    const Branch note{
        .gid = "n" + std::to_string(i), .protocol = Protocol::kSaga, .action = "note"};
    const Reply reply = Ask(store(), note.To(Operation::kAction));
    EXPECT_EQ(reply.kind, Kind::kRetryLater);
    EXPECT_NE(reply.reason.find("ENGINE = InnoDB"), std::string::npos) << reply.reason;
  }
  EXPECT_EQ(Balance(1), "100/0");
  EXPECT_EQ(Ask(store(), Branch{.payload = "1 -40"}.To(Operation::kTry)).kind, Kind::kDone);
}

TEST_F(StoreTest, TryExecIsASavepointOfItsOwn) {
  OpenAccounts();
  EXPECT_EQ(store().Local([](Db& db) {
    EXPECT_EQ(db.Exec("UPDATE account SET held = 1 WHERE id = 1"), 1);
    const auto no = db.TryExec("UPDATE account SET free = -1 WHERE id = 1");
    EXPECT_EQ(no.status().code(), Code::kFailedPrecondition);
    EXPECT_TRUE(db.ok());
    EXPECT_EQ(*db.TryExec("UPDATE account SET held = held + 1 WHERE id = 1"), 1);
    return OkStatus();
  }),
            OkStatus());
  EXPECT_EQ(Balance(1), "100/2");
}

TEST_F(StoreTest, ALocalWriteIsDurableOrUndone) {
  OpenAccounts();
  EXPECT_EQ(store().Local([](Db& db) {
    db.Exec("UPDATE account SET held = 1 WHERE id = 1");
    return NotFound("changed my mind");
  }),
            NotFound("changed my mind"));
  EXPECT_EQ(Balance(1), "100/0");
  EXPECT_EQ(store()
                .Local([](Db& db) {
                  db.Exec("UPDATE account SET free = -1 WHERE id = 1");
                  return OkStatus();
                })
                .code(),
            Code::kFailedPrecondition);
}

TEST_F(StoreTest, MistakesAreSaidBeforeAnythingIsExecuted) {
  Options bad = MakeOptions();
  bad.connections = limits::kMinConnectionsCount - 1;
  EXPECT_EQ(Store::Open(bad).status().code(), Code::kInvalidArgument);
  bad.connections = limits::kMaxConnectionsCount + 1;
  EXPECT_EQ(Store::Open(bad).status().code(), Code::kInvalidArgument);
  bad = MakeOptions();
  bad.max_group = limits::kMaxOperationsPerGroupCount + 1;
  EXPECT_EQ(Store::Open(bad).status().code(), Code::kInvalidArgument);
  bad = MakeOptions();
  bad.lock_timeout = std::chrono::seconds(0);
  EXPECT_EQ(Store::Open(bad).status().code(), Code::kInvalidArgument);
  bad = MakeOptions();
  bad.server = {.host = "127.0.0.1", .port = 1, .user = "u", .password = "secret", .database = "x"};
  const Status nobody = Store::Open(bad).status();
  EXPECT_EQ(nobody.code(), Code::kUnavailable);
  EXPECT_EQ(nobody.message().find("secret"), std::string::npos) << nobody.message();
  bad.server.database.clear();
  EXPECT_EQ(Store::Open(bad).status().code(), Code::kInvalidArgument);
  bad.server = server().Address("no_such_database");
  const Status missing = Store::Open(bad).status();
  EXPECT_EQ(missing.code(), Code::kFailedPrecondition);
  EXPECT_NE(missing.message().find("CREATE DATABASE"), std::string::npos) << missing.message();
  bad.server = server().Address(database());
  bad.server.user = "stranger";
  bad.server.password = "secret";
  const Status stranger = Store::Open(bad).status();
  EXPECT_EQ(stranger.code(), Code::kPermissionDenied);
  EXPECT_EQ(stranger.message().find("secret"), std::string::npos) << stranger.message();
  bad.server = server().Address(database());
  bad.server.tls_certificate = "ours.pem";
  EXPECT_EQ(Store::Open(bad).status().code(), Code::kInvalidArgument) << "without its key";
  bad.server = server().Address(database());
  bad.setup = [](Db& db) { db.Exec("CREATE TABLE t(x no_such_type)"); };
  const Status setup = Store::Open(bad).status();
  EXPECT_NE(setup.message().find("setup: "), std::string::npos) << setup.message();
  bad.setup = [](Db& db) { db.Exec("START TRANSACTION"); };
  EXPECT_EQ(Store::Open(bad).status().code(), Code::kFailedPrecondition);

  Open([](Store& store) {
    RegisterAccounts(store);
    store.TwoPhase("act", [](Db&, const Call&) { return Reply::Done(); });
  });
  EXPECT_EQ(store().Registration().code(), Code::kInvalidArgument);
  EXPECT_EQ(Ask(store(), Branch{}.To(Operation::kTry)).kind, Kind::kRetryLater);
}

TEST_F(StoreTest, WhatNoCoordinatorSendsIsRefused) {
  OpenAccounts();
  EXPECT_EQ(Ask(store(), Branch{.gid = "a'b"}.To(Operation::kTry)).kind, Kind::kRefused);
  EXPECT_EQ(Ask(store(), Branch{.branch_id = "a/b"}.To(Operation::kTry)).kind, Kind::kRefused);
  EXPECT_EQ(Ask(store(), Branch{.gid = std::string(65, 'a')}.To(Operation::kTry)).kind,
            Kind::kRefused);
}

TEST_F(StoreTest, HandlersCannotWaitForTheStore) {
  Open([this](Store& store) {
    store.Saga("act", {.action =
                           [this](Db&, const Call&) {
                             const Status status =
                                 this->store().Local([](Db&) { return OkStatus(); });
                             return Reply::Done(std::string(CodeName(status.code())));
                           },
                       .compensate = [](Db&, const Call&) { return Reply::Done(); }});
  });
  EXPECT_EQ(Ask(store(), Branch{.protocol = Protocol::kSaga}.To(Operation::kAction)),
            Reply::Done("FAILED_PRECONDITION"));
}

// ... and what comes later is still executed.
TEST_F(StoreTest, SoManyStatementsAreKeptPreparedAndNoMore) {
  OpenAccounts();
  ASSERT_EQ(store().Local([](Db& db) {
    for (int i = 0; i < 300; ++i)
      EXPECT_EQ(db.Get<int>("SELECT ? + " + std::to_string(i), 1), i + 1);
    // With those of earlier tests' sessions that are still being closed.
    return OkStatus();
  }),
            OkStatus());
  const auto kept = [this] {
    return Sql("SHOW GLOBAL STATUS WHERE Variable_name = 'Prepared_stmt_count' AND Value = " +
               std::to_string(limits::kMaxCachedStatementsCount));
  };
  EXPECT_TRUE(assent::test::WaitUntil([&] { return kept() == "Prepared_stmt_count"; },
                                      std::chrono::seconds(20)));
}

// Go's SDK makes its table otherwise.
TEST_F(StoreTest, TablesOfOtherLanguagesAreTakenAsTheyAre) {
  Sql("CREATE TABLE assent_barrier(gid VARCHAR(64) CHARACTER SET ascii COLLATE ascii_bin NOT NULL, "
      "branch_id VARCHAR(64) CHARACTER SET ascii COLLATE ascii_bin NOT NULL, protocol TINYINT NOT "
      "NULL, action VARCHAR(128) CHARACTER SET ascii COLLATE ascii_bin NOT NULL, state TINYINT NOT "
      "NULL, kind TINYINT NOT NULL, result MEDIUMBLOB NOT NULL, reason TEXT CHARACTER SET utf8mb4 "
      "NOT NULL, second_result MEDIUMBLOB NOT NULL, coordinator_id BIGINT NOT NULL, began_epoch "
      "BIGINT NOT NULL, touched_ms BIGINT NOT NULL, PRIMARY KEY(gid, branch_id)) ENGINE=InnoDB");
  Sql("INSERT INTO assent_barrier VALUES('g1', 'b1', 2, 'act', 2, 1, 'tried', '', '', 7, 3, 0)");
  OpenAccounts();
  const Branch branch{.payload = "1 -40"};
  EXPECT_EQ(Ask(store(), branch.To(Operation::kTry)), Reply::Done("tried"));
  EXPECT_EQ(Ask(store(), branch.To(Operation::kCancel)).kind, Kind::kDone);
  EXPECT_EQ(Balance(1), "140/-40") << "the cancel ran, of a try that ran elsewhere";
  EXPECT_EQ(Inspect().barrier_rows, 1);
}

TEST_F(StoreTest, ATableOfTheBarrierThatUndoesNothingIsRefused) {
  OpenAccounts();
  Close();
  Sql("ALTER TABLE assent_barrier ENGINE=MyISAM");
  const Status refused = Store::Open(MakeOptions()).status();
  EXPECT_EQ(refused.code(), Code::kFailedPrecondition);
  EXPECT_NE(refused.message().find("ENGINE = InnoDB"), std::string::npos) << refused.message();
}

}  // namespace
}  // namespace assent::mariadb::test
