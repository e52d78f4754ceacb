// One transaction over two transports and two languages: the shop's inventory service, which dials
// in, and the loyalty service in Python, which the coordinator dials.

#include <cstdio>
#include <memory>
#include <sqlite3.h>
#include <string>

#include <gmock/gmock.h>
#include <gtest/gtest.h>

#include <assent/client.h>
#include <assent/transaction.h>

#include "tests/support/process.h"

namespace assent::test {
namespace {

using std::chrono_literals::operator""s;
using std::chrono_literals::operator""ms;
using ::testing::HasSubstr;

// The one row of a query, its columns separated by blanks; or what went wrong.
std::string Ask(const std::string& path, const char* sql) {
  sqlite3* db = nullptr;
  sqlite3_stmt* statement = nullptr;
  std::string row;
  if (sqlite3_open_v2(path.c_str(), &db, SQLITE_OPEN_READONLY, nullptr) == SQLITE_OK &&
      sqlite3_prepare_v2(db, sql, -1, &statement, nullptr) == SQLITE_OK &&
      sqlite3_step(statement) == SQLITE_ROW) {
    for (int i = 0; i < sqlite3_column_count(statement); ++i) {
      row += (i == 0 ? "" : " ");
      row += reinterpret_cast<const char*>(sqlite3_column_text(statement, i));
    }
  } else {
    row = sqlite3_errmsg(db);
  }
  sqlite3_finalize(statement);
  sqlite3_close(db);
  return row;
}

class PythonParticipant : public ::testing::Test {
 protected:
  void SetUp() override {
    coordinator_ = std::make_unique<Process>(ProcessOptions{
        .argv = {BinDir() + "/assentd", "--http-listen", "none", "--listen", endpoint_, "--data",
                 dir_ / "data", "--unary", "loyalty=" + loyalty_}});
    inventory_ = std::make_unique<Process>(
        ProcessOptions{.argv = {BinDir() + "/assent-demo-inventory", "--database", stock_,
                                "--coordinator", endpoint_}});
    python_ = std::make_unique<Process>(ProcessOptions{
        .argv = {"/usr/bin/python3", "-B", SourceDir() + "/examples/python/participant.py",
                 "--listen", loyalty_, "--database", points_}});
    ASSERT_TRUE(coordinator_->Start().ok());
    ASSERT_TRUE(inventory_->Start().ok());
    client_ = std::make_unique<Client>(ClientOptions{.endpoint = endpoint_});
  }

  void TearDown() override {
    if (!HasFailure()) return;
    std::fprintf(stderr, "---- coordinator\n%s---- inventory\n%s---- python\n%s",
                 coordinator_->Output().c_str(), inventory_->Output().c_str(),
                 python_->Output().c_str());
  }

  void StartPython() {
    ASSERT_TRUE(python_->Start().ok());
    ASSERT_TRUE(python_->WaitForOutput("listening", 30s)) << python_->Output();
  }

  Transaction Order(Protocol protocol, const std::string& customer) {
    const BranchOptions soon{.retry = {.initial_backoff = 20ms, .max_backoff = 200ms},
                             .attempt_timeout = 5s};
    Transaction order;
    const std::string payload = R"({"id":")" + order.gid() + R"(","customer":")" + customer +
                                R"(","article":"lamp","quantity":2,"coins":60})";
    return order.Deadline(30s)
        .Add({protocol, "inventory", "reserve", payload, soon})
        .Add({protocol, "loyalty", "award", payload, soon});
  }

  Result<Report> Submit(const Transaction& order) {
    return client_->Submit(order, {.wait = WaitFor::kCompleted, .timeout = 30s});
  }
  std::string Stock() {
    return Ask(stock_, "SELECT available, frozen, sold FROM stock WHERE article = 'lamp'");
  }
  std::string Points() {
    return Ask(points_, "SELECT points, promised FROM member WHERE customer = 'Ada'");
  }

  TempDir dir_;
  const std::string endpoint_ = "127.0.0.1:" + std::to_string(FreePort());
  const std::string loyalty_ = "127.0.0.1:" + std::to_string(FreePort());
  const std::string stock_ = dir_ / "inventory.db";
  const std::string points_ = dir_ / "loyalty.db";
  std::unique_ptr<Process> coordinator_, inventory_, python_;
  std::unique_ptr<Client> client_;
};

