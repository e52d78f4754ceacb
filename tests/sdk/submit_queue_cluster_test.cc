// SubmitAsync over several coordinators: each transaction on the stream to the one that has it, and
// nothing lost when that one goes.

#include <chrono>
#include <map>
#include <memory>
#include <optional>
#include <string>
#include <utility>
#include <variant>
#include <vector>

#include <gmock/gmock.h>
#include <gtest/gtest.h>

#include "participant-sdk/cpp/src/submit_queue.h"
#include "tests/sdk/views.h"

namespace assent::internal {
namespace {

using std::chrono::seconds;
using ::testing::ElementsAre;
using testing::GidOf;
using ::testing::IsEmpty;
using testing::ViewOf;

RoutesPtr RoutesOf(std::uint64_t version, const std::vector<std::string>& members,
                   const std::vector<int>& owners) {
  auto map = std::make_shared<const ClusterMap>(
      std::move(*ClusterMap::Read(ViewOf(version, members, owners))));
  return std::make_shared<const Routes>(std::vector<std::string>{"a:1"}, std::move(map),
                                        std::vector<std::string>{});
}

// Slot 0 is a's, slot 1 b's.
class SubmitQueueClusterTest : public ::testing::Test {
 protected:
  SubmitQueueClusterTest() { Make(RoutesOf(1, {"a:1", "b:1"}, {1, 2})); }

  void Make(RoutesPtr routes) {
    SubmitQueue::Options options;
    options.routes = std::move(routes);
    options.retry.give_up_after = seconds(10);
    options.seed = 3;
    queue_.emplace(std::move(options));
  }
  template <typename Feed>
  void Do(const Feed& feed) {
    SubmitQueue::Actions actions;
    feed(&actions);
    Take(std::move(actions));
  }
  void Take(SubmitQueue::Actions actions) {
    for (SubmitQueue::Action& action : actions) {
      if (auto* dial = std::get_if<SubmitQueue::Dial>(&action)) {
        endpoints_[dial->connection] = dial->endpoint;
        connections_[dial->endpoint] = dial->connection;
      }
      if (auto* send = std::get_if<SubmitQueue::Send>(&action)) {
        for (const v1::SubmitRequest& request : send->frame.requests()) {
          sent_.push_back(endpoints_[send->connection] + " " + request.transaction().gid());
          ids_[request.transaction().gid()] = request.request_id();
        }
        SubmitQueue::Actions then;
        queue_->OnWritten(send->connection, now_, &then);
        Take(std::move(then));
      }
      if (auto* cancel = std::get_if<SubmitQueue::Cancel>(&action))
        cancelled_.push_back(endpoints_[cancel->connection]);
      if (auto* complete = std::get_if<SubmitQueue::Complete>(&action))
        complete->done(std::move(complete->result));
    }
  }
  void Submit(const std::string& gid) {
    v1::SubmitRequest request;
    request.mutable_transaction()->set_gid(gid);
    Do([&](SubmitQueue::Actions* out) {
      queue_->Submit(
          std::move(request),
          [this, gid](Result<Report> result) {
            EXPECT_FALSE(results_.contains(gid)) << gid << " was completed twice";
            results_.emplace(gid, std::move(result));
          },
          now_ + seconds(60), now_, out);
    });
  }
  void Stands(const std::string& endpoint) {
    Do([&](SubmitQueue::Actions* out) { queue_->OnStarted(connections_.at(endpoint), now_, out); });
  }
  void Closed(const std::string& endpoint) {
    Do([&](SubmitQueue::Actions* out) {
      queue_->OnClosed(connections_.at(endpoint), Unavailable("reset"), now_, out);
    });
  }
  void Reply(const std::string& endpoint, const std::string& gid, int error_code = 0) {
    v1::SubmitReplyFrame frame;
    v1::SubmitReply* reply = frame.add_replies();
    reply->set_request_id(ids_.at(gid));
    reply->set_gid(gid);
    reply->set_outcome(v1::COMMITTED);
    reply->set_error_code(error_code);
    Do([&](SubmitQueue::Actions* out) {
      queue_->OnFrame(connections_.at(endpoint), &frame, now_, out);
    });
  }
  void SetRoutes(RoutesPtr routes, const std::vector<std::string>& gone = {}) {
    Do([&](SubmitQueue::Actions* out) { queue_->SetRoutes(std::move(routes), gone, now_, out); });
  }
  void TickWhenDue() {
    now_ = queue_->Due();
    ASSERT_NE(now_, SteadyTime::max());
    Do([&](SubmitQueue::Actions* out) { queue_->OnTick(now_, out); });
  }
  std::vector<std::string> Sent() { return std::exchange(sent_, {}); }

