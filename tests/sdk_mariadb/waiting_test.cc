// What ends prepared work is never held up by those who wait for it; who waits too long is told to
// come again; and old rows are asked about.

#include <chrono>
#include <future>

#include "tests/sdk_mariadb/store_fixture.h"

namespace assent::mariadb::test {
namespace {

using Kind = Reply::Kind;
using std::chrono_literals::operator""s;

class WaitingTest : public StoreTest {
 protected:
  void SetUp() override {
    Options options = MakeOptions();
    options.lock_timeout = 60s;  // nothing here ends because time has passed
    options.statement_timeout = 70s;
    options.answer_within = 90s;
    OpenAccounts(std::move(options));
    EXPECT_EQ(Ask(store(), Holder().To(Operation::kPrepare)).kind, Kind::kDone);
  }
  void TearDown() override {
    EXPECT_EQ(Insist(store(), Holder().To(Operation::kRollback)).kind, Kind::kRefused)
        << "each test has committed it";
  }
  Branch Holder() const {
    return {.gid = "holder", .protocol = Protocol::kTwoPhase, .payload = "1 -1"};
  }
  // As soon as so many wait for the holder's row. INNODB_TRX does not tell who asks more often than
  // ten times a second: it answers as before.
  bool SomebodyWaits(int count = 1) {
    const auto waits = [&] {
      return Sql("SELECT count(*) FROM information_schema.PROCESSLIST WHERE command = 'Execute' "
                 "AND state = 'Updating' AND time_ms > 200") == std::to_string(count);
    };
    return assent::test::WaitUntil(waits, 10s);
  }
};

TEST_F(WaitingTest, WhoWaitsForPreparedWorkGetsThroughWhenItEnds) {
  Branch other = Holder();
  other.gid = "other";
  auto waits = std::async([&] { return Ask(store(), other.To(Operation::kPrepare)); });
  ASSERT_TRUE(SomebodyWaits());
  EXPECT_EQ(Ask(store(), Holder().To(Operation::kCommit)).kind, Kind::kDone);
  EXPECT_EQ(waits.get().kind, Kind::kDone);
  EXPECT_EQ(Ask(store(), other.To(Operation::kCommit)).kind, Kind::kDone);
  EXPECT_EQ(Balance(1), "98/0");
}

// More of them than the store has threads.
TEST_F(WaitingTest, ACrowdThatWaitsDoesNotHoldUpWhatItWaitsFor) {
  std::vector<std::future<Reply>> crowd;
  for (int i = 0; i < 12; ++i) {
    Branch one{.gid = "c" + std::to_string(i), .payload = "1 -1"};
    crowd.push_back(std::async(std::launch::async,
                               [this, one] { return Ask(store(), one.To(Operation::kTry)); }));
  }
  ASSERT_TRUE(SomebodyWaits(3)) << "all but one of four threads";
  EXPECT_EQ(Ask(store(), Branch{.gid = "free", .payload = "2 -1"}.To(Operation::kTry)).kind,
            Kind::kDone);
  EXPECT_EQ(Ask(store(), Holder().To(Operation::kCommit)).kind, Kind::kDone);
  for (auto& one : crowd) EXPECT_EQ(one.get().kind, Kind::kDone);
  EXPECT_EQ(Balance(1), "87/12");
}

TEST_F(StoreTest, WhoWaitsTooLongIsAskedAgain) {
  Options options = MakeOptions();
  options.lock_timeout = std::chrono::seconds(1);
  OpenAccounts(std::move(options));
  const Branch holder{.gid = "holder", .protocol = Protocol::kTwoPhase, .payload = "1 -1"};
  EXPECT_EQ(Ask(store(), holder.To(Operation::kPrepare)).kind, Kind::kDone);
  for (const Operation operation : {Operation::kTry, Operation::kPrepare}) {
    const Branch other{
        .gid = "g" + std::to_string(static_cast<int>(operation)),
        .protocol = operation == Operation::kTry ? Protocol::kTcc : Protocol::kTwoPhase,
        .payload = "1 -1"};
    const Reply late = Ask(store(), other.To(operation));
    EXPECT_EQ(late.kind, Kind::kRetryLater) << "never a no";
    EXPECT_NE(late.reason.find("locked by another"), std::string::npos) << late.reason;
  }
  EXPECT_EQ(store()
                .Local([](Db& db) {
                  db.Exec("UPDATE account SET held = 1 WHERE id = 1");
                  return OkStatus();
                })
                .code(),
            Code::kUnavailable);
  EXPECT_EQ(Ask(store(), holder.To(Operation::kRollback)).kind, Kind::kDone);
}

TEST_F(StoreTest, AStatementThatTakesTooLongIsEnded) {
  Options options = MakeOptions();
  options.statement_timeout = std::chrono::milliseconds(100);
  Open(std::move(options), [](Store& store) {
    store.Saga("act", {.action =
                           [](Db& db, const Call&) {
                             db.Exec("SELECT SLEEP(60)");
                             return Reply::Done();
                           },
                       .compensate = [](Db&, const Call&) { return Reply::Done(); }});
  });
  const Reply reply = Ask(store(), Branch{.protocol = Protocol::kSaga}.To(Operation::kAction));
  EXPECT_EQ(reply.kind, Kind::kRetryLater);
}

// Old rows go when the coordinator says that nothing can still arrive, and not before they are old.
TEST_F(StoreTest, OldRowsAreAskedAboutAndForgotten) {
  OpenAccounts();
  const Branch done{.gid = "g1", .payload = "1 -1"};
  EXPECT_EQ(Ask(store(), done.To(Operation::kTry)).kind, Kind::kDone);
  EXPECT_EQ(Ask(store(), done.To(Operation::kConfirm)).kind, Kind::kDone);
  const Branch tried{.gid = "g2", .payload = "2 -1"};
  EXPECT_EQ(Ask(store(), tried.To(Operation::kTry)).kind, Kind::kDone);
  EXPECT_TRUE(store().Questions(10).empty());
  const auto answer_all = [&](bool finished) {
    const std::uint64_t before = Inspect().operations;
    for (const char* gid : {"g1", "g2"})
      store().Answer({gid, "b1", 7, 3}, Verdict::kCommit, finished);
    EXPECT_TRUE(assent::test::WaitUntil([&] { return Inspect().operations == before + 2; }, 10s));
  };
  answer_all(true);
  const auto rows = [&] { return Inspect().barrier_rows; };
  EXPECT_EQ(rows(), 2) << "not old yet";
  now_ms_ += 3'600'001;
  const std::vector<HeldBranch> asked = store().Questions(10);
  ASSERT_EQ(asked.size(), 2U);
  EXPECT_EQ(asked[0].coordinator_id, 7U);
  answer_all(false);
  EXPECT_EQ(rows(), 2);
  answer_all(true);
  const auto settled = [&] { return rows() == 1 && Inspect().orphans == 1; };
  EXPECT_TRUE(assent::test::WaitUntil(settled, 10s)) << "a try that nobody will confirm is kept";
  EXPECT_TRUE(store().Questions(10).empty());
}

TEST_F(StoreTest, QuestionsGoAroundInACircle) {
  OpenAccounts();
  for (int i = 0; i < 7; ++i) {
    const Branch one{.gid = "g" + std::to_string(i), .protocol = Protocol::kSaga};
    EXPECT_EQ(Ask(store(), one.To(Operation::kCompensate)).kind, Kind::kDone);
  }
  now_ms_ += 3'600'001;
  std::string order;
  for (int i = 0; i < 5; ++i) {
    for (const HeldBranch& held : store().Questions(2)) order += held.gid;
  }
  for (int i = 0; i < 7; ++i)
    EXPECT_NE(order.find("g" + std::to_string(i)), std::string::npos) << order;
}

}  // namespace
}  // namespace assent::mariadb::test
