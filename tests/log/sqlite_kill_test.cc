// A real process, killed with SIGKILL in the middle of its commits, again and again on one file.
// What it had been told was durable is there afterwards; what is there, it had at least asked for.

#include <csignal>
#include <fcntl.h>
#include <map>
#include <random>
#include <unistd.h>

#include <gtest/gtest.h>
#include <sys/wait.h>

#include "coordinator/log/sqlite/sqlite_log.h"
#include "tests/log/log_rig.h"

namespace assent::log {
namespace {

// What the victim says of one transaction, in a pipe: small enough to be written at once.
struct Word {
  std::uint64_t serial = 0;
  std::uint64_t version = 0;  // 3: ended
  bool durable = false;       // else: about to be appended
};

SqliteOptions OptionsAt(const std::string& path) {
  SqliteOptions options;
  options.path = path;
  options.checkpoint_pages = 20;
  options.reserve_bytes = 1 << 20;
  options.retention_age = std::chrono::milliseconds(0);
  return options;
}

std::string Gid(std::uint64_t serial) { return "g" + std::to_string(serial); }

void Say(int pipe, const Word& word) {
  if (write(pipe, &word, sizeof word) != sizeof word) _exit(3);
}

// Appends for ever: 64 lanes, each begins, decides and ends one transaction after the other.
[[noreturn]] void Victim(const std::string& path, int pipe) {
  auto opened = SqliteLog::Open(OptionsAt(path));
  if (!opened.ok()) _exit(4);
  Log& log = *opened.value();
  const auto recovered = Recover(log, [](const LiveRow&) { return OkStatus(); });
  if (!recovered.ok()) _exit(5);
  std::atomic<std::uint64_t> next{recovered.value().next_serial};
  std::function<void(std::uint64_t, std::uint64_t)> go = [&](std::uint64_t serial,
                                                             std::uint64_t version) {
    if (version > 3) return go(next++, 1);
    Entry entry = version == 1   ? Begin(serial, Gid(serial))
                  : version == 2 ? Update(serial, 2, Gid(serial), "decided")
                                 : End(serial, 3, Gid(serial));
    Say(pipe, {.serial = serial, .version = version});
    log.Append({std::move(entry)}, [&, serial, version](const AppendResult& result) {
      if (!result.status.ok()) _exit(6);
      Say(pipe, {.serial = serial, .version = version, .durable = true});
      go(serial, version + 1);
    });
  };
  for (int lane = 0; lane < 64; ++lane) go(next++, 1);
  for (;;) pause();
}

TEST(SqliteKill, WhatWasReportedDurableSurvives) {
  constexpr int kLives = 25;
  TempFolder folder;
  const std::string path = folder.File("assent.db");
  std::map<std::uint64_t, Word> asked;
  std::map<std::uint64_t, std::uint64_t> durable;
  std::mt19937 random(1);
  for (int life = 1; life <= kLives; ++life) {
    SCOPED_TRACE("life " + std::to_string(life));
    int pipes[2];
    ASSERT_EQ(pipe(pipes), 0);
    const pid_t victim = fork();
    if (victim == 0) {
      close(pipes[0]);
      Victim(path, pipes[1]);
    }
    close(pipes[1]);
    // It is killed after a random number of words: wherever it then is.
    std::uint64_t words = 300 + random() % 2000;
    Word word;
    while (read(pipes[0], &word, sizeof word) == sizeof word) {
      if (word.durable) durable[word.serial] = word.version;
      if (!word.durable) asked[word.serial] = word;
      if (--words == 0) kill(victim, SIGKILL);
    }
    close(pipes[0]);
    int status = 0;
    ASSERT_EQ(waitpid(victim, &status, 0), victim);
    ASSERT_TRUE(WIFSIGNALED(status)) << "exit code " << WEXITSTATUS(status);

    auto opened = SqliteLog::Open(OptionsAt(path));
    ASSERT_TRUE(opened.ok()) << opened.status().ToString();
    LogClient log(*std::move(opened));
    const Status recovered = log.Recover();
    ASSERT_TRUE(recovered.ok()) << recovered.ToString();
    EXPECT_EQ(StartNumber(log.recovered().epoch), static_cast<std::uint64_t>(2 * life));
    std::map<std::uint64_t, std::uint64_t> found;
    for (const LiveRow& row : log.replayed()) found[row.serial] = row.version;
    for (const auto& [serial, at_least] : durable) {
      const bool finished = log.Find(Gid(serial)).ok();
      EXPECT_NE(finished, found.contains(serial));
      EXPECT_GE(finished ? 3 : found[serial], at_least) << "serial " << serial;
    }
    for (const auto& [serial, version] : found) {
      ASSERT_TRUE(asked.contains(serial)) << serial << " was never begun";
      EXPECT_LE(version, asked[serial].version);
    }
    ASSERT_FALSE(HasFailure());
  }
  EXPECT_GT(durable.size(), 1000u);
}

}  // namespace
}  // namespace assent::log
