// Client over gRPC, against a scripted coordinator.

#include <atomic>
#include <chrono>
#include <future>
#include <map>
#include <memory>
#include <mutex>
#include <optional>
#include <string>
#include <vector>

#include <gmock/gmock.h>
#include <grpc/grpc.h>
#include <gtest/gtest.h>

#include <assent/client.h>
#include <assent/mock_connection.h>

#include "tests/sdk/fake_coordinator.h"

namespace assent {
namespace {

using std::chrono_literals::operator""ms;
using std::chrono_literals::operator""s;
using ::testing::_;
using testing::FakeCoordinator;
using ::testing::HasSubstr;
using ::testing::Return;
using testing::Script;
using testing::SubmitStream;

Transaction Order() {
  Transaction order;
  order.Tcc("inventory", "reserve", "2 x 4711").Label("order", "1").Deadline(5s);
  return order;
}

grpc::Status Committed(const std::string& gid, v1::SubmitReply* reply) {
  reply->set_gid(gid);
  reply->set_state(v1::COMMITTING);
  reply->set_outcome(v1::COMMITTED);
  return grpc::Status::OK;
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
    EXPECT_EQ(request.transaction().traceparent(),
              "00-4bf92f3577b34da6a3ce929d0e0e4736-00f067aa0ba902b7-01");
    EXPECT_EQ(request.transaction().tracestate(), "a=1");
    reply->set_gid(request.transaction().gid());
    reply->set_state(v1::ABORTING);
    reply->set_outcome(v1::ABORTED);
    reply->set_abort_reason("branch 1 inventory/reserve refused: out of stock");
    return grpc::Status::OK;
  };
  FakeCoordinator coordinator(script);
  Client client({.endpoint = coordinator.endpoint()});
  Transaction order = Order();
  order.Trace("00-4bf92f3577b34da6a3ce929d0e0e4736-00f067aa0ba902b7-01", "a=1");
  const Result<Report> report = client.Submit(order);
  ASSERT_TRUE(report.ok()) << report.status().ToString();
  EXPECT_TRUE(report->aborted());
  EXPECT_EQ(report->gid, order.gid());
  EXPECT_EQ(report->abort_reason, "branch 1 inventory/reserve refused: out of stock");
}

TEST(ClientTest, NobodyThereIsUnavailableNotUnknown) {
  Client client({.endpoint = "127.0.0.1:" + std::to_string(testing::UnusedPort()),
                 .retry = {.give_up_after = 200ms}});
  const Result<Report> report = client.Submit(Order());
  EXPECT_EQ(report.status().code(), Code::kUnavailable);
  EXPECT_THAT(report.status().message(), HasSubstr("was not done"));
}

TEST(ClientTest, ACallThatWasSeenAndNotAnsweredIsUnknown) {
  std::atomic<int> seen{0};
  Script script;
  script.submit = [&](grpc::ServerContext* context, const v1::SubmitRequest&, v1::SubmitReply*) {
    ++seen;
    context->TryCancel();
    return grpc::Status(grpc::StatusCode::UNAVAILABLE, "stopping");
  };
  FakeCoordinator coordinator(script);
  Client client({.endpoint = coordinator.endpoint(), .retry = {.give_up_after = 300ms}});
  const Transaction order = Order();
  const Result<Report> report = client.Submit(order);
  EXPECT_EQ(report.status().code(), Code::kUnknownOutcome);
  EXPECT_THAT(report.status().message(), HasSubstr(order.gid()));
  EXPECT_GT(seen, 1);  // asked again, with the same gid
}

TEST(ClientTest, ATimeoutOfASubmitIsUnknownOfAWaitJustThat) {
  Script script;
  std::promise<void> end;
  const std::shared_future<void> ended = end.get_future().share();
  script.submit = [&](grpc::ServerContext*, const v1::SubmitRequest&, v1::SubmitReply*) {
    ended.wait();
    return grpc::Status::OK;
  };
  script.wait = [&](grpc::ServerContext*, const v1::WaitRequest&, v1::SubmitReply*) {
    ended.wait();
    return grpc::Status::OK;
  };
  FakeCoordinator coordinator(script);
  Client client({.endpoint = coordinator.endpoint()});
  EXPECT_EQ(client.Submit(Order(), {.timeout = 100ms}).status().code(), Code::kUnknownOutcome);
  EXPECT_EQ(client.Wait("g1", {.timeout = 100ms}).status().code(), Code::kDeadlineExceeded);
  end.set_value();
}

TEST(ClientTest, AFullCoordinatorIsAskedAgainWhenItSays) {
  std::atomic<int> seen{0};
  Script script;
  script.submit = [&](grpc::ServerContext* context, const v1::SubmitRequest& request,
                      v1::SubmitReply* reply) {
    if (++seen == 1) {
      context->AddTrailingMetadata("assent-retry-after-ms", "1234");
      return grpc::Status(grpc::StatusCode::RESOURCE_EXHAUSTED, "queue full");
    }
    return Committed(request.transaction().gid(), reply);
  };
  FakeCoordinator coordinator(script);
  std::vector<std::chrono::milliseconds> sleeps;
  Client client({.endpoint = coordinator.endpoint(),
                 .sleep = [&](std::chrono::milliseconds wait) { sleeps.push_back(wait); }});
  EXPECT_TRUE(client.Submit(Order())->committed());
  EXPECT_EQ(sleeps, std::vector<std::chrono::milliseconds>{1234ms});
}

// The reply to a transaction that has committed is larger than the caller takes: its own library
// says RESOURCE_EXHAUSTED.
TEST(ClientTest, AnAnswerThatItsOwnLibraryRefusesIsNoNo) {
  std::atomic<int> committed{0};
  Script script;
  script.submit = [&](grpc::ServerContext*, const v1::SubmitRequest& request,
                      v1::SubmitReply* reply) {
    ++committed;
    reply->set_abort_reason(std::string(64 * 1024 * 1024, 'x'));
    return Committed(request.transaction().gid(), reply);
  };
  FakeCoordinator coordinator(script);
  Client client({.endpoint = coordinator.endpoint(), .retry = {.give_up_after = 100ms}});
  const Result<Report> report = client.Submit(Order());
  EXPECT_GT(committed, 0);
  EXPECT_EQ(report.status().code(), Code::kUnknownOutcome) << report.status().ToString();
}

// gRPC that ended with the last client joined its threads, one of which may sleep for ten seconds
// after an unfinished write, as the test above leaves one: so long the client's destructor took.
TEST(ClientTest, TheLastClientDoesNotWaitForTheEndOfGrpc) {
  {
    Script script;
    script.submit = [](grpc::ServerContext*, const v1::SubmitRequest& request,
                       v1::SubmitReply* reply) {
      return Committed(request.transaction().gid(), reply);
    };
    const FakeCoordinator coordinator(script);
    const Client client({.endpoint = coordinator.endpoint()});
    EXPECT_TRUE(client.Submit(Order())->committed());
  }
  grpc_init();
  grpc_shutdown_blocking();  // waits for an end that has begun on another thread
  EXPECT_EQ(grpc_is_initialized(), 1);
}

TEST(ClientTest, AnEndpointThatIsNoneIsASentenceAtTheFirstCall) {
  Client client({.endpoint = "http://127.0.0.1:7400"});
  const std::string sentence =
      "endpoint 'http://127.0.0.1:7400' is a URL; it must be \"host:port\", such as "
      "\"127.0.0.1:7400\"";
  EXPECT_EQ(client.Submit(Order()).status(), InvalidArgument(sentence));
  EXPECT_EQ(client.Begin().status(), InvalidArgument(sentence));
  EXPECT_EQ(client.Get("g1").status(), InvalidArgument(sentence));
  std::optional<Result<Report>> result;
  client.SubmitAsync(Order(), [&](Result<Report> r) { result = std::move(r); });
  ASSERT_TRUE(result.has_value());
  EXPECT_EQ(result->status(), InvalidArgument(sentence));
}

TEST(ClientTest, FinalErrorsAreNotRepeated) {
  std::atomic<int> seen{0};
  Script script;
  script.submit = [&](grpc::ServerContext*, const v1::SubmitRequest&, v1::SubmitReply*) {
    ++seen;
    return grpc::Status(grpc::StatusCode::ALREADY_EXISTS, "gid taken");
  };
  FakeCoordinator coordinator(script);
  Client client({.endpoint = coordinator.endpoint()});
  EXPECT_EQ(client.Submit(Order()).status(), AlreadyExists("gid taken"));
  EXPECT_EQ(seen, 1);
}

TEST(ClientTest, WhatCanNeverWorkIsNotSent) {
  Client client({.endpoint = "127.0.0.1:" + std::to_string(testing::UnusedPort())});
  EXPECT_EQ(client.Submit(Transaction()).status().code(), Code::kInvalidArgument);
  std::optional<Result<Report>> result;
  client.SubmitAsync(Transaction(), [&](Result<Report> r) { result = std::move(r); });
  ASSERT_TRUE(result.has_value());
  EXPECT_EQ(result->status().code(), Code::kInvalidArgument);
}

TEST(ClientTest, InteractiveCommitsAndRollsBackWhenItGoes) {
  std::mutex mutex;
  std::vector<std::string> calls;
  const auto note = [&](std::string what) {
    const std::lock_guard lock(mutex);
    calls.push_back(std::move(what));
  };
  Script script;
  script.begin = [&](grpc::ServerContext*, const v1::BeginRequest& request, v1::BeginReply* reply) {
    reply->set_gid(request.transaction().gid());
    note("begin");
    return grpc::Status::OK;
  };
  script.execute = [&](grpc::ServerContext*, const v1::ExecuteBranchRequest& request,
                       v1::ExecuteBranchReply* reply) {
    reply->set_branch_id(request.branch().branch_id());
    const bool refuse = request.branch().action() == "refuse";
    reply->set_state(refuse ? v1::REFUSED : v1::EXECUTED);
    reply->set_result(refuse ? "" : "ok");
    reply->set_reason(refuse ? "no" : "");
    note("execute " + request.branch().branch_id());
    return grpc::Status::OK;
  };
  script.commit = [&](grpc::ServerContext*, const v1::CommitRequest& request,
                      v1::SubmitReply* reply) {
    note("commit");
    return Committed(request.gid(), reply);
  };
  script.rollback = [&](grpc::ServerContext*, const v1::RollbackRequest& request,
                        v1::SubmitReply* reply) {
    note("rollback: " + request.reason());
    reply->set_outcome(v1::ABORTED);
    return grpc::Status::OK;
  };
  FakeCoordinator coordinator(script);
  Client client({.endpoint = coordinator.endpoint()});
  {
    auto order = client.Begin();
    ASSERT_TRUE(order.ok()) << order.status().ToString();
    EXPECT_EQ(order->Tcc("s", "a")->result, "ok");
    OpenTransaction moved = std::move(*order);
    EXPECT_EQ(moved.Saga("s", "a")->branch_id, "2");
    EXPECT_TRUE(moved.Commit()->committed());
  }
  {
    auto order = client.Begin();
    const auto refused = order->TwoPhase("s", "refuse");
    ASSERT_TRUE(refused.ok());
    EXPECT_TRUE(refused->refused);
    EXPECT_EQ(refused->reason, "no");
  }
  EXPECT_EQ(calls, (std::vector<std::string>{"begin", "execute 1", "execute 2", "commit", "begin",
                                             "execute 1", "rollback: abandoned by its initiator"}));
}

TEST(ClientTest, GetShowsTheWholeTransaction) {
  Script script;
  script.get = [](grpc::ServerContext*, const v1::GetRequest& request, v1::Transaction* reply) {
    reply->set_gid(request.gid());
    reply->set_state(v1::COMMITTING);
    reply->set_outcome(v1::COMMITTED);
    reply->set_why_not_finished("branch 1 waits");
    reply->set_began_unix_ms(1'700'000'000'000);
    v1::Branch* branch = reply->add_branches();
    branch->mutable_spec()->set_branch_id("1");
    branch->mutable_spec()->set_protocol(v1::TCC);
    branch->mutable_spec()->set_service("inventory");
    branch->set_state(v1::FINISHING);
    branch->set_attempt_count(3);
    branch->set_last_error("UNAVAILABLE");
    return grpc::Status::OK;
  };
  FakeCoordinator coordinator(script);
  Client client({.endpoint = coordinator.endpoint()});
  const Result<TransactionInfo> info = client.Get("g1");
  ASSERT_TRUE(info.ok());
  EXPECT_EQ(info->why_not_finished, "branch 1 waits");
  ASSERT_EQ(info->branches.size(), 1u);
  EXPECT_EQ(info->branches[0].state, BranchState::kFinishing);
  EXPECT_EQ(info->branches[0].attempts, 3u);
  EXPECT_EQ(info->began.time_since_epoch(), 1'700'000'000'000ms);
  EXPECT_EQ(info->finished.time_since_epoch(), 0ms);
}

// Answers every request of a stream; `stop_after` frames it breaks the stream without answering.
grpc::Status AnswerAll(SubmitStream* stream, int stop_after, std::map<std::string, int>* seen,
                       std::mutex* mutex) {
  v1::SubmitRequestFrame frame;
  for (int frames = 0; stream->Read(&frame); ++frames) {
    v1::SubmitReplyFrame replies;
    for (const v1::SubmitRequest& request : frame.requests()) {
      {
        const std::lock_guard lock(*mutex);
        ++(*seen)[request.transaction().gid()];
      }
      v1::SubmitReply* reply = replies.add_replies();
      reply->set_request_id(request.request_id());
      reply->set_gid(request.transaction().gid());
      reply->set_outcome(v1::COMMITTED);
    }
    if (frames == stop_after) return {grpc::StatusCode::UNAVAILABLE, "stopping"};
    stream->Write(replies);
  }
  return grpc::Status::OK;
}

TEST(ClientTest, AsyncSubmitsSurviveBrokenStreamsAndCompleteOnce) {
  constexpr int kCount = 5000;
  std::mutex mutex;
  std::map<std::string, int> seen;
  Script script;
  script.submit_stream = [&](int number, grpc::ServerContext*, SubmitStream* stream) {
    return AnswerAll(stream, number <= 3 ? number : -1, &seen, &mutex);
  };
  FakeCoordinator coordinator(script);
  Client client({.endpoint = coordinator.endpoint()});
  std::atomic<int> completed{0};
  std::atomic<int> committed{0};
  std::promise<void> all;
  for (int i = 0; i < kCount; ++i) {
    client.SubmitAsync(Order(), [&](const Result<Report>& report) {
      if (report.ok() && report->committed()) ++committed;
      if (++completed == kCount) all.set_value();
    });
  }
  ASSERT_EQ(all.get_future().wait_for(30s), std::future_status::ready);
  EXPECT_EQ(committed, kCount);
  EXPECT_EQ(seen.size(), static_cast<std::size_t>(kCount));
  int repeated = 0;
  for (const auto& [gid, times] : seen) repeated += times > 1 ? 1 : 0;
  EXPECT_GT(repeated, 0);  // the cuts did hit something
}

TEST(ClientTest, AsyncIntoTheVoidIsUnavailableInTime) {
  Client client({.endpoint = "127.0.0.1:" + std::to_string(testing::UnusedPort()),
                 .retry = {.give_up_after = 200ms}});
  std::promise<Code> code;
  client.SubmitAsync(Order(),
                     [&](const Result<Report>& report) { code.set_value(report.status().code()); });
  EXPECT_EQ(code.get_future().get(), Code::kUnavailable);
}

TEST(ClientTest, TheLastCopyMayGoInACallback) {
  std::mutex mutex;
  std::map<std::string, int> seen;
  Script script;
  script.submit_stream = [&](int, grpc::ServerContext*, SubmitStream* stream) {
    return AnswerAll(stream, -1, &seen, &mutex);
  };
  FakeCoordinator coordinator(script);
  std::promise<bool> committed;
  {
    auto client =
        std::make_shared<std::optional<Client>>(ClientOptions{.endpoint = coordinator.endpoint()});
    (*client)->SubmitAsync(Order(), [client, &committed](const Result<Report>& report) {
      const bool ok = report.ok() && report->committed();
      client->reset();
      committed.set_value(ok);
    });
  }
  EXPECT_TRUE(committed.get_future().get());
}

TEST(ClientTest, WhatIsUnansweredWhenTheClientGoesIsToldSo) {
  Script script;
  std::promise<void> arrived;
  script.submit_stream = [&](int, grpc::ServerContext*, SubmitStream* stream) {
    v1::SubmitRequestFrame frame;
    if (stream->Read(&frame)) arrived.set_value();
    stream->Read(&frame);
    return grpc::Status::OK;
  };
  FakeCoordinator coordinator(script);
  std::optional<Client> client(std::in_place, ClientOptions{.endpoint = coordinator.endpoint()});
  std::optional<Result<Report>> result;
  client->SubmitAsync(Order(), [&](Result<Report> r) { result = std::move(r); });
  arrived.get_future().wait();
  client.reset();
  ASSERT_TRUE(result.has_value());
  EXPECT_EQ(result->status().code(), Code::kUnknownOutcome);
}

TEST(ClientTest, AMockStandsInForTheConnection) {
  const auto mock = std::make_shared<MockConnection>();
  EXPECT_CALL(*mock, Submit(_))
      .WillOnce(Return(Report{.outcome = Outcome::kAborted, .abort_reason = "no stock"}));
  EXPECT_CALL(*mock, Begin(_)).WillOnce(Return(OkStatus()));
  EXPECT_CALL(*mock, Execute(_))
      .WillOnce(Return(UnknownOutcome("lost")))
      .WillOnce(Return(BranchResult{.branch_id = "1"}));
  EXPECT_CALL(*mock, Finish(_)).WillOnce(Return(Report{}));
  Client client(mock);
  EXPECT_EQ(client.Submit(Order())->abort_reason, "no stock");
  auto open = client.Begin();
  EXPECT_EQ(open->Tcc("s", "a").status().code(), Code::kUnknownOutcome);
  EXPECT_EQ(open->Tcc("s", "a")->branch_id, "1");  // the same branch, asked again
}

}  // namespace
}  // namespace assent
