// Storage that fails at the worst moment (CORRECTNESS: rule 4): an error from COMMIT is not "not
// committed".

#include "tests/sdk_sqlite/faulty_vfs.h"
#include "tests/sdk_sqlite/two_phase_fixture.h"

namespace assent::sqlite::test {
namespace {

class IoErrorTest : public TwoPhaseFixture {
 protected:
  static void SetUpTestSuite() { InstallFaultyVfs(); }
  void SetUp() override {
    Options options = MakeOptions("CREATE TABLE IF NOT EXISTS t(id TEXT PRIMARY KEY, v)");
    options.on_poisoned = [this](const Status& why) { poisoned_.push_back(why); };
    Open(options, &RegisterSql);
  }
  void TearDown() override { wal_fault = WalFault::kNone; }
  std::vector<Status> poisoned_;
};

TEST_F(IoErrorTest, AFailedSyncIsAnsweredByNobody) {
  const Call prepare = PrepareCall("g1", "INSERT INTO t VALUES('1', 1)");
  const Call attempt =
      Branch{"g2", "b1", Protocol::kTcc, "sql", "INSERT INTO t VALUES('2', 2)"}.To(Operation::kTry);
  wal_fault = WalFault::kSyncFails;
  EXPECT_EQ(TryAsk(store(), prepare), std::nullopt) << "neither done nor not done";
  EXPECT_FALSE(store().Health().ok());
  ASSERT_EQ(poisoned_.size(), 1U);
  wal_fault = WalFault::kNone;
  // The disk is well again, but this connection cannot know what it has.
  const std::optional<Reply> poisoned = TryAsk(store(), attempt);
  ASSERT_TRUE(poisoned.has_value());
  EXPECT_EQ(*poisoned, Reply::RetryLater("UNAVAILABLE: COMMIT: disk I/O error"));
  EXPECT_EQ(TryAsk(store(), prepare), poisoned) << "not even what it may have done";
  EXPECT_EQ(Local("SELECT 1").code(), Code::kUnavailable);
  EXPECT_EQ(poisoned_.size(), 1U);

  EXPECT_EQ(store().Reopen(), OkStatus());
  EXPECT_EQ(store().Health(), OkStatus());
  // As SQLite 3.40 has it, the row is there after all; whether or not, it happens once and the
  // answer is the same.
  EXPECT_EQ(Ask(store(), prepare), Reply::Done("ok"));
  EXPECT_EQ(Inspect().prepared, 1);
  EXPECT_EQ(Ask(store(), attempt), Reply::Done("ok"));
  EXPECT_EQ(Commit("g1"), Reply::Done());
  EXPECT_EQ(Sql("SELECT group_concat(id) FROM (SELECT id FROM t ORDER BY id)"), "1,2");
}

TEST_F(IoErrorTest, AFailedSyncAtCommitOfPreparedWork) {
  ASSERT_EQ(Prepare("g1", "INSERT INTO t VALUES('1', 1)"), Reply::Done("ok"));
  Call commit = PrepareCall("g1", "");
  commit.operation = Operation::kCommit;
  wal_fault = WalFault::kSyncFails;
  EXPECT_EQ(TryAsk(store(), commit), std::nullopt);
  wal_fault = WalFault::kNone;
  EXPECT_EQ(store().Reopen(), OkStatus());
  EXPECT_EQ(Ask(store(), commit), Reply::Done());
  EXPECT_EQ(Sql("SELECT count(*) FROM t"), "1");
  EXPECT_EQ(Inspect().prepared, 0);
}

TEST_F(IoErrorTest, ALocalWriteLearnsThatItsOutcomeIsUnknown) {
  wal_fault = WalFault::kSyncFails;
  EXPECT_EQ(Local("INSERT INTO t VALUES('1', 1)").code(), Code::kUnknownOutcome);
}

TEST_F(IoErrorTest, ReopeningMayFailAndBeTriedAgain) {
  wal_fault = WalFault::kSyncFails;
  EXPECT_EQ(Local("INSERT INTO t VALUES('1', 1)").code(), Code::kUnknownOutcome);
  EXPECT_FALSE(store().Reopen().ok()) << "the commit at each start needs the disk as well";
  EXPECT_FALSE(store().Health().ok());
  EXPECT_EQ(Prepare("g1", "SELECT 1").kind, Reply::Kind::kRetryLater);
  wal_fault = WalFault::kNone;
  EXPECT_EQ(store().Reopen(), OkStatus());
  EXPECT_EQ(Prepare("g1", "SELECT 1"), Reply::DoneReadOnly("ok"));
}

// A full disk is certain: nothing happened. It needs no reopening.
TEST_F(IoErrorTest, AFullDiskIsRetryLaterUntilThereIsRoom) {
  ASSERT_EQ(Prepare("g1", "INSERT INTO t VALUES('1', 1)"), Reply::Done("ok"));
  wal_fault = WalFault::kDiskFull;
  EXPECT_EQ(Try("g2", "INSERT INTO t VALUES('2', 1)").kind, Reply::Kind::kRetryLater);
  EXPECT_EQ(Commit("g1").kind, Reply::Kind::kRetryLater);
  EXPECT_EQ(Local("INSERT INTO t VALUES('3', 1)").code(), Code::kResourceExhausted);
  EXPECT_EQ(store().Health(), OkStatus());
  wal_fault = WalFault::kNone;
  EXPECT_EQ(Try("g2", "INSERT INTO t VALUES('2', 1)"), Reply::Done("ok"));
  EXPECT_EQ(Commit("g1"), Reply::Done());
  EXPECT_EQ(Sql("SELECT count(*) FROM t"), "2");
}

}  // namespace
}  // namespace assent::sqlite::test
