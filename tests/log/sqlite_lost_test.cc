// Files of a log that are lost, cut, emptied or exchanged, between two lives and during one. SQLite
// takes a WAL that is gone for a tidy end, and the daemon started without a word: what had been
// told COMMITTED was not found, and who asked about prepared work was told ABORT (issue 8, point
// 3).

#include <filesystem>
#include <fstream>
#include <future>
#include <iterator>
#include <map>

#include <gmock/gmock.h>
#include <gtest/gtest.h>

#include "coordinator/log/sqlite/sqlite_log.h"
#include "tests/log/log_rig.h"
#include "tests/support/process.h"

namespace assent::log {
namespace {

using testing::AllOf;
using testing::HasSubstr;

std::string Slurp(const std::string& path) {
  std::ifstream file(path, std::ios::binary);
  return {std::istreambuf_iterator<char>(file), {}};
}

void Spill(const std::string& path, const std::string& bytes) {
  std::ofstream file(path, std::ios::binary | std::ios::trunc);
  file << bytes;
  ASSENT_CHECK(file.good());
}

constexpr const char* kSuffixes[] = {"", "-wal", "-state"};
constexpr std::size_t kFrameBytes = 4096 + 24;

// The files by suffix; what is not there is missing.
using Files = std::map<std::string, std::string>;

class SqliteLost : public testing::Test {
 protected:
  SqliteOptions Options() {
    SqliteOptions options;
    options.path = path_;
    options.reserve_bytes = 0;
    options.checkpoint_pages = 20;
    options.retention_interval = interval_;
    return options;
  }

  Files Now() {
    Files files;
    for (const char* suffix : kSuffixes) {
      if (std::filesystem::exists(path_ + suffix)) files[suffix] = Slurp(path_ + suffix);
    }
    return files;
  }
  void Put(const Files& files) {
    for (const char* suffix : kSuffixes) {
      std::filesystem::remove(path_ + suffix);
      if (files.contains(suffix)) Spill(path_ + suffix, files.at(suffix));
    }
  }

  // One life that begins `count` transactions; the files as a kill -9 then would leave them, or
  // (`ends`) an orderly end.
  Files Live(std::uint64_t first, std::uint64_t count, bool ends) {
    auto opened = SqliteLog::Open(Options());
    EXPECT_TRUE(opened.ok()) << opened.status().ToString();
    LogClient log(*std::move(opened));
    EXPECT_TRUE(log.Recover().ok());
    for (std::uint64_t serial = first; serial < first + count; ++serial)
      EXPECT_TRUE(log.Append(Batch(Begin(serial, "g" + std::to_string(serial)))).status.ok());
    if (!ends) return Now();
    log = LogClient(nullptr);
    return Now();
  }

  // How many unfinished rows it finds.
  Result<std::size_t> Start() {
    auto opened = SqliteLog::Open(Options());
    if (!opened.ok()) return opened.status();
    LogClient log(*std::move(opened));
    if (const Status status = log.Recover(); !status.ok()) return status;
    return log.replayed().size();
  }

  void ExpectRefused(const Files& files, const std::string& named) {
    Put(files);
    const Result<std::size_t> started = Start();
    ASSERT_FALSE(started.ok()) << "found " << started.value() << " rows";
    EXPECT_EQ(started.status().code(), Code::kDataLoss) << started.status().ToString();
    EXPECT_THAT(started.status().message(), HasSubstr(named));
    // And left everything for whoever puts it right.
    const Files after = Now();
    for (const auto& [suffix, bytes] : files) {
      if (!bytes.empty()) {
        EXPECT_TRUE(after.contains(suffix) && after.at(suffix) == bytes)
            << suffix << " was changed";
      }
    }
  }

