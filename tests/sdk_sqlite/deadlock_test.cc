// Transactions that want each other's rows, with a real assentd and a real store. Without a rule
// about who waits for whom they stand still until their deadlines, and everybody behind them too.

#include <algorithm>
#include <atomic>
#include <chrono>
#include <memory>
#include <string>
#include <thread>
#include <utility>
#include <vector>

#include <gtest/gtest.h>

#include <assent/client.h>
#include <assent/participant.h>

#include "tests/sdk_sqlite/store_fixture.h"
#include "tests/support/process.h"

namespace assent::sqlite::test {
namespace {

using std::chrono_literals::operator""s;
using Clock = std::chrono::steady_clock;

constexpr auto kDeadline = 120s;
// Milliseconds, in truth; but the machine may be busy.
constexpr auto kFarBelow = kDeadline / 4;

class DeadlockTest : public ::testing::Test {
 protected:
  void SetUp() override {
    ASSERT_TRUE(daemon_.Start().ok());
    ASSERT_TRUE(daemon_.WaitForOutput("listening", 30s)) << daemon_.Output();
    Options options;
    options.path = dir_ / "service.db";
    options.setup = [](Db& db) {
      db.ExecScript(
          "CREATE TABLE t(id TEXT PRIMARY KEY, v INT); INSERT INTO t VALUES('a', 0), ('b', 0)");
    };
    store_ = std::move(*Store::Open(options));
    const DbHandler up = [](Db& db, const Call& call) {
      db.Exec("UPDATE t SET v = v + 1 WHERE id = ?", call.payload);
      return Reply::Done();
    };
    const DbHandler nothing = [](Db&, const Call&) { return Reply::Done(); };
    store_->TwoPhase("up", up);
    store_->Tcc("up", {.try_ = up, .confirm = nothing, .cancel = nothing});
    participant_ = std::make_unique<Participant>(
        ParticipantOptions{.service = "rows", .endpoints = {endpoint_}});
    participant_->Attach(*store_);
    ASSERT_TRUE(participant_->Start().ok());
    ASSERT_TRUE(participant_->WaitConnected(30s).ok());
  }
  std::string Value(const std::string& id) {
    return Outsider(dir_ / "service.db").Run("SELECT v FROM t WHERE id = '" + id + "'");
  }
  OpenTransaction Begin() {
    Result<OpenTransaction> open = client_.Begin(Transaction().Deadline(kDeadline));
    EXPECT_TRUE(open.ok()) << open.status().ToString();
    return std::move(*open);
  }

