// kill -9 of the server at random, under several threads that each play the coordinator of one Saga
// of automatic steps after the other: operations come twice, late, and before their turn. At the
// end the books hold what was committed, and nothing else.

#include <atomic>
#include <map>
#include <mutex>
#include <random>
#include <thread>

#include "tests/sdk_mariadb/store_fixture.h"

namespace assent::mariadb::test {
namespace {

using Kind = Reply::Kind;

constexpr int kThreads = 6;
constexpr int kKills = 4;

// Moves coins between the two accounts of a thread, and writes down what it did.
Reply MoveCoins(Db& db, const Call& call) {
  const std::size_t blank = call.payload.find(' ');
  const std::string id = call.payload.substr(0, blank);
  const std::string coins = call.payload.substr(blank + 1);
  db.Exec("INSERT INTO entry(gid, branch, account, coins) VALUES(?, ?, ?, ?)", call.gid,
          call.branch_id, id, coins);
  db.Exec("INSERT INTO line SELECT ?, ?, seq FROM seq_1_to_3", call.gid, call.branch_id);
  const auto moved = db.Exec("UPDATE account SET free = free + ? WHERE id = ? AND free + ? >= 0",
                             coins, id, coins);
  return moved == 1 ? Reply::Done(call.payload) : Reply::Refused("not enough");
}

class AutoSagaCrashTest : public StoreTest {
 protected:
  // Its own: the others' may not be killed under their feet.
  AutoSagaCrashTest() : StoreTest(OwnServer()) {}
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
      if (reply && reply->kind != Kind::kRetryLater) return *reply;
      std::this_thread::yield();
    }
  }

  void Transfer(const std::string& gid, int thread, std::mt19937& random) {
    const int amount = static_cast<int>(random() % 40) + 1;
    const int from = 2 * thread + 1 + static_cast<int>(random() % 2);
    const int to = from % 2 == 0 ? from - 1 : from + 1;
    bool commits = random() % 3 != 0;
    std::vector<Branch> branches;
    std::size_t acted = 0;
    for (const auto& [id, change] : {std::pair(from, -amount), std::pair(to, amount)}) {
      branches.push_back({.gid = gid,
                          .branch_id = "b" + std::to_string(branches.size() + 1),
                          .protocol = Protocol::kSaga,
                          .action = "move",
                          .payload = std::to_string(id) + " " + std::to_string(change)});
    }
    for (const Branch& branch : branches) {
      // A deadline: it is given up without a word from this one.
      if (!commits && random() % 4 == 0) break;
      const Reply reply = Insist(branch.To(Operation::kAction));
      ++acted;
      EXPECT_EQ(Insist(branch.To(Operation::kAction)), reply) << gid << ": another answer";
      commits = commits && reply.kind == Kind::kDone;
      if (reply.kind != Kind::kDone) break;
    }
    for (std::size_t i = branches.size(); !commits && i-- > 0;) {
      const Reply undone = Insist(branches[i].To(Operation::kCompensate));
      EXPECT_EQ(undone.kind, Kind::kDone) << gid << ": " << undone.reason;
      if (i >= acted) {  // it comes late
        EXPECT_EQ(Insist(branches[i].To(Operation::kAction)).kind, Kind::kRefused);
      }
      EXPECT_EQ(Insist(branches[i].To(Operation::kCompensate)).kind, Kind::kDone) << "again";
    }
    const std::lock_guard lock(mutex_);
    ++ended_;
    if (!commits) return;
    ++committed_;
    expected_[from] -= amount;
    expected_[to] += amount;
  }
  int ended() {
    const std::lock_guard lock(mutex_);
    return ended_;
  }

  std::mutex mutex_;
  std::map<int, int> expected_;
  int committed_ = 0;
  int ended_ = 0;
};

TEST_F(AutoSagaCrashTest, TheServerIsKilledAtRandomAndTheBooksBalance) {
  Options options = MakeOptions();
  options.max_group_time = std::chrono::milliseconds(50);
  options.setup = [](Db& db) {
    db.ExecScript(kMakeAccounts);
    db.ExecScript(
        "CREATE TABLE IF NOT EXISTS entry(gid VARCHAR(64), branch VARCHAR(64), account INT, coins "
        "INT, PRIMARY KEY(gid, branch), FOREIGN KEY(account) REFERENCES account(id)) "
        "ENGINE=InnoDB; CREATE TABLE IF NOT EXISTS line(gid VARCHAR(64), branch VARCHAR(64), n "
        "INT, PRIMARY KEY(gid, branch, n), FOREIGN KEY(gid, branch) REFERENCES entry(gid, branch)) "
        "ENGINE=InnoDB");
  };
  options.undo_tables = {"account", "entry", "line"};
  Open(std::move(options), [](Store& store) { store.AutoSaga("move", MoveCoins); });
  std::atomic<bool> stop = false;
  std::vector<std::thread> threads;
  for (int number = 0; number < kThreads; ++number) {
    threads.emplace_back([&, number] {
      std::mt19937 random(static_cast<unsigned>(number));
      for (int i = 0; !stop; ++i)
        Transfer("g" + std::to_string(number) + "-" + std::to_string(i), number, random);
    });
  }
  std::mt19937 random(7);
  for (int i = 0; i < kKills; ++i) {
    const int more = ended() + 10 + static_cast<int>(random() % 30);
    // Some end between two kills, and the kill comes at no particular moment.
    EXPECT_TRUE(assent::test::WaitUntil([&] { return ended() > more; }, std::chrono::seconds(60)));
    server().Kill();
    ASSERT_TRUE(server().Start().ok());
  }
  stop = true;
  for (std::thread& thread : threads) thread.join();
  EXPECT_GT(committed_, 0);
  EXPECT_GT(ended_, committed_);
  for (int id = 1; id <= 2 * kThreads; ++id)
    EXPECT_EQ(Balance(id), std::to_string(100 + expected_[id]) + "/0") << "account " << id;
  EXPECT_EQ(Sql("SELECT count(*) FROM entry"), std::to_string(2 * committed_));
  EXPECT_EQ(Sql("SELECT count(*) FROM line"), std::to_string(6 * committed_));
  EXPECT_EQ(Sql("SELECT count(*) FROM assent_undo u WHERE NOT EXISTS(SELECT 1 FROM assent_barrier "
                "b WHERE b.gid = u.gid AND b.branch_id = u.branch_id AND b.state = 2)"),
            "0")
      << "images of steps that are in force, and of no others";
  std::printf("%d of %d committed over %d kills\n", committed_, ended_, kKills);
}

}  // namespace
}  // namespace assent::mariadb::test
