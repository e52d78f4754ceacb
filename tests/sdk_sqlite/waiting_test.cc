// Operations that wait for a claim: handed on when the holder ends, answered when their patience
// does.

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
  // The same, of a transaction that began then, at that coordinator.
  Call PrepareAt(std::int64_t began, const std::string& gid, const std::string& sql,
                 std::uint32_t coordinator = 7) {
    Call call = PrepareCall(gid, sql);
    call.began_unix_ms = began;
    call.coordinator_id = coordinator;
    return call;
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

// Everybody waits for older ones only (who_waits.h).
TEST_F(WaitingTest, AnOlderOneSoonSaysWhichYoungerOneIsInItsWay) {
  OpenWaiting(kLong);
  ASSERT_EQ(Ask(store(), PrepareAt(20, "young", kUpA)).kind, Kind::kDone);
  std::future<Reply> younger = Start(PrepareAt(30, "younger", kUpA));
  const Reply told = Start(PrepareAt(10, "old", kUpA)).get();
  EXPECT_EQ(told.kind, Kind::kRetryLater);
  EXPECT_EQ(told.blocked_by, "young");
  EXPECT_GT(told.retry_after.count(), 0);
  EXPECT_EQ(told.reason,
            "row t('a') is held by branch b1 of transaction young, which is prepared, and younger");
  EXPECT_FALSE(IsReady(younger)) << "it waits for an older one";
  // When the younger one has given way, the oldest gets the row, although it has not asked again
  // yet.
  EXPECT_EQ(Rollback("young"), Reply::Done());
  EXPECT_EQ(Ask(store(), PrepareAt(10, "old", kUpA)), Reply::Done("ok"));
  EXPECT_FALSE(IsReady(younger));
  EXPECT_EQ(Commit("old"), Reply::Done());
  EXPECT_EQ(younger.get(), Reply::Done("ok"));
}

TEST_F(WaitingTest, TheOldestOfThoseWhoWaitIsNext) {
  OpenWaiting(kLong);
  ASSERT_EQ(Ask(store(), PrepareAt(1, "first", kUpA)).kind, Kind::kDone);
  std::future<Reply> last = Start(PrepareAt(30, "last", kUpA));
  std::future<Reply> next = Start(PrepareAt(20, "next", kUpA));
  Settle();
  EXPECT_EQ(Commit("first"), Reply::Done());
  EXPECT_EQ(next.get(), Reply::Done("ok"));
  EXPECT_FALSE(IsReady(last));
  EXPECT_EQ(Commit("next"), Reply::Done());
  EXPECT_EQ(last.get(), Reply::Done("ok"));
}

// Nobody can make the younger one give way: its coordinator does not know the other.
TEST_F(WaitingTest, AnOlderOneOfAnotherCoordinatorIsRefused) {
  OpenWaiting(kLong);
  ASSERT_EQ(Ask(store(), PrepareAt(20, "young", kUpA, 7)).kind, Kind::kDone);
  const Call old = PrepareAt(10, "old", kUpA, 8);
  const Reply refused = Ask(store(), old);
  EXPECT_EQ(refused.kind, Kind::kRefused);
  EXPECT_EQ(refused.reason,
            "row t('a') is held by branch b1 of transaction young, which is prepared, younger, and "
            "of coordinator 7: an older transaction does not wait for it, or both might for ever");
  std::future<Reply> younger = Start(PrepareAt(30, "younger", kUpA, 8));
  Settle();
  EXPECT_FALSE(IsReady(younger)) << "who is younger waits, whoever began it";
  EXPECT_EQ(Commit("young"), Reply::Done());
  EXPECT_EQ(younger.get(), Reply::Done("ok"));
  EXPECT_EQ(Ask(store(), old), refused) << "a no stays a no";
}

// Who holds nothing is part of no circle.
TEST_F(WaitingTest, OnePhaseWorkAndPhaseTwoJustWait) {
  OpenWaiting(std::chrono::milliseconds(0));
  ASSERT_EQ(Ask(store(), PrepareAt(20, "young", kUpA)).kind, Kind::kDone);
  Call alone = PrepareAt(10, "old", kUpA);
  alone.one_phase = true;
  EXPECT_EQ(Ask(store(), alone).reason,
            "row t('a') is held by branch b1 of transaction young, which is prepared");
  alone.coordinator_id = 8;
  EXPECT_EQ(Ask(store(), alone).kind, Kind::kRetryLater);
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
