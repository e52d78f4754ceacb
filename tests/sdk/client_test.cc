// Client over gRPC, against a scripted coordinator.

#include <chrono>
#include <future>
#include <string>

#include <gmock/gmock.h>
#include <gtest/gtest.h>

#include <assent/client.h>

#include "tests/sdk/fake_coordinator.h"

namespace assent {
namespace {

using std::chrono_literals::operator""ms;
using std::chrono_literals::operator""s;
using testing::FakeCoordinator;
using ::testing::HasSubstr;
using testing::Script;
using testing::SubmitStream;

Transaction Order() {
  Transaction order;
  order.Tcc("inventory", "reserve", "2 x 4711").Label("order", "1").Deadline(5s);
  return order;
}

TEST(ClientTest, SubmitsAndReports) {
  Script script;
  script.submit = [](grpc::ServerContext*, const v1::SubmitRequest& request,
                     v1::SubmitReply* reply) {
    EXPECT_EQ(request.wait_for(), v1::WAIT_DECIDED);
    EXPECT_EQ(request.transaction().branches_size(), 1);
    EXPECT_EQ(request.transaction().branches(0).payload(), "2 x 4711");
    EXPECT_EQ(request.transaction().deadline_ms(), 5000);
    EXPECT_EQ(request.transaction().labels().at("order"), "1");
    reply->set_gid(request.transaction().gid());
    reply->set_state(v1::ABORTING);
    reply->set_outcome(v1::ABORTED);
    reply->set_abort_reason("branch 1 inventory/reserve refused: out of stock");
    return grpc::Status::OK;
  };
  FakeCoordinator coordinator(script);
  Client client({.endpoint = coordinator.endpoint()});
  const Transaction order = Order();
  const Result<Report> report = client.Submit(order);
  ASSERT_TRUE(report.ok()) << report.status().ToString();
  EXPECT_TRUE(report->aborted());
  EXPECT_EQ(report->gid, order.gid());
  EXPECT_EQ(report->abort_reason, "branch 1 inventory/reserve refused: out of stock");
}

}  // namespace
}  // namespace assent
