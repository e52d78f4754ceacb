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

// At rest a log empties its WAL: not while the test fills it, however slow the machine is.
Result<std::unique_ptr<Log>> Open(const std::string& path) {
  Result<std::unique_ptr<SqliteLog>> opened =
      SqliteLog::Open({.path = path,
                       .retention_interval = std::chrono::hours(1),
                       .reserve_bytes = 0,
                       .unix_now_ms = [] { return std::int64_t{2000}; }});
  if (!opened.ok()) return opened.status();
  return std::unique_ptr<Log>(*std::move(opened));
}

class UncleanEnd : public testing::TestWithParam<std::uint64_t> {};

// The start that follows writes the WAL again. Done in pieces of 1 MiB this met a limit of SQLite's
// VFS, which masks the size of a write with 0x1ffff: a daemon killed with more than 128 KiB of WAL
// never started again ("disk is full").
TEST_P(UncleanEnd, IsTakenIn) {
  const std::uint64_t wal_bytes = GetParam();
  TempFolder folder;
  const std::string path = folder.File("assent.db");
  const std::uint64_t rows = LeaveKilled(
      [&] { return Open(path); },
      [&](LogClient& log) {
        std::uint64_t begun = 0;
        do {
          ++begun;
          const AppendResult result = log.Append(Batch(Begin(begun, "g" + std::to_string(begun))));
          ASSENT_CHECK(result.status.ok());
        } while (std::filesystem::file_size(path + "-wal") < wal_bytes);
        return begun;
      });
  EXPECT_GE(std::filesystem::file_size(path + "-wal"), wal_bytes);
  Result<std::unique_ptr<Log>> again = Open(path);
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
