// The connection against a real gRPC server in this process that answers as it is told.

#include "tools/assentctl/connection.h"

#include <atomic>
#include <memory>
#include <string>
#include <thread>

#include <grpcpp/grpcpp.h>
#include <gtest/gtest.h>

#include "assent/v1/cluster.grpc.pb.h"
#include "assent/v1/transaction.grpc.pb.h"

namespace assent::ctl {
namespace {

using std::chrono::milliseconds;
using std::chrono::seconds;

class Coordinator final : public v1::TransactionService::Service {
 public:
  grpc::Status Get(grpc::ServerContext* context, const v1::GetRequest* request,
                   v1::Transaction* reply) override {
    HangIfTold(*context);
    reply->set_gid(request->gid());
    if (!retry_after_ms.empty())
      context->AddTrailingMetadata("assent-retry-after-ms", retry_after_ms);
    return answer;
  }
  grpc::Status RetryNow(grpc::ServerContext* context, const v1::RetryNowRequest* request,
                        v1::OperatorReply* reply) override {
    HangIfTold(*context);
    reply->set_effect("retry of " + request->action().gid());
    return answer;
  }
  grpc::Status Forget(grpc::ServerContext*, const v1::ForgetRequest* request,
                      v1::OperatorReply* reply) override {
    reply->set_effect("forget of " + request->action().gid());
    return answer;
  }
  grpc::Status Watch(grpc::ServerContext* context, const v1::WatchRequest* request,
                     grpc::ServerWriter<v1::Transaction>* stream) override {
    v1::Transaction transaction;
    transaction.set_gid(request->gid());
    for (std::uint32_t i = 1; i <= 3; ++i) {
      transaction.set_recoveries(i);
      stream->Write(transaction);
    }
    HangIfTold(*context);
    cancelled = context->IsCancelled();
    return answer;
  }

  grpc::Status GetServerInfo(grpc::ServerContext*, const v1::GetServerInfoRequest*,
                             v1::ServerInfo* reply) override {
    reply->set_coordinator_id(7);
    return grpc::Status::OK;
  }

  // Returns when the caller has gone; `hanging` says that it is being waited for.
  void HangIfTold(const grpc::ServerContext& context) {
    while (hang && !context.IsCancelled()) {
      hanging = true;
      std::this_thread::yield();
    }
    hanging = false;
  }

  grpc::Status answer;
  std::string retry_after_ms;
  std::atomic<bool> hang{false};
  std::atomic<bool> hanging{false};
  std::atomic<bool> cancelled{false};
};

class Cluster final : public v1::ClusterService::Service {
 public:
  grpc::Status Get(grpc::ServerContext*, const v1::GetClusterRequest* request,
                   v1::ClusterView* reply) override {
    reply->set_version(request->load() ? 2 : 1);
    return grpc::Status::OK;
  }
  grpc::Status Watch(grpc::ServerContext*, const v1::WatchClusterRequest*,
                     grpc::ServerWriter<v1::ClusterView>* stream) override {
    v1::ClusterView view;
    for (std::uint64_t version = 1; version <= 3; ++version) {
      view.set_version(version);
      stream->Write(view);
    }
    return answer;
  }
  grpc::Status Drain(grpc::ServerContext*, const v1::DrainMemberRequest* request,
                     v1::ClusterReply* reply) override {
    return Done("drain " + request->node(), reply);
  }
  grpc::Status Move(grpc::ServerContext*, const v1::MoveSlotsRequest* request,
                    v1::ClusterReply* reply) override {
    return Done("move " + request->node(), reply);
  }
  grpc::Status Fence(grpc::ServerContext*, const v1::FenceMemberRequest* request,
                     v1::ClusterReply* reply) override {
    return Done("fence " + request->node(), reply);
  }
  grpc::Status Done(const std::string& what, v1::ClusterReply* reply) const {
    reply->mutable_view()->add_members()->set_node(what);
    return answer;
  }

