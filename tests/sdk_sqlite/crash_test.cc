// kill -9 of a service at every kind of moment, and what its database then holds (CORRECTNESS: S8,
// S10, T1-T9).
//
// The child is this same binary, running CrashChild.DISABLED_Run: it works on the file it is given
// until it kills itself at the moment it was told, and appends each reply to a list the moment it
// hears it. What was heard must be true after every restart.

#include <csignal>
#include <fcntl.h>
#include <fstream>
#include <sstream>
#include <thread>
#include <unistd.h>

#include "tests/sdk_sqlite/faulty_vfs.h"
#include "tests/sdk_sqlite/store_fixture.h"
#include "tests/sdk_sqlite/workload.h"

namespace assent::sqlite::test {
namespace {

constexpr int kThreads = 3;
constexpr int kTransfersPerThread = 14;

std::string Env(const char* name) {
  const char* value = std::getenv(name);
  return value == nullptr ? "" : value;
}

std::string Hex(const std::string& text) {
  std::string out = "x";
  for (unsigned char c : text) {
    out += "0123456789abcdef"[c >> 4];
    out += "0123456789abcdef"[c & 15];
  }
  return out;
}

std::string Unhex(const std::string& text) {
  std::string out;
  for (std::size_t i = 1; i + 1 < text.size(); i += 2) {
    out += static_cast<char>(std::stoi(text.substr(i, 2), nullptr, 16));
  }
  return out;
}

// Replies heard so far, one per line. A line is written with one write(2): whole, or not at all.
void Heard(int fd, const Call& call, const Reply& reply) {
  const std::string line = Driver::KeyOf(call) + " " +
                           std::to_string(static_cast<int>(reply.kind)) + " " + Hex(reply.result) +
                           " " + Hex(reply.reason) + "\n";
  EXPECT_EQ(write(fd, line.data(), line.size()), static_cast<ssize_t>(line.size()));
}

void LoadHeard(const std::string& path, Driver& driver) {
  std::ifstream file(path);
  std::string key;
  int kind = 0;
  std::string result;
  std::string reason;
  while (file >> key >> kind >> result >> reason) {
    Reply reply;
    reply.kind = static_cast<Reply::Kind>(kind);
    if (reply.kind == Reply::Kind::kRetryLater) continue;
    reply.result = Unhex(result);
    reply.reason = Unhex(reason);
    driver.Remember(key, reply);
  }
}

// Kills this process at the `after`-th time the executor reaches `point`.
std::function<void(std::string_view)> KillerAt(std::string point, int after) {
  auto left = std::make_shared<int>(after);
  return [point = std::move(point), left](std::string_view reached) {
    if (reached == point && (*left)-- <= 0) kill(getpid(), SIGKILL);
  };
}

void Arm(Options& options, const std::string& moment, int after) {
  wal_fault_after = after;
  if (moment == "sync") {
    wal_fault = WalFault::kDieAtSync;
  } else if (moment == "write") {
    wal_fault = WalFault::kDieAtWrite;
  } else if (!moment.empty()) {
    options.at_point = KillerAt(moment, after);
  }
}

Result<std::unique_ptr<Store>> OpenBank(const std::string& path, const std::string& moment,
                                        int after) {
  InstallFaultyVfs();
  Options options;
  options.path = path;
  options.setup = &SetUpBank;
  options.claim_wait = std::chrono::milliseconds(2);
  Arm(options, moment, after);
  Result<std::unique_ptr<Store>> store = Store::Open(std::move(options));
  if (store.ok()) RegisterBank(**store);
  return store;
}

}  // namespace

TEST(CrashChild, DISABLED_Run) {
  const std::string dir = Env("CRASH_DIR");
  ASSERT_FALSE(dir.empty());
  const int fd = open((dir + "/heard").c_str(), O_WRONLY | O_CREAT | O_APPEND | O_CLOEXEC, 0600);
  ASSERT_GE(fd, 0);
  Result<std::unique_ptr<Store>> store =
      OpenBank(dir + "/bank.db", Env("CRASH_MOMENT"), std::stoi(Env("CRASH_AFTER")));
  ASSERT_TRUE(store.ok()) << store.status().ToString();
  ASSERT_EQ(AuditAnytime(**store), "");
  const auto seed = static_cast<std::uint32_t>(std::stoul(Env("CRASH_SEED")));
  std::vector<std::thread> threads;
  for (int i = 0; i < kThreads; ++i) {
    threads.emplace_back([&, i] {
      const AskFunction ask = [&](const Call& call) {
        const std::optional<Reply> reply = TryAsk(**store, call);
        if (reply.has_value()) Heard(fd, call, *reply);
        return reply;
      };
      Driver driver(ask, seed * kThreads + static_cast<std::uint32_t>(i));
      LoadHeard(dir + "/heard", driver);
      driver.RunRandom(i * kTransfersPerThread, (i + 1) * kTransfersPerThread, 150);
    });
  }
  for (auto& thread : threads) thread.join();
  close(fd);
}

class CrashTest : public ::testing::Test {
 protected:
  // Runs a child that kills itself; true when it did, false when it came to its end.
  bool RunChild(const std::string& moment, int after, int seed) {
    assent::test::Finished finished =
        assent::test::RunToEnd({.argv = {"/proc/self/exe", "--gtest_filter=CrashChild.*",
                                         "--gtest_also_run_disabled_tests", "--gtest_brief=1"},
                                .env = {{"CRASH_DIR", dir_.path()},
                                        {"CRASH_MOMENT", moment},
                                        {"CRASH_AFTER", std::to_string(after)},
                                        {"CRASH_SEED", std::to_string(seed)}}},
                               std::chrono::seconds(60));
    EXPECT_TRUE(finished.exit_code == 0 || finished.exit_code == 128 + SIGKILL)
        << moment << " " << after << ": " << finished.exit_code.value_or(-1) << "\n"
        << finished.output;
    return finished.exit_code == 128 + SIGKILL;
  }
  // Opens what the child left, brings everything to its end, and looks at the books.
  void FinishAndAudit() {
    Result<std::unique_ptr<Store>> store = OpenBank(dir_.path() + "/bank.db", "", 0);
    ASSERT_TRUE(store.ok()) << store.status().ToString();
    ASSERT_EQ(AuditAnytime(**store), "");
    Driver driver([&](const Call& call) { return TryAsk(**store, call); }, 1);
    LoadHeard(dir_.path() + "/heard", driver);
    driver.FinishAll(0, kThreads * kTransfersPerThread);
    EXPECT_EQ(AuditAtRest(**store, 0, kThreads * kTransfersPerThread), "");
    EXPECT_EQ(Outsider(dir_.path() + "/bank.db").Run("PRAGMA integrity_check"), "ok");
  }
  assent::test::TempDir dir_;
};

TEST_F(CrashTest, AtEveryMomentAgainAndAgain) {
  const std::vector<std::string> moments = {
      "group:began", "group:before-commit", "group:committed", "group:answered", "sync", "write"};
  int kills = 0;
  int seed = 0;
  for (int round = 0; round < 4; ++round) {
    for (const std::string& moment : moments) {
      ++seed;
      kills += RunChild(moment, seed * 7 % 29, seed) ? 1 : 0;
      if (HasFailure()) return;
    }
  }
  // Most of the children died as told; the last ones may have found everything done.
  EXPECT_GE(kills, 18);
  FinishAndAudit();
}

// One prepare, and the service dies around its commit: it is there whole, or not at all, and the
// answer tells the truth.
class CrashPointTest : public ::testing::Test,
                       public ::testing::WithParamInterface<std::pair<const char*, int>> {};

TEST(CrashChild, DISABLED_PrepareOnce) {
  Result<std::unique_ptr<Store>> store =
      OpenBank(Env("CRASH_DIR") + "/bank.db", Env("CRASH_MOMENT"), std::stoi(Env("CRASH_AFTER")));
  ASSERT_TRUE(store.ok());
  const Transfer transfer = Transfer::Of(0);
  ASSERT_EQ(transfer.protocol, Protocol::kTwoPhase);
  (void)TryAsk(**store, transfer.Make("from", Operation::kPrepare));
  (void)TryAsk(**store, transfer.Make("from", Operation::kCommit));
}

TEST_P(CrashPointTest, IsWholeOrNothing) {
  const auto [moment, after] = GetParam();
  assent::test::TempDir dir;
  const std::string path = dir.path() + "/bank.db";
  ASSERT_TRUE(OpenBank(path, "", 0).ok());  // the tables are there before
  const assent::test::Finished finished = assent::test::RunToEnd(
      {.argv = {"/proc/self/exe", "--gtest_filter=CrashChild.DISABLED_PrepareOnce",
                "--gtest_also_run_disabled_tests"},
       .env = {{"CRASH_DIR", dir.path()},
               {"CRASH_MOMENT", moment},
               {"CRASH_AFTER", std::to_string(after)}}},
      std::chrono::seconds(60));
  ASSERT_EQ(finished.exit_code, 128 + SIGKILL) << finished.output;

  Result<std::unique_ptr<Store>> store = OpenBank(path, "", 0);
  ASSERT_TRUE(store.ok());
  const Stats stats = *(*store)->Inspect();
  const std::string balance = Outsider(path).Run("SELECT available FROM account WHERE id = 'a0'");
  const std::string effects = Outsider(path).Run("SELECT count(*) FROM effect");
  if (stats.barrier_rows == 0) {
    EXPECT_EQ(stats.prepared, 0);
    EXPECT_EQ(stats.claims, 0);
    EXPECT_EQ(effects, "0");
  } else if (stats.prepared == 1) {
    EXPECT_GT(stats.claims, 0);
    EXPECT_EQ(balance, "1000") << "invisible";
    EXPECT_EQ((*store)->Questions(10).size(), 1U) << "asked about at once after the start";
  } else {
    EXPECT_EQ(balance, "999");
    EXPECT_EQ(effects, "1");
    EXPECT_EQ(stats.claims, 0);
  }
  const Transfer transfer = Transfer::Of(0);
  EXPECT_EQ(Ask(**store, transfer.Make("from", Operation::kPrepare)).kind, Reply::Kind::kDone);
  EXPECT_EQ(Ask(**store, transfer.Make("from", Operation::kCommit)), Reply::Done());
  EXPECT_EQ(Outsider(path).Run("SELECT available FROM account WHERE id = 'a0'"), "999");
  EXPECT_EQ(Outsider(path).Run("SELECT count(*) FROM effect"), "1");
}

// Groups: 0 is the prepare's, 1 the commit's. Syncs and writes: counted from the opening's own two
// commits on.
INSTANTIATE_TEST_SUITE_P(
    Points, CrashPointTest,
    ::testing::Values(std::pair("group:began", 0), std::pair("group:before-commit", 0),
                      std::pair("group:committed", 0), std::pair("group:answered", 0),
                      std::pair("group:before-commit", 1), std::pair("group:committed", 1),
                      std::pair("sync", 1), std::pair("sync", 2), std::pair("sync", 3),
                      std::pair("write", 4), std::pair("write", 8), std::pair("write", 12),
                      std::pair("write", 16), std::pair("write", 20)));

}  // namespace assent::sqlite::test
