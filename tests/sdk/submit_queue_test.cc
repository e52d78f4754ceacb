// SubmitAsync's state machine: nothing lost, nothing completed twice, nothing guessed.

#include "participant-sdk/cpp/src/submit_queue.h"

#include <chrono>
#include <map>
#include <memory>
#include <string>
#include <utility>
#include <variant>
#include <vector>

#include <gmock/gmock.h>
#include <gtest/gtest.h>

#include <assent/limits.h>

namespace assent::internal {
namespace {

using std::chrono::milliseconds;
using std::chrono::seconds;
using ::testing::HasSubstr;

constexpr SteadyTime kStart = SteadyTime(std::chrono::hours(1));

class SubmitQueueTest : public ::testing::Test {
 protected:
  SubmitQueueTest() : queue_(OptionsOf()) {}

  static SubmitQueue::Options OptionsOf() {
    SubmitQueue::Options options;
    options.routes = std::make_shared<const Routes>(std::vector<std::string>{"here:1"});
    options.max_pending_count = 1000;
    options.max_pending_bytes = 4 * 1024 * 1024;
    options.retry.give_up_after = seconds(10);
    options.seed = 3;
    return options;
  }

  template <typename Feed>
  void Do(const Feed& feed) {
    SubmitQueue::Actions actions;
    feed(&actions);
    for (SubmitQueue::Action& action : actions) {
      if (auto* dial = std::get_if<SubmitQueue::Dial>(&action))
        connection_ = dial->connection, ++dials_, dialled_ = true;
      if (auto* send = std::get_if<SubmitQueue::Send>(&action))
        sent_.push_back(std::move(send->frame));
      if (std::holds_alternative<SubmitQueue::Cancel>(action)) ++cancels_;
      if (auto* complete = std::get_if<SubmitQueue::Complete>(&action))
        complete->done(std::move(complete->result));
    }
    // Not through Do itself: a lambda in here would be a new type each time.
    if (std::exchange(dialled_, false) && reachable_) {
      actions.clear();
      queue_.OnStarted(connection_, now_, &actions);
      for (SubmitQueue::Action& action : actions)
        sent_.push_back(std::move(std::get<SubmitQueue::Send>(action).frame));
    }
  }
  void Submit(const std::string& gid, seconds timeout = seconds(60),
              std::size_t payload_bytes = 10) {
    v1::SubmitRequest request;
    request.mutable_transaction()->set_gid(gid);
    request.mutable_transaction()->add_branches()->set_payload(std::string(payload_bytes, 'p'));
    Do([&](SubmitQueue::Actions* out) {
      queue_.Submit(
          std::move(request),
          [this, gid](Result<Report> result) {
            EXPECT_FALSE(results_.contains(gid)) << gid << " was completed twice";
            results_.emplace(gid, std::move(result));
          },
          now_ + timeout, now_, out);
    });
  }
  void Written() {
    Do([&](SubmitQueue::Actions* out) { queue_.OnWritten(connection_, now_, out); });
  }
  void Closed() {
    Do([&](SubmitQueue::Actions* out) {
      queue_.OnClosed(connection_, Unavailable("reset"), now_, out);
    });
  }
  void Tick() {
    Do([&](SubmitQueue::Actions* out) { queue_.OnTick(now_, out); });
  }
  void TickWhenDue() {
    now_ = queue_.Due();
    ASSERT_NE(now_, SteadyTime::max());
    Tick();
  }
  void Reply(std::uint64_t id, int error_code = 0) {
    v1::SubmitReplyFrame frame;
    v1::SubmitReply* reply = frame.add_replies();
    reply->set_request_id(id);
    reply->set_outcome(error_code == 0 ? v1::COMMITTED : v1::OUTCOME_UNSPECIFIED);
    reply->set_error_code(error_code);
    if (error_code != 0) reply->set_error_message("because");
    Do([&](SubmitQueue::Actions* out) { queue_.OnFrame(connection_, &frame, now_, out); });
  }
  Code CodeOf(const std::string& gid) {
    const auto at = results_.find(gid);
    if (at == results_.end()) return Code::kInternal;
    return at->second.status().code();
  }

