// Formats: how an old file becomes a new one, and that the oldest sample still opens.

#include <fstream>
#include <iterator>
#include <sqlite3.h>

#include <gmock/gmock.h>
#include <gtest/gtest.h>

#include "coordinator/log/sqlite/sqlite_log.h"
#include "coordinator/log/sqlite/sqlite_schema.h"
#include "coordinator/log/sqlite/sqlite_store.h"
#include "tests/log/fault_vfs.h"
#include "tests/log/log_rig.h"

namespace assent::log {
namespace {

using testing::ElementsAre;
using testing::HasSubstr;

const std::uint64_t kNewest = Migrations().size();

class SqliteFormat : public testing::Test {
 protected:
  SqliteFormat() {
    vfs_.SkipSync();
    options_.path = folder_.File("assent.db");
    options_.reserve_bytes = 0;
    options_.retention_age = std::chrono::milliseconds(0);
    options_.vfs = vfs_.name();
  }

  // A sample, as SQL.
  void WriteFrom(const std::string& name) {
    const char* source = std::getenv("ASSENT_SOURCE_DIR");
    const std::string root = source == nullptr ? ASSENT_SOURCE_ROOT : source;
    std::ifstream file(root + "/tests/log/testdata/" + name);
    const std::string sql{std::istreambuf_iterator<char>(file), {}};
    ASSERT_FALSE(sql.empty());
    sqlite3* db = nullptr;
    ASSERT_EQ(sqlite3_open(options_.path.c_str(), &db), SQLITE_OK);
    char* error = nullptr;
    EXPECT_EQ(sqlite3_exec(db, sql.c_str(), nullptr, nullptr, &error), SQLITE_OK) << error;
    sqlite3_close(db);
  }

  void WriteSample() {
    auto opened = SqliteLog::Open(options_);
    ASSERT_TRUE(opened.ok()) << opened.status().ToString();
    LogClient log(*std::move(opened));
    ASSERT_TRUE(log.Recover().ok());
    ASSERT_TRUE(log.Append(Batch(Begin(1, "a"), Begin(2, "b"), End(2, 2, "b"))).status.ok());
  }

  std::vector<Migration> WithNext(const char* sql) {
    std::vector<Migration> migrations(Migrations().begin(), Migrations().end());
    migrations.push_back({"a format of tomorrow", sql});
    return migrations;
  }

  // Opens and reads all there is; the format it has now, or the failure.
  Result<std::uint64_t> Read(std::span<const Migration> migrations) {
    auto store = SqliteStore::Open(options_, migrations);
    if (!store.ok()) return store.status();
    std::size_t rows = 0;
    const auto joined = store.value()->Join();
    if (!joined.ok()) return joined.status();
    const Status loaded = store.value()->Load([&](const LiveRow&) {
      ++rows;
      return OkStatus();
    });
    if (!loaded.ok()) return loaded;
    EXPECT_EQ(rows, 1u);
    EXPECT_TRUE(store.value()->Find("b").ok());
    return store.value()->meta().format;
  }