TEST_F(PythonParticipant, TakesPartInTcc) {
  StartPython();
  const auto committed = Submit(Order(Protocol::kTcc, "Ada"));
  ASSERT_TRUE(committed.ok()) << committed.status().ToString();
  EXPECT_TRUE(committed->committed()) << committed->abort_reason;
  EXPECT_EQ(committed->results.at("2"), "6") << "the Python handler's answer";
  EXPECT_EQ(Stock(), "98 0 2");
  EXPECT_EQ(Points(), "6 0");

  const auto refused = Submit(Order(Protocol::kTcc, "Bob"));
  ASSERT_TRUE(refused.ok()) << refused.status().ToString();
  EXPECT_TRUE(refused->aborted());
  EXPECT_THAT(refused->abort_reason, HasSubstr("Bob is not a member"));
  EXPECT_EQ(Stock(), "98 0 2") << "what the C++ side had frozen is back";
}

TEST_F(PythonParticipant, TakesPartInASaga) {
  StartPython();
  const auto committed = Submit(Order(Protocol::kSaga, "Ada"));
  ASSERT_TRUE(committed.ok()) << committed.status().ToString();
  EXPECT_TRUE(committed->committed()) << committed->abort_reason;
  EXPECT_EQ(Stock(), "98 0 2");
  EXPECT_EQ(Points(), "6 0");

  const auto refused = Submit(Order(Protocol::kSaga, "Bob"));
  ASSERT_TRUE(refused.ok()) << refused.status().ToString();
  EXPECT_TRUE(refused->aborted());
  EXPECT_EQ(Stock(), "98 0 2") << "what the C++ side had sold is taken back";
}

TEST_F(PythonParticipant, MayBeLate) {
  const Transaction order = Order(Protocol::kTcc, "Ada");
  const auto accepted = client_->Submit(order, {.wait = WaitFor::kAccepted, .timeout = 30s});
  ASSERT_TRUE(accepted.ok()) << accepted.status().ToString();
  const auto misses_it = [&] {
    const auto info = client_->Get(order.gid());
    return info.ok() && info->why_not_finished.find("cannot connect to " + loyalty_ +
                                                    ": connection refused") != std::string::npos;
  };
  ASSERT_TRUE(WaitUntil(misses_it, 10s));
  StartPython();
  const auto ended = client_->Wait(order.gid(), {.wait = WaitFor::kCompleted, .timeout = 30s});
  ASSERT_TRUE(ended.ok()) << ended.status().ToString();
  EXPECT_TRUE(ended->committed()) << ended->abort_reason;
  EXPECT_EQ(Points(), "6 0");
}

// A handler that it does not have is a refusal, before any effect.
TEST_F(PythonParticipant, RefusesWhatItDoesNotKnow) {
  StartPython();
  Transaction order;
  order.TwoPhase("loyalty", "award", R"({"customer":"Ada","coins":60})");
  const auto refused = Submit(order);
  ASSERT_TRUE(refused.ok()) << refused.status().ToString();
  EXPECT_TRUE(refused->aborted());
  EXPECT_EQ(Points(), "0 0");
}

// Killed between TRY and CONFIRM it remembers, and is asked again.
TEST_F(PythonParticipant, SurvivesKillNine) {
  StartPython();
  Transaction order;
  const std::string payload = R"({"customer":"Ada","coins":60})";
  auto open = client_->Begin(order.Deadline(30s));
  ASSERT_TRUE(open.ok()) << open.status().ToString();
  const auto awarded = open->Tcc("loyalty", "award", payload);
  ASSERT_TRUE(awarded.ok()) << awarded.status().ToString();
  EXPECT_EQ(awarded->result, "6");
  EXPECT_EQ(Points(), "0 6");
  python_->Kill();
  StartPython();
  const auto ended = open->Commit({.wait = WaitFor::kCompleted, .timeout = 30s});
  ASSERT_TRUE(ended.ok()) << ended.status().ToString();
  EXPECT_TRUE(ended->committed()) << ended->abort_reason;
  EXPECT_EQ(Points(), "6 0");
}

}  // namespace
}  // namespace assent::test
