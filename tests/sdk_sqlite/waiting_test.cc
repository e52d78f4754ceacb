// Operations that wait for a claim: handed on when the holder ends, answered when their patience does.

#include <atomic>
#include <future>
#include <set>

#include "tests/sdk_sqlite/two_phase_fixture.h"

namespace assent::sqlite::test {
namespace {

using Kind = Reply::Kind;

class WaitingTest : public TwoPhaseFixture {
 protected:
  void OpenWaiting(std::chrono::milliseconds wait) {
    Options options = MakeOptions(
        "CREATE TABLE IF NOT EXISTS t(id TEXT PRIMARY KEY, v INT); INSERT INTO t VALUES('a', 0), "
        "('b', 0) ON CONFLICT DO NOTHING");
    options.claim_wait = wait;
    Open(options, &RegisterSql);
  }
  std::future<Reply> Start(Call call) {
    auto promise = std::make_shared<std::promise<Reply>>();
    std::future<Reply> future = promise->get_future();
    store().Execute(std::move(call),
                    [promise](Reply reply) { promise->set_value(std::move(reply)); });
    return future;
  }
  // Behind everything queued so far.
  void Settle() {
    ASSERT_EQ(store().Local([](Db&) { return OkStatus(); }), OkStatus());
  }
  static bool IsReady(const std::future<Reply>& future) {
    return future.wait_for(std::chrono::seconds(0)) == std::future_status::ready;
  }
  static constexpr char kUpA[] = "UPDATE t SET v = v + 1 WHERE id = 'a'";
  static constexpr auto kLong = std::chrono::minutes(10);
};

TEST_F(WaitingTest, TheNextOneRunsWhenTheHolderCommits) {
  OpenWaiting(kLong);
  ASSERT_EQ(Prepare("g1", kUpA), Reply::Done("ok"));
  std::future<Reply> prepare = Start(PrepareCall("g2", kUpA));
  std::future<Reply> attempt =
      Start(Branch{"g3", "b1", Protocol::kTcc, "sql", kUpA}.To(Operation::kTry));
  Settle();
  EXPECT_FALSE(IsReady(prepare));
  EXPECT_FALSE(IsReady(attempt));
  EXPECT_EQ(Try("g4", "UPDATE t SET v = 5 WHERE id = 'b'"), Reply::Done("ok")) << "others go on";
  EXPECT_EQ(Commit("g1"), Reply::Done());
  EXPECT_EQ(prepare.get(), Reply::Done("ok"));
  EXPECT_FALSE(IsReady(attempt)) << "it now waits for g2";
  EXPECT_EQ(Rollback("g2"), Reply::Done());
  EXPECT_EQ(attempt.get(), Reply::Done("ok"));
  EXPECT_EQ(Sql("SELECT v FROM t WHERE id = 'a'"), "2");
}

TEST_F(WaitingTest, WhosePatienceEndsIsAnsweredRetryLater) {
  OpenWaiting(std::chrono::milliseconds(30));
  ASSERT_EQ(Prepare("g1", kUpA), Reply::Done("ok"));
  const auto before = std::chrono::steady_clock::now();
  EXPECT_EQ(
      Prepare("g2", kUpA),
      Reply::RetryLater("row t('a') is held by branch b1 of transaction g1, which is prepared"));
  EXPECT_GE(std::chrono::steady_clock::now() - before, std::chrono::milliseconds(30));
  EXPECT_EQ(Inspect().barrier_rows, 1) << "nothing is left of it";
  EXPECT_EQ(Commit("g1"), Reply::Done());
  EXPECT_EQ(Prepare("g2", kUpA), Reply::Done("ok"));
}

TEST_F(WaitingTest, ARollbackOvertakesAWaitingPrepare) {
  OpenWaiting(kLong);
  ASSERT_EQ(Prepare("g1", kUpA), Reply::Done("ok"));
  std::future<Reply> late = Start(PrepareCall("g2", kUpA));
  Settle();
  EXPECT_EQ(Rollback("g2"), Reply::Done());
  EXPECT_EQ(Commit("g1"), Reply::Done());
  EXPECT_EQ(late.get(), Reply::Refused("rolled back before it was prepared"));
  EXPECT_EQ(Inspect().claims, 0);
}

TEST_F(WaitingTest, RepeatsThatWaitTogetherGetOneAnswer) {
  OpenWaiting(kLong);
  ASSERT_EQ(Prepare("g1", kUpA), Reply::Done("ok"));
  std::vector<std::future<Reply>> repeats;
  for (int i = 0; i < 5; ++i) repeats.push_back(Start(PrepareCall("g2", kUpA)));
  Settle();
  EXPECT_EQ(Commit("g1"), Reply::Done());
  for (auto& repeat : repeats) EXPECT_EQ(repeat.get(), Reply::Done("ok"));
  EXPECT_EQ(Commit("g2"), Reply::Done());
  EXPECT_EQ(Sql("SELECT v FROM t WHERE id = 'a'"), "2");
}

TEST_F(WaitingTest, ACrowdForOneRowIsServedInTurn) {
  OpenWaiting(kLong);
  constexpr int kCrowd = 150;
  std::atomic<int> done{0};
  std::promise<void> all;
  for (int i = 0; i < kCrowd; ++i) {
    const Call prepare = PrepareCall("g" + std::to_string(i), kUpA);
    store().Execute(prepare, [&, prepare](const Reply& reply) {
      EXPECT_EQ(reply, Reply::Done("ok"));
      Call commit = prepare;
      commit.operation = Operation::kCommit;
      store().Execute(commit, [&](const Reply& second) {
        EXPECT_EQ(second, Reply::Done());
        if (++done == kCrowd) all.set_value();
      });
    });
  }
  ASSERT_EQ(all.get_future().wait_for(std::chrono::seconds(60)), std::future_status::ready) << done;
  EXPECT_EQ(Sql("SELECT v FROM t WHERE id = 'a'"), std::to_string(kCrowd));
}

TEST_F(WaitingTest, TheRoomIsBoundedWithTheQueue) {
  Options options = MakeOptions(
      "CREATE TABLE IF NOT EXISTS t(id TEXT PRIMARY KEY, v INT); INSERT INTO t VALUES('a', 0)");
  options.claim_wait = kLong;
  options.max_queued = 3;
  Open(options, &RegisterSql);
  ASSERT_EQ(Prepare("g1", kUpA), Reply::Done("ok"));
  std::vector<std::future<Reply>> waiting;
  for (int i = 0; i < 3; ++i) {
    waiting.push_back(Start(PrepareCall("w" + std::to_string(i), kUpA)));
    // Taken from the queue, and in the room, before the next one comes.
    ASSERT_TRUE(assent::test::WaitUntil(
        [&] { return store().Inspect()->operations >= static_cast<std::uint64_t>(2 + i); },
        std::chrono::seconds(10)));
  }
  EXPECT_TRUE(
      assent::test::WaitUntil([&] { return Prepare("more", "SELECT 1").kind == Kind::kRetryLater; },
                              std::chrono::seconds(10)));
  Close();
  for (auto& future : waiting)
    EXPECT_EQ(future.get().kind, Kind::kRetryLater) << "answered before the store is gone";
}

}  // namespace
}  // namespace assent::sqlite::test
