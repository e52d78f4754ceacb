// What a start does with a file that is not as it was left: it refuses and names what it found, or
// the change was harmless; it never misreads.

#include <atomic>
#include <fstream>
#include <future>
#include <iterator>
#include <map>
#include <sqlite3.h>

#include <gmock/gmock.h>
#include <gtest/gtest.h>
#include <sys/mount.h>
#include <sys/stat.h>
#include <sys/wait.h>

#include "coordinator/log/sqlite/sqlite_log.h"
#include "tests/log/fault_vfs.h"
#include "tests/log/log_rig.h"

namespace assent::log {
namespace {

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

// A log's files as bytes.
struct Files {
  std::string database;
  std::string wal;
  std::string state;
};

// All that a start of a log can tell.
struct Content {
  std::vector<std::string> live;
  std::map<std::string, std::string> finished;
  friend bool operator==(const Content&, const Content&) = default;
};

class SqliteDamage : public testing::Test {
 protected:
  SqliteDamage() { vfs_.SkipSync(); }

  SqliteOptions Options() {
    SqliteOptions options;
    options.path = path_;
    options.reserve_bytes = 0;
    options.retention_age = std::chrono::milliseconds(0);
    // Nothing empties the WAL while it is read.
    options.retention_interval = std::chrono::hours(1);
    options.vfs = vfs_.name();
    return options;
  }

  // Five unfinished and three finished transactions in a few commits. `crash` leaves the WAL as it
  // is in the middle of life.
  Files Write(bool crash) {
    auto opened = SqliteLog::Open(Options());
    EXPECT_TRUE(opened.ok()) << opened.status().ToString();
    LogClient log(*std::move(opened));
    EXPECT_TRUE(log.Recover().ok());
    for (std::uint64_t serial = 1; serial <= 8; ++serial) {
      const std::string gid = "gid-" + std::to_string(serial);
      EXPECT_TRUE(log.Append(Batch(Begin(serial, gid))).status.ok());
      if (serial % 2 == 0) {
        EXPECT_TRUE(log.Append(Batch(Update(serial, 2, gid, "decided"))).status.ok());
      }
      if (serial == 2 || serial == 4 || serial == 6) {
        EXPECT_TRUE(log.Append(Batch(End(serial, 3, gid, 1))).status.ok());
      }
    }
    if (crash) return Read();
    log = LogClient(nullptr);
    return Read();
  }

  Files Read() { return {Slurp(path_), Slurp(path_ + "-wal"), Slurp(path_ + "-state")}; }

  void Put(const Files& files) {
    Spill(path_, files.database);
    Spill(path_ + "-wal", files.wal);
    Spill(path_ + "-state", files.state);
  }

  Result<Content> Start() {
    auto opened = SqliteLog::Open(Options());
    if (!opened.ok()) return opened.status();
    LogClient log(*std::move(opened));
    if (const Status status = log.Recover(); !status.ok()) return status;
    Content content;
    for (const LiveRow& row : log.replayed()) {
      content.live.push_back(std::to_string(row.serial) + "/" + std::to_string(row.version) + "/" +
                             row.gid + "/" + row.spec + "/" + row.state);
    }
    for (int i = 1; i <= 8; ++i) {
      const std::string gid = "gid-" + std::to_string(i);
      const Result<FinishedRow> row = log.Find(gid);
      if (row.ok()) content.finished[gid] = row.value().spec + "/" + row.value().state;
      if (!row.ok() && row.status().code() != Code::kNotFound) return row.status();
    }
    return content;
  }

  // Runs SQL on the file as anybody could.
  void Tamper(const std::string& sql) {
    sqlite3* db = nullptr;
    ASSERT_EQ(sqlite3_open(path_.c_str(), &db), SQLITE_OK);
    char* error = nullptr;
    EXPECT_EQ(sqlite3_exec(db, sql.c_str(), nullptr, nullptr, &error), SQLITE_OK)
        << sql << ": " << (error == nullptr ? "" : error);
    sqlite3_free(error);
    sqlite3_close(db);
  }

