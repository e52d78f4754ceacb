// Participant over gRPC, against a scripted coordinator.

#include <atomic>
#include <chrono>
#include <csignal>
#include <future>
#include <memory>
#include <mutex>
#include <string>
#include <thread>
#include <unistd.h>
#include <utility>
#include <vector>

#include <gmock/gmock.h>
#include <gtest/gtest.h>

#include <assent/limits.h>
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
  EXPECT_THAT(hello.instance(), HasSubstr(std::to_string(getpid())));
  EXPECT_EQ(hello.max_in_flight(), 1024u);
  EXPECT_THAT(hello.agent(), HasSubstr("assent-cpp/"));
  ASSERT_EQ(hello.actions_size(), 1);
  EXPECT_EQ(hello.actions(0).name(), "reserve");
  EXPECT_EQ(hello.actions(0).protocol(), v1::TCC);

  const v1::BranchReply reply = reply_seen.get_future().get();
  EXPECT_EQ(reply.command_id(), 7u);
  EXPECT_EQ(reply.gid(), "g1");
  EXPECT_EQ(reply.operation(), v1::TRY);
  EXPECT_EQ(reply.kind(), v1::BranchReply::DONE);
  EXPECT_EQ(reply.result(), "shelf 3");
  participant.Stop();
  EXPECT_EQ(participant.Stats().replies, 1u);
}

TEST(ParticipantTest, IsNotDelayedByItsOwnIdleness) {
  // gRPC's callback threads nap for 100 ms after an idle second; our own must not. Several rounds,
  // since naps are a lottery.
  std::promise<std::vector<double>> measured;
  Script script;
  script.session = [&](int number, grpc::ServerContext* context, SessionStream* stream) {
    // The participant dials again when the first session has ended, if it is not stopped before.
    if (number > 1) return grpc::Status::CANCELLED;
    EXPECT_TRUE(Greet(stream));
    std::vector<double> round_trips_ms;
    for (std::uint64_t i = 0; i < 4; ++i) {
      std::promise<void> never;
      never.get_future().wait_for(1050ms);
      const auto begin = std::chrono::steady_clock::now();
      stream->Write(CommandFrame(i + 1, "g" + std::to_string(i), v1::TRY, "reserve"));
      v1::BranchReply reply;
      EXPECT_TRUE(ReadReply(stream, &reply));
      round_trips_ms.push_back(
          std::chrono::duration<double, std::milli>(std::chrono::steady_clock::now() - begin)
              .count());
    }
    measured.set_value(round_trips_ms);
    context->TryCancel();
    return grpc::Status::OK;
  };
  FakeCoordinator coordinator(script);
  Participant participant(OptionsFor(coordinator.endpoint()));
  participant.Tcc("reserve", AlwaysDone());
  ASSERT_TRUE(participant.Start().ok());
  std::vector<double> round_trips_ms = measured.get_future().get();
  std::sort(round_trips_ms.begin(), round_trips_ms.end());
  RecordProperty("median_ms", std::to_string(round_trips_ms[1]));
  EXPECT_LT(round_trips_ms[1], 30.0);  // on a busy machine too
}

TEST(ParticipantTest, AStreamCutInMidFlightIsDialledAgainAndTheRepeatIsAnsweredByTheFirstRun) {
  std::promise<void> release;
  const std::shared_future<void> released = release.get_future().share();
  std::atomic<int> runs{0};
  std::promise<v1::BranchReply> reply_seen;
  Script script;
  script.session = [&](int number, grpc::ServerContext* context, SessionStream* stream) {
    EXPECT_TRUE(Greet(stream));
    if (number == 1) {
      EXPECT_TRUE(stream->Write(CommandFrame(1, "g1", v1::TRY, "reserve")));
      while (runs == 0) std::this_thread::yield();
      context->TryCancel();  // in the middle of the handler
      return grpc::Status::CANCELLED;
    }
    EXPECT_TRUE(stream->Write(CommandFrame(1001, "g1", v1::TRY, "reserve")));
    release.set_value();
    v1::BranchReply reply;
    EXPECT_TRUE(ReadReply(stream, &reply));
    reply_seen.set_value(reply);
    Drain(stream);
    return grpc::Status::OK;
  };
  FakeCoordinator coordinator(script);
  Participant participant(OptionsFor(coordinator.endpoint()));
  participant.Tcc("reserve", {.try_ =
                                  [&](const Call&) {
                                    ++runs;
                                    released.wait();
                                    return Reply::Done("run " + std::to_string(runs));
                                  },
                              .confirm = [](const Call&) { return Reply::Done(); },
                              .cancel = [](const Call&) { return Reply::Done(); }});
  ASSERT_TRUE(participant.Start().ok());
  const v1::BranchReply reply = reply_seen.get_future().get();
  EXPECT_EQ(reply.command_id(), 1001u);
  participant.Stop();
  EXPECT_EQ(participant.Stats().connections, 2u);
}

