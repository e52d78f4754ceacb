// Two services over SQLite under the SDK's test kit: each message of each operation lost, doubled
// and late, and the coordinator dying at each point, in every form that the adapter offers. At the
// end the books balance.

#include <tuple>

#include <assent/testkit.h>

#include "tests/sdk_sqlite/store_fixture.h"

namespace assent::sqlite::test {
namespace {

using testkit::CrashPoint;
using testkit::Loss;

// How a transfer is done.
enum class Form { kTwoPhase, kTcc, kSaga, kAutoSaga };

Protocol ProtocolOf(Form form) {
  switch (form) {
    case Form::kTwoPhase: return Protocol::kTwoPhase;
    case Form::kTcc: return Protocol::kTcc;
    case Form::kSaga:
    case Form::kAutoSaga: break;
  }
  return Protocol::kSaga;
}

std::vector<Operation> AllOf(const Operations& all) {
  if (all.finish == kNoOperation) return {all.forward, all.undo};
  return {all.forward, all.finish, all.undo};
}

DbHandler Running(const char* sql) {
  return [sql](Db& db, const Call& call) {
    return db.Exec(sql, std::stoi(call.payload)) == 1 ? Reply::Done()
                                                      : Reply::Refused("not enough");
  };
}

// An account of one row. The payload is what is added, negative to take.
std::unique_ptr<Store> OpenAccount(const std::string& path) {
  Result<std::unique_ptr<Store>> store =
      Store::Open({.path = path, .setup = [](Db& db) {
                     db.Exec(
                         "CREATE TABLE IF NOT EXISTS account(id INTEGER PRIMARY KEY, free INT NOT "
                         "NULL, held INT NOT NULL)");
                     db.Exec("INSERT INTO account VALUES(1, 100, 0) ON CONFLICT DO NOTHING");
                   }});
  EXPECT_TRUE(store.ok()) << store.status().ToString();
  static constexpr char kAdd[] = "UPDATE account SET free = free + ?1 WHERE free + ?1 >= 0";
  (*store)->TwoPhase("add", Running(kAdd));
  (*store)->AutoSaga("add-auto", Running(kAdd));
  (*store)->Saga("add", {.action = Running(kAdd),
                         .compensate = Running("UPDATE account SET free = free - ?1")});
  // Taking sets aside at try; giving shows at confirm.
  (*store)->Tcc(
      "add",
      {.try_ = Running("UPDATE account SET free = free + min(?1, 0), held = held - min(?1, 0) "
                       "WHERE free + min(?1, 0) >= 0"),
       .confirm = Running("UPDATE account SET free = free + max(?1, 0), held = held + min(?1, 0)"),
       .cancel = Running("UPDATE account SET free = free - min(?1, 0), held = held + min(?1, 0)")});
  return std::move(*store);
}

class TestkitTest : public ::testing::TestWithParam<Form> {
 protected:
  TestkitTest()
      : left_(OpenAccount(dir_.path() + "/left.db")),
        right_(OpenAccount(dir_.path() + "/right.db")) {
    kit_.Serve("left", *left_);
    kit_.Serve("right", *right_);
  }
  Transaction Transfer(int amount) const {
    const std::string action = GetParam() == Form::kAutoSaga ? "add-auto" : "add";
    Transaction transaction;
    for (const auto& [service, change] : {std::pair("left", -amount), std::pair("right", amount)}) {
      assent::Branch branch;
      branch.protocol = ProtocolOf(GetParam());
      branch.service = service;
      branch.action = action;
      branch.payload = std::to_string(change);
      transaction.Add(branch);
    }
    return transaction;
  }
  // "60/140": what is free left and right; anything held, prepared or claimed is told as well.
  std::string Books() {
    std::string text;
    for (Store* store : {left_.get(), right_.get()}) {
      const Status status = store->Read([&](Db& db) {
        text += (text.empty() ? "" : "/") +
                db.Get<std::string>("SELECT free FROM account").value_or("?");
        const auto held = db.Get<std::int64_t>("SELECT held FROM account").value_or(-1);
        if (held != 0) text += " held " + std::to_string(held);
        return OkStatus();
      });
      EXPECT_EQ(status, OkStatus());
      const Stats stats = *store->Inspect();
      if (stats.prepared != 0 || stats.claims != 0) text += " prepared";
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

  assent::test::TempDir dir_;
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
  switch (operation) {
    case Operation::kCommit:
    case Operation::kConfirm: return amount > 0;
    case Operation::kRollback:
    case Operation::kCancel:
    case Operation::kCompensate: return amount < 0;
    case Operation::kPrepare:
    case Operation::kTry:
    case Operation::kAction: break;
  }
  return true;
}

TEST_P(TestkitTest, EveryMessageOfEveryOperationLostDoubledAndLate) {
  for (const Operation operation : AllOf(OperationsOf(ProtocolOf(GetParam())))) {
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
        if (amount == -1000) {
          EXPECT_FALSE(committed);
        }
        ASSERT_EQ(Books().find(' '), std::string::npos) << Books();
      }
    }
  }
}

TEST_P(TestkitTest, TheCoordinatorDiesAtEachPoint) {
  for (const CrashPoint point : {CrashPoint::kAfterFirstForward, CrashPoint::kBeforeDecision,
                                 CrashPoint::kAfterDecision, CrashPoint::kAfterFirstFinish}) {
    SCOPED_TRACE(static_cast<int>(point));
    const bool has_finish = ProtocolOf(GetParam()) != Protocol::kSaga;
    if (point == CrashPoint::kAfterFirstFinish && !has_finish) continue;
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
  const std::string action = GetParam() == Form::kAutoSaga ? "add-auto" : "add";
  const testkit::ContractReport report = testkit::CheckContract(
      *right_, {.action = action, .protocol = ProtocolOf(GetParam()), .payload = "1"});
  EXPECT_TRUE(report.ok()) << report.ToString();
  EXPECT_GT(report.committed, 0U);
  EXPECT_GT(report.undone, 0U);
  EXPECT_EQ(Books(), "100/" + std::to_string(100 + report.committed));
}

std::string FormName(const ::testing::TestParamInfo<Form>& info) {
  switch (info.param) {
    case Form::kTwoPhase: return "TwoPhase";
    case Form::kTcc: return "Tcc";
    case Form::kSaga: return "Saga";
    case Form::kAutoSaga: break;
  }
  return "AutoSaga";
}

INSTANTIATE_TEST_SUITE_P(Forms, TestkitTest,
                         ::testing::Values(Form::kTwoPhase, Form::kTcc, Form::kSaga,
                                           Form::kAutoSaga),
                         FormName);

}  // namespace
}  // namespace assent::sqlite::test
