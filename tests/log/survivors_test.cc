// Each of these is a mistake that was planted in the log and that no other test noticed
// (tools/mutate.sh).

#include <atomic>
#include <chrono>
#include <cstdint>
#include <filesystem>
#include <fstream>
#include <future>
#include <memory>
#include <sqlite3.h>
#include <string>
#include <utility>
#include <vector>

#include <gtest/gtest.h>

#include "coordinator/log/sqlite/sqlite_log.h"
#include "tests/log/fault_vfs.h"
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

// A row that its index does not lead to would be as good as absent: its gid could be used again. Of
// a file that is too large for SQLite's own check at a start, this one looks.
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

// A start has figures at once, not with its first write: who looks at an idle log would take it for
// an empty one.
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

// What retention cannot read is not what is not there: the log ends, as after every other I/O
// error.
TEST(Survivors, AReadThatFailsWhileRetentionLooksEndsTheLog) {
  FaultVfs disk;
  TempFolder folder(/*in_memory=*/true);
  std::atomic<std::int64_t> mono_ms{1000};
  std::promise<Status> ended;
  SqliteOptions options;
  options.path = folder.File("assent.db");
  options.retention_age = std::chrono::milliseconds(1000);
  options.retention_bytes = 0;
  options.retention_interval = std::chrono::milliseconds(1);
  options.reserve_bytes = 0;
  options.cache_bytes = 1 << 20;
  options.vfs = disk.name();
  options.mono_now_ms = [&] { return mono_ms.load(); };
  options.on_poisoned = [&](const Status& why) { ended.set_value(why); };
  auto opened = SqliteLog::Open(options);
  ASSERT_TRUE(opened.ok()) << opened.status().ToString();
  LogClient log(*std::move(opened));
  ASSERT_TRUE(log.Recover().ok());
  // The cache holds the youngest, a third of them.
  constexpr std::uint64_t kRows = 800;
  for (std::uint64_t serial = 1; serial <= kRows; ++serial) {
    const std::string gid = "g" + std::to_string(serial);
    Entry end = End(serial, 2, gid);
    end.state.assign(3000, 'x');
    ASSERT_TRUE(log.Append(Batch(Begin(serial, gid), std::move(end))).status.ok());
  }
  mono_ms += 500;
  ASSERT_TRUE(log.Append(Batch(Begin(kRows + 1, "mark"))).status.ok());
  disk.SetPlan([](const DiskCall& call) {
    return DiskFault{call.kind == DiskCall::Kind::kRead ? SQLITE_IOERR_READ : SQLITE_OK};
  });
  mono_ms += 1000;
  std::future<Status> status = ended.get_future();
  ASSERT_EQ(status.wait_for(std::chrono::seconds(10)), std::future_status::ready);
  const Status why = status.get();
  EXPECT_EQ(why.code(), Code::kUnknownOutcome);
  EXPECT_NE(why.message().find("look for expired rows"), std::string::npos) << why.message();
  EXPECT_FALSE(log.Append(Batch(Begin(kRows + 2, "later"))).status.ok());
}

// Of batches that share a commit, only the one that the entry came in hears of it.
TEST(Survivors, ACollisionIsToldToItsOwnBatch) {
  TempFolder folder(/*in_memory=*/true);
  auto opened = Open(folder.File("assent.db"));
  ASSERT_TRUE(opened.ok()) << opened.status().ToString();
  LogClient log(*std::move(opened));
  ASSERT_TRUE(log.Recover().ok());
  ASSERT_TRUE(log.Append(Batch(Begin(1, "a"), Begin(2, "a"), Begin(3, "c"))).status.ok());
  std::promise<void> held;
  std::promise<void> release;
  log.log().Find("nobody", [&, released = release.get_future().share()](auto) {
    held.set_value();
    released.wait();
  });
  held.get_future().wait();
  std::vector<std::future<AppendResult>> results;
  results.push_back(log.AppendLater(Batch(Update(3, 2, "c", "x"), End(1, 2, "a"))));
  results.push_back(log.AppendLater(Batch(Begin(4, "d"), Begin(5, "e"), End(2, 2, "a"))));
  results.push_back(log.AppendLater(Batch(Update(3, 3, "c", "y"))));
  const std::uint64_t commits = log.log().GetStats().commits;
  release.set_value();
  std::vector<std::vector<std::size_t>> refused;
  for (auto& result : results) {
    const AppendResult one = result.get();
    EXPECT_TRUE(one.status.ok()) << one.status.ToString();
    refused.emplace_back();
    for (const RefusedEntry& entry : one.refused) refused.back().push_back(entry.index);
  }
  EXPECT_EQ(log.log().GetStats().commits, commits + 1);
  EXPECT_EQ(refused, (std::vector<std::vector<std::size_t>>{{}, {2}, {}}));
}

// What a life before has noted, and cannot be read, is not a life that never was.
TEST(Survivors, AStateFileThatCannotBeOpenedIsSaid) {
  TempFolder folder(/*in_memory=*/true);
  const std::string path = folder.File("assent.db");
  ASSERT_TRUE(std::filesystem::create_directory(path + "-state"));
  const auto opened = Open(path);
  ASSERT_FALSE(opened.ok());
  EXPECT_EQ(opened.status().code(), Code::kUnknownOutcome);
  EXPECT_NE(opened.status().message().find(path + "-state: open it: "), std::string::npos)
      << opened.status().message();
}

// Groups wait for checkpoints, and their reports say how long.
TEST(Survivors, ACheckpointIsInTheReportOfTheNextGroup) {
  TempFolder folder(/*in_memory=*/true);
  std::chrono::microseconds waited{0};
  {
    auto opened = SqliteLog::Open(
        {.path = folder.File("assent.db"),
         .reserve_bytes = 0,
         .checkpoint_pages = 1,
         .on_commit = [&](const CommitReport& report) { waited += report.checkpoint; }});
    ASSERT_TRUE(opened.ok()) << opened.status().ToString();
    LogClient log(*std::move(opened));
    ASSERT_TRUE(log.Recover().ok());
    for (std::uint64_t serial = 1; serial <= 10; ++serial) {
      const std::string gid = "g" + std::to_string(serial);
      ASSERT_TRUE(log.Append(Batch(Begin(serial, gid, std::string(100'000, 'x')))).status.ok());
    }
  }
  EXPECT_GT(waited.count(), 0);
}

}  // namespace
}  // namespace assent::log
