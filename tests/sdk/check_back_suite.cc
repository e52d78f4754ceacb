#include "tests/sdk/check_back_suite.h"

#include <chrono>
#include <future>
#include <memory>
#include <utility>

#include <assent/check_back.h>

namespace assent::test {

using std::chrono_literals::operator""h;
using std::chrono_literals::operator""s;

CheckBackHarness::~CheckBackHarness() = default;

Transaction CheckBackSuite::Message(const std::string& gid) {
  Transaction message;
  message.Gid(gid).CheckBack("orders", "placed").Saga("shipping", "book");
  return message;
}

Reply CheckBackSuite::Ask(const std::string& gid, std::chrono::milliseconds after) {
  const auto began = std::chrono::system_clock::now() - after;
  Call call;
  call.gid = gid;
  call.branch_id = "1";
  call.service = "orders";
  call.action = "placed";
  call.coordinator_id = 7;
  call.began_unix_ms =
      std::chrono::duration_cast<std::chrono::milliseconds>(began.time_since_epoch()).count();
  const auto promise = std::make_shared<std::promise<Reply>>();
  database().store().Execute(std::move(call),
                             [promise](Reply reply) { promise->set_value(std::move(reply)); });
  return promise->get_future().get();
}

Status CheckBackSuite::EnlistAnd(const char* how, const std::string& gid) {
  EXPECT_TRUE(database().Begin());
  Status status = database().Enlist(Message(gid));
  EXPECT_TRUE(database().Run(how));
  return status;
}

namespace {

TEST_P(CheckBackSuite, WhatHasCommittedIsDone) {
  ASSERT_EQ(EnlistAnd("COMMIT", "g1").ToString(), "OK");
  EXPECT_EQ(Ask("g1", 0s).kind, Reply::Kind::kDone);
  EXPECT_EQ(Ask("g1", 1h), Reply::Done());
}

TEST_P(CheckBackSuite, WhatHasNotCommittedIsLaterAndThenNo) {
  ASSERT_EQ(EnlistAnd("ROLLBACK", "g1").ToString(), "OK");
  EXPECT_EQ(Ask("g1", 0s).kind, Reply::Kind::kRetryLater);
  EXPECT_EQ(Ask("g1", 8s).kind, Reply::Kind::kRetryLater);
  const Reply no = Ask("g1", 11s);
  EXPECT_EQ(no.kind, Reply::Kind::kRefused);
  // Whatever the clocks say then.
  EXPECT_EQ(Ask("g1", 0s), no);
}

TEST_P(CheckBackSuite, ANoIsForGood) {
  ASSERT_EQ(Ask("g1", 11s).kind, Reply::Kind::kRefused);
  const Status late = EnlistAnd("ROLLBACK", "g1");
  EXPECT_EQ(late.code(), Code::kFailedPrecondition);
  EXPECT_NE(late.message().find("was told no"), std::string::npos) << late.message();
  EXPECT_EQ(Ask("g1", 0s).kind, Reply::Kind::kRefused);
  EXPECT_EQ(EnlistAnd("COMMIT", "g2").ToString(), "OK");
}

TEST_P(CheckBackSuite, OneThatIsUnderWayIsNeitherDoneNorRefused) {
  ASSERT_TRUE(database().Begin());
  ASSERT_EQ(database().Enlist(Message("g1")).ToString(), "OK");
  EXPECT_EQ(Ask("g1", 11s).kind, Reply::Kind::kRetryLater);
  ASSERT_TRUE(database().Run("COMMIT"));
  EXPECT_EQ(Ask("g1", 11s).kind, Reply::Kind::kDone);
}

TEST_P(CheckBackSuite, OneIsEnlistedOnce) {
  ASSERT_EQ(EnlistAnd("COMMIT", "g1").ToString(), "OK");
  EXPECT_EQ(EnlistAnd("ROLLBACK", "g1").code(), Code::kAlreadyExists);
  EXPECT_EQ(Ask("g1", 0s).kind, Reply::Kind::kDone);
}

TEST_P(CheckBackSuite, WithoutALocalTransactionItIsRefused) {
  EXPECT_EQ(database().Enlist(Message("g1")).code(), Code::kFailedPrecondition);
  EXPECT_EQ(Ask("g1", 0s).kind, Reply::Kind::kRetryLater);
}

TEST_P(CheckBackSuite, WhatDoesNotCheckBackIsRefused) {
  Transaction plain;
  plain.Saga("shipping", "book");
  ASSERT_TRUE(database().Begin());
  const Status status = database().Enlist(plain);
  EXPECT_EQ(status.code(), Code::kInvalidArgument);
  EXPECT_NE(status.message().find("CheckBack"), std::string::npos) << status.message();
  EXPECT_EQ(database().Enlist(Transaction()).code(), Code::kInvalidArgument);
  EXPECT_TRUE(database().Run("ROLLBACK"));
}

TEST_P(CheckBackSuite, WhereNoStoreHasItsTablesItIsSaid) {
  ASSERT_TRUE(database().Run("DROP TABLE assent_barrier"));
  const Status status = EnlistAnd("ROLLBACK", "g1");
  EXPECT_EQ(status.code(), Code::kFailedPrecondition);
  EXPECT_NE(status.message().find("store"), std::string::npos) << status.message();
}

// Past the pivot there is only forward: a coordinator never asks for it.
TEST_P(CheckBackSuite, WhatHasCommittedIsNotUndone) {
  ASSERT_EQ(EnlistAnd("COMMIT", "g1").ToString(), "OK");
  Call undo;
  undo.gid = "g1";
  undo.branch_id = "1";
  undo.service = "orders";
  undo.action = "placed";
  undo.operation = Operation::kCompensate;
  const auto promise = std::make_shared<std::promise<Reply>>();
  database().store().Execute(undo,
                             [promise](Reply reply) { promise->set_value(std::move(reply)); });
  EXPECT_EQ(promise->get_future().get().kind, Reply::Kind::kRefused);
  EXPECT_EQ(Ask("g1", 0s).kind, Reply::Kind::kDone);
}

}  // namespace
}  // namespace assent::test
