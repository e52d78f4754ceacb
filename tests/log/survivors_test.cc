// Each of these is a mistake that was planted in the log and that no other test noticed (tools/mutate.sh).

#include <cstdint>
#include <fstream>
#include <memory>
#include <sqlite3.h>
#include <string>
#include <utility>

#include <gtest/gtest.h>

#include "coordinator/log/sqlite_log.h"
#include "tests/log/log_rig.h"

namespace assent::log {
namespace {

Result<std::unique_ptr<SqliteLog>> Open(const std::string& path) {
  return SqliteLog::Open(
      {.path = path, .reserve_bytes = 0, .unix_now_ms = [] { return std::int64_t{2000}; }});
}

bool Execute(const std::string& path, const std::string& sql) {
  sqlite3* db = nullptr;
  const bool ran = sqlite3_open(path.c_str(), &db) == SQLITE_OK &&
                   sqlite3_exec(db, sql.c_str(), nullptr, nullptr, nullptr) == SQLITE_OK;
  sqlite3_close(db);
  return ran;
}

// A row that its index does not lead to would be as good as absent: its gid could be used again. Of a file that is too large
// for SQLite's own check at a start, this one looks.
TEST(Survivors, AFinishedRowThatItsIndexHasLostIsDamage) {
  TempFolder folder(/*in_memory=*/true);
  const std::string path = folder.File("assent.db");
  {
    auto opened = Open(path);
    ASSERT_TRUE(opened.ok()) << opened.status().ToString();
    LogClient log(*std::move(opened));
    ASSERT_TRUE(log.Recover().ok());
    ASSERT_TRUE(log.Append(Batch(Begin(1, "a"), Begin(2, "b"))).status.ok());
    ASSERT_TRUE(log.Append(Batch(End(1, 2, "a"), End(2, 2, "b"))).status.ok());
  }
  // The index is built once more without `a`, and its definition is then put back.
  const std::string whole = "CREATE UNIQUE INDEX finished_by_gid ON finished (gid)";
  const auto define = [](const std::string& sql) {
    return "PRAGMA writable_schema = ON; UPDATE sqlite_master SET sql = '" + sql +
           "' WHERE name = 'finished_by_gid'";
  };
  ASSERT_TRUE(Execute(path, define(whole + " WHERE gid <> ''a''")));
  ASSERT_TRUE(Execute(path, "REINDEX finished_by_gid"));
  ASSERT_TRUE(Execute(path, define(whole)));
  auto opened = SqliteLog::Open({.path = path, .reserve_bytes = 0, .full_check_bytes = 0});
  ASSERT_TRUE(opened.ok()) << opened.status().ToString();
  LogClient log(*std::move(opened));
  const Status status = log.Recover();
  EXPECT_EQ(status.code(), Code::kDataLoss);
  EXPECT_NE(status.message().find("(gid a): index finished_by_gid does not lead to it"),
            std::string::npos)
      << status.message();
}

// A start has figures at once, not with its first write: who looks at an idle log would take it for an empty one.
TEST(Survivors, TheFiguresOfAStartAreThereBeforeItsFirstWrite) {
  TempFolder folder(/*in_memory=*/true);
  const std::string path = folder.File("assent.db");
  {
    auto opened = Open(path);
    ASSERT_TRUE(opened.ok()) << opened.status().ToString();
    LogClient log(*std::move(opened));
    ASSERT_TRUE(log.Recover().ok());
    ASSERT_TRUE(log.Append(Batch(Begin(1, "a"), Begin(2, "b"))).status.ok());
    ASSERT_TRUE(log.Append(Batch(End(1, 2, "a"))).status.ok());
  }
  auto opened = Open(path);
  ASSERT_TRUE(opened.ok()) << opened.status().ToString();
  LogClient log(*std::move(opened));
  ASSERT_TRUE(log.Recover().ok());
  const Stats stats = log.log().GetStats();
  EXPECT_EQ(stats.finished_rows, 1U);
  EXPECT_GT(stats.file_bytes, 0U);
  EXPECT_EQ(stats.records, 0U);
}

// The number is what a person looks up.
TEST(Survivors, AFailureNamesSqlitesCode) {
  TempFolder folder(/*in_memory=*/true);
  const std::string path = folder.File("assent.db");
  std::ofstream(path) << std::string(8192, 'x');
  const auto opened = Open(path);
  ASSERT_FALSE(opened.ok());
  EXPECT_NE(opened.status().message().find("(SQLite code 26)"), std::string::npos)
      << opened.status().message();
}

}  // namespace
}  // namespace assent::log
