// A participant of several coordinators that share a log, against scripted ones.

#include <atomic>
#include <chrono>
#include <cstdint>
#include <functional>
#include <memory>
#include <mutex>
#include <optional>
#include <string>
#include <thread>
#include <vector>

#include <gmock/gmock.h>
#include <gtest/gtest.h>

#include <assent/participant.h>

#include "tests/sdk/fake_cluster.h"

namespace assent {
namespace {

using std::chrono_literals::operator""ms;
using testing::CommandFrame;
using testing::Eventually;
using testing::FakeCoordinator;
using testing::Greet;
using testing::Script;
using testing::SessionStream;
using testing::SharedView;
using testing::ViewOf;
using testing::ViewStream;

constexpr std::uint32_t kLog = 7;  // ViewOf's

// A member of that epoch. Sends what it is told, and keeps what comes.
class Member {
 public:
  Member(SharedView* view, std::uint64_t epoch) : epoch_(epoch) {
    Script script;
    script.watch = [view](int, grpc::ServerContext* context, ViewStream* stream) {
      return view->Watch(context, stream);
    };
    script.session = [this](int, grpc::ServerContext* context, SessionStream* stream) {
      return Serve(context, stream);
    };
    server_.emplace(std::move(script));
    endpoint_ = server_->endpoint();
  }

  const std::string& endpoint() const { return endpoint_; }
  void Die() { server_.reset(); }
  // Ends its sessions; the participant may dial again.
  void HangUp() { ++hang_ups_; }
  void Send(v1::CoordinatorFrame frame) {
    const std::lock_guard lock(mutex_);
    outgoing_.push_back(std::move(frame));
  }
  int open_count() const { return open_; }
  int session_count() const { return sessions_; }
  std::uint32_t max_in_flight() const { return max_in_flight_; }
  std::vector<v1::BranchReply> replies() {
    const std::lock_guard lock(mutex_);
    return replies_;
  }

 private:
  grpc::Status Serve(grpc::ServerContext* context, SessionStream* stream) {
    v1::Hello hello;
    const int hang_ups = hang_ups_;
    if (!Greet(stream, &hello, kLog, epoch_, /*cluster_version=*/1)) return grpc::Status::OK;
    // The participant may know of its session before it is counted here.
    max_in_flight_ = hello.max_in_flight();
    ++open_;
    ++sessions_;
    ended_ = false;
    std::thread reader([&] {
      v1::ParticipantFrame frame;
      while (stream->Read(&frame)) {
        const std::lock_guard lock(mutex_);
        for (const v1::BranchReply& reply : frame.replies()) replies_.push_back(reply);
        if (frame.goodbye()) break;
      }
      ended_ = true;
    });
    Eventually([&] {
      const std::lock_guard lock(mutex_);
      for (; sent_ < outgoing_.size(); ++sent_) stream->Write(outgoing_[sent_]);
      return context->IsCancelled() || ended_ || hang_ups_ != hang_ups;
    });
    --open_;
    context->TryCancel();
    reader.join();
    return {grpc::StatusCode::UNAVAILABLE, "stopping"};
  }

  const std::uint64_t epoch_;
  std::string endpoint_;
  std::atomic<int> open_{0};
  std::atomic<int> sessions_{0};
  std::atomic<int> hang_ups_{0};
  std::atomic<bool> ended_{false};
  std::atomic<std::uint32_t> max_in_flight_{0};
  std::mutex mutex_;
  std::vector<v1::CoordinatorFrame> outgoing_;
  std::size_t sent_ = 0;
  std::vector<v1::BranchReply> replies_;
  std::optional<FakeCoordinator> server_;
};

class ParticipantClusterTest : public ::testing::Test {
 protected:
  void Start(const std::vector<std::string>& endpoints, const Handler& try_) {
    ParticipantOptions options;
    options.service = "inventory";
    options.endpoints = endpoints;
    options.worker_threads = 4;
    options.reconnect_initial_backoff = 5ms;
    options.reconnect_max_backoff = 50ms;
    options.max_in_flight = 300;
    participant_.emplace(options);
    const auto done = [](const Call&) { return Reply::Done(); };
    participant_->Tcc("reserve", {.try_ = try_, .confirm = done, .cancel = done});
    ASSERT_TRUE(participant_->Start().ok());
  }
  void Start(const std::vector<std::string>& endpoints) {
    Start(endpoints, [](const Call&) { return Reply::Done(); });
  }
  static v1::CoordinatorFrame Command(std::uint64_t id, const std::string& gid,
                                      std::uint64_t slot_epoch, v1::Operation operation = v1::TRY) {
    v1::CoordinatorFrame frame = CommandFrame(id, gid, operation, "reserve");
    frame.mutable_commands(0)->set_slot(5);
    frame.mutable_commands(0)->set_slot_epoch(slot_epoch);
    return frame;
  }

