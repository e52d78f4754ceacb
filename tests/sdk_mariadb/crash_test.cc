// kill -9 of the server at random, under several threads that each play the coordinator of one
// transaction after the other. What was answered stays answered; at the end the books balance to
// the last coin.

#include <atomic>
#include <map>
#include <mutex>
#include <random>
#include <thread>

#include "tests/sdk_mariadb/store_fixture.h"

namespace assent::mariadb::test {
namespace {

using Kind = Reply::Kind;

constexpr int kThreads = 8;
constexpr int kAccounts = 24;  // few: they meet
constexpr int kKills = 5;

class CrashTest : public StoreTest {
 protected:
  // Its own: the others' may not be killed under their feet.
  CrashTest() : StoreTest(OwnServer()) {}
  static MariaServer& OwnServer() {
    static MariaServer server;
    if (!server.Running()) {
      EXPECT_TRUE(server.Start().ok());
    }
    return server;
  }

  // Until it is known, as a coordinator does.
  Reply Insist(const Call& call) {
    for (;;) {
      const std::optional<Reply> reply = TryAsk(store(), call);
      if (!reply) ++unknown_;
      if (reply && reply->kind != Kind::kRetryLater) return *reply;
      ++again_;
      std::this_thread::yield();
    }
  }
  // One transaction of two branches: takes from one account, gives to another.
  void Transfer(const std::string& gid, std::mt19937& random) {
    const Protocol protocol = random() % 2 == 0 ? Protocol::kTcc : Protocol::kTwoPhase;
    const Operations& operations = OperationsOf(protocol);
    const int from = static_cast<int>(random() % kAccounts) + 1;
    const int to = from % kAccounts + 1;
    const int amount = static_cast<int>(random() % 30) + 1;
    const std::int64_t began = ++clock_;
    std::vector<Branch> branches;
    for (const auto& [id, change] : {std::pair(from, -amount), std::pair(to, amount)}) {
      branches.push_back({.gid = gid,
                          .branch_id = "b" + std::to_string(branches.size() + 1),
                          .protocol = protocol,
                          .payload = std::to_string(id) + " " + std::to_string(change),
                          .began_unix_ms = began});
    }
    bool commits = random() % 5 != 0;
    std::size_t asked = 0;
    for (const Branch& branch : branches) {
      ++asked;
      const Call call = branch.To(operations.forward);
      // Not for ever: two of the same age in a circle would be told apart by a coordinator.
      const Reply reply = TryForward(call);
      if (reply.kind == Kind::kDone) {
        EXPECT_EQ(Insist(call), reply) << gid << ": another answer";
      }
      commits = commits && reply.kind == Kind::kDone;
      if (reply.kind != Kind::kDone) break;
    }
    for (std::size_t i = 0; i < asked; ++i) {
      const Call call = branches[i].To(commits ? operations.finish : operations.undo);
      EXPECT_EQ(Insist(call).kind, Kind::kDone) << gid;
      if (random() % 4 == 0) {
        EXPECT_EQ(Insist(call).kind, Kind::kDone) << gid << ", again";
      }
    }
    if (!commits) return;
    const std::lock_guard lock(mutex_);
    expected_[from] -= amount;
    expected_[to] += amount;
    ++committed_;
  }
  // A few times; then the transaction is aborted, as by its deadline.
  Reply TryForward(const Call& call) {
    Reply last = Reply::RetryLater("no answer");
    for (int i = 0; i < 3; ++i) {
      const std::optional<Reply> reply = TryAsk(store(), call);
      if (!reply) ++unknown_;
      if (reply) last = *reply;
      if (reply && reply->kind != Kind::kRetryLater) break;
      if (!last.blocked_by.empty()) break;
    }
    return last;
  }

  int committed() {
    const std::lock_guard lock(mutex_);
    return committed_;
  }

  std::atomic<std::int64_t> clock_ = 1000;
  std::atomic<int> unknown_ = 0;
  std::atomic<int> again_ = 0;
  std::mutex mutex_;
  std::map<int, int> expected_;
  int committed_ = 0;
};

TEST_F(CrashTest, TheServerIsKilledAtRandomAndTheBooksBalance) {
  Options options = MakeOptions();
  options.lock_timeout = std::chrono::seconds(1);
  options.max_group_time = std::chrono::milliseconds(50);
  OpenAccounts(std::move(options));
  std::atomic<bool> stop = false;
  std::vector<std::thread> threads;
  for (int number = 0; number < kThreads; ++number) {
    threads.emplace_back([&, number] {
      std::mt19937 random(static_cast<unsigned>(number));
      for (int i = 0; !stop; ++i)
        Transfer("g" + std::to_string(number) + "-" + std::to_string(i), random);
    });
  }
  std::mt19937 random(99);
  for (int i = 0; i < kKills; ++i) {
    const int before = committed();
    const std::size_t more = 20 + random() % 40;
    // Some are committed between two kills, and the kill comes at no particular moment.
    EXPECT_TRUE(assent::test::WaitUntil(
        [&] { return committed() > before + static_cast<int>(more); }, std::chrono::seconds(60)));
    server().Kill();
    ASSERT_TRUE(server().Start().ok());
  }
  stop = true;
  for (std::thread& thread : threads) thread.join();
  for (int id = 1; id <= kAccounts; ++id)
    EXPECT_EQ(Balance(id), std::to_string(100 + expected_[id]) + "/0") << "account " << id;
  EXPECT_EQ(Inspect().prepared, 0);
  EXPECT_EQ(Sql("SELECT count(*) FROM assent_barrier WHERE state IN (2, 4)"), "0");
  EXPECT_EQ(Sql("SELECT count(*) FROM assent_marker"), "0");
  EXPECT_EQ(server().Recover().size(), 0U);
  RecordProperty("committed", committed_);
  std::printf("%d committed over %d kills, %d without an answer, asked again %d times\n",
              committed_, kKills, unknown_.load(), again_.load());
}

}  // namespace
}  // namespace assent::mariadb::test