TEST(ParticipantTest, ACoordinatorThatGoesAndComesBackIsFoundAgain) {
  Script script;
  script.session = [](int, grpc::ServerContext*, SessionStream* stream) {
    if (Greet(stream)) Drain(stream);
    return grpc::Status::OK;
  };
  const int port = testing::UnusedPort();
  Participant participant(OptionsFor("127.0.0.1:" + std::to_string(port)));
  participant.Tcc("reserve", AlwaysDone());
  ASSERT_TRUE(participant.Start().ok());
  const Status nobody = participant.WaitConnected(100ms);
  EXPECT_EQ(nobody.code(), Code::kDeadlineExceeded);
  EXPECT_THAT(nobody.message(), HasSubstr(std::to_string(port)));
  for (std::uint64_t life = 1; life <= 3; ++life) {
    FakeCoordinator coordinator(script, port);
    const auto end = std::chrono::steady_clock::now() + kSoon;
    while (participant.Stats().connections < life && std::chrono::steady_clock::now() < end)
      std::this_thread::yield();
    EXPECT_EQ(participant.Stats().connections, life);
  }
}

TEST(ParticipantTest, ARefusedHelloIsReported) {
  Script script;
  script.session = [](int, grpc::ServerContext*, SessionStream*) {
    return grpc::Status(grpc::StatusCode::FAILED_PRECONDITION,
                        "actions differ from those of instance b");
  };
  FakeCoordinator coordinator(script);
  Participant participant(OptionsFor(coordinator.endpoint()));
  participant.Tcc("reserve", AlwaysDone());
  ASSERT_TRUE(participant.Start().ok());
  // The first attempt may still be on its way when we look.
  Status status = participant.WaitConnected(50ms);
  for (int i = 0; i < 100 && status.message().find("actions differ") == std::string::npos; ++i) {
    status = participant.WaitConnected(50ms);
  }
  EXPECT_THAT(status.message(), HasSubstr("actions differ from those of instance b"));
}

TEST(ParticipantTest, ManyCommandsInManyFramesAreEachAnsweredOnce) {
  constexpr int kCommands = 20'000;
  std::promise<std::vector<int>> counted;
  std::atomic<int> most_in_frame{0};
  Script script;
  script.session = [&](int, grpc::ServerContext*, SessionStream* stream) {
    EXPECT_TRUE(Greet(stream));
    std::vector<int> answers(kCommands + 1, 0);
    std::thread reader([&] {
      v1::ParticipantFrame frame;
      int seen = 0;
      while (seen < kCommands && stream->Read(&frame)) {
        most_in_frame = std::max(most_in_frame.load(), frame.replies_size());
        for (const v1::BranchReply& reply : frame.replies()) {
          ++answers[reply.command_id()];
          ++seen;
        }
      }
    });
    std::uint64_t id = 0;
    while (id < kCommands) {
      v1::CoordinatorFrame frame;
      for (int i = 0; i < 200; ++i) {
        ++id;
        *frame.add_commands() =
            CommandFrame(id, "g" + std::to_string(id), v1::TRY, "reserve").commands(0);
      }
      stream->Write(frame);
    }
    reader.join();
    counted.set_value(answers);
    Drain(stream);
    return grpc::Status::OK;
  };
  FakeCoordinator coordinator(script);
  ParticipantOptions options = OptionsFor(coordinator.endpoint());
  options.max_in_flight = kCommands;
  options.max_queued_calls = kCommands;
  Participant participant(options);
  participant.Tcc("reserve", AlwaysDone());
  ASSERT_TRUE(participant.Start().ok());
  const std::vector<int> answers = counted.get_future().get();
  for (int id = 1; id <= kCommands; ++id) ASSERT_EQ(answers[static_cast<std::size_t>(id)], 1) << id;
  EXPECT_LE(most_in_frame, static_cast<int>(limits::kMaxFrameMessagesCount));
  EXPECT_GT(most_in_frame, 1);  // gathered
}