  grpc::Status answer;
};

class ConnectionTest : public ::testing::Test {
 protected:
  void SetUp() override {
    grpc::ServerBuilder builder;
    builder.AddListeningPort("127.0.0.1:0", grpc::InsecureServerCredentials(), &port_);
    builder.RegisterService(&coordinator);
    builder.RegisterService(&cluster);
    server = builder.BuildAndStart();
    ASSERT_NE(nullptr, server);
    endpoint = "127.0.0.1:" + std::to_string(port_);
    service = Connect(endpoint);
  }
  void TearDown() override {
    coordinator.hang = false;
    if (server != nullptr) server->Shutdown(std::chrono::system_clock::now());
  }
  Status GetStatus(Timeout timeout = seconds(10)) {
    v1::GetRequest request;
    request.set_gid("g");
    return service->Get(request, timeout).status();
  }

  Coordinator coordinator;
  Cluster cluster;
  std::unique_ptr<grpc::Server> server;
  std::string endpoint;
  std::unique_ptr<Service> service;

 private:
  int port_ = 0;
};

TEST_F(ConnectionTest, CarriesRequestsAndReplies) {
  v1::GetRequest request;
  request.set_gid("order-17");
  EXPECT_EQ("order-17", service->Get(request, seconds(10)).value().gid());
  v1::RetryNowRequest retry;
  retry.mutable_action()->set_gid("a");
  EXPECT_EQ("retry of a", service->Operate(retry, seconds(10)).value().effect());
  v1::ForgetRequest forget;
  forget.mutable_action()->set_gid("b");
  EXPECT_EQ("forget of b", service->Operate(forget, seconds(10)).value().effect());
}

TEST_F(ConnectionTest, CodesKeepTheirMeaningAndTheirWords) {
  const std::pair<grpc::StatusCode, Code> all[] = {
      {grpc::StatusCode::INVALID_ARGUMENT, Code::kInvalidArgument},
      {grpc::StatusCode::NOT_FOUND, Code::kNotFound},
      {grpc::StatusCode::ALREADY_EXISTS, Code::kAlreadyExists},
      {grpc::StatusCode::FAILED_PRECONDITION, Code::kFailedPrecondition},
      {grpc::StatusCode::PERMISSION_DENIED, Code::kPermissionDenied},
      {grpc::StatusCode::UNAUTHENTICATED, Code::kUnauthenticated},
      {grpc::StatusCode::RESOURCE_EXHAUSTED, Code::kResourceExhausted},
      {grpc::StatusCode::INTERNAL, Code::kInternal},
      {grpc::StatusCode::UNKNOWN, Code::kInternal}};
  for (const auto& [wire, code] : all) {
    coordinator.answer = grpc::Status(wire, "in its own words");
    const Status status = GetStatus();
    EXPECT_EQ(code, status.code());
    EXPECT_EQ("in its own words", status.message());
  }
}

// A library, a proxy, or the coordinator passing on somebody else's words: whoever says so, and in
// whatever words, a deed that was sent may have been done. "stopping: nothing was begun" and
// "failed to connect to all addresses" used to be believed.
TEST_F(ConnectionTest, NoCodeAndNoTextSaysThatADeedWasNotDone) {
  for (const grpc::StatusCode code :
       {grpc::StatusCode::UNAVAILABLE, grpc::StatusCode::CANCELLED, grpc::StatusCode::UNKNOWN,
        grpc::StatusCode::INTERNAL, grpc::StatusCode::UNIMPLEMENTED,
        grpc::StatusCode::RESOURCE_EXHAUSTED, grpc::StatusCode::DEADLINE_EXCEEDED}) {
    for (const char* words :
         {"stopping: nothing was begun",
          "failed to connect to all addresses; last error: UNKNOWN: Connection refused",
          "Received http2 header with status: 502", ""}) {
      coordinator.answer = grpc::Status(code, words);
      const Status deed = service->Operate(v1::RetryNowRequest(), seconds(10)).status();
      EXPECT_EQ(Code::kUnknownOutcome, deed.code()) << code << " " << words;
      EXPECT_NE(std::string::npos, deed.message().find("; it may or may not have been done"))
          << deed.message();
    }
  }
  coordinator.answer = grpc::Status(grpc::StatusCode::UNAVAILABLE, "stopping");
  EXPECT_EQ(Code::kUnavailable, GetStatus().code());
  EXPECT_EQ(endpoint + " went away: stopping", GetStatus().message());
}

// Only what this side knows is evidence: without a connection a deed is not sent.
TEST_F(ConnectionTest, ADeedWithoutAConnectionIsNotSent) {
  server->Shutdown();
  service = Connect(endpoint);
  const Status deed = service->Operate(v1::RetryNowRequest(), seconds(10)).status();
  EXPECT_EQ(Code::kUnavailable, deed.code());
  EXPECT_EQ(0U, deed.message().find("cannot connect to " + endpoint + ": connection refused"))
      << deed.message();
}

TEST_F(ConnectionTest, TheRetryHintIsSaid) {
  coordinator.answer = grpc::Status(grpc::StatusCode::RESOURCE_EXHAUSTED, "queue is full");
  coordinator.retry_after_ms = "250";
  EXPECT_EQ("queue is full; try again in 250 ms", GetStatus().message());
  coordinator.retry_after_ms = "soon";
  EXPECT_EQ("queue is full", GetStatus().message());
  coordinator.answer =
      grpc::Status(grpc::StatusCode::RESOURCE_EXHAUSTED, "queue is full: try again later");
  EXPECT_EQ("queue is full: try again later", GetStatus().message());
  coordinator.retry_after_ms = "250";
  EXPECT_EQ("queue is full; try again in 250 ms", GetStatus().message()) << "once";
}

TEST_F(ConnectionTest, TimeoutOfAQuestionAndOfADeed) {
  coordinator.hang = true;
  const Status question = GetStatus(milliseconds(50));
  EXPECT_EQ(Code::kDeadlineExceeded, question.code());
  EXPECT_EQ(endpoint + " gave no answer within --timeout (50 ms)", question.message());
  const Status deed = service->Operate(v1::RetryNowRequest(), milliseconds(50)).status();
  EXPECT_EQ(Code::kUnknownOutcome, deed.code());
  EXPECT_EQ(endpoint + " gave no answer within --timeout (50 ms); it may or may not have been done",
            deed.message());
}

TEST_F(ConnectionTest, NobodyListens) {
  server->Shutdown();
  service = Connect(endpoint);
  const Status status = GetStatus();
  EXPECT_EQ(Code::kUnavailable, status.code());
  EXPECT_EQ("cannot connect to " + endpoint +
                ": connection refused; is assentd running? (--endpoint or ASSENT_ENDPOINT names "
                "another address)",
            status.message());
}

// A deed whose answer was lost may have been done; a question is simply unanswered.
TEST_F(ConnectionTest, ACoordinatorThatDiesWhileAsked) {
  coordinator.hang = true;
  for (const bool deed : {false, true}) {
    ASSERT_TRUE(deed || server != nullptr);
    if (deed) {
      server.reset();
      coordinator.hang = false;
      SetUp();
      coordinator.hang = true;
    }
    std::thread killer([this] {
      while (!coordinator.hanging) std::this_thread::yield();
      server->Shutdown(std::chrono::system_clock::now());
    });
    const Status status =
        deed ? service->Operate(v1::RetryNowRequest(), seconds(10)).status() : GetStatus();
    killer.join();
    EXPECT_EQ(deed ? Code::kUnknownOutcome : Code::kUnavailable, status.code())
        << status.ToString();
    EXPECT_NE(std::string::npos, status.message().find("went away")) << status.ToString();
  }
}

TEST_F(ConnectionTest, WatchGivesEachSighting) {
  v1::WatchRequest request;
  request.set_gid("g");
  std::uint32_t last = 0;
  const Status status = service->Watch(request, seconds(10), [&](const v1::Transaction& seen) {
    EXPECT_EQ(last + 1, seen.recoveries());
    last = seen.recoveries();
    return true;
  });
  EXPECT_TRUE(status.ok()) << status.ToString();
  EXPECT_EQ(3U, last);
}

TEST_F(ConnectionTest, StoppingAWatchCancelsItAtTheCoordinator) {
  coordinator.hang = true;
  v1::WatchRequest request;
  int seen = 0;
  const Status status = service->Watch(request, std::nullopt, [&](const v1::Transaction&) {
    ++seen;
    return false;
  });
  EXPECT_TRUE(status.ok()) << status.ToString();
  EXPECT_EQ(1, seen);
  server->Shutdown();  // waits for the handler, which waits for the cancellation
  EXPECT_TRUE(coordinator.cancelled);
}

TEST_F(ConnectionTest, ATimeoutEndsAWatch) {
  coordinator.hang = true;
  const Status status =
      service->Watch(v1::WatchRequest(), milliseconds(50), [](const auto&) { return true; });
  EXPECT_EQ(Code::kDeadlineExceeded, status.code());
}

TEST_F(ConnectionTest, AWatchThatEndsWithAnErrorSaysSo) {
  coordinator.answer = grpc::Status(grpc::StatusCode::NOT_FOUND, "no transaction g");
  const Status status =
      service->Watch(v1::WatchRequest(), seconds(10), [](const auto&) { return true; });
  EXPECT_EQ(Code::kNotFound, status.code());
}

TEST_F(ConnectionTest, TheCluster) {
  v1::GetClusterRequest get;
  get.set_load(true);
  EXPECT_EQ(2U, service->GetCluster(get, seconds(10))->version());
  std::uint64_t last = 0;
  EXPECT_TRUE(service
                  ->WatchCluster(seconds(10),
                                 [&](const v1::ClusterView& seen) {
                                   last = seen.version();
                                   return last < 2;
                                 })
                  .ok());
  EXPECT_EQ(2U, last);
  const auto change = [this](const ClusterRequest& request) {
    return service->ChangeCluster(request, seconds(10))->view().members(0).node();
  };
  v1::DrainMemberRequest drain;
  drain.set_node("b");
  EXPECT_EQ("drain b", change(drain));
  v1::MoveSlotsRequest move;
  move.set_node("c");
  EXPECT_EQ("move c", change(move));
  v1::FenceMemberRequest fence;
  fence.set_node("d");
  EXPECT_EQ("fence d", change(fence));
  cluster.answer = grpc::Status(grpc::StatusCode::UNAVAILABLE, "stopping");
  EXPECT_EQ(Code::kUnknownOutcome, service->ChangeCluster(fence, seconds(10)).status().code());
}

// Two servers; the one of the fixture is the second.
class SeveralTest : public ConnectionTest {
 protected:
  void SetUp() override {
    ConnectionTest::SetUp();
    grpc::ServerBuilder builder;
    int port = 0;
    builder.AddListeningPort("127.0.0.1:0", grpc::InsecureServerCredentials(), &port);
    builder.RegisterService(&first);
    first_server = builder.BuildAndStart();
    ASSERT_NE(nullptr, first_server);
    first_endpoint = "127.0.0.1:" + std::to_string(port);
    service = Connect(first_endpoint + "," + endpoint);
  }
  void TearDown() override {
    first.hang = false;
    first_server->Shutdown(std::chrono::system_clock::now());
    ConnectionTest::TearDown();
  }

