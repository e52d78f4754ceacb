// Participant over gRPC, against a scripted coordinator.

#include <chrono>
#include <condition_variable>
#include <csignal>
#include <future>
#include <mutex>
#include <string>
#include <thread>
#include <vector>

#include <gmock/gmock.h>
#include <gtest/gtest.h>

#include <assent/participant.h>

#include "tests/sdk/fake_coordinator.h"

namespace assent {
namespace {

using std::chrono_literals::operator""ms;
using std::chrono_literals::operator""s;
using testing::CommandFrame;
using testing::FakeCoordinator;
using testing::Greet;
using ::testing::HasSubstr;
using testing::Script;
using testing::SessionStream;

constexpr auto kSoon = 10s;  // ends a wait that should never end by itself

ParticipantOptions OptionsFor(const std::string& endpoint) {
  ParticipantOptions options;
  options.service = "inventory";
  options.endpoints = {endpoint};
  options.worker_threads = 2;
  options.reconnect_initial_backoff = 5ms;
  options.reconnect_max_backoff = 50ms;
  return options;
}

TccHandlers AlwaysDone(std::string result = {}) {
  const auto done = [](const Call&) { return Reply::Done(); };
  return {.try_ = [result](const Call&) { return Reply::Done(result); },
          .confirm = done,
          .cancel = done};
}

// Reads frames until one carries a reply.
bool ReadReply(SessionStream* stream, v1::BranchReply* reply) {
  v1::ParticipantFrame frame;
  while (stream->Read(&frame)) {
    if (frame.replies_size() > 0) {
      *reply = frame.replies(0);
      return true;
    }
  }
  return false;
}

// Until the participant has half-closed.
void Drain(SessionStream* stream) {
  v1::ParticipantFrame frame;
  while (stream->Read(&frame)) {
  }
}

TEST(ParticipantTest, SaysHelloExecutesAndAnswers) {
  std::promise<v1::Hello> hello_seen;
  std::promise<v1::BranchReply> reply_seen;
  Script script;
  script.session = [&](int, grpc::ServerContext*, SessionStream* stream) {
    v1::Hello hello;
    EXPECT_TRUE(Greet(stream, &hello));
    hello_seen.set_value(hello);
    EXPECT_TRUE(stream->Write(CommandFrame(7, "g1", v1::TRY, "reserve")));
    v1::BranchReply reply;
    EXPECT_TRUE(ReadReply(stream, &reply));
    reply_seen.set_value(reply);
    Drain(stream);
    return grpc::Status::OK;
  };
  FakeCoordinator coordinator(script);
  Participant participant(OptionsFor(coordinator.endpoint()));
  participant.Tcc("reserve", AlwaysDone("shelf 3"));
  ASSERT_TRUE(participant.Start().ok());
  ASSERT_TRUE(participant.WaitConnected(kSoon).ok());

  const v1::Hello hello = hello_seen.get_future().get();
  EXPECT_EQ(hello.version(), 1u);
  EXPECT_EQ(hello.service(), "inventory");
  EXPECT_EQ(hello.max_in_flight(), 1024u);
  EXPECT_THAT(hello.agent(), HasSubstr("assent-cpp/"));
  ASSERT_EQ(hello.actions_size(), 1);
  EXPECT_EQ(hello.actions(0).name(), "reserve");
  EXPECT_EQ(hello.actions(0).protocol(), v1::TCC);

  const v1::BranchReply reply = reply_seen.get_future().get();
  EXPECT_EQ(reply.command_id(), 7u);
  EXPECT_EQ(reply.gid(), "g1");
  EXPECT_EQ(reply.branch_id(), "1");
  EXPECT_EQ(reply.operation(), v1::TRY);
  EXPECT_EQ(reply.kind(), v1::BranchReply::DONE);
  EXPECT_EQ(reply.result(), "shelf 3");
  participant.Stop();
  EXPECT_EQ(participant.Stats().replies, 1u);
}

}  // namespace
}  // namespace assent
