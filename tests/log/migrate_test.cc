// A whole log from SQLite to PostgreSQL and back: the same transactions, the same answers, and
// never two logs that go on.

#include "coordinator/log/migrate/migrate.h"

#include <algorithm>
#include <cstdlib>
#include <functional>
#include <future>
#include <map>
#include <memory>
#include <string>
#include <unistd.h>
#include <vector>

#include <gtest/gtest.h>
#include <sys/wait.h>

#include "coordinator/log/postgresql/postgres_log.h"
#include "coordinator/log/sqlite/sqlite_connection.h"
#include "coordinator/log/sqlite/sqlite_log.h"
#include "tests/support/postgresql.h"

namespace assent::log {
namespace {

using test::PostgresServer;

struct NoEvents final : SlotEvents {
  void OnAssigned(const std::vector<SlotGrant>&) override {}
  void OnWanted(const std::vector<Slot>&) override {}
  void OnFenced(const Status&) override {}
};

// What a coordinator finds in a log, without what a move may change (serials).
struct Image {
  Recovered recovered;
  std::vector<std::string> live;      // in the order of their serials
  std::vector<std::string> finished;  // likewise
  std::map<std::string, Found> found;
};

std::string Words(const LiveRow& row) {
  return row.gid + " v" + std::to_string(row.version) + " " + row.spec + " " + row.state;
}
std::string Words(const FinishedRow& row) {
  return row.gid + " o" + std::to_string(row.outcome) + " at " +
         std::to_string(row.finished_unix_ms) + " " + row.spec + " " + row.state;
}

class MigrateTest : public ::testing::Test {
 protected:
  void SetUp() override {
    char folder[] = "/tmp/assent-migrate-XXXXXX";
    ASSERT_NE(nullptr, mkdtemp(folder));
    folder_ = folder;
    ASSERT_TRUE(PostgresServer::Installed().ok());
    server_ = &PostgresServer::OfThisBinary();
    database_ = server_->NewDatabase();
    options_.sqlite_path = folder_ + "/assent.db";
    options_.postgres.url = server_->Url(database_);
    options_.patience = std::chrono::milliseconds(300);
  }
  void TearDown() override { (void)std::system(("rm -rf " + folder_).c_str()); }

  std::unique_ptr<Log> Sqlite() const {
    SqliteOptions options;
    options.path = options_.sqlite_path;
    options.reserve_bytes = 0;
    auto log = SqliteLog::Open(options);
    EXPECT_TRUE(log.ok()) << log.status().ToString();
    return log.ok() ? *std::move(log) : nullptr;
  }
  Status SqliteRefuses() const {
    SqliteOptions options;
    options.path = options_.sqlite_path;
    return SqliteLog::Open(options).status();
  }
  PostgresLogOptions Member(const std::string& node = "a") const {
    PostgresLogOptions options;
    options.connection = options_.postgres;
    options.node = node;
    options.address = node + ":7400";
    return options;
  }
  std::string Sql(const std::string& sql) const {
    return server_->Sql(database_, "SET search_path = assent; " + sql);
  }

  static void Append(Log& log, std::vector<Entry> batch) {
    std::promise<AppendResult> done;
    log.Append(std::move(batch), [&](AppendResult result) { done.set_value(std::move(result)); });
    const AppendResult result = done.get_future().get();
    ASSERT_TRUE(result.status.ok()) << result.status.ToString();
    ASSERT_TRUE(result.refused.empty());
  }
  static Entry Of(EntryKind kind, const std::string& gid, std::uint64_t serial, Slot slots,
                  std::uint64_t version) {
    Entry entry;
    entry.kind = kind;
    entry.serial = serial;
    entry.version = version;
    entry.slot = SlotOf(gid, slots);
    entry.gid = gid;
    entry.spec = "spec of " + gid + std::string(1, '\0') + "\xff";
    entry.state = "state " + std::to_string(version) + " of " + gid;
    entry.outcome = static_cast<std::uint8_t>(1 + serial % 2 + (serial % 3 == 0 ? 16 : 0));
    entry.finished_unix_ms = 1'800'000'000'000 + static_cast<std::int64_t>(serial % 1000);
    return entry;
  }
  // Transactions with these numbers begin; every third ends, every other third is changed.
  static void Fill(Log& log, Slot slots, int from, int to) {
    for (int i = from; i < to; ++i) {
      const std::string gid = "gid-" + std::to_string(i);
      const std::uint64_t serial = log.NextSerial(SlotOf(gid, slots));
      Append(log, {Of(EntryKind::kBegin, gid, serial, slots, 1)});
      if (i % 3 == 1) Append(log, {Of(EntryKind::kUpdate, gid, serial, slots, 2)});
      if (i % 3 == 2) Append(log, {Of(EntryKind::kEnd, gid, serial, slots, 2)});
    }
  }

