// kill -9 of a migration at each of its steps: before each word to the database or the disk, and
// right behind each word to the database, which nobody then hears the answer to. A coordinator that
// is started on either side serves the log or says what to do; the next run ends the migration.

#include <csignal>
#include <cstddef>
#include <cstdio>
#include <fcntl.h>
#include <functional>
#include <unistd.h>

#include <gtest/gtest.h>
#include <sys/socket.h>
#include <sys/syscall.h>
#include <sys/wait.h>

#include "tests/log/migrate_rig.h"

namespace {

// Steps from now on until the process dies; 0: it never does.
int steps_to_death = 0;  // tidy: allow(global) of a child that has one thread

void Step() {
  if (steps_to_death > 0 && --steps_to_death == 0) (void)kill(getpid(), SIGKILL);
}

}  // namespace

// In the place of the C library's: also SQLite and libpq come here.
extern "C" {
ssize_t send(int fd, const void* bytes, size_t size, int flags) {
  Step();
  const ssize_t sent = syscall(SYS_sendto, fd, bytes, size, flags, nullptr, 0);
  Step();
  return sent;
}
int fsync(int fd) {
  Step();
  return static_cast<int>(syscall(SYS_fsync, fd));
}
int fdatasync(int fd) {
  Step();
  return static_cast<int>(syscall(SYS_fdatasync, fd));
}
int rename(const char* from, const char* to) noexcept {
  Step();
  return static_cast<int>(syscall(SYS_renameat2, AT_FDCWD, from, AT_FDCWD, to, 0U));
}
int renameat2(int at, const char* from, int to_at, const char* to, unsigned flags) noexcept {
  Step();
  return static_cast<int>(syscall(SYS_renameat2, at, from, to_at, to, flags));
}
int unlink(const char* path) noexcept {
  Step();
  return static_cast<int>(syscall(SYS_unlinkat, AT_FDCWD, path, 0));
}
}

namespace assent::log {
namespace {

class MigrateKillTest : public MigrateTest {
 protected:
  using Migration = Result<Migrated> (*)(const MigrateOptions&);
  static constexpr int kGids = 12;

  // False: it ended before it came so far, and well.
  bool DiesAt(Migration migrate, int step) const {
    const pid_t child = fork();
    if (child == 0) {
      steps_to_death = step;
      _exit(migrate(options_).ok() ? 0 : 1);
    }
    int status = 0;
    EXPECT_EQ(child, waitpid(child, &status, 0));
    EXPECT_TRUE(WIFSIGNALED(status) || WEXITSTATUS(status) == 0) << "it failed";
    return WIFSIGNALED(status);
  }

  // A log in a file, as the start after it finds it.
  Image Filled() {
    {
      const auto first = Sqlite();
      if (first == nullptr) return {};
      (void)Look(*first, 0);
      Fill(*first, 1, 0, kGids);
    }
    return Look(*Sqlite(), kGids);
  }

  bool Knows(const std::string& beside) const {
    return access((options_.sqlite_path + beside).c_str(), F_OK) == 0;
  }
  bool SqliteKnows() const { return Knows("") || Knows("-incoming-from"); }
  bool PostgresKnows() const { return server_->TrySql(database_, "SELECT 1 FROM assent.log").ok(); }

  // As a coordinator that is started there: whether it serves, and what was there.
  bool Serves(const Status& refused, const std::function<Image()>& look, const Image& before) {
    if (refused.ok()) {
      ExpectSame(before, look());
      return true;
    }
    EXPECT_EQ(Code::kFailedPrecondition, refused.code()) << refused.ToString();
    const std::string& words = refused.message();
    EXPECT_TRUE(words.find("run assentctl migrate again, which ends it") != std::string::npos ||
                words.find(": use it there") != std::string::npos)
        << words;
    return false;
  }
  bool SqliteServes(const Image& before) {
    SqliteOptions options;
    options.path = options_.sqlite_path;
    options.reserve_bytes = 0;
    const Status refused = SqliteLog::Open(options).status();
    return Serves(
        refused, [this] { return Look(*Sqlite(), kGids); }, before);
  }
  bool PostgresServes(const Image& before) {
    NoEvents events;
    const Status refused = PostgresLog(Member()).Join(events).status();
    const auto look = [this] {
      PostgresLog log(Member());
      return Look(log, kGids);
    };
    return Serves(refused, look, before);
  }

  // Who is started where nothing says that a log is to come begins one of his own: then the other
  // side must still serve.
  void ExpectOneAtMost(const Image& before) {
    const bool sqlite_knows = SqliteKnows();
    const bool postgres_knows = PostgresKnows();
    const bool sqlite = sqlite_knows && SqliteServes(before);
    const bool postgres = postgres_knows && PostgresServes(before);
    EXPECT_FALSE(sqlite && postgres);
    EXPECT_TRUE(sqlite_knows || postgres);
    EXPECT_TRUE(postgres_knows || sqlite);
  }

  // A migration of a log of its own for each step, `prepare`d; killed there, and run again.
  void KillAtEachStep(Migration migrate, const std::function<void(int)>& prepare,
                      const Image& before) {
    int step = 1;
    for (;; ++step) {
      SCOPED_TRACE("killed at step " + std::to_string(step));
      prepare(step);
      if (!DiesAt(migrate, step)) break;
      ExpectOneAtMost(before);
      const auto again = migrate(options_);
      ASSERT_TRUE(again.ok()) << again.status().ToString();
      const bool to_postgres = migrate == MigrateToPostgres;
      EXPECT_EQ(!to_postgres, SqliteServes(before));
      EXPECT_EQ(to_postgres, PostgresServes(before));
      EXPECT_FALSE(Knows("-incoming-from") || Knows("-incoming"));
      ASSERT_FALSE(HasFailure());
    }
    EXPECT_GT(step, 30);
    RecordProperty("steps", step);
  }
};

TEST_F(MigrateKillTest, ToPostgresql) {
  const Image before = Filled();
  const std::string filled = folder_ + "/filled";
  ASSERT_EQ(
      0, std::system(("mkdir " + filled + " && mv " + folder_ + "/assent.db* " + filled).c_str()));
  KillAtEachStep(
      MigrateToPostgres,
      [&](int step) {
        const std::string folder = folder_ + "/" + std::to_string(step);
        ASSERT_EQ(0, std::system(("cp -r " + filled + " " + folder).c_str()));
        options_.sqlite_path = folder + "/assent.db";
        database_ = server_->NewDatabase();
        options_.postgres.url = server_->Url(database_);
      },
      before);
}

TEST_F(MigrateKillTest, ToSqlite) {
  const Image before = Filled();
  ASSERT_TRUE(MigrateToPostgres(options_).ok());
  const std::string filled = database_;
  KillAtEachStep(
      MigrateToSqlite,
      [&](int step) {
        const std::string folder = folder_ + "/" + std::to_string(step);
        ASSERT_EQ(0, std::system(("mkdir " + folder).c_str()));
        options_.sqlite_path = folder + "/assent.db";
        database_ = filled + "_" + std::to_string(step);
        (void)server_->Sql("postgres", "CREATE DATABASE " + database_ + " TEMPLATE " + filled);
        options_.postgres.url = server_->Url(database_);
      },
      before);
}

}  // namespace
}  // namespace assent::log
