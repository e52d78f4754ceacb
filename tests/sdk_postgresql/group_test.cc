// Many operations in one local transaction: what one of them does wrong its neighbours do not
// notice, and what ends the transaction for all ends it for one alone.

#include <atomic>
#include <future>
#include <latch>
#include <thread>

#include "tests/sdk_postgresql/group_fixture.h"

namespace assent::postgresql::test {
namespace {

using Kind = Reply::Kind;

Reply Nothing(Db&, const Call&) { return Reply::Done(); }

TEST_F(GroupTest, ManyShareOneCommit) {
  OpenAccounts(Gated());
  for (const Reply& reply : AskTogether(Calls(100, Operation::kTry, Protocol::kTcc)))
    EXPECT_EQ(reply.kind, Kind::kDone) << reply.reason;
  EXPECT_EQ(Sql("SELECT sum(free) || '/' || sum(held) FROM account"), "19900/100");
  const Stats stats = Inspect();
  EXPECT_EQ(stats.operations, 100U);
  EXPECT_LE(stats.groups, 5U) << "two that began at once, and the rest in sixties";
  EXPECT_GE(stats.groups, 2U) << "at most " << limits::kMaxSavepointsPerGroupCount << " together";
}

TEST_F(GroupTest, NoGroupHasMoreSavepointsThanPostgreSQLKeepsAtHand) {
  Open(Gated(), [](Store& store) {
    store.Saga("act", {.action =
                           [](Db& db, const Call& call) {
                             const int id = std::stoi(call.gid.substr(1));
                             for (int i = 0; i < 20; ++i) {
                               (void)db.TryExec("UPDATE account SET held = held + 1 WHERE id = $1",
                                                id);
                             }
                             return Reply::Done();
                           },
                       .compensate = Nothing});
  });
  for (const Reply& reply : AskTogether(Calls(30, Operation::kAction, Protocol::kSaga)))
    EXPECT_EQ(reply.kind, Kind::kDone) << reply.reason;
  EXPECT_GE(Inspect().groups, 10U) << "21 savepoints each: three to a group";
  EXPECT_EQ(Sql("SELECT sum(held) FROM account"), "600");
}

TEST_F(GroupTest, ABadNeighbourIsNotNoticed) {
  Open(Gated(), [](Store& store) {
    store.Saga("act", {.action = [](Db& db, const Call& call) -> Reply {
                         const int id = std::stoi(call.gid.substr(1));
                         db.Exec("UPDATE account SET held = 1 WHERE id = $1", id);
                         if (id % 5 == 1) db.Exec("UPDATE account SET free = -1 WHERE id = $1", id);
                         if (id % 5 == 2) throw std::runtime_error("no luck");
                         if (id % 5 == 3) return Reply::Refused("no");
                         if (id % 5 == 4) db.Exec("SELECT 1 / (SELECT 0)");
                         return Reply::Done(std::to_string(id));
                       },
                       .compensate = Nothing});
  });
  const std::vector<Reply> replies = AskTogether(Calls(50, Operation::kAction, Protocol::kSaga));
  for (std::size_t i = 0; i < replies.size(); ++i) {
    const std::size_t id = i + 1;
    const Kind expected = id % 5 == 0                  ? Kind::kDone
                          : id % 5 == 1 || id % 5 == 3 ? Kind::kRefused
                                                       : Kind::kRetryLater;
    EXPECT_EQ(replies[i].kind, expected) << id << ": " << replies[i].reason;
  }
  EXPECT_EQ(Sql("SELECT string_agg(id::text, ',' ORDER BY id) FROM account WHERE held = 1"),
            "5,10,15,20,25,30,35,40,45,50");
  EXPECT_EQ(Sql("SELECT count(*) FROM assent_barrier"), "30");
  EXPECT_LE(Inspect().groups, 4U);
}

TEST_F(GroupTest, WhoEndsTheTransactionRunsAloneAndOnlySoOften) {
  static std::atomic<int> runs;
  runs = 0;
  Open(Gated(), [](Store& store) {
    store.Saga(
        "act",
        {.action =
             [](Db& db, const Call& call) {
               const int id = std::stoi(call.gid.substr(1));
               db.Exec("UPDATE account SET held = held + 1 WHERE id = $1", id);
               if (id == 7) {
                 ++runs;
                 db.Exec("DO $$ BEGIN RAISE EXCEPTION 'clash' USING ERRCODE = '40001'; END $$");
               }
               return Reply::Done();
             },
         .compensate = Nothing});
  });
  const std::vector<Reply> replies = AskTogether(Calls(20, Operation::kAction, Protocol::kSaga));
  for (std::size_t i = 0; i < replies.size(); ++i)
    EXPECT_EQ(replies[i].kind, i == 6 ? Kind::kRetryLater : Kind::kDone) << replies[i].reason;
  EXPECT_NE(replies[6].reason.find("5 times in vain"), std::string::npos) << replies[6].reason;
  EXPECT_EQ(runs, limits::kMaxLocalTriesCount);
  EXPECT_EQ(Sql("SELECT sum(held) FROM account"), "19") << "the others once each";
}

TEST_F(GroupTest, ADeferredConstraintFailsForItsOwnerAlone) {
  Options options = Gated();
  options.setup = [](Db& db) {
    db.ExecScript(
        "CREATE TABLE parent(id int PRIMARY KEY); INSERT INTO parent SELECT generate_series(1, "
        "10); "
        "CREATE TABLE child(id int REFERENCES parent DEFERRABLE INITIALLY DEFERRED)");
  };
  Open(std::move(options), [](Store& store) {
    store.Saga("act", {.action =
                           [](Db& db, const Call& call) {
                             db.Exec("INSERT INTO child VALUES($1)", std::stoi(call.gid.substr(1)));
                             return Reply::Done();
                           },
                       .compensate = Nothing});
  });
  const std::vector<Reply> replies = AskTogether(Calls(11, Operation::kAction, Protocol::kSaga));
  for (std::size_t i = 0; i < replies.size(); ++i)
    EXPECT_EQ(replies[i].kind, i == 10 ? Kind::kRefused : Kind::kDone) << replies[i].reason;
  const Branch last{.gid = "g11", .protocol = Protocol::kSaga};
  EXPECT_EQ(Ask(store(), last.To(Operation::kAction)), replies[10]) << "the refusal is kept";
  EXPECT_EQ(Sql("SELECT count(*) FROM child"), "10");
}

TEST_F(GroupTest, TwoThatLockEachOthersRowsBothGetThrough) {
  Sql("ALTER DATABASE " + database() + " SET deadlock_timeout = '20ms'");
  Options options = MakeOptions();
  options.max_group = 1;
  options.group_lock_wait = std::chrono::seconds(5);  // longer than it takes to see the deadlock
  std::latch both_have_one(2);
  std::atomic<int> runs = 0;
  Open(std::move(options), [&](Store& store) {
    store.Saga("act", {.action =
                           [&](Db& db, const Call& call) {
                             const int mine = call.gid == "g1" ? 1 : 2;
                             db.Exec("UPDATE account SET held = held + 1 WHERE id = $1", mine);
                             if (++runs <= 2) both_have_one.arrive_and_wait();
                             db.Exec("UPDATE account SET held = held + 1 WHERE id = $1", 3 - mine);
                             return Reply::Done();
                           },
                       .compensate = Nothing});
  });
  for (const Reply& reply : AskAll(store(), Calls(2, Operation::kAction, Protocol::kSaga)))
    EXPECT_EQ(reply.kind, Kind::kDone) << reply.reason;
  EXPECT_EQ(Sql("SELECT sum(held) FROM account"), "4");
  // Who was undone may have its row again before the other has woken: then they meet once more.
  EXPECT_GE(Inspect().undone, 1U);
}

TEST_F(GroupTest, ASerialisationFailureIsTriedAgain) {
  Options options = MakeOptions();
  options.max_group = 1;
  options.isolation = Isolation::kSerializable;
  std::latch both_have_read(2);
  std::atomic<int> runs = 0;
  Open(std::move(options), [&](Store& store) {
    store.Saga("act", {.action =
                           [&](Db& db, const Call& call) {
                             const auto sum = db.Get<int>("SELECT sum(held) FROM account");
                             if (++runs <= 2) both_have_read.arrive_and_wait();
                             db.Exec("UPDATE account SET held = $2 WHERE id = $1",
                                     std::stoi(call.gid.substr(1)), *sum + 1);
                             return Reply::Done(std::to_string(*sum));
                           },
                       .compensate = Nothing});
  });
  std::string seen;
  for (const Reply& reply : AskAll(store(), Calls(2, Operation::kAction, Protocol::kSaga)))
    seen += reply.result;
  EXPECT_TRUE(seen == "01" || seen == "10") << seen << ": as if one had come after the other";
  EXPECT_GE(Inspect().undone, 1U);
}

TEST_F(GroupTest, ALostConnectionUndoesAndAllRunAgain) {
  static std::atomic<int> runs;
  runs = 0;
  Open(Gated(), [](Store& store) {
    store.Saga("act", {.action =
                           [](Db& db, const Call& call) {
                             const int id = std::stoi(call.gid.substr(1));
                             db.Exec("UPDATE account SET held = held + 1 WHERE id = $1", id);
                             if (id == 7 && ++runs == 1)
                               db.Exec("SELECT pg_terminate_backend(pg_backend_pid())");
                             return Reply::Done();
                           },
                       .compensate = Nothing});
  });
  for (const Reply& reply : AskTogether(Calls(20, Operation::kAction, Protocol::kSaga)))
    EXPECT_EQ(reply.kind, Kind::kDone) << reply.reason;
  EXPECT_EQ(runs, 2);
  EXPECT_EQ(Sql("SELECT sum(held) FROM account"), "20");
}

TEST_F(GroupTest, WhoMeetsALockInAGroupRunsAloneAndHoldsNobodyUp) {
  Options options = Gated();
  OpenAccounts(std::move(options));
  const std::string url = server().SocketUrl(database());
  std::latch locked(1);
  std::latch others_done(1);
  std::thread outsider([&] {
    // Holds account 3 until the others have been answered.
    Options own;
    own.connection = url;
    const auto theirs = Store::Open(own);
    EXPECT_EQ((*theirs)->Local([&](Db& db) {
      db.Exec("UPDATE account SET held = held WHERE id = 3");
      locked.count_down();
      others_done.wait();
      return OkStatus();
    }),
              OkStatus());
  });
  locked.wait();
  std::vector<std::future<Reply>> futures;
  for (Call& call : Calls(6, Operation::kTry, Protocol::kTcc)) {
    auto promise = std::make_shared<std::promise<Reply>>();
    futures.push_back(promise->get_future());
    store().Execute(std::move(call), [promise](Reply reply) { promise->set_value(reply); });
  }
  (void)AskTogether({});
  for (const std::size_t i : {0U, 1U, 3U, 4U, 5U})
    EXPECT_EQ(futures[i].get().kind, Kind::kDone) << i;
  others_done.count_down();
  EXPECT_EQ(futures[2].get().kind, Kind::kDone);
  outsider.join();
  EXPECT_GE(Inspect().undone, 1U);
}

TEST_F(GroupTest, AFullQueueIsAnAnswer) {
  Options options = Gated();
  options.max_queued = 3;
  OpenAccounts(std::move(options));
  const std::vector<Reply> replies = AskTogether(Calls(5, Operation::kTry, Protocol::kTcc));
  EXPECT_EQ(replies[2].kind, Kind::kDone);
  EXPECT_EQ(replies[3].kind, Kind::kRetryLater);
  EXPECT_NE(replies[4].reason.find("queue is full (3 operations)"), std::string::npos);
  EXPECT_EQ(Balance(4), "100/0");
}

// Two processes, as it were.
TEST_F(GroupTest, OneBranchAskedOfTwoStoresAtOnceHappensOnce) {
  std::latch running(1);
  std::latch second_asked(1);
  const auto slow = [&](Store& store) {
    store.Saga("act", {.action =
                           [&](Db& db, const Call&) {
                             db.Exec("UPDATE account SET held = held + 1 WHERE id = 1");
                             if (running.try_wait()) return Reply::Done("second");
                             running.count_down();
                             second_asked.wait();
                             return Reply::Done("first");
                           },
                       .compensate = Nothing});
  };
  Open(MakeOptions(), slow);
  const auto other = Store::Open(MakeOptions());
  slow(**other);
  const Call call = Branch{.protocol = Protocol::kSaga}.To(Operation::kAction);
  auto first = std::async([&] { return Ask(store(), call); });
  running.wait();
  auto second = std::async([&] { return Ask(**other, call); });
  // It has been put aside, and waits for the branch.
  const auto waits = [&] {
    return Sql("SELECT count(*) FROM pg_locks WHERE locktype = 'advisory' AND NOT granted") == "1";
  };
  EXPECT_TRUE(assent::test::WaitUntil(waits, std::chrono::seconds(10)));
  second_asked.count_down();
  EXPECT_EQ(first.get(), Reply::Done("first"));
  EXPECT_EQ(second.get(), Reply::Done("first"));
  EXPECT_EQ(Balance(1), "100/1");
}

}  // namespace
}  // namespace assent::postgresql::test