  // As a start finds it.
  static Image Look(Log& log, int gids) {
    Image image;
    std::map<std::uint64_t, std::string> live;
    NoEvents events;
    auto recovered = Recover(log, events, [&](const LiveRow& row) {
      live[row.serial] = Words(row);
      return OkStatus();
    });
    EXPECT_TRUE(recovered.ok()) << recovered.status().ToString();
    if (!recovered.ok()) return image;
    image.recovered = *recovered;
    for (const auto& [serial, words] : live) image.live.push_back(words);
    for (std::uint64_t before = 0;;) {
      std::promise<Result<std::vector<FinishedRow>>> done;
      log.Scan(before, 7, [&](auto rows) { done.set_value(std::move(rows)); });
      const auto rows = done.get_future().get();
      EXPECT_TRUE(rows.ok()) << rows.status().ToString();
      if (!rows.ok() || rows->empty()) break;
      before = rows->back().serial;
      for (const FinishedRow& row : *rows)
        image.finished.insert(image.finished.begin(), Words(row));
    }
    for (int i = 0; i <= gids; ++i) {
      const std::string gid = "gid-" + std::to_string(i);
      std::promise<Result<Found>> done;
      log.Find(gid, [&](auto found) { done.set_value(std::move(found)); });
      auto found = done.get_future().get();
      EXPECT_TRUE(found.ok()) << found.status().ToString();
      if (found.ok()) image.found[gid] = *std::move(found);
    }
    return image;
  }

  // What a participant that prepared before is told rests on this: the same log, the same rows, and
  // every epoch in which something may have begun.
  static void ExpectSame(const Image& before, const Image& after) {
    EXPECT_EQ(before.recovered.log_id, after.recovered.log_id);
    EXPECT_EQ(before.live, after.live);
    EXPECT_EQ(before.finished, after.finished);
    EXPECT_LT(before.recovered.epoch, after.recovered.epoch);
    ASSERT_EQ(before.found.size(), after.found.size());
    for (const auto& [gid, found] : before.found) {
      const Found& now = after.found.at(gid);
      EXPECT_EQ(found.what, now.what) << gid;
      EXPECT_EQ(Words(found.row), Words(now.row)) << gid;
      ASSERT_NE(nullptr, now.epochs);
      for (const std::uint64_t epoch : *found.epochs) {
        EXPECT_TRUE(std::binary_search(now.epochs->begin(), now.epochs->end(), epoch)) << epoch;
      }
    }
  }

  // Three starts, forty transactions.
  Image FilledSqlite() {
    Image image;
    for (int start = 0; start < 3; ++start) {
      const auto log = Sqlite();
      if (log == nullptr) return image;
      image = Look(*log, 40);
      Fill(*log, 1, 20 * start, 20 * start + (start == 2 ? 0 : 20));
    }
    return image;
  }

  std::string folder_;
  PostgresServer* server_ = nullptr;
  std::string database_;
  MigrateOptions options_;
};

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

// Dies with each word that it says, as by kill -9, and is run again until it is done.
class MigrateDeathTest : public MigrateTest {
 protected:
  // True: it died.
  static bool RunAndDieAt(const std::function<Result<Migrated>(const MigrateOptions&)>& migrate,
                          MigrateOptions options, int at) {
    const pid_t child = fork();
    if (child == 0) {
      int words = 0;
      options.on_progress = [&](const std::string&) {
        if (++words == at) _exit(99);
      };
      _exit(migrate(options).ok() ? 0 : 1);
    }
    int status = 0;
    EXPECT_EQ(child, waitpid(child, &status, 0));
    EXPECT_TRUE(WIFEXITED(status));
    EXPECT_NE(1, WEXITSTATUS(status)) << "it failed";
    return WEXITSTATUS(status) == 99;
  }
};

TEST_F(MigrateDeathTest, ToPostgresqlIsRunAgainAfterADeathAnywhere) {
  const Image sqlite = FilledSqlite();
  int at = 1;
  while (RunAndDieAt(MigrateToPostgres, options_, at)) {
    // Whatever has happened, no coordinator goes on with a log that may be in two places.
    const bool there = server_->TrySql(database_, "SELECT 1 FROM assent.log").ok();
    const Status refused = SqliteRefuses();
    if (there) {
      EXPECT_EQ(Code::kFailedPrecondition, refused.code()) << at << " " << refused.ToString();
    }
    ++at;
  }
  EXPECT_GE(at, 5);
  const auto again = MigrateToPostgres(options_);
  ASSERT_TRUE(again.ok()) << again.status().ToString();
  EXPECT_TRUE(again->was_done);
  PostgresLog log(Member());
  ExpectSame(sqlite, Look(log, 40));
}

TEST_F(MigrateDeathTest, ToSqliteIsRunAgainAfterADeathAnywhere) {
  const Image sqlite = FilledSqlite();
  ASSERT_TRUE(MigrateToPostgres(options_).ok());
  options_.sqlite_path = folder_ + "/back.db";
  int at = 1;
  while (RunAndDieAt(MigrateToSqlite, options_, at)) {
    if (access(options_.sqlite_path.c_str(), F_OK) == 0) {
      PostgresLog log(Member());
      NoEvents events;
      EXPECT_EQ(Code::kFailedPrecondition, log.Join(events).status().code()) << at;
    }
    ++at;
  }
  EXPECT_GE(at, 4);
  const auto again = MigrateToSqlite(options_);
  ASSERT_TRUE(again.ok()) << again.status().ToString();
  EXPECT_TRUE(again->was_done);
  const auto log = Sqlite();
  ASSERT_NE(nullptr, log);
  ExpectSame(sqlite, Look(*log, 40));
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
  EXPECT_EQ("1", Sql("SELECT format FROM log"));
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
