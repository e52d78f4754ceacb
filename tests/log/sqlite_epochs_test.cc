// The epochs of a log file: as many as are kept, and what is said of a row that is not as it was
// written. That an epoch is remembered at all is for the conformance suite.

#include <filesystem>
#include <string>
#include <vector>

#include <gmock/gmock.h>
#include <gtest/gtest.h>

#include "coordinator/log/sqlite/sqlite_log.h"
#include "coordinator/log/sqlite/sqlite_schema.h"
#include "tests/log/fault_vfs.h"
#include "tests/log/log_rig.h"

namespace assent::log {
namespace {

using testing::HasSubstr;

class SqliteEpochs : public testing::Test {
 protected:
  SqliteEpochs() {
    vfs_.SkipSync();
    options_.path = folder_.File("assent.db");
    options_.reserve_bytes = 0;
    options_.vfs = vfs_.name();
  }

  Result<Recovered> Start() {
    auto opened = SqliteLog::Open(options_);
    if (!opened.ok()) return opened.status();
    LogClient log(*std::move(opened));
    if (const Status status = log.Recover(); !status.ok()) return status;
    return log.recovered();
  }

  void Execute(const std::string& sql) {
    SqliteConnection db;
    ASSERT_EQ(db.Open(options_.path, ""), 0);
    EXPECT_EQ(db.Execute(sql), 0) << sql;
  }

  // As if the log had been started `starts` times, by the tables alone.
  void Age(std::uint64_t starts) {
    SqliteConnection db;
    ASSERT_EQ(db.Open(options_.path, ""), 0);
    Result<Meta> meta = ReadMeta(db, options_.path);
    ASSERT_TRUE(meta.ok());
    const std::uint64_t held = meta->epoch;
    std::string sql = "BEGIN; DELETE FROM life; DELETE FROM closed; DELETE FROM age;";
    for (std::uint64_t start = 1; start <= starts; ++start) {
      meta->epoch = FirstEpochOf(start) + 7 * start;
      meta->commit_seq = start;
      sql += "INSERT INTO life VALUES(" + std::to_string(meta->epoch) + "," +
             std::to_string(start) + "," + std::to_string(LifeChecksum(meta->epoch, start)) + ");";
    }
    sql += "INSERT INTO closed SELECT * FROM life ORDER BY epoch DESC LIMIT 1;";
    ASSERT_EQ(db.Execute(sql + "COMMIT"), 0);
    std::filesystem::remove(options_.path + "-state");
    Statement update;
    ASSERT_EQ(db.Prepare(kUpdateMetaSql, update), 0);
    BindMeta(update, *meta, held);
    ASSERT_EQ(update.Run(), 0);
  }

  TempFolder folder_{/*in_memory=*/true};
  FaultVfs vfs_;
  SqliteOptions options_;
};

TEST_F(SqliteEpochs, TheNewestAreKept) {
  ASSERT_TRUE(Start().ok());
  Age(kMaxEpochsCount - 1);
  for (std::uint64_t start = kMaxEpochsCount; start < kMaxEpochsCount + 3; ++start) {
    const Result<Recovered> recovered = Start();
    ASSERT_TRUE(recovered.ok()) << recovered.status().ToString();
    EXPECT_EQ(StartNumber(recovered->epoch), start);
    ASSERT_EQ(recovered->epochs->size(), kMaxEpochsCount);
    EXPECT_EQ(recovered->epochs->back(), recovered->epoch);
    EXPECT_EQ(StartNumber(recovered->epochs->front()), start - kMaxEpochsCount + 1);
  }
}

// As after an older copy was put in the place of the log.
TEST_F(SqliteEpochs, ARestoredCopyStartsAnEpochOfItsOwn) {
  ASSERT_TRUE(Start().ok());
  const std::string copy = folder_.File("copy.db");
  std::filesystem::copy_file(options_.path, copy);
  const std::vector<std::uint64_t> lost = *Start().value().epochs;
  for (const char* suffix : {"", "-wal", "-state"}) std::filesystem::remove(options_.path + suffix);
  std::filesystem::copy_file(copy, options_.path);
  const std::vector<std::uint64_t> epochs = *Start().value().epochs;
  ASSERT_EQ(epochs.size(), 2u);
  EXPECT_EQ(epochs[0], lost[0]);
  EXPECT_EQ(StartNumber(epochs[1]), StartNumber(lost[1]));
  EXPECT_NE(epochs[1], lost[1]);
}

// An epoch that is missing or wrong makes a participant wait for a person; one too many would be
// a wrong ABORT.
TEST_F(SqliteEpochs, ARowThatIsNotAsItWasWrittenIsNamed) {
  struct Tampering {
    std::string sql;
    std::string named;
  };
  const auto insert = [](std::uint64_t epoch, std::uint64_t commit_seq) {
    return "INSERT INTO life VALUES(" + std::to_string(epoch) + "," + std::to_string(commit_seq) +
           "," + std::to_string(LifeChecksum(epoch, commit_seq)) + ")";
  };
  const std::string third = std::to_string(FirstEpochOf(3) + 21);
  const std::vector<Tampering> tamperings = {
      {"UPDATE life SET epoch = epoch + 1 WHERE epoch = " + third,
       "table life, row 50331670 (start 3): checksum mismatch"},
      {"UPDATE life SET commit_seq = 4 WHERE epoch = " + third,
       "table life, row " + third + " (start 3): checksum mismatch"},
      {"UPDATE life SET crc = crc + 1 WHERE epoch = " + third,
       "table life, row " + third + " (start 3): checksum mismatch"},
      {"DELETE FROM life WHERE epoch = " + third, "table life, the row of start 3: is missing"},
      {"DELETE FROM life WHERE epoch >= " + third, "table life, the row of start 3: is missing"},
      {"DELETE FROM life", "table life, the row of start 1: is missing"},
      {insert(FirstEpochOf(2) + 1, 2), "(start 2): does not belong into this log"},
      {insert(FirstEpochOf(6), 5), "(start 6): is of a later commit than table meta"},
      {"DELETE FROM life WHERE epoch > " + std::to_string(FirstEpochOf(5)) + ";" +
           insert(FirstEpochOf(5) + 34, 5),
       "(start 5): table meta names another life"},
      {"DELETE FROM life WHERE epoch = " + third + ";" + insert(FirstEpochOf(3) + 21, 6),
       "(start 3): is of a later commit than table meta"},
  };
  ASSERT_TRUE(Start().ok());
  Age(5);
  const std::string sound = folder_.File("sound.db");
  const auto put = [this](const std::string& from, const std::string& to) {
    for (const char* suffix : {"-wal", "-state"}) std::filesystem::remove(to + suffix);
    std::filesystem::copy_file(from, to, std::filesystem::copy_options::overwrite_existing);
  };
  Execute("PRAGMA wal_checkpoint(TRUNCATE)");
  put(options_.path, sound);
  for (const Tampering& tampering : tamperings) {
    SCOPED_TRACE(tampering.sql);
    put(sound, options_.path);
    ASSERT_TRUE(Start().ok());
    put(sound, options_.path);
    Execute(tampering.sql);
    const Status refused = Start().status();
    EXPECT_EQ(refused.code(), Code::kDataLoss);
    EXPECT_THAT(refused.message(), HasSubstr(tampering.named));
    EXPECT_THAT(refused.message(), HasSubstr(options_.path));
  }
}

}  // namespace
}  // namespace assent::log