  assent::test::TempDir dir_;
  const std::string endpoint_ = "127.0.0.1:" + std::to_string(assent::test::FreePort());
  assent::test::Process daemon_{{.argv = {assent::test::BinDir() + "/assentd", "--http-listen",
                                          "none", "--listen", endpoint_, "--data", dir_ / "data"}}};
  std::unique_ptr<Store> store_;
  std::unique_ptr<Participant> participant_;
  const Client client_{{.endpoint = endpoint_}};
};

TEST_F(DeadlockTest, OfTwoThatWantEachOthersRowsTheOlderGetsThem) {
  OpenTransaction older = Begin();
  OpenTransaction younger = Begin();
  const std::string sentence = "aborted so that the older transaction " + older.gid() +
                               ", which waits for its rows at rows, can go on";
  ASSERT_TRUE(older.TwoPhase("rows", "up", "a").ok());
  ASSERT_TRUE(younger.TwoPhase("rows", "up", "b").ok());
  const auto began = Clock::now();
  Result<BranchResult> crossed = NotFound("not asked");
  std::thread other([&] { crossed = younger.TwoPhase("rows", "up", "a"); });
  const Result<BranchResult> granted = older.TwoPhase("rows", "up", "b");
  other.join();
  ASSERT_TRUE(granted.ok()) << granted.status().ToString();
  EXPECT_EQ(crossed.status().code(), Code::kAborted);
  EXPECT_NE(crossed.status().message().find(sentence), std::string::npos)
      << crossed.status().message();
  const Result<Report> report = older.Commit({.wait = WaitFor::kCompleted});
  ASSERT_TRUE(report.ok()) << report.status().ToString();
  EXPECT_TRUE(report->committed());
  EXPECT_LT(Clock::now() - began, kFarBelow);
  EXPECT_EQ(Value("a") + Value("b"), "11");
  EXPECT_EQ(client_.Get(younger.gid())->abort_reason, sentence);
}

// The one that holds the row waits for nobody: there is no circle, and nobody is aborted, however
// old the others are.
TEST_F(DeadlockTest, WhoWaitsForNobodyIsNotAborted) {
  OpenTransaction older = Begin();
  OpenTransaction younger = Begin();
  ASSERT_TRUE(older.TwoPhase("rows", "up", "a").ok());
  ASSERT_TRUE(younger.TwoPhase("rows", "up", "b").ok());
  Result<BranchResult> granted = NotFound("not asked");
  std::thread other([&] { granted = older.TwoPhase("rows", "up", "b"); });
  ASSERT_TRUE(assent::test::WaitUntil(
      [&] {
        const Result<TransactionInfo> info = client_.Get(older.gid());
        return info.ok() && info->branches.size() == 2 && info->branches[1].attempts >= 3;
      },
      30s))
      << "it says several times who is in its way";
  EXPECT_TRUE(younger.Commit({.wait = WaitFor::kCompleted})->committed());
  other.join();
  ASSERT_TRUE(granted.ok()) << granted.status().ToString();
  EXPECT_TRUE(older.Commit({.wait = WaitFor::kCompleted})->committed());
  EXPECT_EQ(Value("a") + Value("b"), "12");
}

// Branches start at once, so an equal order of declaration orders nothing.
TEST_F(DeadlockTest, EightThreadsWithTwoRowsEachAllEnd) {
  constexpr int kThreads = 8;
  constexpr int kRounds = 20;
  std::atomic<int> committed{0};
  std::atomic<int> local{0};
  std::atomic<bool> running{true};
  const auto began = Clock::now();
  std::vector<std::thread> threads;
  for (int i = 0; i < kThreads; ++i) {
    threads.emplace_back([&, i] {
      for (int round = 0; round < kRounds; ++round) {
        Transaction both;
        both.TwoPhase("rows", "up", "a").Deadline(kDeadline);
        i % 4 == 3 ? both.Tcc("rows", "up", "b") : both.TwoPhase("rows", "up", "b");
        const Result<Report> report = client_.Submit(both, {.wait = WaitFor::kCompleted});
        ASSERT_TRUE(report.ok()) << report.status().ToString();
        committed += report->committed() ? 1 : 0;
        if (report->committed()) continue;
        EXPECT_EQ(report->abort_reason.rfind("aborted so that the older transaction ", 0), 0U)
            << report->abort_reason;
      }
    });
  }
  // The service's own writes wait among them.
  std::thread own([&] {
    while (running) {
      const Status status = store_->Local(
          [](Db& db) {
            db.Exec("UPDATE t SET v = v + 1");
            return OkStatus();
          },
          kDeadline);
      EXPECT_TRUE(status.ok()) << status.ToString();
      ++local;
    }
  });
  for (std::thread& thread : threads) thread.join();
  running = false;
  own.join();
  EXPECT_LT(Clock::now() - began, kFarBelow);
  EXPECT_GT(committed, kRounds) << "mostly they get through";
  RecordProperty("committed", committed.load());
  std::printf("%d of %d committed, the others gave way; %d writes of the service's own\n",
              committed.load(), kThreads * kRounds, local.load());
  EXPECT_EQ(store_->Inspect()->claims, 0);
  const std::string cancelled =
      Outsider(dir_ / "service.db")
          .Run("SELECT count(*) FROM assent_barrier WHERE protocol = 2 AND state = 6");
  EXPECT_EQ(Value("a"), std::to_string(committed + local));
  EXPECT_EQ(Value("b"), std::to_string(committed + local + std::stoi(cancelled)))
      << "a try here is in force at once, and its cancel leaves it";
}

}  // namespace
}  // namespace assent::sqlite::test