  SharedView view_;
  std::optional<Participant> participant_;
};

TEST_F(ParticipantClusterTest, OneEndpointSufficesAndEachCoordinatorHasOneSession) {
  Member a(&view_, 1);
  Member b(&view_, 2);
  Member c(&view_, 3);
  view_.Show(ViewOf(1, {a.endpoint(), b.endpoint(), c.endpoint()}, {1}));
  Start({a.endpoint()});
  EXPECT_TRUE(Eventually([&] { return participant_->Stats().connected == 3; }));
  const auto sessions = [&] { return a.session_count() + b.session_count() + c.session_count(); };
  EXPECT_TRUE(Eventually([&] { return sessions() == 3; }));
  // The bound is for all of them together.
  EXPECT_EQ(b.max_in_flight(), 100u);
  EXPECT_EQ(c.max_in_flight(), 100u);
}

TEST_F(ParticipantClusterTest, WhoComesIsDialledWhoHasLeftIsNot) {
  Member a(&view_, 1);
  Member b(&view_, 2);
  view_.Show(ViewOf(1, {a.endpoint(), b.endpoint()}, {1}));
  Start({a.endpoint(), b.endpoint()});
  EXPECT_TRUE(Eventually([&] { return a.session_count() == 1 && b.session_count() == 1; }));

  Member c(&view_, 3);
  v1::ClusterView view = ViewOf(2, {a.endpoint(), c.endpoint()}, {1});
  view.mutable_members(1)->set_epoch(3);
  view_.Show(view);
  EXPECT_TRUE(Eventually([&] { return c.open_count() == 1; }));
  EXPECT_EQ(b.open_count(), 1);  // until it ends it
  const int sessions = b.session_count();
  b.HangUp();
  EXPECT_TRUE(Eventually([&] { return participant_->Stats().connected == 2; }));
  a.HangUp();  // is dialled again, which would have been time enough for b
  EXPECT_TRUE(Eventually([&] { return a.session_count() == 2; }));
  EXPECT_EQ(b.session_count(), sessions);
}

TEST_F(ParticipantClusterTest, AMemberThatNobodyReachesHoldsUpNoOther) {
  Member a(&view_, 1);
  Member b(&view_, 2);
  const std::string nobody = "127.0.0.1:" + std::to_string(testing::UnusedPort());
  view_.Show(ViewOf(1, {a.endpoint(), b.endpoint(), nobody}, {1}));
  Start({nobody, a.endpoint()});
  EXPECT_TRUE(Eventually([&] { return participant_->Stats().connected == 2; }));
  b.Send(Command(1, "g1", 1));
  EXPECT_TRUE(Eventually([&] { return b.replies().size() == 1; }));
}

// The coordinator dies while the handler runs; the one that takes over asks again, beside it, and
// gets the first run's answer.
TEST_F(ParticipantClusterTest, ATakeOverWhileTheHandlerRunsGetsItsAnswer) {
  Member a(&view_, 1);
  Member b(&view_, 2);
  view_.Show(ViewOf(1, {a.endpoint(), b.endpoint()}, {1}));
  std::atomic<int> runs{0};
  std::atomic<bool> go{false};
  Start({a.endpoint()}, [&](const Call&) {
    ++runs;
    Eventually([&] { return go.load(); });
    return Reply::Done("once");
  });
  EXPECT_TRUE(Eventually([&] { return participant_->Stats().connected == 2; }));
  a.Send(Command(1, "g1", 4));
  EXPECT_TRUE(Eventually([&] { return runs == 1; }));
  a.Die();
  b.Send(Command(1, "g1", 5));
  b.Send(Command(2, "g1", 5, v1::CANCEL));
  EXPECT_TRUE(Eventually([&] { return participant_->Stats().joined == 1; }));
  go = true;
  EXPECT_TRUE(Eventually([&] { return b.replies().size() == 2; }));
  EXPECT_EQ(b.replies()[0].operation(), v1::TRY);
  EXPECT_EQ(b.replies()[0].result(), "once");
  EXPECT_EQ(b.replies()[1].operation(), v1::CANCEL);
  EXPECT_EQ(runs, 1);
}

// It was stopped and goes on, and does not know that another one has its slots.
TEST_F(ParticipantClusterTest, AFormerOwnersCommandIsNotHeard) {
  Member a(&view_, 1);
  Member b(&view_, 2);
  view_.Show(ViewOf(1, {a.endpoint(), b.endpoint()}, {1}));
  Start({a.endpoint()});
  EXPECT_TRUE(Eventually([&] { return participant_->Stats().connected == 2; }));
  b.Send(Command(1, "g1", 5));
  EXPECT_TRUE(Eventually([&] { return b.replies().size() == 1; }));
  a.Send(Command(1, "g2", 4));
  a.Send(Command(2, "g3", 5));
  EXPECT_TRUE(Eventually([&] { return a.replies().size() == 1; }));
  EXPECT_EQ(a.replies()[0].gid(), "g3");
  EXPECT_EQ(participant_->Stats().stale_commands, 1u);
}

}  // namespace
}  // namespace assent
