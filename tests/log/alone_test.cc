// Whoever must be alone with a log is alone: a member that nobody saw is fenced in the transaction
// that changes the log, by NoteRestored and by a migration.

#include <gtest/gtest.h>

#include "coordinator/log/migrate/restored.h"
#include "tests/log/migrate_rig.h"

namespace assent::log {
namespace {

class UnseenMember : public MigrateTest {
 protected:
  // It has joined and written, and beats so rarely that whoever looks takes it for dead.
  void SetUp() override {
    MigrateTest::SetUp();
    PostgresLogOptions options = Member();
    options.lease = std::chrono::hours(1);
    options.on_fenced = [this](const Status& why) { told_.push_back(why.message()); };
    log_ = std::make_unique<PostgresLog>(options);
    const auto recovered = Recover(*log_, events_, [](const LiveRow&) { return OkStatus(); });
    ASSERT_TRUE(recovered.ok()) << recovered.status().ToString();
    Fill(*log_, 1024, 0, 3);
    rows_ = Sql(kRows);
  }
  void TearDown() override {
    log_.reset();
    MigrateTest::TearDown();
  }

  Result<Restored> SayRestored(bool dry_run = false) {
    RestoredOptions options{.postgres = options_.postgres, .dry_run = dry_run};
    options.patience = options_.patience;
    return NoteRestored(options);
  }

  // It writes nothing any more, and has heard why.
  void ExpectFenced(const std::string& why) {
    EXPECT_NE(Code::kOk, AppendLate().code());
    EXPECT_EQ("1", Sql("SELECT count(*) FROM member WHERE ended AND ended_by = 0"));
    EXPECT_EQ("0", Sql("SELECT count(*) FROM lane WHERE NOT fenced"));
    EXPECT_EQ(rows_, Sql(kRows));
    ASSERT_EQ(1U, told_.size());
    EXPECT_NE(std::string::npos, told_[0].find(why)) << told_[0];
  }
  Status AppendLate() {
    const std::uint64_t serial = log_->NextSerial(SlotOf("late", 1024));
    std::promise<AppendResult> done;
    log_->Append({Of(EntryKind::kBegin, "late", serial, 1024, 1)},
                 [&done](AppendResult result) { done.set_value(std::move(result)); });
    return done.get_future().get().status;
  }

  static constexpr const char* kRows =
      "SELECT (SELECT count(*) || '/' || sum(version) FROM live) || ' ' ||"
      " (SELECT count(*) FROM finished)";
  NoEvents events_;
  std::vector<std::string> told_;
  std::unique_ptr<PostgresLog> log_;
  std::string rows_;
};

TEST_F(UnseenMember, IsFencedWhenTheLogIsSaidToBeRestored) {
  const auto looked = SayRestored(true);
  ASSERT_TRUE(looked.ok()) << looked.status().ToString();
  ASSERT_EQ(1U, looked->fenced.size()) << "whom it would fence";
  EXPECT_EQ(Code::kOk, AppendLate().code());
  rows_ = Sql(kRows);
  const std::string starts = Sql("SELECT starts FROM log");
  const auto restored = SayRestored();
  ASSERT_TRUE(restored.ok()) << restored.status().ToString();
  EXPECT_EQ(2U, restored->generation);
  EXPECT_EQ(3U, restored->unfinished);
  EXPECT_EQ(looked->fenced, restored->fenced);
  EXPECT_EQ(0U, restored->fenced[0].find("node ")) << restored->fenced[0];
  EXPECT_NE(starts, Sql("SELECT starts FROM log"));  // who joins now reads the new generation
  ExpectFenced("was put back to an older state");
}

TEST_F(UnseenMember, IsFencedWhenTheLogMoves) {
  const auto moved = MigrateToSqlite(options_);
  ASSERT_TRUE(moved.ok()) << moved.status().ToString();
  ExpectFenced("this log has moved to sqlite:" + options_.sqlite_path + ": it goes on there");
}

// No timeout of the server's ends a session of which the rest of a group does not come.
TEST_F(UnseenMember, IsFencedWhereItHoldsItsLane) {
  ConnectionOptions lane = options_.postgres;
  lane.application_name = "assentd a lane 0";
  const auto held = Connection::Open(lane);
  ASSERT_TRUE(held.ok());
  ASSERT_TRUE((*held)->Run("UPDATE lane SET backend = pg_backend_pid()").ok());
  ASSERT_TRUE((*held)->Run("BEGIN").ok());
  ASSERT_TRUE((*held)->Run("SELECT 1 FROM lane FOR SHARE").ok());
  const auto restored = SayRestored();
  ASSERT_TRUE(restored.ok()) << restored.status().ToString();
  EXPECT_FALSE((*held)->Run("COMMIT").ok());
  ExpectFenced("was put back to an older state");
}

// The numbers of sessions in an older copy of the tables are somebody else's by now.
TEST_F(UnseenMember, NoStrangersSessionIsEnded) {
  ConnectionOptions other = options_.postgres;
  other.application_name = "payroll";
  const auto stranger = Connection::Open(other);
  ASSERT_TRUE(stranger.ok());
  ASSERT_TRUE((*stranger)->Run("UPDATE lane SET backend = pg_backend_pid()").ok());
  ASSERT_TRUE((*stranger)->Run("BEGIN").ok());
  ASSERT_TRUE((*stranger)->Run("SELECT 1 FROM lane FOR SHARE").ok());
  EXPECT_EQ(Code::kUnavailable, SayRestored().status().code());
  EXPECT_EQ("1", Sql("SELECT generation FROM log"));
  EXPECT_TRUE((*stranger)->Run("COMMIT").ok());
  EXPECT_TRUE(SayRestored().ok());
}

// Two who move one log to two places: both had looked before either marked it.
TEST_F(UnseenMember, TheLogMovesToOnePlaceOnly) {
  MigrateOptions second = options_;
  second.sqlite_path = folder_ + "/second.db";
  bool moved = false;
  options_.on_progress = [&](const std::string& words) {
    if (words.find("as being filled") == std::string::npos || moved) return;
    moved = MigrateToSqlite(second).ok();
    EXPECT_TRUE(moved);
  };
  const Status late = MigrateToSqlite(options_).status();
  EXPECT_TRUE(moved);
  EXPECT_EQ(Code::kFailedPrecondition, late.code()) << late.ToString();
  EXPECT_NE(0, access(options_.sqlite_path.c_str(), F_OK));
  EXPECT_EQ("has moved to sqlite:" + second.sqlite_path, Sql("SELECT origin FROM log"));
}

}  // namespace
}  // namespace assent::log
