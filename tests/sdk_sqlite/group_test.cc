// Group commit: many operations share one COMMIT, none of them another's fate.

#include <atomic>
#include <future>
#include <thread>

#include "tests/sdk_sqlite/two_phase_fixture.h"

namespace assent::sqlite::test {
namespace {

using Kind = Reply::Kind;

constexpr char kTable[] = "CREATE TABLE IF NOT EXISTS t(id TEXT PRIMARY KEY, v)";

class GroupTest : public TwoPhaseFixture {
 protected:
  // Holds the executor inside a Local while `calls` queue behind it, so that they all meet in the
  // next group.
  std::vector<Reply> AskInOneGroup(const std::vector<Call>& calls) {
    std::promise<void> entered;
    std::promise<void> leave;
    std::thread gate([&] {
      EXPECT_EQ(store().Local([&](Db&) {
        entered.set_value();
        leave.get_future().wait();
        return OkStatus();
      }),
                OkStatus());
    });
    entered.get_future().wait();
    std::vector<std::promise<Reply>> replies(calls.size());
    for (std::size_t i = 0; i < calls.size(); ++i) {
      store().Execute(calls[i], [&, i](Reply reply) { replies[i].set_value(std::move(reply)); });
    }
    leave.set_value();
    std::vector<Reply> out;
    for (auto& reply : replies) out.push_back(reply.get_future().get());
    gate.join();
    return out;
  }
  Call TryCall(const std::string& gid, const std::string& sql) {
    return Branch{gid, "b1", Protocol::kTcc, "sql", sql}.To(Operation::kTry);
  }
};

TEST_F(GroupTest, ManyOperationsShareOneCommit) {
  OpenSql(kTable);
  const Stats before = Inspect();
  std::vector<Call> calls;
  for (int i = 0; i < 100; ++i)
    calls.push_back(
        TryCall("g" + std::to_string(i), "INSERT INTO t VALUES('" + std::to_string(i) + "', 1)"));
  for (const Reply& reply : AskInOneGroup(calls)) EXPECT_EQ(reply, Reply::Done("ok"));
  const Stats after = Inspect();
  EXPECT_EQ(after.operations - before.operations, 101U);
  EXPECT_EQ(after.groups - before.groups, 2U) << "the gate's, and one for all hundred";
  EXPECT_EQ(Sql("SELECT count(*) FROM t"), "100");
}

TEST_F(GroupTest, ARefusalDoesNotUndoItsNeighbours) {
  OpenSql(kTable);
  const auto replies =
      AskInOneGroup({TryCall("g1", "INSERT INTO t VALUES('1', 1)"),
                     TryCall("g2", "INSERT INTO t VALUES('2', 1); refuse"),
                     TryCall("g3", "INSERT INTO t VALUES('1', 2)"),  // violates a constraint
                     TryCall("g4", "INSERT INTO nowhere VALUES(1)"),
                     TryCall("g5", "INSERT INTO t VALUES('5', 1)")});
  EXPECT_EQ(replies[0], Reply::Done("ok"));
  EXPECT_EQ(replies[1], Reply::Refused("no"));
  EXPECT_EQ(replies[2].kind, Kind::kRefused);
  EXPECT_EQ(replies[3].kind, Kind::kRetryLater);
  EXPECT_EQ(replies[4], Reply::Done("ok"));
  EXPECT_EQ(Sql("SELECT group_concat(id) FROM t"), "1,5");
  EXPECT_EQ(Inspect().barrier_rows, 4) << "g4 left none";
}

// ON CONFLICT ROLLBACK takes the whole local transaction along, neighbours and all. They must not
// be told Done.
TEST_F(GroupTest, ARollbackOfTheWholeTransactionHitsOnlyItsAuthor) {
  OpenSql(kTable);
  ASSERT_EQ(Local("INSERT INTO t VALUES('taken', 1)"), OkStatus());
  const auto replies =
      AskInOneGroup({TryCall("g1", "INSERT INTO t VALUES('1', 1)"),
                     TryCall("g2", "INSERT OR ROLLBACK INTO t VALUES('taken', 1)"),
                     TryCall("g3", "INSERT INTO t VALUES('3', 1)"),
                     PrepareCall("g4", "INSERT OR ROLLBACK INTO t VALUES('taken', 1)"),
                     PrepareCall("g5", "INSERT INTO t VALUES('5', 1)")});
  EXPECT_EQ(replies[0], Reply::Done("ok"));
  EXPECT_EQ(replies[1].kind, Kind::kRetryLater) << replies[1].reason;
  EXPECT_EQ(replies[2], Reply::Done("ok"));
  EXPECT_EQ(replies[3].kind, Kind::kRetryLater) << replies[3].reason;
  EXPECT_EQ(replies[4], Reply::Done("ok"));
  EXPECT_EQ(Sql("SELECT group_concat(id) FROM (SELECT id FROM t ORDER BY id)"), "1,3,taken");
  EXPECT_EQ(Inspect().prepared, 1);
  const Status status = Local("INSERT OR ROLLBACK INTO t VALUES('taken', 1)");
  EXPECT_EQ(status.code(), Code::kUnavailable) << status.ToString();
}

TEST_F(GroupTest, TriesCancelsAndDuplicatesOfOneBranchInOneGroup) {
  OpenSql(kTable);
  const Call attempt = TryCall("g1", "INSERT INTO t VALUES('1', 1)");
  Call cancel = attempt;
  cancel.operation = Operation::kCancel;
  const auto replies = AskInOneGroup({cancel, attempt, cancel, attempt});
  EXPECT_EQ(replies[0], Reply::Done());
  EXPECT_EQ(replies[1].kind, Kind::kRefused);
  EXPECT_EQ(replies[2], Reply::Done());
  EXPECT_EQ(replies[3], replies[1]);
  EXPECT_EQ(Sql("SELECT count(*) FROM t"), "0");
}

TEST_F(GroupTest, AFullQueueIsAnAnswerNotAWait) {
  Options options = MakeOptions(kTable);
  options.max_queued = 4;
  Open(options, &RegisterSql);
  std::vector<Call> calls;
  for (int i = 0; i < 10; ++i)
    calls.push_back(
        TryCall("g" + std::to_string(i), "INSERT INTO t VALUES('" + std::to_string(i) + "', 1)"));
  const auto replies = AskInOneGroup(calls);
  int done = 0;
  for (const Reply& reply : replies) {
    done += reply.kind == Kind::kDone ? 1 : 0;
    if (reply.kind != Kind::kDone) {
      EXPECT_EQ(reply,
                Reply::RetryLater("RESOURCE_EXHAUSTED: the store's queue is full (4 operations)"));
    }
  }
  EXPECT_EQ(done, 4);
  EXPECT_EQ(Sql("SELECT count(*) FROM t"), "4");
}

TEST_F(GroupTest, SmallGroupsAndAClosingTime) {
  Options options = MakeOptions(kTable);
  options.max_group = 3;
  Open(options, &RegisterSql);
  std::vector<Call> calls;
  for (int i = 0; i < 9; ++i)
    calls.push_back(
        TryCall("g" + std::to_string(i), "INSERT INTO t VALUES('" + std::to_string(i) + "', 1)"));
  const std::uint64_t before = Inspect().groups;
  for (const Reply& reply : AskInOneGroup(calls)) EXPECT_EQ(reply, Reply::Done("ok"));
  EXPECT_EQ(Inspect().groups - before, 4U);
  options.max_group = 100;
  options.max_group_time = std::chrono::milliseconds(0);
  Open(options, &RegisterSql);
  for (int i = 0; i < 3; ++i) calls[static_cast<std::size_t>(i)].gid = "h" + std::to_string(i);
  calls.resize(3);
  for (Call& call : calls) call.payload = "SELECT 1";
  for (const Reply& reply : AskInOneGroup(calls)) EXPECT_EQ(reply, Reply::Done("ok"));
  EXPECT_EQ(Inspect().groups, 4U) << "one operation each, and the gate's";
}

TEST_F(GroupTest, ManyThreadsAtOnce) {
  OpenSql(kTable);
  std::atomic<int> done{0};
  std::vector<std::thread> threads;
  for (int thread = 0; thread < 4; ++thread) {
    threads.emplace_back([&, thread] {
      for (int i = 0; i < 50; ++i) {
        const std::string id = std::to_string(thread) + "-" + std::to_string(i);
        if (Ask(store(), TryCall("g" + id, "INSERT INTO t VALUES('" + id + "', 1)")).kind ==
            Kind::kDone)
          ++done;
        EXPECT_EQ(Local("INSERT INTO t VALUES('l" + id + "', 1)"), OkStatus());
        (void)store().Questions(3);
        EXPECT_TRUE(store().Inspect().ok());
      }
    });
  }
  for (auto& thread : threads) thread.join();
  EXPECT_EQ(done, 200);
  EXPECT_EQ(Sql("SELECT count(*) FROM t"), "400");
}

// Two stores over one file: the claims are in the file, so each respects the other's.
TEST_F(GroupTest, TwoStoresOnOneFile) {
  OpenSql(kTable);
  Result<std::unique_ptr<Store>> other = Store::Open(MakeOptions(""));
  ASSERT_TRUE(other.ok());
  RegisterSql(**other);
  ASSERT_EQ(Prepare("g1", "INSERT INTO t VALUES('x', 1)"), Reply::Done("ok"));
  EXPECT_EQ(Ask(**other, PrepareCall("g2", "INSERT INTO t VALUES('x', 2)")).kind,
            Kind::kRetryLater);
  EXPECT_EQ(Ask(**other, PrepareCall("g1", "INSERT INTO t VALUES('x', 1)")), Reply::Done("ok"))
      << "the first reply";
  Call commit = PrepareCall("g1", "");
  commit.operation = Operation::kCommit;
  EXPECT_EQ(Ask(**other, commit), Reply::Done());
  EXPECT_EQ(Commit("g1"), Reply::Done());
  EXPECT_EQ(Sql("SELECT v FROM t"), "1");
}

TEST_F(GroupTest, WhatIsQueuedIsAnsweredBeforeTheStoreCloses) {
  OpenSql(kTable);
  std::atomic<int> done{0};
  for (int i = 0; i < 50; ++i) {
    store().Execute(
        TryCall("g" + std::to_string(i), "INSERT INTO t VALUES('" + std::to_string(i) + "', 1)"),
        [&](const Reply& reply) { done += reply.kind == Kind::kDone ? 1 : 0; });
  }
  Close();
  EXPECT_EQ(done, 50);
  EXPECT_EQ(Sql("SELECT count(*) FROM t"), "50");
}

TEST_F(GroupTest, AnotherWriterThatDoesNotLetGoIsRetryLater) {
  Options options = MakeOptions(kTable);
  options.busy_timeout = std::chrono::milliseconds(10);
  Open(options, &RegisterSql);
  Outsider outsider(path());
  ASSERT_EQ(outsider.Run("BEGIN IMMEDIATE"), "");
  EXPECT_EQ(Ask(store(), TryCall("g1", "INSERT INTO t VALUES('1', 1)")),
            Reply::RetryLater("UNAVAILABLE: database is locked"));
  EXPECT_EQ(Local("INSERT INTO t VALUES('2', 1)").code(), Code::kUnavailable);
  ASSERT_EQ(outsider.Run("COMMIT"), "");
  EXPECT_EQ(Ask(store(), TryCall("g1", "INSERT INTO t VALUES('1', 1)")), Reply::Done("ok"));
}

}  // namespace
}  // namespace assent::sqlite::test