  const std::string of_a_ = GidOf(0, 2);
  const std::string of_b_ = GidOf(1, 2);
  std::optional<SubmitQueue> queue_;
  SteadyTime now_ = SteadyTime(std::chrono::hours(1));
  std::map<std::uint64_t, std::string> endpoints_;
  std::map<std::string, std::uint64_t> connections_;  // the latest
  std::map<std::string, std::uint64_t> ids_;
  std::map<std::string, Result<Report>> results_;
  std::vector<std::string> sent_;
  std::vector<std::string> cancelled_;
};

TEST_F(SubmitQueueClusterTest, EachGoesToItsOwner) {
  Submit(of_a_);
  Submit(of_b_);
  Stands("a:1");
  Stands("b:1");
  EXPECT_THAT(Sent(), ElementsAre("a:1 " + of_a_, "b:1 " + of_b_));
  Reply("b:1", of_b_);
  Reply("a:1", of_a_);
  EXPECT_TRUE(results_.at(of_a_)->committed());
  EXPECT_TRUE(results_.at(of_b_)->committed());
  EXPECT_EQ(queue_->pending(), 0u);
}

// Until the owner's stream stands, one that does hands it on.
TEST_F(SubmitQueueClusterTest, AStreamThatStandsIsBetterThanTheOwnersThatDoesNot) {
  Submit(of_a_);
  Stands("a:1");
  Submit(of_b_);
  EXPECT_THAT(Sent(), ElementsAre("a:1 " + of_a_, "a:1 " + of_b_));
  Stands("b:1");  // was dialled meanwhile
  Submit(GidOf(1, 2, 1));
  EXPECT_THAT(Sent(), ElementsAre("b:1 " + GidOf(1, 2, 1)));
}

TEST_F(SubmitQueueClusterTest, WhatALostStreamLeavesGoesElsewhereAtOnce) {
  Submit(of_a_);
  Stands("a:1");
  Submit(of_b_);
  Stands("b:1");
  Submit(GidOf(1, 2, 1));
  Sent();
  Closed("b:1");
  EXPECT_THAT(Sent(), ElementsAre("a:1 " + GidOf(1, 2, 1)));
  Reply("a:1", GidOf(1, 2, 1));
  EXPECT_TRUE(results_.at(GidOf(1, 2, 1))->committed());
}

// The first coordinator may have begun it: that no other is there afterwards does not undo it.
TEST_F(SubmitQueueClusterTest, MayHaveBeenDoneSticksOverCoordinators) {
  Submit(of_a_);
  Stands("a:1");
  Closed("a:1");
  Closed("b:1");
  while (results_.empty()) {
    TickWhenDue();
    for (const char* endpoint : {"a:1", "b:1"}) {
      if (queue_->Uses(connections_.at(endpoint))) Closed(endpoint);
    }
  }
  EXPECT_EQ(results_.at(of_a_).status().code(), Code::kUnknownOutcome);
}

TEST_F(SubmitQueueClusterTest, NobodyThereAnywhereIsUnavailable) {
  Submit(of_a_);
  while (results_.empty()) {
    for (const auto& [endpoint, connection] : std::map(connections_)) {
      if (queue_->Uses(connection)) Closed(endpoint);
    }
    if (results_.empty()) TickWhenDue();
  }
  EXPECT_EQ(connections_.size(), 2u);  // both were tried
  EXPECT_EQ(results_.at(of_a_).status().code(), Code::kUnavailable);
}

// Its host is gone: no answer, and no end of the connection attempt either.
TEST_F(SubmitQueueClusterTest, AnOwnerThatCannotBeReachedIsNotWaitedForLong) {
  Submit(of_b_);
  TickWhenDue();
  EXPECT_THAT(cancelled_, ElementsAre("b:1"));
  Closed("b:1");
  Stands("a:1");
  EXPECT_THAT(Sent(), ElementsAre("a:1 " + of_b_));
}

// It was stopped: its stream stands and says nothing. The others have taken its slots.
TEST_F(SubmitQueueClusterTest, WhatAMemberThatHasLeftDoesNotAnswerIsAskedOfItsHeir) {
  Submit(of_b_);
  Stands("b:1");
  Sent();
  SetRoutes(RoutesOf(2, {"a:1"}, {1, 1}), {"b:1"});
  EXPECT_THAT(cancelled_, ElementsAre("b:1"));
  Closed("b:1");
  Stands("a:1");
  EXPECT_THAT(Sent(), ElementsAre("a:1 " + of_b_));
  EXPECT_FALSE(queue_->Uses(connections_.at("b:1")));
  Reply("a:1", of_b_);
  EXPECT_TRUE(results_.at(of_b_)->committed());
}

TEST_F(SubmitQueueClusterTest, AMovedSlotsTransactionsFollowIt) {
  Submit(of_a_);
  Stands("a:1");
  SetRoutes(RoutesOf(2, {"a:1", "b:1"}, {2, 2}));
  Submit(GidOf(0, 2, 1));
  Stands("b:1");
  Submit(GidOf(0, 2, 2));
  EXPECT_THAT(Sent(),
              ElementsAre("a:1 " + of_a_, "a:1 " + GidOf(0, 2, 1), "b:1 " + GidOf(0, 2, 2)));
  EXPECT_THAT(cancelled_, IsEmpty());  // what a has, a answers
  // It gives the slot away before it has begun the second.
  Reply("a:1", GidOf(0, 2, 1), static_cast<int>(Code::kUnavailable));
  TickWhenDue();
  EXPECT_THAT(Sent(), ElementsAre("b:1 " + GidOf(0, 2, 1)));
}

// Two endpoints of which nothing is known might be two logs.
TEST_F(SubmitQueueClusterTest, WithoutAMapWhatWasSentStaysWhereItWasSent) {
  Make(std::make_shared<const Routes>(std::vector<std::string>{"a:1", "b:1"}));
  Submit(of_b_);
  Stands("a:1");
  EXPECT_THAT(Sent(), ElementsAre("a:1 " + of_b_));
  Closed("a:1");
  Submit(of_a_);  // this one was not
  EXPECT_TRUE(connections_.contains("b:1"));
  Stands("b:1");
  EXPECT_THAT(Sent(), ElementsAre("b:1 " + of_a_));
  // Now it is known, and the owner is the other one.
  SetRoutes(RoutesOf(1, {"a:1", "b:1"}, {1, 2}));
  EXPECT_THAT(Sent(), ElementsAre("b:1 " + of_b_));
}

}  // namespace
}  // namespace assent::internal
