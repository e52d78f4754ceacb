// The Db that handlers get: statements, rows, the failure it remembers, and what it forbids.

#include <sqlite3.h>

#include "tests/sdk_sqlite/store_fixture.h"

namespace assent::sqlite::test {
namespace {

class DbTest : public StoreTest {
 protected:
  void SetUp() override {
    Open("CREATE TABLE IF NOT EXISTS t(id INTEGER PRIMARY KEY, text TEXT, real REAL, blob BLOB)",
         [](Store&) {});
  }
  Status Local(const std::function<void(Db&)>& body) {
    return store().Local([&](Db& db) {
      body(db);
      return OkStatus();
    });
  }
};

TEST_F(DbTest, EveryKindOfParameterComesBack) {
  EXPECT_EQ(Local([](Db& db) {
              const std::string text = "tex\0t";
              EXPECT_EQ(db.Exec("INSERT INTO t VALUES(?1, ?2, ?3, ?4)", 1, "text", 1.5,
                                Blob{std::string_view("\0b", 2)}),
                        1);
              EXPECT_EQ(db.Exec("INSERT INTO t VALUES(?, ?, ?, ?)", std::int64_t{2},
                                std::optional<std::string>(), nullptr, Blob{}),
                        1);
              EXPECT_EQ(db.LastInsertRowid(), 2);
              const auto row = db.GetRow<int, std::string, double, std::string>(
                  "SELECT * FROM t WHERE id = ?", 1U);
              ASSERT_TRUE(row.has_value());
              EXPECT_EQ(*row, std::make_tuple(1, std::string("text"), 1.5, std::string("\0b", 2)));
              const auto nulls = db.GetRow<int, std::optional<std::string>, std::optional<double>>(
                  "SELECT * FROM t WHERE id = 2");
              EXPECT_EQ(*nulls,
                        std::make_tuple(2, std::optional<std::string>(), std::optional<double>()));
              EXPECT_EQ(db.Get<std::string>("SELECT typeof(blob) FROM t WHERE id = 2"), "blob");
              EXPECT_EQ(db.Get<std::string>("SELECT text FROM t WHERE id = 2"), std::nullopt);
              EXPECT_EQ(db.Get<int>("SELECT id FROM t WHERE id = 99"), std::nullopt);
              EXPECT_EQ(db.Get<bool>("SELECT count(*) FROM t"), true);
              EXPECT_EQ(db.Get<std::string>("SELECT 42"), "42");
              EXPECT_EQ(db.Get<std::int64_t>("SELECT max(?, ?)", INT64_MIN, INT64_MAX), INT64_MAX);
            }),
            OkStatus());
}

// SQLite takes a parameter that nobody binds for NULL.
TEST_F(DbTest, TheNumberOfParametersIsHeldAgainstTheStatement) {
  const auto sentence = [](int wanted, int given, const std::string& sql) {
    return InvalidArgument("the statement has " + std::to_string(wanted) + " parameters, and " +
                           std::to_string(given) + " values were given: " + sql);
  };
  const std::string insert = "INSERT INTO t(id, text) VALUES(?, ?)";
  EXPECT_EQ(Local([&](Db& db) { db.Exec(insert, 1); }), sentence(2, 1, insert));
  EXPECT_EQ(Local([&](Db& db) { db.Exec(insert, 1, "a", "b"); }), sentence(2, 3, insert));
  EXPECT_EQ(Local([&](Db& db) {
              EXPECT_EQ(db.TryExec(insert).status(), sentence(2, 0, insert));
              db.Exec(insert, 7, "kept");
            }),
            OkStatus());
  const std::string select = "SELECT text FROM t WHERE id = ?1 AND text <> ?2 AND id = ?1";
  EXPECT_EQ(Local([&](Db& db) { (void)db.Get<std::string>(select, 7); }), sentence(2, 1, select));
  EXPECT_EQ(Local([&](Db& db) {
              EXPECT_EQ(db.Get<std::string>(select, 7, "other"), "kept") << "?1 twice is one";
            }),
            OkStatus());
  EXPECT_EQ(store().Read([&](Db& db) {
    (void)db.Get<std::string>(select);
    return OkStatus();
  }),
            sentence(2, 0, select));
  EXPECT_EQ(Local([&](Db& db) {
              db.ExecScript("-- one\nINSERT INTO t(id) VALUES(8); INSERT INTO t(id) VALUES(?); ");
            }),
            sentence(1, 0, " INSERT INTO t(id) VALUES(?);"));
  EXPECT_EQ(Sql("SELECT group_concat(id) FROM t"), "7");
}

TEST_F(DbTest, AScriptRunsToItsEndOrItsFirstFailure) {
  EXPECT_EQ(Local([&](Db& db) {
              db.ExecScript(
                  " ; -- nothing\n CREATE TABLE u(id INT); INSERT INTO u VALUES(1); "
                  "SELECT * FROM u; /* c */ ");
            }),
            OkStatus());
  EXPECT_EQ(Local([&](Db& db) {
              db.ExecScript("INSERT INTO u VALUES(2); INSERT INTO v VALUES(3)");
            }).message(),
            "no such table: v");
  EXPECT_EQ(Sql("SELECT group_concat(id) FROM u"), "1");
}

// What it waits for would stand behind it: once the process ended here, with a file and a line.
TEST_F(DbTest, LocalAndReopenFromAHandlerAreSentences) {
  Status inner;
  Status reopened;
  EXPECT_EQ(Local([&](Db&) {
              inner = store().Local([](Db&) { return OkStatus(); });
              reopened = store().Reopen();
            }),
            OkStatus());
  EXPECT_EQ(inner.code(), Code::kFailedPrecondition);
  EXPECT_NE(inner.message().find("Store::Local was called from a handler"), std::string::npos);
  EXPECT_EQ(reopened.code(), Code::kFailedPrecondition);
  EXPECT_NE(reopened.message().find("Store::Reopen was called on the store's own thread"),
            std::string::npos);
}

TEST_F(DbTest, AMistakenRegistrationIsASentenceAndExecutesNothing) {
  const DbHandler nothing = [](Db&, const Call&) { return Reply::Done(); };
  const auto why = [&](const std::function<void(Store&)>& configure) {
    Open("SELECT 1", configure);
    EXPECT_EQ(Ask(store(), Branch().To(Operation::kTry)),
              Reply::RetryLater(store().Registration().ToString()));
    EXPECT_EQ(store().Registration().code(), Code::kInvalidArgument);
    return store().Registration().message();
  };
  const std::string where = "store " + path() + ": ";
  const TccHandlers tcc{.try_ = nothing, .confirm = nothing, .cancel = nothing};
  EXPECT_EQ(why([&](Store& s) { s.Tcc("act", tcc), s.Tcc("act", tcc); }),
            where + "action tcc:act is registered twice");
  EXPECT_EQ(why([&](Store& s) {
              s.Saga("a", {nothing, nothing}), s.AutoSaga("a", nothing);
            }),
            where + "action saga:a is registered twice");
  EXPECT_EQ(why([&](Store& s) { s.Tcc("act", {.try_ = nothing, .confirm = nothing}); }),
            where + "action tcc:act needs all of its handlers");
  EXPECT_EQ(why([&](Store& s) { s.Saga("act", {.action = nothing}); }),
            where + "action saga:act needs all of its handlers");
  EXPECT_EQ(why([&](Store& s) { s.TwoPhase("act", nullptr); }),
            where + "action 2pc:act needs all of its handlers");
  Open("SELECT 1", [&](Store& s) {
    s.Tcc("act", tcc), s.TwoPhase("act", nothing), s.AutoSaga("act", nothing);
  });
  EXPECT_EQ(store().Registration(), OkStatus()) << "one name in three protocols";
}

TEST_F(DbTest, RowsAreReadOneByOneAndMayBeNested) {
  EXPECT_EQ(Local([](Db& db) {
              for (int i = 1; i <= 3; ++i) db.Exec("INSERT INTO t(id) VALUES(?)", i);
              std::string pairs;
              const char* sql = "SELECT id FROM t WHERE id >= ? ORDER BY id";
              // The same statement while it runs; and a parameter that is gone before the first row
              // is read.
              for (const Row& outer : db.Query(sql, std::string("1"))) {
                for (const Row& inner : db.Query(sql, outer.Int(0))) {
                  pairs += std::to_string(outer.Int(0)) + std::to_string(inner.Int(0)) + " ";
                }
              }
              EXPECT_EQ(pairs, "11 12 13 22 23 33 ");
              Rows early = db.Query(sql, 1);
              EXPECT_TRUE(early.Next());
              db.Exec("DELETE FROM t WHERE id = 3");
              EXPECT_TRUE(early.Next());
              EXPECT_FALSE(early.Next());
              EXPECT_FALSE(early.Next()) << "past the end it stays";
            }),
            OkStatus());
}

TEST_F(DbTest, ChangesCountOnlyTheStatementItself) {
  EXPECT_EQ(Local([](Db& db) {
              EXPECT_EQ(db.Exec("INSERT INTO t(id) VALUES(1), (2), (3)"), 3);
              EXPECT_EQ(db.Exec("SELECT 1"), 0) << "not the three from before";
              EXPECT_EQ(db.Exec("UPDATE t SET text = 'x' WHERE id = 99"), 0);
              EXPECT_EQ(db.Changes(), 0);
              EXPECT_EQ(db.Exec("UPDATE t SET text = 'x'"), 3);
              EXPECT_EQ(db.Changes(), 3);
            }),
            OkStatus());
}

TEST_F(DbTest, TheFirstFailureIsRememberedAndStopsTheRest) {
  const Status status = Local([](Db& db) {
    db.Exec("INSERT INTO t(id) VALUES(1)");
    EXPECT_TRUE(db.ok());
    EXPECT_EQ(db.Exec("INSERT INTO t(id) VALUES(1)"), 0);
    EXPECT_EQ(db.status().code(), Code::kFailedPrecondition);
    EXPECT_EQ(db.Exec("INSERT INTO t(id) VALUES(2)"), 0);
    EXPECT_FALSE(db.Query("SELECT 1").Next());
    EXPECT_EQ(db.Get<int>("SELECT 1"), std::nullopt);
    db.ExecScript("INSERT INTO t(id) VALUES(3)");
    EXPECT_EQ(db.TryExec("INSERT INTO t(id) VALUES(4)").status(), db.status());
  });
  EXPECT_EQ(status, FailedPrecondition("UNIQUE constraint failed: t.id"));
  EXPECT_EQ(Sql("SELECT count(*) FROM t"), "0");
}

TEST_F(DbTest, TryExecOnlyReturnsTheFailure) {
  EXPECT_EQ(Local([](Db& db) {
              db.Exec("INSERT INTO t(id) VALUES(1)");
              const Result<std::int64_t> again = db.TryExec("INSERT INTO t(id) VALUES(1)");
              EXPECT_EQ(again.status().code(), Code::kFailedPrecondition);
              EXPECT_TRUE(db.ok());
              EXPECT_EQ(*db.TryExec("INSERT INTO t(id) VALUES(2)"), 1);
            }),
            OkStatus());
  EXPECT_EQ(Sql("SELECT count(*) FROM t"), "2");
}

// What it wrote after it would be committed by itself, without the branch's row.
TEST_F(DbTest, WhoGoesOnAfterARollbackHasWrittenNothing) {
  const Status status = Local([](Db& db) {
    db.Exec("INSERT INTO t(id) VALUES(1)");
    EXPECT_FALSE(db.TryExec("INSERT OR ROLLBACK INTO t(id) VALUES(1)").ok());
    EXPECT_FALSE(db.TryExec("INSERT INTO t(id) VALUES(2)").ok());
    db.Exec("INSERT INTO t(id) VALUES(3)");
  });
  EXPECT_EQ(status.code(), Code::kUnavailable) << status.message();
  EXPECT_EQ(Sql("SELECT count(*) FROM t"), "0");
}

TEST_F(DbTest, OneStatementAtATimeButAsManyAsWantedInAScript) {
  EXPECT_EQ(Local([](Db& db) { db.Exec("INSERT INTO t(id) VALUES(1);  \n "); }), OkStatus());
  // The second one would have been ignored in silence.
  EXPECT_EQ(Local([](Db& db) {
              db.Exec("INSERT INTO t(id) VALUES(2); INSERT INTO t(id) VALUES(3)");
            }).message(),
            "more than one statement: use ExecScript");
  EXPECT_EQ(Local([](Db& db) { db.Exec("  "); }).message(), "an empty statement");
  EXPECT_EQ(Local([](Db& db) { db.Exec("SELEC 1"); }).code(), Code::kInternal);
  EXPECT_EQ(Local([](Db& db) { db.Exec("INSERT INTO t(id) VALUES(?)", 1, 2); }).code(),
            Code::kInvalidArgument)
      << "too many parameters";
  EXPECT_EQ(Local([](Db& db) {
              db.ExecScript("INSERT INTO t(id) VALUES(4); INSERT INTO t(id) VALUES(5)");
            }),
            OkStatus());
  EXPECT_EQ(Sql("SELECT group_concat(id) FROM t"), "1,4,5");
}

TEST_F(DbTest, MoreStatementsThanAreKept) {
  EXPECT_EQ(Local([](Db& db) {
              for (int i = 0; i < 1000; ++i)
                db.Exec("INSERT INTO t(id) VALUES(" + std::to_string(i) + ")");
            }),
            OkStatus());
  EXPECT_EQ(Sql("SELECT count(*) FROM t"), "1000");
}

TEST_F(DbTest, WhatIsForbiddenFailsAndSaysWhy) {
  const std::vector<std::pair<std::string, std::string>> cases = {
      {"COMMIT", "COMMIT is not allowed in a handler: the adapter ends the local transaction"},
      {"ROLLBACK", "ROLLBACK is not allowed in a handler: the adapter ends the local transaction"},
      {"BEGIN", "BEGIN is not allowed in a handler: the adapter ends the local transaction"},
      {"ATTACH 'x.db' AS x", "ATTACH and DETACH are not allowed in a handler"},
      {"PRAGMA synchronous = OFF", "PRAGMA synchronous is not allowed in a handler"},
      {"PRAGMA foreign_keys = OFF", "PRAGMA foreign_keys is not allowed in a handler"},
      {"RELEASE assent_op", "savepoint assent_op is the adapter's own"},
      {"DELETE FROM assent_barrier", "table assent_barrier is the adapter's own"},
      {"DROP TABLE assent_lock", "tables named assent_* are the adapter's own"},
      {"CREATE TRIGGER x AFTER INSERT ON assent_barrier BEGIN SELECT 1; END",
       "tables named assent_* are the adapter's own"},
  };
  for (const auto& [sql, message] : cases) {
    EXPECT_EQ(Local([&sql = sql](Db& db) { db.Exec(sql); }), Internal(message)) << sql;
  }
  EXPECT_EQ(Local([](Db& db) { sqlite3_exec(db.handle(), "COMMIT", nullptr, nullptr, nullptr); }),
            OkStatus())
      << "through the handle it fails as well, and is the caller's to look at";
  EXPECT_EQ(Local([](Db& db) {
              EXPECT_EQ(db.Get<int>("PRAGMA foreign_keys"), 1);
              EXPECT_TRUE(db.Query("PRAGMA table_info(t)").Next());
              EXPECT_EQ(db.Get<int>("SELECT count(*) FROM assent_barrier"), 0);
            }),
            OkStatus());
}

// Statements are kept and shared by their text: what the adapter may do, and Local may do, a branch
// may not, not even by the same words.
TEST_F(DbTest, WhatIsAllowedToOneIsNotAllowedToAnotherByTheCache) {
  ASSERT_EQ(Local([](Db& db) { db.Exec("DROP TABLE IF EXISTS gone"); }), OkStatus());
  Open("", [](Store& store) {
    store.Saga("act", {.action =
                           [](Db& db, const Call& call) {
                             db.Exec(call.payload);
                             return Reply::Done();
                           },
                       .compensate = [](Db&, const Call&) { return Reply::Done(); }});
  });
  ASSERT_EQ(Local([](Db& db) { db.Exec("DROP TABLE IF EXISTS t"); }), OkStatus());
  ASSERT_EQ(Local([](Db& db) { db.Exec("CREATE TABLE t(id)"); }), OkStatus());
  int i = 0;
  for (const char* sql : {"DROP TABLE IF EXISTS t", "BEGIN IMMEDIATE", "COMMIT",
                          "ROLLBACK TO assent_op", "DELETE FROM assent_lock WHERE holder = ?1"}) {
    Branch branch{"g" + std::to_string(++i), "b1", Protocol::kSaga, "act", sql};
    EXPECT_EQ(Ask(store(), branch.To(Operation::kAction)).kind, Reply::Kind::kRetryLater) << sql;
  }
  EXPECT_EQ(Sql("SELECT count(*) FROM sqlite_schema WHERE name = 't'"), "1");
}

TEST_F(DbTest, AStatementLeftRunningOnTheHandleDoesNoHarm) {
  sqlite3_stmt* stray = nullptr;
  EXPECT_EQ(Local([&](Db& db) {
              db.Exec("INSERT INTO t(id) VALUES(1), (2)");
              sqlite3_prepare_v2(db.handle(), "UPDATE t SET text = 'x' RETURNING id", -1, &stray,
                                 nullptr);
              EXPECT_EQ(sqlite3_step(stray), SQLITE_ROW);
            }),
            OkStatus());
  EXPECT_EQ(Sql("SELECT count(*) FROM t"), "2");
  EXPECT_EQ(Local([&](Db&) { sqlite3_finalize(stray); }), OkStatus());
}

TEST_F(DbTest, ReadSeesASnapshotAndCannotWrite) {
  ASSERT_EQ(Local([](Db& db) { db.Exec("INSERT INTO t(id) VALUES(1)"); }), OkStatus());
  EXPECT_EQ(store().Read([&](Db& db) {
    EXPECT_EQ(db.Get<int>("SELECT count(*) FROM t"), 1);
    EXPECT_EQ(Local([](Db& writer) { writer.Exec("INSERT INTO t(id) VALUES(2)"); }), OkStatus());
    EXPECT_EQ(db.Get<int>("SELECT count(*) FROM t"), 1) << "the snapshot";
    return OkStatus();
  }),
            OkStatus());
  EXPECT_FALSE(store()
                   .Read([](Db& db) {
                     db.Exec("INSERT INTO t(id) VALUES(3)");
                     return OkStatus();
                   })
                   .ok());
  EXPECT_EQ(store().Read([](Db& db) {
    return NotFound(std::to_string(db.Get<int>("SELECT count(*) FROM t").value_or(0)));
  }),
            NotFound("2"));
}

TEST_F(DbTest, AReaderThatThrowsLeavesTheReaderUsable) {
  EXPECT_EQ(store().Read([](Db&) -> Status { throw std::runtime_error("oops"); }),
            Internal("the reader threw: oops"));
  EXPECT_EQ(store().Read([](Db&) { return OkStatus(); }), OkStatus());
}

TEST_F(DbTest, LocalIsUndoneWhenItFails) {
  EXPECT_EQ(store().Local([](Db& db) {
    db.Exec("INSERT INTO t(id) VALUES(1)");
    return Status(Code::kAborted, "changed my mind");
  }),
            Status(Code::kAborted, "changed my mind"));
  EXPECT_EQ(Local([](Db& db) {
              db.Exec("INSERT INTO t(id) VALUES(2)");
              throw std::runtime_error("oops");
            }),
            Internal("the writer threw: oops"));
  EXPECT_EQ(Sql("SELECT count(*) FROM t"), "0");
}

class OpenTest : public StoreTest {};

TEST_F(OpenTest, FailsWithTheReason) {
  Options options = MakeOptions("");
  options.path = "/nowhere/at/all.db";
  EXPECT_EQ(Store::Open(options).status().code(), Code::kUnavailable);
  options.path = "";
  EXPECT_EQ(Store::Open(options).status().code(), Code::kInvalidArgument);
  options.path = ":memory:";
  EXPECT_EQ(Store::Open(options).status().message(),
            ":memory:: PRAGMA journal_mode is memory, not wal");
  options = MakeOptions("CREATE TABLE x(");
  EXPECT_EQ(Store::Open(options).status().message(), "setup of " + path() + ": incomplete input");
  options = MakeOptions("PRAGMA journal_mode=DELETE");
  EXPECT_FALSE(Store::Open(options).ok());
}

TEST_F(OpenTest, SetupIsOneTransaction) {
  EXPECT_FALSE(Store::Open(MakeOptions("CREATE TABLE a(x); INSERT INTO nothing VALUES(1)")).ok());
  EXPECT_EQ(Sql("SELECT count(*) FROM sqlite_schema WHERE name = 'a'"), "0");
}

TEST_F(OpenTest, ANewerFormatIsRefused) {
  Open("", [](Store&) {});
  Close();
  ASSERT_EQ(Sql("UPDATE assent_meta SET value = 99 WHERE key = 'format'"), "");
  const Status status = Store::Open(MakeOptions("")).status();
  EXPECT_EQ(status.code(), Code::kFailedPrecondition);
  EXPECT_NE(status.message().find("format 99"), std::string::npos) << status.message();
}

TEST_F(OpenTest, AFileThatIsNoDatabaseIsDataLoss) {
  FILE* file = fopen(path().c_str(), "w");
  fputs(std::string(4096, 'x').c_str(), file);
  fclose(file);
  EXPECT_EQ(Store::Open(MakeOptions("")).status().code(), Code::kDataLoss);
}

// Rows of an earlier life are visible before they are durable; the commit at each start covers
// them.
TEST_F(OpenTest, EveryStartCommits) {
  Open("", [](Store&) {});
  Open("", [](Store&) {});
  EXPECT_EQ(Sql("SELECT value FROM assent_meta WHERE key = 'starts'"), "2");
}

}  // namespace
}  // namespace assent::sqlite::test
