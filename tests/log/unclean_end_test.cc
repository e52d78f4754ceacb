// A coordinator that dies leaves a WAL behind; whatever its size, the next start takes it in.

#include <cstdint>
#include <filesystem>
#include <memory>
#include <string>

#include <gtest/gtest.h>

#include "coordinator/log/sqlite/sqlite_log.h"
#include "tests/log/log_rig.h"

namespace assent::log {
namespace {

// At rest a log empties its WAL: not while a test copies it, however slow the machine is.
Result<std::unique_ptr<SqliteLog>> Open(const std::string& path) {
  return SqliteLog::Open({.path = path,
                          .retention_interval = std::chrono::hours(1),
                          .reserve_bytes = 0,
                          .unix_now_ms = [] { return std::int64_t{2000}; }});
}

class UncleanEnd : public testing::TestWithParam<std::uint64_t> {};

// The start that follows writes the WAL again. Done in pieces of 1 MiB this met a limit of SQLite's
// VFS, which masks the size of a write with 0x1ffff: a daemon killed with more than 128 KiB of WAL
// never started again ("disk is full").
TEST_P(UncleanEnd, IsTakenIn) {
  const std::uint64_t wal_bytes = GetParam();
  TempFolder folder;
  const std::string path = folder.File("assent.db");
  const std::string copy = folder.File("copy.db");
  std::uint64_t rows = 0;
  {
    Result<std::unique_ptr<SqliteLog>> opened = Open(path);
    ASSERT_TRUE(opened.ok()) << opened.status().ToString();
    LogClient log(*std::move(opened));
    ASSERT_TRUE(log.Recover().ok());
    while (std::filesystem::file_size(path + "-wal") < wal_bytes) {
      ++rows;
      const AppendResult appended = log.Append(Batch(Begin(rows, "g" + std::to_string(rows))));
      ASSERT_TRUE(appended.status.ok()) << appended.status.ToString();
    }
    // What a kill -9 now would leave: every answered append is in these files.
    for (const char* suffix : {"", "-wal", "-state"})
      std::filesystem::copy_file(path + suffix, copy + suffix);
  }
  Result<std::unique_ptr<SqliteLog>> again = Open(copy);
  ASSERT_TRUE(again.ok()) << again.status().ToString();
  LogClient log(*std::move(again));
  ASSERT_TRUE(log.Recover().ok());
  EXPECT_EQ(log.replayed().size(), rows);
  EXPECT_EQ(StartNumber(log.recovered().epoch), 2u);
}

INSTANTIATE_TEST_SUITE_P(WalBytes, UncleanEnd,
                         testing::Values(1, 60 << 10, 120 << 10, 140 << 10, 1 << 20));

}  // namespace
}  // namespace assent::log