  Coordinator first;
  std::unique_ptr<grpc::Server> first_server;
  std::string first_endpoint;
};

TEST_F(SeveralTest, TheFirstThatAnswersIsUsed) {
  EXPECT_TRUE(GetStatus().ok());
  EXPECT_EQ(first_endpoint, service->Endpoint());
  first_server->Shutdown();
  EXPECT_TRUE(GetStatus().ok());
  EXPECT_EQ(endpoint, service->Endpoint());
  // One that was never there.
  service = Connect(first_endpoint + "," + endpoint);
  EXPECT_EQ("retry of ", service->Operate(v1::RetryNowRequest(), seconds(10))->effect());
  EXPECT_EQ(endpoint, service->Endpoint());
}

TEST_F(SeveralTest, AQuestionToOneThatStopsIsPutToTheNext) {
  first.answer = grpc::Status(grpc::StatusCode::UNAVAILABLE, "stopping");
  EXPECT_TRUE(GetStatus().ok());
  EXPECT_EQ(endpoint, service->Endpoint());
  // What somebody answered is an answer.
  service = Connect(first_endpoint + "," + endpoint);
  first.answer = grpc::Status(grpc::StatusCode::NOT_FOUND, "no transaction g");
  EXPECT_EQ(Code::kNotFound, GetStatus().code());
}

// Asking another one would do it twice.
TEST_F(SeveralTest, ADeedWhoseAnswerWasLostIsNotSentToAnother) {
  first.answer = grpc::Status(grpc::StatusCode::UNAVAILABLE, "stopping: nothing was begun");
  coordinator.answer = grpc::Status(grpc::StatusCode::ALREADY_EXISTS, "was asked");
  const Status deed = service->Operate(v1::RetryNowRequest(), seconds(10)).status();
  EXPECT_EQ(Code::kUnknownOutcome, deed.code()) << deed.ToString();
  EXPECT_EQ(0U, deed.message().find(first_endpoint + " went away")) << deed.ToString();
}

TEST_F(SeveralTest, AWatchGoesOnAtTheNext) {
  first.answer = grpc::Status(grpc::StatusCode::UNAVAILABLE, "stopping");
  int seen = 0;
  const Status status = service->Watch(v1::WatchRequest(), seconds(10), [&](const auto&) {
    ++seen;
    return true;
  });
  EXPECT_TRUE(status.ok()) << status.ToString();
  EXPECT_EQ(6, seen);
}

TEST_F(SeveralTest, WhenNobodyAnswersEachIsNamed) {
  first_server->Shutdown();
  server->Shutdown();
  service = Connect(first_endpoint + "," + endpoint);
  const std::string refused = ": connection refused; is assentd running?";
  for (const Status& status :
       {GetStatus(), service->Operate(v1::RetryNowRequest(), seconds(10)).status()}) {
    EXPECT_EQ(Code::kUnavailable, status.code());
    EXPECT_EQ(0U, status.message().find("cannot connect to " + first_endpoint + refused +
                                        ", nor to " + endpoint + refused))
        << status.message();
  }
}

TEST_F(ConnectionTest, ManyAreOnTheirWayAtATimeAndEachIsAnsweredOnce) {
  std::vector<int> answers(500);
  service->OperateMany(
      answers.size(),
      [](std::size_t i) {
        v1::RetryNowRequest request;
        request.mutable_action()->set_gid(std::to_string(i));
        return request;
      },
      seconds(10),
      [&](std::size_t i, const Result<v1::OperatorReply>& reply) {
        EXPECT_EQ(reply.ok() ? reply->effect() : "", "retry of " + std::to_string(i));
        ++answers[i];
        return true;
      });
  EXPECT_EQ(answers, std::vector<int>(500, 1));
}

TEST_F(ConnectionTest, WhoHasEnoughIsToldOfThoseOnTheirWayAndNoMoreAreSent) {
  coordinator.answer = grpc::Status(grpc::StatusCode::FAILED_PRECONDITION, "no");
  std::size_t made = 0;
  std::size_t told = 0;
  service->OperateMany(
      10'000,
      [&](std::size_t) {
        ++made;
        return v1::RetryNowRequest();
      },
      seconds(10),
      [&](std::size_t, const Result<v1::OperatorReply>& reply) {
        EXPECT_EQ(Code::kFailedPrecondition, reply.status().code());
        ++told;
        return false;
      });
  EXPECT_EQ(made, told);
  EXPECT_LT(made, 100U);
}

}  // namespace
}  // namespace assent::ctl