  TempFolder folder_{/*in_memory=*/true};
  FaultVfs vfs_;
  SqliteOptions options_;
};

constexpr char kNextSql[] =
    "ALTER TABLE live ADD COLUMN owner INTEGER NOT NULL DEFAULT 0;"
    "CREATE TABLE leases (owner INTEGER PRIMARY KEY)";

TEST_F(SqliteFormat, AFileMovesToTheNextFormatWithItsRows) {
  WriteSample();
  EXPECT_EQ(Read(Migrations()).value(), kNewest);
  EXPECT_EQ(Read(WithNext(kNextSql)).value(), kNewest + 1);
  EXPECT_EQ(Read(WithNext(kNextSql)).value(), kNewest + 1);
  // And not back.
  const Status back = Read(Migrations()).status();
  EXPECT_EQ(back.code(), Code::kUnimplemented);
  EXPECT_THAT(back.message(), HasSubstr("format 3, this build reads up to 2"));
}

TEST_F(SqliteFormat, AMigrationThatFailsLeavesTheOldFormat) {
  WriteSample();
  const Status failed =
      Read(WithNext("CREATE TABLE leases (owner INTEGER PRIMARY KEY); CREATE TABLE live (x)"))
          .status();
  EXPECT_FALSE(failed.ok());
  EXPECT_THAT(failed.message(), HasSubstr("a format of tomorrow"));
  EXPECT_EQ(Read(Migrations()).value(), kNewest);
}

// At every write of a migration: the file is of the old format or of the new one, and whole.
TEST_F(SqliteFormat, AMigrationThatIsCutShortIsDoneOrNot) {
  int points = 0;
  for (std::uint64_t n = 1;; ++n) {
    SCOPED_TRACE(n);
    for (const char* suffix : {"", "-wal", "-state"})
      std::filesystem::remove(options_.path + suffix);
    WriteSample();
    bool fired = false;
    const std::uint64_t from = vfs_.Count(DiskCall::Kind::kWrite);
    vfs_.SetPlan([&](const DiskCall& call) {
      if (call.kind != DiskCall::Kind::kWrite || call.number < from + n) return DiskFault{};
      fired = true;  // and from now on, every one
      return DiskFault{.code = SQLITE_IOERR_WRITE, .bytes_first = call.bytes / 2};
    });
    const Result<std::uint64_t> cut_short = Read(WithNext(kNextSql));
    vfs_.SetPlan(nullptr);
    if (!fired) break;
    ++points;
    EXPECT_FALSE(cut_short.ok());
    const Result<std::uint64_t> old = Read(Migrations());
    if (!old.ok()) {
      EXPECT_THAT(old.status().message(), HasSubstr("format 3"));
    }
    EXPECT_EQ(Read(WithNext(kNextSql)).value(), kNewest + 1);
    ASSERT_FALSE(HasFailure());
  }
  EXPECT_GT(points, 5);
}

TEST_F(SqliteFormat, AStartThatDiedBeforeTheTablesWereThereIsRepeated) {
  for (std::uint64_t n = 1;; ++n) {
    SCOPED_TRACE(n);
    for (const char* suffix : {"", "-wal", "-state", "-journal"})
      std::filesystem::remove(options_.path + suffix);
    bool fired = false;
    const std::uint64_t from = vfs_.Count(DiskCall::Kind::kWrite);
    vfs_.SetPlan([&](const DiskCall& call) {
      if (call.kind != DiskCall::Kind::kWrite || call.number < from + n) return DiskFault{};
      fired = true;
      return DiskFault{.code = SQLITE_IOERR_WRITE, .bytes_first = call.bytes / 2};
    });
    const bool opened = SqliteLog::Open(options_).ok();
    vfs_.SetPlan(nullptr);
    if (!fired) break;
    EXPECT_FALSE(opened);
    WriteSample();
    EXPECT_EQ(Read(Migrations()).value(), kNewest);
    ASSERT_FALSE(HasFailure());
  }
}

// A sample written by the first build of format 1, as SQL. It must open for ever: a later format
// adds a migration and a sample of its own.
TEST_F(SqliteFormat, TheSampleOfFormat1Opens) {
  WriteFrom("format-1.sql");
  options_.retention_age = std::chrono::milliseconds(1000);  // it ended long before
  std::atomic<std::int64_t> mono_ms = 0;
  options_.mono_now_ms = [&] { return mono_ms.load(); };
  options_.retention_interval = std::chrono::milliseconds(1);
  auto opened = SqliteLog::Open(options_);
  ASSERT_TRUE(opened.ok()) << opened.status().ToString();
  LogClient log(*std::move(opened));
  const Status recovered = log.Recover();
  ASSERT_TRUE(recovered.ok()) << recovered.ToString();
  EXPECT_EQ(log.recovered().log_id, 48804u);
  EXPECT_EQ(StartNumber(log.recovered().epoch), 3u);
  EXPECT_THAT(*log.recovered().epochs, ElementsAre(20610069u, 48274242u, log.recovered().epoch));
  EXPECT_EQ(log.recovered().next_serial, 4u);
  ASSERT_EQ(log.replayed().size(), 2u);
  EXPECT_EQ(log.replayed()[0].gid, "order-17");
  EXPECT_EQ(log.replayed()[0].version, 2u);
  EXPECT_EQ(log.replayed()[0].state, "COMMIT");
  EXPECT_EQ(log.replayed()[1].gid, "order-19");
  EXPECT_EQ(log.Find("order-18").value().outcome, 2);
  // Nobody has counted how long it was kept: it is kept for a full time more.
  mono_ms = 999;
  ASSERT_TRUE(log.Append(Batch(Begin(9, "later"))).status.ok());
  EXPECT_TRUE(log.Find("order-18").ok());
  mono_ms = 1000;
  const auto deadline = std::chrono::steady_clock::now() + std::chrono::seconds(10);
  while (log.Find("order-18").ok()) ASSERT_LT(std::chrono::steady_clock::now(), deadline);
}

// Format 2: a life that ended in order, a mark of the run time.
TEST_F(SqliteFormat, TheSampleOfFormat2Opens) {
  WriteFrom("format-2.sql");
  auto opened = SqliteLog::Open(options_);
  ASSERT_TRUE(opened.ok()) << opened.status().ToString();
  LogClient log(*std::move(opened));
  const Status recovered = log.Recover();
  ASSERT_TRUE(recovered.ok()) << recovered.ToString();
  EXPECT_EQ(StartNumber(log.recovered().epoch), 3u);
  ASSERT_EQ(log.replayed().size(), 2u);
  EXPECT_EQ(log.replayed()[0].gid, "order-17");
  EXPECT_EQ(log.Find("order-18").value().outcome, 2);
}

}  // namespace
}  // namespace assent::log