  SubmitQueue queue_;
  SteadyTime now_ = kStart;
  std::uint64_t connection_ = 0;
  int dials_ = 0;
  int cancels_ = 0;
  bool dialled_ = false;
  bool reachable_ = true;  // a dial gets its connection at once
  std::vector<v1::SubmitRequestFrame> sent_;
  std::map<std::string, Result<Report>> results_;
};

TEST_F(SubmitQueueTest, TheFirstDialsAndWhatComesDuringAWriteSharesTheNextFrame) {
  Submit("g1");
  EXPECT_EQ(dials_, 1);
  ASSERT_EQ(sent_.size(), 1u);
  for (int i = 2; i <= 300; ++i) Submit("g" + std::to_string(i));
  EXPECT_EQ(sent_.size(), 1u);
  Written();
  ASSERT_EQ(sent_.size(), 2u);
  EXPECT_EQ(sent_[1].requests_size(), static_cast<int>(limits::kMaxFrameMessagesCount));
  Written();
  ASSERT_EQ(sent_.size(), 3u);
  EXPECT_EQ(sent_[2].requests_size(), 299 - static_cast<int>(limits::kMaxFrameMessagesCount));
}

TEST_F(SubmitQueueTest, AFrameHoldsAboutAMegabyteAndABigOneTravelsAlone) {
  Submit("g0");
  Submit("big", seconds(60), 1024 * 1024);
  Submit("a", seconds(60), 600 * 1024);
  Submit("b", seconds(60), 600 * 1024);
  for (int i = 0; i < 4; ++i) Written();
  ASSERT_EQ(sent_.size(), 4u);
  for (const v1::SubmitRequestFrame& frame : sent_) EXPECT_EQ(frame.requests_size(), 1);
}

TEST_F(SubmitQueueTest, RepliesCompleteInAnyOrderAndStrangersAreIgnored) {
  Submit("g1");
  Submit("g2");
  Written();
  Reply(2);
  EXPECT_EQ(CodeOf("g2"), Code::kOk);
  EXPECT_FALSE(results_.contains("g1"));
  Reply(2);
  Reply(77);
  Reply(1);
  EXPECT_EQ(CodeOf("g1"), Code::kOk);
  EXPECT_EQ(queue_.pending(), 0u);
  EXPECT_EQ(queue_.pending_bytes(), 0u);
  EXPECT_EQ(queue_.Due(), SteadyTime::max());
}

TEST_F(SubmitQueueTest, ABrokenStreamResubmitsWhatIsUnansweredInOrder) {
  for (int i = 1; i <= 4; ++i) Submit("g" + std::to_string(i));
  Written();
  Reply(2);
  Closed();
  sent_.clear();
  TickWhenDue();
  EXPECT_EQ(dials_, 2);
  ASSERT_EQ(sent_.size(), 1u);
  ASSERT_EQ(sent_[0].requests_size(), 3);
  EXPECT_EQ(sent_[0].requests(0).transaction().gid(), "g1");
  EXPECT_EQ(sent_[0].requests(1).transaction().gid(), "g3");
  EXPECT_EQ(sent_[0].requests(2).transaction().gid(), "g4");
  Written();
  for (const std::uint64_t id : {1, 3, 4}) Reply(id);
  EXPECT_EQ(results_.size(), 4u);
}

TEST_F(SubmitQueueTest, NeverReachedIsUnavailableOnceReachedIsUnknown) {
  Submit("early");
  Written();
  Closed();
  reachable_ = false;
  Submit("late");
  sent_.clear();
  while (queue_.pending() > 0) TickWhenDue();  // dials, and waits in vain
  EXPECT_TRUE(sent_.empty());
  EXPECT_EQ(CodeOf("early"), Code::kUnknownOutcome);
  EXPECT_EQ(CodeOf("late"), Code::kUnavailable);
  EXPECT_LE(now_ - kStart, seconds(12));
  EXPECT_GE(now_ - kStart, seconds(9));
}

TEST_F(SubmitQueueTest, TheTimeoutOfASentOneIsUnknown) {
  Submit("g1", seconds(5));
  Written();
  TickWhenDue();
  EXPECT_EQ(now_, kStart + seconds(5));
  EXPECT_EQ(CodeOf("g1"), Code::kUnknownOutcome);
  EXPECT_THAT(results_.at("g1").status().message(), HasSubstr("g1"));
  Reply(1);  // late, and ignored
  EXPECT_EQ(results_.size(), 1u);
}

TEST_F(SubmitQueueTest, ALongTransactionIsNotFailingAfterAReconnect) {
  Submit("g1", seconds(60));
  Written();
  Closed();
  TickWhenDue();
  Written();  // taken again: from here on it is only slow
  now_ += seconds(30);
  Tick();
  EXPECT_TRUE(results_.empty());
}

TEST_F(SubmitQueueTest, FinalErrorsAreAnswersAndTheStreamGoesOn) {
  Submit("g1");
  Submit("g2");
  Written();
  Reply(1, 6);
  EXPECT_EQ(CodeOf("g1"), Code::kAlreadyExists);
  EXPECT_EQ(results_.at("g1").status().message(), "because");
  Reply(2);
  EXPECT_EQ(CodeOf("g2"), Code::kOk);
  EXPECT_EQ(cancels_, 0);
}

// In a reply of its own it is the coordinator that says "full", and no library.
TEST_F(SubmitQueueTest, AFullCoordinatorIsAskedAgainLaterThenReported) {
  Submit("g1");
  Written();
  int sendings = 1;
  while (!results_.contains("g1")) {
    Reply(1, 8);
    if (results_.contains("g1")) break;
    sent_.clear();
    TickWhenDue();
    ASSERT_EQ(sent_.size(), 1u);
    Written();
    ++sendings;
  }
  EXPECT_EQ(CodeOf("g1"), Code::kResourceExhausted);
  EXPECT_GT(sendings, 5);
  EXPECT_LE(now_ - kStart, seconds(10));
}

// ... but only of what it was sent then: whether the first one arrived, which was lost with its
// stream, it does not say.
TEST_F(SubmitQueueTest, ARefusalSettlesNothingOfWhatWasSentBefore) {
  Submit("g1");
  Written();
  Closed();
  while (!results_.contains("g1")) {
    sent_.clear();
    TickWhenDue();
    if (sent_.empty()) continue;
    Written();
    Reply(1, 8);
  }
  EXPECT_EQ(CodeOf("g1"), Code::kUnknownOutcome);
}

TEST_F(SubmitQueueTest, BoundsAreAnswersNotWaits) {
  for (int i = 0; i < 1000; ++i) Submit("g" + std::to_string(i));
  EXPECT_TRUE(results_.empty());
  Submit("over");
  EXPECT_EQ(CodeOf("over"), Code::kResourceExhausted);
  EXPECT_THAT(results_.at("over").status().message(), HasSubstr("max_pending_count is 1000"));
}

TEST_F(SubmitQueueTest, BytesAreBoundedToo) {
  for (int i = 0; i < 4; ++i) Submit("g" + std::to_string(i), seconds(60), 1000 * 1024);
  Submit("over", seconds(60), 1000 * 1024);
  EXPECT_EQ(CodeOf("over"), Code::kResourceExhausted);
  Written();
  Reply(1);
  Submit("fits", seconds(60), 1000 * 1024);
  EXPECT_FALSE(results_.contains("fits"));
}

TEST_F(SubmitQueueTest, AMalformedFrameBreaksTheStreamAndNothingIsLost) {
  Submit("g1");
  Written();
  Do([&](SubmitQueue::Actions* out) { queue_.OnMalformed(connection_, "it does not parse", out); });
  EXPECT_EQ(cancels_, 1);
  Reply(1);  // behind the malformed one: not trusted
  EXPECT_TRUE(results_.empty());
  Closed();
  sent_.clear();
  TickWhenDue();
  ASSERT_EQ(sent_.size(), 1u);
  Written();
  Reply(1);
  EXPECT_EQ(CodeOf("g1"), Code::kOk);
}

TEST_F(SubmitQueueTest, AnIdleStreamThatEndsIsNotDialledUntilNeeded) {
  Submit("g1");
  Written();
  Reply(1);
  Closed();
  EXPECT_EQ(queue_.Due(), SteadyTime::max());
  EXPECT_EQ(dials_, 1);
  now_ += seconds(100);  // a long silence is no failure of the next one
  Submit("g2");
  EXPECT_EQ(dials_, 2);
  EXPECT_FALSE(results_.contains("g2"));
  Tick();
  EXPECT_FALSE(results_.contains("g2"));
}

TEST_F(SubmitQueueTest, ShutdownCompletesEverythingAndTakesNothingMore) {
  Submit("g1");
  Submit("g2");  // behind the write
  Do([&](SubmitQueue::Actions* out) { queue_.Shutdown(out); });
  EXPECT_EQ(CodeOf("g1"), Code::kUnknownOutcome);
  EXPECT_EQ(CodeOf("g2"), Code::kUnavailable);
  EXPECT_EQ(cancels_, 1);
  Submit("g3");
  EXPECT_EQ(CodeOf("g3"), Code::kUnavailable);
}

}  // namespace
}  // namespace assent::internal