  TempFolder folder_{/*in_memory=*/true};
  std::string path_ = folder_.File("assent.db");
  FaultVfs vfs_;
};

struct Tampering {
  const char* sql;
  const char* named;  // in the refusal
};

std::vector<Tampering> Tamperings() {
  return {
      {"UPDATE live SET version = version + 1 WHERE serial = 8", "table live, row 8"},
      {"UPDATE live SET commit_seq = commit_seq - 1 WHERE serial = 8", "table live, row 8"},
      {"UPDATE live SET state_crc = state_crc + 1 WHERE serial = 8", "table live, row 8"},
      {"UPDATE live SET spec_crc = spec_crc + 1 WHERE serial = 8", "table live, row 8"},
      {"UPDATE live SET gid = 'gid-9' WHERE serial = 8", "table live, row 8"},
      {"UPDATE live SET state = 'decideD' WHERE serial = 8", "table live, row 8"},
      {"UPDATE live SET spec = x'00' WHERE serial = 8", "table live, row 8"},
      {"UPDATE live SET serial = 9 WHERE serial = 8", "table live, row 9"},
      {"DELETE FROM live WHERE serial = 5", "table live, row 5: is missing"},
      {"DELETE FROM live WHERE serial > 5", "table live has 3 rows, table meta counts 5"},
      {"UPDATE finished SET outcome = 2 WHERE serial = 4", "table finished, row 4"},
      {"UPDATE finished SET outcome = 257 WHERE serial = 4", "table finished, row 4"},
      {"UPDATE finished SET finished_unix_ms = 0 WHERE serial = 4", "table finished, row 4"},
      {"UPDATE finished SET commit_seq = 1 WHERE serial = 4", "table finished, row 4"},
      {"UPDATE finished SET crc = crc + 1 WHERE serial = 4", "table finished, row 4"},
      {"UPDATE finished SET gid = 'other' WHERE serial = 4", "table finished, row 4"},
      {"UPDATE finished SET spec = '' WHERE serial = 4", "table finished, row 4"},
      {"UPDATE finished SET state = '' WHERE serial = 4", "table finished, row 4"},
      {"DELETE FROM finished WHERE serial = 4", "table finished has 2 rows, table meta counts 3"},
      {"UPDATE meta SET format = 1", "table meta, row 1: checksum"},
      {"UPDATE meta SET coordinator_id = coordinator_id + 1", "table meta, row 1: checksum"},
      {"UPDATE meta SET epoch = epoch - 1", "table meta, row 1: checksum"},
      {"UPDATE meta SET next_serial = 4", "table meta, row 1: checksum"},
      {"UPDATE meta SET commit_seq = 1", "table meta, row 1: checksum"},
      {"UPDATE meta SET live_rows = 4", "table meta, row 1: checksum"},
      {"UPDATE meta SET live_xor = 4", "table meta, row 1: checksum"},
      {"UPDATE meta SET live_versions = 4", "table meta, row 1: checksum"},
      {"UPDATE meta SET finished_rows = 4", "table meta, row 1: checksum"},
      {"UPDATE meta SET crc = crc + 1", "table meta, row 1: checksum"},
      {"UPDATE meta SET id = 2", "table meta, row 2: checksum"},
      {"DELETE FROM meta", "table meta is empty"},
      {"INSERT INTO meta SELECT 2, format, coordinator_id, epoch, next_serial, commit_seq, "
       "live_rows,"
       " live_xor, live_versions, finished_rows, crc FROM meta",
       "table meta has more than one row"},
      {"UPDATE life SET epoch = epoch + 1", "table life, row "},
      {"UPDATE life SET commit_seq = 2", "table life, row "},
      {"UPDATE life SET crc = crc + 1", "table life, row "},
      {"DELETE FROM life", "table life, the row of start 1: is missing"},
      {"UPDATE age SET ran_ms = ran_ms + 1", "table age, row "},
      {"UPDATE age SET commit_seq = commit_seq + 1", "table age, row "},
      {"UPDATE age SET unix_ms = unix_ms + 1", "table age, row "},
      {"UPDATE age SET crc = crc + 1", "table age, row "},
      {"UPDATE closed SET epoch = epoch + 1", "table closed: checksum"},
      {"UPDATE closed SET commit_seq = commit_seq + 1", "table closed: checksum"},
      {"UPDATE closed SET crc = crc + 1", "table closed: checksum"},
      {"DROP TABLE age", "age"},
      {"DROP TABLE closed", "closed"},
      {"DROP TABLE life", "life"},
      {"DROP TABLE meta", "meta"},
      {"DROP TABLE live", "live"},
      {"DROP TABLE finished", "finished"},
      {"DROP INDEX finished_by_gid", "finished_by_gid"},
      {"CREATE TABLE stranger (x)", "stranger"},
      {"CREATE TRIGGER t AFTER INSERT ON live BEGIN DELETE FROM finished; END",
       "unexpected table or index t"},
      {"PRAGMA user_version = 0", "but there are tables"},
  };
}

TEST_F(SqliteDamage, EveryFieldOfEveryTableIsCovered) {
  const Files sound = Write(false);
  const Content content = Start().value();
  ASSERT_EQ(content.live.size(), 5u);
  ASSERT_EQ(content.finished.size(), 3u);
  for (const Tampering& tampering : Tamperings()) {
    SCOPED_TRACE(tampering.sql);
    Put(sound);
    ASSERT_TRUE(Start().ok());
    Put(sound);
    Tamper(tampering.sql);
    const Result<Content> started = Start();
    EXPECT_EQ(started.status().code(), Code::kDataLoss);
    EXPECT_THAT(started.status().message(), HasSubstr(tampering.named));
    EXPECT_THAT(started.status().message(), HasSubstr(path_));
  }
}

// A row of an earlier time that is whole in itself: as when the disk forgets a write.
TEST_F(SqliteDamage, AnEarlierVersionOfARowIsNotTakenForTheRow) {
  {
    auto opened = SqliteLog::Open(Options());
    LogClient log(*std::move(opened));
    ASSERT_TRUE(log.Recover().ok());
    ASSERT_TRUE(log.Append(Batch(Begin(1, "a"), Begin(2, "b"))).status.ok());
  }
  Tamper("CREATE TABLE old AS SELECT * FROM live");
  Tamper("ATTACH '" + folder_.File("old.db") +
         "' AS keep; CREATE TABLE keep.old AS SELECT * FROM old; DROP TABLE old");
  {
    auto opened = SqliteLog::Open(Options());
    ASSERT_TRUE(opened.ok()) << opened.status().ToString();
    LogClient log(*std::move(opened));
    ASSERT_TRUE(log.Recover().ok());
    ASSERT_TRUE(log.Append(Batch(Update(1, 2, "a", "COMMIT"))).status.ok());
  }
  Tamper("ATTACH '" + folder_.File("old.db") +
         "' AS keep; REPLACE INTO live SELECT * FROM keep.old WHERE serial = 1");
  const Result<Content> started = Start();
  EXPECT_EQ(started.status().code(), Code::kDataLoss);
  EXPECT_THAT(started.status().message(), HasSubstr("of an earlier time"));
}

TEST_F(SqliteDamage, ANewerFormatIsRefusedAndLeftAlone) {
  Write(false);
  Tamper("PRAGMA user_version = 99");
  const std::string before = Slurp(path_);
  const Result<Content> started = Start();
  EXPECT_EQ(started.status().code(), Code::kUnimplemented);
  EXPECT_THAT(started.status().message(), HasSubstr("format 99, this build reads up to 2"));
  EXPECT_EQ(Slurp(path_), before);
}

TEST_F(SqliteDamage, AFileOfSomebodyElseIsRefusedAndLeftAlone) {
  Tamper(
      "CREATE TABLE accounts (id INTEGER PRIMARY KEY, balance INTEGER); INSERT INTO accounts "
      "VALUES (1, 100)");
  const std::string before = Slurp(path_);
  const Result<Content> started = Start();
  EXPECT_EQ(started.status().code(), Code::kFailedPrecondition);
  EXPECT_THAT(started.status().message(), HasSubstr("not a log of this coordinator"));
  EXPECT_EQ(Slurp(path_), before);

  Spill(path_, std::string(10'000, 'x'));
  EXPECT_EQ(Start().status().code(), Code::kDataLoss);
  EXPECT_EQ(Slurp(path_), std::string(10'000, 'x'));
}

TEST_F(SqliteDamage, AMissingDatabaseBesideItsWalIsRefused) {
  Files files = Write(true);
  ASSERT_GT(files.wal.size(), 1000u);
  files.database = "";
  Put(files);
  const Result<Content> started = Start();
  EXPECT_EQ(started.status().code(), Code::kDataLoss);
  EXPECT_THAT(started.status().message(), HasSubstr("missing or empty"));
  EXPECT_EQ(Slurp(path_ + "-wal"), files.wal);
}

TEST_F(SqliteDamage, AFolderThatDoesNotExistIsNamed) {
  SqliteOptions options = Options();
  options.vfs = "";
  options.path = folder_.File("nowhere/assent.db");
  const Status status = SqliteLog::Open(options).status();
  EXPECT_EQ(status.code(), Code::kFailedPrecondition);
  EXPECT_THAT(status.message(), HasSubstr("check that its folder exists"));
}

TEST_F(SqliteDamage, ASecondOpenerIsRefusedAndTheFirstGoesOn) {
  auto first = SqliteLog::Open(Options());
  ASSERT_TRUE(first.ok());
  LogClient log(*std::move(first));
  ASSERT_TRUE(log.Recover().ok());
  // In this process.
  const Status here = SqliteLog::Open(Options()).status();
  EXPECT_EQ(here.code(), Code::kFailedPrecondition);
  EXPECT_THAT(here.message(), HasSubstr("in use by another coordinator"));
  // And in another, which learns whose it is. (Its refusal must not cost the first its lock: hence
  // twice.)
  for (int i = 0; i < 2; ++i) {
    const std::string words = "(process " + std::to_string(getpid()) + ")";
    const pid_t child = fork();
    if (child == 0) {
      SqliteOptions options = Options();
      options.vfs = "";
      const Status there = SqliteLog::Open(options).status();
      const bool good = there.code() == Code::kFailedPrecondition &&
                        there.message().find(words) != std::string::npos;
      if (!good) std::fprintf(stderr, "%s\n", there.ToString().c_str());
      _exit(good ? 0 : 1);
    }
    int status = 0;
    ASSERT_EQ(waitpid(child, &status, 0), child);
    EXPECT_EQ(status, 0);
  }
  EXPECT_TRUE(log.Append(Batch(Begin(1, "a"))).status.ok());
}

// After a failed fsync the kernel may show a WAL that is not on the disk, and a later fsync that
// writes nothing succeeds. So all of it is written again, and synchronised, before a start does
// anything else.
TEST_F(SqliteDamage, AWalThatWasLeftBehindIsWrittenAgain) {
  const Files sound = Write(true);
  Put(sound);
  std::size_t written = 0;
  std::size_t synced = 0;
  vfs_.SetPlan([&](const DiskCall& call) {
    if (call.kind == DiskCall::Kind::kWrite) {
      EXPECT_TRUE(call.wal);
      EXPECT_EQ(static_cast<std::size_t>(call.offset), written);
      written += static_cast<std::size_t>(call.bytes);
    }
    if (call.kind == DiskCall::Kind::kSync && call.wal) synced = written;
    return DiskFault{};
  });
  auto opened = SqliteLog::Open(Options());
  vfs_.SetPlan(nullptr);
  ASSERT_TRUE(opened.ok()) << opened.status().ToString();
  EXPECT_EQ(synced, sound.wal.size());
  EXPECT_EQ(Slurp(path_ + "-wal"), sound.wal);
}

// What was being written when the process died was not acknowledged: whatever the power cut left of
// it is the end.
TEST_F(SqliteDamage, ATornEndOfTheWalIsTheEnd) {
  const Files sound = Write(true);
  Put(sound);
  const Content content = Start().value();
  for (std::size_t more = 1; more < 2 * 4120; more += 509) {
    Files torn = sound;
    torn.wal += torn.wal.substr(torn.wal.size() - 4120).substr(0, more);
    Put(torn);
    const Result<Content> started = Start();
    ASSERT_TRUE(started.ok()) << more << ": " << started.status().ToString();
    EXPECT_EQ(started.value(), content);
  }
}

// SQLite writes nothing before COMMIT: there the disk turns out to be full, for what begins and for
// what ends alike. What ends is written once more without what begins.
TEST_F(SqliteDamage, ADiskThatIsFullAtCommitRefusesBeginningsAndWritesTheRest) {
  auto opened = SqliteLog::Open(Options());
  ASSERT_TRUE(opened.ok()) << opened.status().ToString();
  LogClient log(*std::move(opened));
  ASSERT_TRUE(log.Recover().ok());
  ASSERT_TRUE(log.Append(Batch(Begin(1, "a"), Begin(2, "b"))).status.ok());
  // The next group gathers while this one's reader holds the log up.
  std::promise<void> held_up;
  std::promise<void> gathered;
  bool failed = false;
  log.log().Append(Batch(Update(2, 2, "b", "x")), [&](const AppendResult&) {
    vfs_.SetPlan([&failed](const DiskCall& call) {
      const bool fails = !failed && call.kind == DiskCall::Kind::kWrite && call.wal;
      failed = failed || fails;
      return DiskFault{.code = fails ? SQLITE_FULL : 0};
    });
    held_up.set_value();
    gathered.get_future().wait();
  });
  held_up.get_future().wait();
  auto ended = log.AppendLater(Batch(End(1, 2, "a")));
  auto begun = log.AppendLater(Batch(Begin(3, "c")));
  auto forgotten = log.AppendLater(Batch(Forget("a"), Update(2, 3, "b", "y")));
  gathered.set_value();
  EXPECT_EQ(ended.get().status, OkStatus());
  EXPECT_EQ(begun.get().status.code(), Code::kResourceExhausted);
  EXPECT_EQ(forgotten.get().status, OkStatus());
  EXPECT_TRUE(failed);
  vfs_.SetPlan(nullptr);
  EXPECT_FALSE(log.log().GetStats().poisoned);
  EXPECT_EQ(log.Find("a").status().code(), Code::kNotFound);
  log = LogClient(nullptr);
  EXPECT_THAT(Start().value().live, testing::ElementsAre("2/3/b/spec of b/y"));
}

// A small file system of its own, really full.
TEST(SqliteFullDisk, WhatHasBegunEndsAndBeginningResumesWhenThereIsSpace) {
  TempFolder folder;
  const std::string mount_point = folder.File("disk");
  ASSERT_EQ(mkdir(mount_point.c_str(), 0700), 0);
  if (mount("tmpfs", mount_point.c_str(), "tmpfs", 0, "size=8m") != 0) {
    GTEST_SKIP()
        << "no permission to mount a small file system; the same is tested on a faulty one";
  }
  {
    SqliteOptions options;
    options.path = mount_point + "/assent.db";
    options.reserve_bytes = 2 << 20;
    options.checkpoint_pages = 100;
    options.space_probe_interval = std::chrono::milliseconds(1);
    options.retention_age = std::chrono::milliseconds(0);
    options.retention_bytes = 0;
    std::atomic<int> told_full = 0;
    std::atomic<int> told_space = 0;
    options.on_full = [&](bool full) {
      EXPECT_EQ(full, told_full == told_space) << "the same twice";
      ++(full ? told_full : told_space);
    };
    auto opened = SqliteLog::Open(options);
    ASSERT_TRUE(opened.ok()) << opened.status().ToString();
    LogClient log(*std::move(opened));
    ASSERT_TRUE(log.Recover().ok());
    std::uint64_t begun = 0;
    Status refusal;
    // A refused begin gives its pages back. As long as that is room for the reserve, the log is
    // full for a moment only.
    for (int tried = 0; refusal.ok() || !log.log().GetStats().full; ++tried) {
      ASSERT_LT(tried, 1000);
      Entry begin = Begin(begun + 1, "g" + std::to_string(begun + 1));
      begin.spec.assign(20'000, 'x');
      refusal = log.Append({begin}).status;
      if (refusal.ok()) ++begun;
    }
    EXPECT_EQ(refusal.code(), Code::kResourceExhausted) << refusal.ToString();
    EXPECT_GT(begun, 50u);
    // All that has begun can be decided, and some of it end.
    for (std::uint64_t serial = 1; serial <= begun; ++serial) {
      const Status decided =
          log.Append(Batch(Update(serial, 2, "g" + std::to_string(serial), "COMMIT"))).status;
      ASSERT_TRUE(decided.ok()) << serial << ": " << decided.ToString();
    }
    for (std::uint64_t serial = 1; serial <= 40; ++serial) {
      const std::string gid = "g" + std::to_string(serial);
      ASSERT_TRUE(log.Append(Batch(End(serial, 3, gid), Forget(gid))).status.ok());
    }
    EXPECT_FALSE(log.log().GetStats().poisoned);
    // Somebody makes space.
    ASSERT_EQ(mount("tmpfs", mount_point.c_str(), "tmpfs", MS_REMOUNT, "size=32m"), 0);
    const auto deadline = std::chrono::steady_clock::now() + std::chrono::seconds(10);
    while (!log.Append(Batch(Begin(2000, "later"))).status.ok()) {
      ASSERT_LT(std::chrono::steady_clock::now(), deadline);
    }
    EXPECT_FALSE(log.log().GetStats().full);
    struct stat info {};
    for (std::uint64_t i = 1; told_space < told_full; ++i) {
      ASSERT_LT(std::chrono::steady_clock::now(), deadline);
      EXPECT_TRUE(log.Append(Batch(Begin(2000 + i, "later" + std::to_string(i)))).status.ok());
    }
    EXPECT_GT(told_full, 0);
    EXPECT_EQ(stat((options.path + "-reserve").c_str(), &info), 0) << "the reserve is not back";
  }
  ASSERT_EQ(umount(mount_point.c_str()), 0);
}

}  // namespace
}  // namespace assent::log
