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

TEST_F(DbTest, RowsAreReadOneByOneAndMayBeNested) {
  EXPECT_EQ(Local([](Db& db) {
              for (int i = 1; i <= 3; ++i) db.Exec("INSERT INTO t(id) VALUES(?)", i);
              std::string pairs;
              const char* sql = "SELECT id FROM t WHERE id >= ? ORDER BY id";
              // The same statement while it runs; and a parameter that is gone before the first row is read.
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
            Code::kInternal)
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

// Statements are kept and shared by their text: what the adapter may do, and Local may do, a branch may not, not even by
// the same words.
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

// Rows of an earlier life are visible before they are durable; the commit at each start covers them.
TEST_F(OpenTest, EveryStartCommits) {
  Open("", [](Store&) {});
  Open("", [](Store&) {});
  EXPECT_EQ(Sql("SELECT value FROM assent_meta WHERE key = 'starts'"), "2");
}

TEST_F(OpenTest, RegisteringTwiceEndsTheProcess) {
  const DbHandler done = [](Db&, const Call&) { return Reply::Done(); };
  Store& opened =
      Open("", [&](Store& s) { s.Tcc("a", {.try_ = done, .confirm = done, .cancel = done}); });
  GTEST_FLAG_SET(death_test_style, "threadsafe");
  EXPECT_DEATH(opened.Tcc("a", {.try_ = done, .confirm = done, .cancel = done}), "is_new");
  EXPECT_DEATH(opened.Tcc("b", {.try_ = done, .confirm = done}), "check failed");
  EXPECT_DEATH(opened.TwoPhase("c", nullptr), "check failed");
  opened.Saga("a", {.action = done, .compensate = done});
  EXPECT_EQ(opened.Actions().size(), 2U) << "the same name in another protocol is another action";
}

}  // namespace
}  // namespace assent::sqlite::test
