// Many operations in one local transaction: what one of them does wrong its neighbours do not
// notice, and what ends the transaction for all ends it for one alone.

#include <array>
#include <atomic>
#include <future>
#include <latch>
#include <thread>

#include "participant-sdk/cpp/barrier/barrier.h"
#include "tests/sdk_mariadb/store_fixture.h"

namespace assent::mariadb::test {
namespace {

using Kind = Reply::Kind;

Reply Nothing(Db&, const Call&) { return Reply::Done(); }

// Groups begin when everything has been queued: as many operations as the first two could take, and
// then all others together.
class GroupTest : public StoreTest {
 protected:
  Options Gated(std::size_t connections = limits::kMinConnectionsCount) {
    Options options = MakeOptions();
    options.connections = connections;
    options.at_point = [this](std::string_view point) {
      if (point == "group:began") all_queued_.wait();
    };
    return options;
  }
  // One call each of so many branches; the gid is "g" and the number.
  std::vector<Call> Calls(int count, Operation operation, Protocol protocol) {
    std::vector<Call> calls;
    for (int i = 1; i <= count; ++i) {
      calls.push_back(Branch{.gid = "g" + std::to_string(i),
                             .protocol = protocol,
                             .payload = std::to_string(i) + " -1"}
                          .To(operation));
    }
    return calls;
  }
  std::vector<Reply> AskTogether(std::vector<Call> calls) {
    std::vector<std::future<Reply>> futures;
    for (Call& call : calls) {
      auto promise = std::make_shared<std::promise<Reply>>();
      futures.push_back(promise->get_future());
      store().Execute(std::move(call), [promise](Reply reply) { promise->set_value(reply); });
    }
    all_queued_.count_down();
    std::vector<Reply> replies;
    for (auto& future : futures) replies.push_back(future.get());
    return replies;
  }

