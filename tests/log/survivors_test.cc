// Each of these is a mistake that was planted in the log and that no other test noticed (tools/mutate.sh).

#include <cstdint>
#include <fstream>
#include <memory>
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
