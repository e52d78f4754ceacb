#pragma once

// A GoogleMock of Connection, for tests of code that takes an assent::Client:
//
//   auto mock = std::make_shared<assent::MockConnection>();
//   EXPECT_CALL(*mock, Submit).WillOnce(Return(Report{.outcome = Outcome::kAborted}));
//   PlaceOrder(assent::Client(mock));
//
// The only public header that needs GoogleMock; nothing else includes it.

#include <gmock/gmock.h>

#include <assent/connection.h>

namespace assent {

class MockConnection : public Connection {
 public:
  MOCK_METHOD(Result<Report>, Submit, (const SubmitParams&), (override));
  MOCK_METHOD(void, SubmitAsync, (SubmitParams, ReportCallback), (override));
  MOCK_METHOD(Status, Begin, (const BeginParams&), (override));
  MOCK_METHOD(Result<BranchResult>, Execute, (const ExecuteParams&), (override));
  MOCK_METHOD(Result<Report>, Finish, (const FinishParams&), (override));
  MOCK_METHOD(Result<Report>, Wait, (const WaitParams&), (override));
  MOCK_METHOD(Result<TransactionInfo>, Get, (const GetParams&), (override));
};

}  // namespace assent