 private:
  std::latch all_queued_{1};
};

TEST_F(GroupTest, ManyShareOneCommit) {
  OpenAccounts(Gated());
  for (const Reply& reply : AskTogether(Calls(100, Operation::kTry, Protocol::kTcc)))
    EXPECT_EQ(reply.kind, Kind::kDone) << reply.reason;
  EXPECT_EQ(Sql("SELECT CONCAT(sum(free), '/', sum(held)) FROM account"), "19900/100");
  const Stats stats = Inspect();
  EXPECT_EQ(stats.operations, 100U);
  EXPECT_LE(stats.groups, 5U) << "two that began at once, and the rest in sixty-fours";
  EXPECT_GE(stats.groups, 2U) << "at most " << limits::kMaxOperationsPerGroupCount << " together";
}

// The rows of a group are written together: which of them it was is not said, so each runs alone.
TEST_F(GroupTest, ARowThatIsNotAsItWasEndsItForThatOneAlone) {
  Open(Gated(), [](Store& store) {
    store.Tcc("act", {.try_ = Nothing,
                      .confirm =
                          [](Db& db, const Call& call) {
                            db.Exec("UPDATE account SET held = 1 WHERE id = ?", call.payload);
                            if (std::stoi(call.payload) % 2 == 1) {
                              db.Exec("UPDATE assent_barrier SET state = 9 WHERE gid = ?",
                                      call.gid);
                            }
                            return Reply::Done();
                          },
                      .cancel = Nothing});
  });
  std::vector<Call> calls = Calls(20, Operation::kTry, Protocol::kTcc);
  for (const Reply& reply : AskTogether(calls)) EXPECT_EQ(reply.kind, Kind::kDone);
  for (std::size_t i = 0; i < calls.size(); ++i) {
    calls[i].operation = Operation::kConfirm;
    calls[i].payload = std::to_string(i + 1);
  }
  const std::vector<Reply> replies = AskAll(store(), calls);
  for (std::size_t i = 0; i < calls.size(); ++i) {
    const bool is_odd = i % 2 == 0;
    EXPECT_EQ(replies[i].kind, is_odd ? Kind::kRetryLater : Kind::kDone) << calls[i].gid;
    EXPECT_EQ(replies[i].reason.find("in another state") != std::string::npos, is_odd);
  }
  EXPECT_EQ(Sql("SELECT count(*) FROM assent_barrier WHERE state = 9"), "0");
  EXPECT_EQ(Sql("SELECT sum(held) FROM account"), "10");
}

// More than one packet takes, and each result is that of its own branch.
TEST_F(GroupTest, GreatResultsAreKeptTogether) {
  constexpr std::size_t kBytes = limits::kMaxBatchBytes / 8;
  Open(Gated(), [](Store& store) {
    store.Saga("act", {.action =
                           [](Db& db, const Call& call) {
                             db.Exec("UPDATE account SET held = 1 WHERE id = ?",
                                     std::stoi(call.gid.substr(1)));
                             return Reply::Done(call.gid + std::string(kBytes, 'r'));
                           },
                       .compensate = Nothing});
  });
  const std::vector<Reply> replies = AskTogether(Calls(20, Operation::kAction, Protocol::kSaga));
  for (std::size_t i = 0; i < replies.size(); ++i)
    EXPECT_EQ(replies[i].result.substr(0, replies[i].result.find('r')),
              "g" + std::to_string(i + 1));
  EXPECT_EQ(Sql("SELECT count(*) FROM assent_barrier WHERE result = CONCAT(gid, REPEAT('r', " +
                std::to_string(kBytes) + "))"),
            "20");
}

// Each branch becomes what was asked of it, whatever its neighbours became.
TEST_F(GroupTest, NeighboursEndInSeveralWays) {
  OpenAccounts(Gated());
  std::vector<Call> calls = Calls(40, Operation::kTry, Protocol::kTcc);
  for (const Reply& reply : AskTogether(calls)) EXPECT_EQ(reply.kind, Kind::kDone);
  for (std::size_t i = 0; i < calls.size(); ++i)
    calls[i].operation = i % 2 == 0 ? Operation::kConfirm : Operation::kCancel;
  // Of branches that nobody has tried: an undo is done, and buries what may still come.
  for (int i = 41; i <= 50; ++i) {
    calls.push_back(Branch{.gid = "g" + std::to_string(i), .payload = std::to_string(i) + " -1"}.To(
        Operation::kCancel));
  }
  for (const Reply& reply : AskAll(store(), calls)) EXPECT_EQ(reply.kind, Kind::kDone);
  EXPECT_EQ(Sql("SELECT CONCAT(sum(free), '/', sum(held)) FROM account"), "19980/0");
  const auto count = [&](barrier::State state) {
    return Sql("SELECT count(*) FROM assent_barrier WHERE state = " +
               std::to_string(static_cast<int>(state)));
  };
  EXPECT_EQ(count(barrier::State::kFinished), "20");
  EXPECT_EQ(count(barrier::State::kUndone), "20");
  EXPECT_EQ(count(barrier::State::kTombstone), "10");
}

TEST_F(GroupTest, ABadNeighbourIsNotNoticed) {
  Open(Gated(), [](Store& store) {
    store.Saga("act", {.action = [](Db& db, const Call& call) -> Reply {
                         const int id = std::stoi(call.gid.substr(1));
                         db.Exec("UPDATE account SET held = 1 WHERE id = ?", id);
                         if (id % 5 == 1) db.Exec("UPDATE account SET free = -1 WHERE id = ?", id);
                         if (id % 5 == 2) throw std::runtime_error("no luck");
                         if (id % 5 == 3) return Reply::Refused("no");
                         if (id % 5 == 4) db.Exec("SELECT x FROM no_such_table");
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
  EXPECT_EQ(Sql("SELECT GROUP_CONCAT(id ORDER BY id) FROM account WHERE held = 1"),
            "5,10,15,20,25,30,35,40,45,50");
  EXPECT_EQ(Sql("SELECT count(*) FROM assent_barrier"), "30");
  EXPECT_LE(Inspect().groups, 4U);
}

TEST_F(GroupTest, WhoEndsTheTransactionRunsAloneAndOnlySoOften) {
  static std::atomic<int> runs;
  runs = 0;
  // What a function says goes for an error of the server's own: a deadlock, here.
  Sql("CREATE FUNCTION clash() RETURNS INT BEGIN SIGNAL SQLSTATE '40001' SET MYSQL_ERRNO = 1213, "
      "MESSAGE_TEXT = 'clash'; RETURN 1; END");
  Open(Gated(), [](Store& store) {
    store.Saga("act", {.action =
                           [](Db& db, const Call& call) {
                             const int id = std::stoi(call.gid.substr(1));
                             db.Exec("UPDATE account SET held = held + 1 WHERE id = ?", id);
                             if (id == 7) {
                               ++runs;
                               db.Exec("SELECT clash()");
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

// Both run alone, where they may wait for locks.
TEST_F(GroupTest, TwoThatLockEachOthersRowsBothGetThrough) {
  Sql("CREATE FUNCTION locked() RETURNS INT BEGIN SIGNAL SQLSTATE 'HY000' SET MYSQL_ERRNO = 1205, "
      "MESSAGE_TEXT = 'somebody has it'; RETURN 1; END");
  std::latch both_have_one(2);
  std::array<std::atomic<int>, 3> runs = {};
  Options options = MakeOptions();
  options.connections = 3;  // two that wait, and one that is free
  Open(std::move(options), [&](Store& store) {
    store.Saga("act", {.action =
                           [&](Db& db, const Call& call) {
                             const int mine = call.gid == "g1" ? 1 : 2;
                             const int run = ++runs.at(static_cast<std::size_t>(mine));
                             // The first time in a group, where nobody waits for a lock.
                             if (run == 1) db.Exec("SELECT locked()");
                             db.Exec("UPDATE account SET held = held + 1 WHERE id = ?", mine);
                             if (run == 2) both_have_one.arrive_and_wait();
                             db.Exec("UPDATE account SET held = held + 1 WHERE id = ?", 3 - mine);
                             return Reply::Done();
                           },
                       .compensate = Nothing});
  });
  for (const Reply& reply : AskAll(store(), Calls(2, Operation::kAction, Protocol::kSaga)))
    EXPECT_EQ(reply.kind, Kind::kDone) << reply.reason;
  EXPECT_EQ(Sql("SELECT sum(held) FROM account"), "4");
  EXPECT_EQ(runs[1] + runs[2], 5) << "one of them was the victim, and ran once more";
}

TEST_F(GroupTest, ALostConnectionUndoesAndAllRunAgain) {
  static std::atomic<int> runs;
  runs = 0;
  Open(Gated(), [this](Store& store) {
    store.Saga("act", {.action =
                           [this](Db& db, const Call& call) {
                             const int id = std::stoi(call.gid.substr(1));
                             db.Exec("UPDATE account SET held = held + 1 WHERE id = ?", id);
                             if (id == 7 && ++runs == 1) {
                               const auto session = db.Get<std::string>("SELECT CONNECTION_ID()");
                               (void)server().TrySql("", "KILL CONNECTION " + *session);
                             }
                             db.Exec("UPDATE account SET held = held + 0 WHERE id = ?", id);
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
  std::latch locked(1);
  std::latch others_done(1);
  std::thread outsider([&] {
    // Holds account 3 until the others have been answered.
    Options own;
    own.server = server().Address(database());
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
    return Sql("SELECT count(*) FROM information_schema.PROCESSLIST WHERE STATE = 'User lock'") ==
           "1";
  };
  EXPECT_TRUE(assent::test::WaitUntil(waits, std::chrono::seconds(10)));
  second_asked.count_down();
  EXPECT_EQ(first.get(), Reply::Done("first"));
  EXPECT_EQ(second.get(), Reply::Done("first"));
  EXPECT_EQ(Balance(1), "100/1");
}

}  // namespace
}  // namespace assent::mariadb::test
