// A whole log from SQLite to PostgreSQL and back: the same transactions, the same answers, and
// never two logs that go on.

#include <cstdlib>

#include <gtest/gtest.h>

#include "coordinator/log/sqlite/sqlite_connection.h"
#include "tests/log/migrate_rig.h"

namespace assent::log {
namespace {

TEST_F(MigrateTest, ToPostgresqlAndBackItIsTheSameLog) {
  const Image sqlite = FilledSqlite();
  ASSERT_EQ(27U, sqlite.live.size());
  ASSERT_EQ(13U, sqlite.finished.size());
  const auto there = MigrateToPostgres(options_);
  ASSERT_TRUE(there.ok()) << there.status().ToString();
  EXPECT_FALSE(there->was_done);
  EXPECT_EQ(sqlite.recovered.log_id, there->log_id);
  EXPECT_EQ(27U, there->live_rows);
  EXPECT_EQ(13U, there->finished_rows);

  const Status refused = SqliteRefuses();
  EXPECT_EQ(Code::kFailedPrecondition, refused.code()) << refused.ToString();
  EXPECT_NE(std::string::npos, refused.message().find("this log has moved to postgresql: "));
  EXPECT_EQ(std::string::npos, refused.message().find("password"));

  Image postgres;
  {
    PostgresLog log(Member());
    postgres = Look(log, 40);
    ExpectSame(sqlite, postgres);
    EXPECT_EQ(1024, postgres.recovered.slots_count);
    // It goes on: what begins now is behind what there was.
    Fill(log, 1024, 40, 50);
  }
  {
    PostgresLog log(Member("b"));
    postgres = Look(log, 50);
    EXPECT_EQ(34U, postgres.live.size());
    EXPECT_EQ(16U, postgres.finished.size());
    EXPECT_EQ(0U, postgres.live.back().find("gid-4"));
  }

  // Back, into another folder.
  options_.sqlite_path = folder_ + "/back.db";
  const auto back = MigrateToSqlite(options_);
  ASSERT_TRUE(back.ok()) << back.status().ToString();
  EXPECT_EQ(34U, back->live_rows);
  EXPECT_EQ(16U, back->finished_rows);
  const auto log = Sqlite();
  ASSERT_NE(nullptr, log);
  ExpectSame(postgres, Look(*log, 50));
  Fill(*log, 1, 50, 60);

  PostgresLog late(Member("c"));
  NoEvents events;
  const auto joined = late.Join(events);
  EXPECT_EQ(Code::kFailedPrecondition, joined.status().code());
  EXPECT_NE(std::string::npos, joined.status().message().find("has moved to sqlite:" + folder_))
      << joined.status().message();
}

// A participant of an epoch that was never this log's is not answered for, before and after.
TEST_F(MigrateTest, AStrangersEpochStaysAStranger) {
  const Image sqlite = FilledSqlite();
  ASSERT_TRUE(MigrateToPostgres(options_).ok());
  PostgresLog log(Member());
  const Image postgres = Look(log, 40);
  const Found& absent = postgres.found.at("gid-40");
  ASSERT_EQ(Found::What::kAbsent, absent.what);
  for (const std::uint64_t epoch : *sqlite.recovered.epochs) {
    EXPECT_FALSE(std::binary_search(absent.epochs->begin(), absent.epochs->end(), epoch ^ 1));
  }
}

TEST_F(MigrateTest, AgeGoesAlong) {
  const Image sqlite = FilledSqlite();
  ASSERT_TRUE(MigrateToPostgres(options_).ok());
  EXPECT_EQ("0", Sql("SELECT count(*) FROM finished, log WHERE finished.age_ms > log.age_ms"));
  EXPECT_NE("0", Sql("SELECT age_ms FROM log"));
  Sql("UPDATE log SET age_ms = 1000000; UPDATE finished SET age_ms = 400000");
  options_.sqlite_path = folder_ + "/back.db";
  ASSERT_TRUE(MigrateToSqlite(options_).ok());
  SqliteConnection db;
  ASSERT_EQ(0, db.Open(options_.sqlite_path, ""));
  std::int64_t ran = 0;
  ASSERT_EQ(0, db.QueryInt("SELECT max(ran_ms) FROM age", ran));
  EXPECT_EQ(1'000'000, ran);
  // Of the rows: the oldest mark of at least their commit. Never older than they were.
  ASSERT_EQ(0, db.QueryInt("SELECT min(ran_ms) FROM age WHERE commit_seq >= "
                           "(SELECT min(commit_seq) FROM finished)",
                           ran));
  EXPECT_GE(ran, 400'000);
  EXPECT_LE(ran, 400'000 + 2 * 1'000'000 / 256);
}

TEST_F(MigrateTest, WhileACoordinatorRunsItRefuses) {
  const Image sqlite = FilledSqlite();
  {
    const auto log = Sqlite();
    ASSERT_NE(nullptr, log);
    EXPECT_EQ(Code::kFailedPrecondition, MigrateToPostgres(options_).status().code());
  }
  EXPECT_FALSE(server_->TrySql(database_, "SELECT 1 FROM assent.log").ok());
  ASSERT_TRUE(MigrateToPostgres(options_).ok());
  options_.sqlite_path = folder_ + "/back.db";
  options_.patience = std::chrono::seconds(30);  // it sees the beat long before
  PostgresLog log(Member("north"));
  (void)Look(log, 40);
  log.StartEvents();
  const Status lives = MigrateToSqlite(options_).status();
  EXPECT_EQ(Code::kFailedPrecondition, lives.code());
  EXPECT_NE(std::string::npos, lives.message().find("node north at north:7400 lives"))
      << lives.message();
  EXPECT_NE(0, access(options_.sqlite_path.c_str(), F_OK));
}

// One that was killed has not left, and is ended by the migration.
TEST_F(MigrateTest, AMemberThatDiedIsEnded) {
  const Image sqlite = FilledSqlite();
  ASSERT_TRUE(MigrateToPostgres(options_).ok());
  Sql("INSERT INTO member VALUES (" + std::to_string(sqlite.recovered.epoch + (2 << 24)) +
      ", 1, 'dead', 'dead:1', '', 5, 0, false, false, NULL, NULL); UPDATE log SET starts = starts "
      "+ 1");
  options_.sqlite_path = folder_ + "/back.db";
  const auto back = MigrateToSqlite(options_);
  ASSERT_TRUE(back.ok()) << back.status().ToString();
  EXPECT_EQ("0", Sql("SELECT count(*) FROM member WHERE NOT ended"));
}

// It has no epochs that anybody may presume about, and nothing of it is held yet.
TEST_F(MigrateTest, WhatWasRestoredIsStartedBeforeItGoesBack) {
  (void)FilledSqlite();
  ASSERT_TRUE(MigrateToPostgres(options_).ok());
  Sql("UPDATE log SET generation = generation + 1, origin = ''");
  options_.sqlite_path = folder_ + "/back.db";
  const Status refused = MigrateToSqlite(options_).status();
  EXPECT_EQ(Code::kFailedPrecondition, refused.code());
  EXPECT_NE(std::string::npos, refused.message().find("start a coordinator on it"))
      << refused.message();
  EXPECT_NE(0, access((options_.sqlite_path + "-incoming-from").c_str(), F_OK));
  {
    PostgresLog log(Member("north"));
    (void)Look(log, 40);
  }
  // As another server would say.
  const std::string origin = Sql("SELECT origin FROM log");
  Sql("UPDATE log SET origin = '1/00000001/1'");
  const Status elsewhere = MigrateToSqlite(options_).status();
  EXPECT_EQ(Code::kFailedPrecondition, elsewhere.code()) << elsewhere.ToString();
  Sql("UPDATE log SET origin = '" + origin + "'");
  const auto back = MigrateToSqlite(options_);
  ASSERT_TRUE(back.ok()) << back.status().ToString();
  EXPECT_NE(nullptr, Sqlite()) << "its starts have no gap, also those of before";
}

TEST_F(MigrateTest, AnotherLogIsNotTouched) {
  (void)FilledSqlite();
  {
    PostgresLog other(Member());
    (void)Look(other, 0);
  }
  const Status refused = MigrateToPostgres(options_).status();
  EXPECT_EQ(Code::kFailedPrecondition, refused.code());
  EXPECT_NE(std::string::npos, refused.message().find("has another log")) << refused.message();
  EXPECT_NE(nullptr, Sqlite());  // not marked
  // And back into a folder that has one.
  EXPECT_EQ(Code::kFailedPrecondition, MigrateToSqlite(options_).status().code());
  EXPECT_EQ(std::to_string(kPostgresFormat), Sql("SELECT format FROM log"));
}

TEST_F(MigrateTest, AMarkedLogGoesNowhereElse) {
  (void)FilledSqlite();
  ASSERT_TRUE(MigrateToPostgres(options_).ok());
  options_.postgres.schema = "elsewhere";
  const Status refused = MigrateToPostgres(options_).status();
  EXPECT_EQ(Code::kFailedPrecondition, refused.code());
  EXPECT_NE(std::string::npos, refused.message().find("has moved to")) << refused.message();
}

// Restored from a backup that was made before the move, it is an older copy.
TEST_F(MigrateTest, AnOlderCopyDoesNotFollow) {
  (void)FilledSqlite();
  ASSERT_EQ(0, std::system(("cp -r " + folder_ + " " + folder_ + "-copy").c_str()));
  ASSERT_TRUE(MigrateToPostgres(options_).ok());
  options_.sqlite_path = folder_ + "-copy/assent.db";
  const Status refused = MigrateToPostgres(options_).status();
  EXPECT_EQ(Code::kFailedPrecondition, refused.code());
  EXPECT_NE(std::string::npos, refused.message().find("older copy")) << refused.message();
  (void)std::system(("rm -rf " + folder_ + "-copy").c_str());
}

}  // namespace
}  // namespace assent::log
