// One operation after the other: the barrier's rules over a real PostgreSQL, and what a handler may
// do with its Db.

#include "tests/sdk_postgresql/store_fixture.h"

namespace assent::postgresql::test {
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

// Each statement, and what is said of it.
TEST_F(StoreTest, WhatBeginsEndsOrSetsIsNotForHandlers) {
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
  int number = 0;
  for (const char* one :
       {"COMMIT", "rollback", " /* a /* b */ */ END", "--x\nABORT", "BEGIN", "START TRANSACTION",
        "PREPARE TRANSACTION 'x'", "SAVEPOINT s", "RELEASE assent_op", "SET lock_timeout = 0",
        "RESET ALL", "DISCARD ALL", "COPY account TO STDOUT", "ROLLBACK TO SAVEPOINT assent_op",
        ";COMMIT", "SELECT 1; COMMIT"}) {
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
        "CREATE TABLE kept(id int PRIMARY KEY, t text, b bytea, d double precision, f boolean)");
  };
  Open(std::move(options), [](Store&) {});
  const std::string bytes("\x00\xff\x01 \\x", 6);
  ASSERT_EQ(store().Local([&](Db& db) {
    EXPECT_EQ(
        db.Exec("INSERT INTO kept VALUES($1, $2, $3, $4, $5)", 1, "it's", Blob{bytes}, 0.1, true),
        1);
    EXPECT_EQ(db.Exec("INSERT INTO kept(id, t) VALUES($1, $2)", 2, std::optional<std::string>()),
              1);
    return OkStatus();
  }),
            OkStatus());
  ASSERT_EQ(store().Read([&](Db& db) {
    const auto row = db.GetRow<std::string, std::string, double, bool>(
        "SELECT t, b, d, f FROM kept WHERE id = $1", 1);
    EXPECT_EQ(row, std::make_tuple(std::string("it's"), bytes, 0.1, true));
    EXPECT_EQ(db.Get<std::string>("SELECT t FROM kept WHERE id = 2"), std::nullopt);
    std::string ids;
    for (const Row& one : db.Query("SELECT id FROM kept ORDER BY id"))
      ids += one.Get<std::string>(0);
    EXPECT_EQ(ids, "12");
    return OkStatus();
  }),
            OkStatus());
  const Status nul = store().Local([](Db& db) {
    db.Exec("INSERT INTO kept(id, t) VALUES(3, $1)", std::string("a\0b", 3));
    return OkStatus();
  });
  EXPECT_EQ(nul.code(), Code::kInvalidArgument) << "libpq would cut it at the NUL";
  const Status written = store().Read([](Db& db) {
    db.Exec("DELETE FROM kept");
    return OkStatus();
  });
  EXPECT_FALSE(written.ok()) << "a reader writes";
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
  bad.max_group = limits::kMaxSavepointsPerGroupCount + 1;
  EXPECT_EQ(Store::Open(bad).status().code(), Code::kInvalidArgument);
  bad = MakeOptions();
  bad.lock_timeout = std::chrono::milliseconds(0);
  EXPECT_EQ(Store::Open(bad).status().code(), Code::kInvalidArgument);
  bad = MakeOptions();
  bad.connection = "postgresql://u:secret@127.0.0.1:1/x";
  const Status nobody = Store::Open(bad).status();
  EXPECT_EQ(nobody.code(), Code::kUnavailable);
  EXPECT_EQ(nobody.message().find("secret"), std::string::npos) << nobody.message();
  bad.connection = "host='";
  EXPECT_EQ(Store::Open(bad).status().code(), Code::kInvalidArgument);

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
      EXPECT_EQ(db.Get<int>("SELECT $1::int + " + std::to_string(i), 1), i + 1);
    const auto kept = db.Get<std::size_t>("SELECT count(*) FROM pg_prepared_statements");
    EXPECT_EQ(kept, limits::kMaxCachedStatementsCount);
    return OkStatus();
  }),
            OkStatus());
}

// The SDK of Python makes its tables otherwise; of Go too.
TEST_F(StoreTest, TablesOfOtherLanguagesAreTakenAsTheyAre) {
  Sql("CREATE TABLE assent_barrier(gid TEXT COLLATE \"C\" NOT NULL, branch_id TEXT COLLATE \"C\" "
      "NOT "
      "NULL, protocol SMALLINT NOT NULL, action TEXT NOT NULL, state SMALLINT NOT NULL, kind "
      "SMALLINT "
      "NOT NULL, result BYTEA NOT NULL, reason TEXT NOT NULL, second_result BYTEA NOT NULL, "
      "coordinator_id BIGINT NOT NULL, began_epoch BIGINT NOT NULL, touched_ms BIGINT NOT NULL, "
      "PRIMARY KEY(gid, branch_id))");
  Sql("INSERT INTO assent_barrier VALUES('g1', 'b1', 2, 'act', 2, 1, 'tried', '', '', 7, 3, 0)");
  OpenAccounts();
  const Branch branch{.payload = "1 -40"};
  EXPECT_EQ(Ask(store(), branch.To(Operation::kTry)), Reply::Done("tried"));
  EXPECT_EQ(Ask(store(), branch.To(Operation::kCancel)).kind, Kind::kDone);
  EXPECT_EQ(Balance(1), "140/-40") << "the cancel ran, of a try that ran elsewhere";
  EXPECT_EQ(Inspect().barrier_rows, 1);
}

}  // namespace
}  // namespace assent::postgresql::test