TEST(ParticipantTest, StopSaysGoodbyeAndHalfCloses) {
  std::promise<bool> goodbye_seen;
  Script script;
  script.session = [&](int, grpc::ServerContext*, SessionStream* stream) {
    EXPECT_TRUE(Greet(stream));
    v1::ParticipantFrame frame;
    bool goodbye = false;
    while (stream->Read(&frame)) goodbye = goodbye || frame.goodbye();
    goodbye_seen.set_value(goodbye);  // after the half-close
    return grpc::Status::OK;
  };
  FakeCoordinator coordinator(script);
  Participant participant(OptionsFor(coordinator.endpoint()));
  participant.Tcc("reserve", AlwaysDone());
  ASSERT_TRUE(participant.Start().ok());
  ASSERT_TRUE(participant.WaitConnected(kSoon).ok());
  participant.Stop();
  EXPECT_TRUE(goodbye_seen.get_future().get());
  EXPECT_EQ(participant.WaitConnected(1ms).code(), Code::kDeadlineExceeded);
}

TEST(ParticipantTest, RunEndsWithASignalAndPutsDispositionsBack) {
  Script script;
  script.session = [](int, grpc::ServerContext*, SessionStream* stream) {
    if (Greet(stream)) Drain(stream);
    return grpc::Status::OK;
  };
  FakeCoordinator coordinator(script);
  for (const int number : {SIGTERM, SIGINT}) {
    struct sigaction before {};
    sigaction(number, nullptr, &before);
    Participant participant(OptionsFor(coordinator.endpoint()));
    participant.Tcc("reserve", AlwaysDone());
    auto run = std::async(std::launch::async, [&] { return participant.Run(); });
    const auto end = std::chrono::steady_clock::now() + kSoon;
    while (participant.Stats().connected == 0 && std::chrono::steady_clock::now() < end)
      std::this_thread::yield();
    {
      Participant second(OptionsFor(coordinator.endpoint()));
      second.Tcc("reserve", AlwaysDone());
      EXPECT_EQ(second.Run().code(), Code::kFailedPrecondition);
    }
    ASSERT_EQ(kill(getpid(), number), 0);
    EXPECT_TRUE(run.get().ok());
    struct sigaction after {};
    sigaction(number, nullptr, &after);
    EXPECT_EQ(after.sa_handler, before.sa_handler);
  }
}

TEST(ParticipantTest, StopFromAnotherThreadEndsRun) {
  Participant participant(OptionsFor("127.0.0.1:" + std::to_string(testing::UnusedPort())));
  participant.Tcc("reserve", AlwaysDone());
  auto run = std::async(std::launch::async, [&] { return participant.Run(); });
  participant.Stop();
  EXPECT_TRUE(run.get().ok());
}

TEST(ParticipantTest, StartSaysWhatIsWrong) {
  const auto start = [](ParticipantOptions options, const auto& register_actions) {
    Participant participant(std::move(options));
    register_actions(participant);
    const Status status = participant.Start();
    EXPECT_EQ(status.code(), Code::kInvalidArgument);
    return status.message();
  };
  const auto good = [](Participant& p) { p.Tcc("reserve", AlwaysDone()); };
  EXPECT_THAT(start({.service = ""}, good), HasSubstr("service is empty"));
  EXPECT_THAT(start({.service = "a b"}, good), HasSubstr("not allowed"));
  EXPECT_THAT(start({.service = "s", .endpoints = {""}}, good), HasSubstr("endpoint is empty"));
  EXPECT_THAT(start({.service = "s", .endpoints = {"localhost:1", "http://localhost:7400"}}, good),
              HasSubstr("endpoint 'http://localhost:7400' is a URL; it must be \"host:port\""));
  EXPECT_THAT(start({.service = "s", .instance = "caf\xe9"}, good),
              HasSubstr("instance is not UTF-8"));
  EXPECT_THAT(start({.service = "s", .instance = std::string(129, 'i')}, good),
              HasSubstr("instance has 129 bytes, the limit is 128"));
  EXPECT_THAT(start({.service = "s", .max_in_flight = 0}, good), HasSubstr("max_in_flight"));
  EXPECT_THAT(start({.service = "s"}, [](Participant&) {}), HasSubstr("no action"));
  EXPECT_THAT(start({.service = "s"}, [&](Participant& p) { good(p), good(p); }),
              HasSubstr("registered twice"));
  EXPECT_THAT(start({.service = "s"}, [](Participant& p) { p.Saga("", {}); }),
              HasSubstr("needs an action"));
  EXPECT_THAT(
      start({.service = "s"}, [](Participant& p) { p.Tcc("x", {.try_ = AlwaysDone().try_}); }),
      HasSubstr("tcc:x needs all of try_, confirm and cancel"));
}

}  // namespace
}  // namespace assent