  TempFolder folder_{/*in_memory=*/true};
  std::string path_ = folder_.File("assent.db");
  // Long: nothing is checkpointed because nothing comes.
  std::chrono::milliseconds interval_ = std::chrono::hours(1);
};

TEST_F(SqliteLost, AWalThatIsMissingEmptyOrCutAtAnyLengthStopsTheStart) {
  Live(1, 4, /*ends=*/true);
  const Files left = Live(5, 6, /*ends=*/false);
  const std::string wal = left.at("-wal");
  ASSERT_GT(wal.size(), 6 * kFrameBytes);
  Files files = left;
  files.erase("-wal");
  ExpectRefused(files, path_ + "-wal: is missing or empty");
  for (std::size_t bytes = 0; bytes < wal.size(); bytes += bytes < 64 ? 1 : 509) {
    SCOPED_TRACE(bytes);
    files["-wal"] = wal.substr(0, bytes);
    ExpectRefused(files, path_ + "-wal");
    if (HasFailure()) return;
  }
  for (std::size_t frames = 0; 32 + frames * kFrameBytes < wal.size(); ++frames) {
    SCOPED_TRACE(std::to_string(frames) + " whole frames");
    files["-wal"] = wal.substr(0, 32 + frames * kFrameBytes);
    ExpectRefused(files, path_ + "-wal");
  }
  Put(left);  // put back, it is as if nothing had happened
  EXPECT_EQ(Start().value(), 10u);
}

TEST_F(SqliteLost, AfterCheckpointsToo) {
  const Files left = Live(1, 200, /*ends=*/false);  // the WAL has been begun anew many times
  Files files = left;
  files.erase("-wal");
  ExpectRefused(files, path_ + "-wal: is missing or empty");
  // What is behind the newest frames is left over from before, and missed by nobody.
  std::size_t refused = 0;
  for (std::size_t bytes = 0; bytes < left.at("-wal").size(); bytes += 2000) {
    files["-wal"] = left.at("-wal").substr(0, bytes);
    Put(files);
    const Result<std::size_t> started = Start();
    if (!started.ok()) ++refused;
    EXPECT_EQ(started.ok() ? Code::kOk : Code::kDataLoss, started.status().code());
    if (started.ok()) {
      EXPECT_EQ(started.value(), 200u) << bytes;
    }
  }
  EXPECT_GT(refused, 2u);
  Put(left);
  EXPECT_EQ(Start().value(), 200u);
}

// An idle log has emptied its WAL itself; what is in it since then is missed all the same.
TEST_F(SqliteLost, AfterTheWalWasEmptiedByALogAtRest) {
  interval_ = std::chrono::milliseconds(1);
  Files rest;
  Files more;
  {
    auto opened = SqliteLog::Open(Options());
    ASSERT_TRUE(opened.ok()) << opened.status().ToString();
    LogClient log(*std::move(opened));
    ASSERT_TRUE(log.Recover().ok());
    ASSERT_TRUE(log.Append(Batch(Begin(1, "a"))).status.ok());
    const auto empty = [&] { return std::filesystem::file_size(path_ + "-wal") == 0; };
    ASSERT_TRUE(test::WaitUntil(empty, std::chrono::seconds(10)));
    rest = Now();
    do {  // until it is caught before it has come to rest again
      ASSERT_TRUE(
          log.Append(Batch(Update(1, log.log().GetStats().records + 1, "a", "x"))).status.ok());
      more = Now();
    } while (more.at("-wal").empty());
  }
  rest.erase("-wal");  // nothing was in it
  Put(rest);
  EXPECT_EQ(Start().value(), 1u);
  more.erase("-wal");
  ExpectRefused(more, path_ + "-wal: is missing or empty");
}

// A power cut may lose the note of the last commits, which is not synchronised; about once a second
// there is an anchor, which is.
TEST_F(SqliteLost, WithoutTheNoteWhatTheLastAnchorKnewIsMissed) {
  Files left;
  std::uint64_t rows = 0;
  {
    auto opened = SqliteLog::Open(Options());
    ASSERT_TRUE(opened.ok()) << opened.status().ToString();
    LogClient log(*std::move(opened));
    ASSERT_TRUE(log.Recover().ok());
    const auto deadline = std::chrono::steady_clock::now() + std::chrono::seconds(20);
    do {
      ++rows;
      ASSERT_LT(std::chrono::steady_clock::now(), deadline);
      ASSERT_TRUE(log.Append(Batch(Begin(rows, "g" + std::to_string(rows)))).status.ok());
      left = Now();
      left["-state"].resize(2 * 4096);
    } while (left["-state"].find("anchor=4 ") == std::string::npos);
  }
  Put(left);
  EXPECT_EQ(Start().value(), rows);
  Files files = left;
  files["-wal"] = "";
  ExpectRefused(files, path_ + "-wal: is missing or empty");
  files["-wal"] = left.at("-wal").substr(0, 20);
  ExpectRefused(files, path_ + "-wal: has 20 bytes");
}

TEST_F(SqliteLost, ADatabaseThatIsMissingOrEmptyIsNoNewLog) {
  const Files left = Live(1, 6, /*ends=*/true);
  for (const bool missing : {false, true}) {
    Files files = left;
    files[""] = "";
    if (missing) files.erase("");
    ExpectRefused(files,
                  path_ + ": the database is missing or empty, but " + path_ + "-state says");
    files.erase("-state");
    files.erase("-wal");
    Spill(path_ + "-reserve", "reserved");
    ExpectRefused(files, path_ + ": the database is missing or empty, but other files");
    std::filesystem::remove(path_ + "-reserve");
  }
  Put({});
  EXPECT_EQ(Start().value(), 0u) << "an empty folder is a new log";
}

TEST_F(SqliteLost, AnotherDatabaseInItsPlaceIsNamed) {
  const Files older = Live(1, 3, /*ends=*/true);
  const Files left = Live(4, 3, /*ends=*/true);
  Put({});
  const Files other = Live(1, 3, /*ends=*/true);
  Files files = left;
  files[""] = other.at("");
  ExpectRefused(files, "one of them was replaced");
  files[""] = older.at("");
  ExpectRefused(files, "commits are missing");
  files.erase("-state");  // a person means it: what it has missed is on no list of lives
  Put(files);
  EXPECT_EQ(Start().value(), 3u);
}

TEST_F(SqliteLost, WithoutItsStateOnlyALifeThatHasEndedIsBelieved) {
  Files ended = Live(1, 3, /*ends=*/true);
  Files cut = Live(4, 3, /*ends=*/false);
  ended.erase("-state");
  Put(ended);
  EXPECT_EQ(Start().value(), 3u);
  cut.erase("-state");
  ExpectRefused(cut, path_ + "-state: is missing or cannot be read");
  cut["-state"] = "what is this";
  ExpectRefused(cut, path_ + "-state: is missing or cannot be read");
}

// ---- During a life ------------------------------------------------------------------------------

// Nothing was lost, and yet the next start after a kill -9 was refused.
TEST_F(SqliteLost, AStateThatIsDeletedOrCutDuringALifeIsWrittenAnewAtOnce) {
  for (const std::string how : {"deleted", "emptied", "cut"}) {
    for (const std::string when : {"append", "find", "rest"}) {
      SCOPED_TRACE(how + ", " + when);
      Put({});
      std::promise<void> renewed;
      SqliteOptions options = Options();
      options.on_state_renewed = [&] { renewed.set_value(); };  // once, or it throws
      if (when == "rest") options.retention_interval = std::chrono::milliseconds(1);
      auto opened = SqliteLog::Open(options);
      ASSERT_TRUE(opened.ok()) << opened.status().ToString();
      LogClient log(*std::move(opened));
      ASSERT_TRUE(log.Recover().ok());
      ASSERT_TRUE(log.Append(Batch(Begin(1, "a"))).status.ok());
      if (how == "deleted") std::filesystem::remove(path_ + "-state");
      if (how == "emptied") std::filesystem::resize_file(path_ + "-state", 0);
      if (how == "cut") std::filesystem::resize_file(path_ + "-state", 4096);
      if (when == "append") {
        EXPECT_TRUE(log.Append(Batch(Begin(2, "b"))).status.ok());
      } else if (when == "find") {
        EXPECT_EQ(log.Find("nobody").status().code(), Code::kNotFound);
      }
      ASSERT_EQ(renewed.get_future().wait_for(std::chrono::seconds(10)), std::future_status::ready);
      // Files that are copied one after the other are those of one moment only once all is at rest.
      const auto empty = [&] { return std::filesystem::file_size(path_ + "-wal") == 0; };
      if (when == "rest") {
        ASSERT_TRUE(test::WaitUntil(empty, std::chrono::seconds(10)));
      }
      Files left = Now();
      log = LogClient(nullptr);
      EXPECT_EQ(left["-state"].size(), 3U * 4096);
      Put(left);
      EXPECT_EQ(Start().value(), when == "append" ? 2U : 1U);
      if (when == "rest") continue;  // the WAL may be empty by then
      left.erase("-wal");            // and it is missed as it was before
      ExpectRefused(left, path_ + "-wal: is missing or empty");
    }
  }
}

// It may be that of another log: it is not for us to write over.
TEST_F(SqliteLost, AnotherFileInThePlaceOfTheStateStopsTheLog) {
  Status why;
  SqliteOptions options = Options();
  options.on_poisoned = [&](const Status& status) { why = status; };
  auto opened = SqliteLog::Open(options);
  ASSERT_TRUE(opened.ok()) << opened.status().ToString();
  LogClient log(*std::move(opened));
  ASSERT_TRUE(log.Recover().ok());
  Spill(path_ + "-other", "somebody's");
  std::filesystem::rename(path_ + "-other", path_ + "-state");
  EXPECT_EQ(log.Append(Batch(Begin(1, "a"))).status.code(), Code::kUnknownOutcome);
  log = LogClient(nullptr);
  EXPECT_EQ(why.code(), Code::kDataLoss) << why.ToString();
  EXPECT_THAT(why.message(), HasSubstr(path_ + "-state: replaced while in use"));
  EXPECT_EQ(Slurp(path_ + "-state"), "somebody's");
}

class SqliteShortened : public SqliteLost, public testing::WithParamInterface<const char*> {};

// Device and inode stay the same. What is committed next makes the file long again, over a hole:
// nobody may hear of it.
TEST_P(SqliteShortened, IsNoticedBeforeAnybodyIsTold) {
  const std::string file = path_ + GetParam();
  for (const std::string how : {"append", "find", "scan", "rest"}) {
    SCOPED_TRACE(how);
    Put({});
    Status why;
    std::promise<void> stopped;
    SqliteOptions options = Options();
    if (how == "rest") options.retention_interval = std::chrono::milliseconds(1);
    options.on_poisoned = [&](const Status& status) {
      why = status;
      stopped.set_value();
    };
    auto opened = SqliteLog::Open(options);
    ASSERT_TRUE(opened.ok()) << opened.status().ToString();
    LogClient log(*std::move(opened));
    ASSERT_TRUE(log.Recover().ok());
    for (std::uint64_t serial = 1; serial <= 30; ++serial)
      ASSERT_TRUE(log.Append(Batch(Begin(serial, "g" + std::to_string(serial)),
                                   End(serial, 2, "g" + std::to_string(serial))))
                      .status.ok());
    const auto size = std::filesystem::file_size(file);
    if (size == 0) continue;  // a log at rest has emptied it itself
    std::filesystem::resize_file(file, size / 2);
    if (how == "append") {
      EXPECT_EQ(log.Append(Batch(Begin(100, "late"))).status.code(), Code::kUnknownOutcome);
    } else if (how == "find") {
      EXPECT_EQ(log.Find("g1").status().code(), Code::kUnavailable);
    } else if (how == "scan") {
      EXPECT_EQ(log.Scan(0, 10).status().code(), Code::kUnavailable);
    }
    ASSERT_EQ(stopped.get_future().wait_for(std::chrono::seconds(10)), std::future_status::ready);
    EXPECT_EQ(why.code(), Code::kDataLoss) << why.ToString();
    EXPECT_THAT(why.message(), AllOf(HasSubstr(file), HasSubstr("shortened while in use")));
  }
}

INSTANTIATE_TEST_SUITE_P(File, SqliteShortened, testing::Values("", "-wal"), [](const auto& file) {
  return std::string(*file.param == '\0' ? "Database" : "Wal");
});

}  // namespace
}  // namespace assent::log
