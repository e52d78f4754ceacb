// Two services over MariaDB under the SDK's test kit: each message of each operation lost,
// doubled and late, and the coordinator dying at each point, in every form that the adapter offers.
// At the end the books balance.

#include <assent/testkit.h>

#include "tests/sdk_mariadb/store_fixture.h"

namespace assent::mariadb::test {
namespace {

using testkit::CrashPoint;
using testkit::Loss;

std::vector<Operation> AllOf(const Operations& all) {
  if (all.finish == kNoOperation) return {all.forward, all.undo};
  return {all.forward, all.finish, all.undo};
}

class TestkitTest : public ::testing::TestWithParam<Protocol> {
 protected:
  TestkitTest() : left_(OpenAccounts()), right_(OpenAccounts()) {
    kit_.Serve("left", *left_);
    kit_.Serve("right", *right_);
  }
  static std::unique_ptr<Store> OpenAccounts() {
    Options options;
    MariaServer& server = MariaServer::OfThisBinary();
    options.server = server.Address(server.NewDatabase());
    options.connections = 2;
    options.setup = [](Db& db) { db.ExecScript(kMakeAccounts); };
    Result<std::unique_ptr<Store>> store = Store::Open(std::move(options));
    EXPECT_TRUE(store.ok()) << store.status().ToString();
    RegisterAccounts(**store);
    return std::move(*store);
  }
  static Transaction Transfer(int amount) {
    Transaction transaction;
    for (const auto& [service, change] : {std::pair("left", -amount), std::pair("right", amount)}) {
      assent::Branch branch;
      branch.protocol = GetParam();
      branch.service = service;
      branch.action = "act";
      branch.payload = "1 " + std::to_string(change);
      transaction.Add(branch);
    }
    return transaction;
  }
  // "60/140": what is free left and right; anything held or prepared is told as well.
  std::string Books() {
    std::string text;
    for (Store* store : {left_.get(), right_.get()}) {
      const Status status = store->Read([&](Db& db) {
        const auto row =
            db.GetRow<std::string, std::int64_t>("SELECT free, held FROM account WHERE id = 1");
        text += (text.empty() ? "" : "/") + std::get<0>(*row);
        if (std::get<1>(*row) != 0) text += " held " + std::to_string(std::get<1>(*row));
        return OkStatus();
      });
      EXPECT_EQ(status, OkStatus());
      if (store->Inspect()->prepared != 0) text += " prepared";
    }
    return text;
  }
  // Whatever happened on the way: brings it to its end.
  void Settle() {
    if (kit_.crashed()) kit_.Restart();
    kit_.Advance(std::chrono::minutes(2));
    kit_.DeliverLate();
    kit_.Advance(std::chrono::minutes(2));
    EXPECT_EQ(kit_.violations(), std::vector<std::string>());
  }

  std::unique_ptr<Store> left_;
  std::unique_ptr<Store> right_;
  testkit::Coordinator kit_;
};

TEST_P(TestkitTest, CommitsAndRefusals) {
  EXPECT_TRUE(kit_.client().Submit(Transfer(40))->committed());
  EXPECT_EQ(Books(), "60/140");
  EXPECT_TRUE(kit_.client().Submit(Transfer(61))->aborted());
  EXPECT_EQ(Books(), "60/140");
  EXPECT_TRUE(kit_.client().Submit(Transfer(-141))->aborted())
      << "refused by the second branch, after the first has executed";
  EXPECT_EQ(Books(), "60/140");
  Settle();
}

// A finishing operation only where all goes well, an undoing one only where it does not.
bool Comes(Operation operation, int amount) {
  return RoleOf(operation) == Role::kForward ||
         (RoleOf(operation) == Role::kFinish ? amount > 0 : amount < 0);
}

TEST_P(TestkitTest, EveryMessageOfEveryOperationLostDoubledAndLate) {
  for (const Operation operation : AllOf(OperationsOf(GetParam()))) {
    for (const Loss loss : {Loss::kCommand, Loss::kReply, Loss::kDuplicate, Loss::kLate}) {
      for (const int amount : {1, -1000}) {  // one that commits, one whose second branch refuses
        if (!Comes(operation, amount)) continue;
        SCOPED_TRACE(std::string(OperationName(operation)) + " loss " +
                     std::to_string(static_cast<int>(loss)) + " amount " + std::to_string(amount));
        const std::string before = Books();
        kit_.LoseNext(operation, loss);
        const auto report = kit_.client().Submit(Transfer(amount));
        Settle();
        const bool committed = report.ok() && report->committed();
        EXPECT_EQ(Books() != before, committed);
        EXPECT_FALSE(amount == -1000 && committed);
        ASSERT_EQ(Books().find(' '), std::string::npos) << Books();
      }
    }
  }
}

TEST_P(TestkitTest, TheCoordinatorDiesAtEachPoint) {
  for (const CrashPoint point : {CrashPoint::kAfterFirstForward, CrashPoint::kBeforeDecision,
                                 CrashPoint::kAfterDecision, CrashPoint::kAfterFirstFinish}) {
    SCOPED_TRACE(static_cast<int>(point));
    if (point == CrashPoint::kAfterFirstFinish && GetParam() == Protocol::kSaga) continue;
    kit_.CrashAt(point);
    (void)kit_.client().Submit(Transfer(7));
    Settle();
    const std::string books = Books();
    ASSERT_TRUE(books == "100/100" || books == "93/107" || books == "86/114" || books == "79/121" ||
                books == "72/128")
        << books;
  }
}

TEST_P(TestkitTest, TheContractIsKept) {
  const testkit::ContractReport report =
      testkit::CheckContract(*right_, {.action = "act", .protocol = GetParam(), .payload = "1 1"});
  EXPECT_TRUE(report.ok()) << report.ToString();
  EXPECT_GT(report.committed, 0U);
  EXPECT_GT(report.undone, 0U);
  EXPECT_EQ(Books(), "100/" + std::to_string(100 + report.committed));
}

INSTANTIATE_TEST_SUITE_P(Protocols, TestkitTest,
                         ::testing::Values(Protocol::kTwoPhase, Protocol::kTcc, Protocol::kSaga),
                         [](const ::testing::TestParamInfo<Protocol>& protocol) {
                           return protocol.param == Protocol::kTwoPhase ? "TwoPhase"
                                  : protocol.param == Protocol::kTcc    ? "Tcc"
                                                                        : "Saga";
                         });

}  // namespace
}  // namespace assent::mariadb::test
