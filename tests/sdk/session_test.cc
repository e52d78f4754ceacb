// The participant's state machine, in good order: frames in, actions out. No thread, no clock, no
// gRPC.

#include <chrono>
#include <string>
#include <utility>
#include <variant>
#include <vector>

#include <gmock/gmock.h>
#include <gtest/gtest.h>

#include <assent/limits.h>

#include "participant-sdk/cpp/src/wire.h"
#include "tests/sdk/session_fixture.h"

namespace assent::internal {
namespace {

TEST_F(SessionTest, GreetsFirst) {
  Start();
  EXPECT_EQ(dials_, 1);
  ASSERT_EQ(sent_.size(), 1u);
  EXPECT_EQ(sent_[0].hello().service(), "inventory");
  EXPECT_FALSE(session_.open());
  Welcome();
  EXPECT_TRUE(session_.open());
  EXPECT_EQ(session_.coordinator_id(), 9u);
  EXPECT_EQ(asks_, 1);
}

TEST_F(SessionTest, ACallHasTheTraceOfItsCommand) {
  v1::CoordinatorFrame frame;
  AddCommand(&frame, 5, "g1");
  v1::BranchCommand& command = *frame.mutable_commands(0);
  command.set_service("inventory");
  command.set_traceparent("00-4bf92f3577b34da6a3ce929d0e0e4736-00f067aa0ba902b7-01");
  command.set_tracestate("a=1");
  const Result<Call> call = TakeCall(&command);
  ASSERT_TRUE(call.ok()) << call.status().ToString();
  EXPECT_EQ(call->traceparent, "00-4bf92f3577b34da6a3ce929d0e0e4736-00f067aa0ba902b7-01");
  EXPECT_EQ(call->tracestate, "a=1");
}

TEST_F(SessionTest, RepliesOnceWithTheCommandsIdentity) {
  Open();
  Command(5, "g1");
  ASSERT_EQ(runs_.size(), 1u);
  ASSERT_TRUE(TakeCallOf(runs_[0]));
  Finish(runs_[0], Reply::Done("x"));
  ASSERT_EQ(sent_.size(), 1u);
  ASSERT_EQ(sent_[0].replies_size(), 1);
  EXPECT_EQ(sent_[0].replies(0).command_id(), 5u);
  EXPECT_EQ(sent_[0].replies(0).gid(), "g1");
  EXPECT_EQ(sent_[0].replies(0).branch_id(), "1");
  EXPECT_EQ(sent_[0].replies(0).operation(), v1::TRY);
  EXPECT_EQ(sent_[0].replies(0).result(), "x");
  Written();
  EXPECT_EQ(sent_.size(), 1u);
  EXPECT_EQ(session_.in_flight(), 0u);
}

TEST_F(SessionTest, RepliesThatComeDuringAWriteShareTheNextFrame) {
  Open();
  for (std::uint64_t i = 1; i <= 3; ++i) Command(i, "g" + std::to_string(i));
  for (const Ticket ticket : runs_) {
    ASSERT_TRUE(TakeCallOf(ticket));
    Finish(ticket, Reply::Done());
  }
  ASSERT_EQ(sent_.size(), 1u);  // one write under way
  EXPECT_EQ(sent_[0].replies_size(), 1);
  Written();
  ASSERT_EQ(sent_.size(), 2u);
  EXPECT_EQ(sent_[1].replies_size(), 2);
}

TEST_F(SessionTest, AFrameHoldsAtMostAMegabyteOfReplies) {
  Open();
  for (std::uint64_t i = 1; i <= 4; ++i) Command(i, "g" + std::to_string(i));
  Command(5, "g5");  // over max_in_flight: answered at once, and so the first write
  const std::string big(limits::kMaxResultBytes, 'x');
  for (int round = 0; round < 5; ++round) {
    for (const Ticket ticket : std::exchange(runs_, {})) {
      ASSERT_TRUE(TakeCallOf(ticket));
      Finish(ticket, Reply::Done(big));
    }
    for (std::uint64_t i = 1; i <= 4; ++i)
      Command(10 * i, "r" + std::to_string(round) + "-" + std::to_string(i));
  }
  sent_.clear();
  while (session_.unsent() > 0) Written();
  ASSERT_GE(sent_.size(), 4u);
  for (const v1::ParticipantFrame& frame : sent_) {
    EXPECT_LE(frame.ByteSizeLong(), limits::kMaxFrameBytes / 2);
  }
}

TEST_F(SessionTest, AFrameHoldsAtMost256Messages) {
  Open();
  Command(1, "g1");
  Finish(runs_[0], Reply::Done());
  std::vector<HeldBranch> many;
  for (int i = 0; i < 700; ++i) many.push_back({"q" + std::to_string(i), "1", 9, 1});
  Do([&](Actions* out) { session_.Question(many, now_, out); });
  sent_.clear();
  std::size_t queries = 0;
  for (int i = 0; i < 5; ++i) Written();
  for (const v1::ParticipantFrame& frame : sent_) {
    EXPECT_LE(frame.replies_size() + frame.queries_size(),
              static_cast<int>(limits::kMaxFrameMessagesCount));
    queries += static_cast<std::size_t>(frame.queries_size());
  }
  EXPECT_EQ(queries, 700u);
}

TEST_F(SessionTest, ADuplicateJoinsTheFirstAndBothAreAnsweredAlike) {
  Open();
  Command(1, "g1");
  ASSERT_TRUE(TakeCallOf(runs_[0]));
  Command(2, "g1");
  EXPECT_EQ(runs_.size(), 1u);  // not run again
  EXPECT_EQ(session_.counters().joined, 1u);
  Finish(runs_[0], Reply::Done("once"));
  Written();
  ASSERT_EQ(sent_.size(), 2u);
  EXPECT_EQ(sent_[0].replies(0).command_id(), 1u);
  EXPECT_EQ(sent_[1].replies(0).command_id(), 2u);
  EXPECT_EQ(sent_[0].replies(0).result(), "once");
  EXPECT_EQ(sent_[1].replies(0).result(), "once");
}

TEST_F(SessionTest, TwoOperationsOfOneBranchNeverRunAtOnce) {
  Open();
  Command(1, "g1", v1::TRY);
  Command(2, "g1", v1::CANCEL);
  EXPECT_EQ(runs_.size(), 1u);
  ASSERT_TRUE(TakeCallOf(runs_[0]));
  Finish(runs_[0], Reply::Done());
  ASSERT_EQ(runs_.size(), 2u);  // the cancel, now
  ASSERT_TRUE(TakeCallOf(runs_[1]));
  Finish(runs_[1], Reply::Done());
  Written();
  ASSERT_EQ(sent_.size(), 2u);
  EXPECT_EQ(sent_[1].replies(0).operation(), v1::CANCEL);
}

TEST_F(SessionTest, AReplyForALostStreamIsDroppedAndTheRepeatJoinsTheRunningCall) {
  Open();
  Command(1, "g1");
  ASSERT_TRUE(TakeCallOf(runs_[0]));
  Closed();
  DialAgain();
  EXPECT_EQ(dials_, 2);
  Written();
  Welcome();
  sent_.clear();
  Command(41, "g1");  // asked again on the new stream, while the first still runs
  EXPECT_EQ(runs_.size(), 1u);
  Finish(runs_[0], Reply::Done("once"));
  ASSERT_EQ(sent_.size(), 1u);
  ASSERT_EQ(sent_[0].replies_size(), 1);
  EXPECT_EQ(sent_[0].replies(0).command_id(),
            41u);  // and not 1, which belongs to the stream that is gone
  EXPECT_EQ(session_.counters().dropped_replies, 1u);
}

TEST_F(SessionTest, ACallThatNobodyWaitsForAnyMoreIsNotRun) {
  Open();
  Command(1, "g1");
  Closed();
  EXPECT_FALSE(TakeCallOf(runs_[0]));
  calls_.Finish(runs_[0]);
  EXPECT_EQ(calls_.size(), 0u);
}

TEST_F(SessionTest, RepliesQueuedOnALostStreamDoNotLeakIntoTheNext) {
  Open();
  for (std::uint64_t i = 1; i <= 3; ++i) Command(i, "g" + std::to_string(i));
  for (const Ticket ticket : runs_) Finish(ticket, Reply::Done());
  Closed();
  DialAgain();
  sent_.clear();
  Written();
  Welcome();
  EXPECT_TRUE(sent_.empty());
  EXPECT_EQ(session_.in_flight(), 0u);
}

TEST_F(SessionTest, ReportsOfAnEarlierStreamAreIgnored) {
  Open();
  const std::uint64_t old = connection_;
  Closed();
  DialAgain();
  Written();
  Welcome();
  v1::CoordinatorFrame stale;
  AddCommand(&stale, 1, "g1");
  Do([&](Actions* out) { session_.OnFrame(old, &stale, now_, out); });
  Do([&](Actions* out) { session_.OnMalformed(old, "old", out); });
  Do([&](Actions* out) { session_.OnClosed(old, Unavailable("old"), now_, out); });
  EXPECT_TRUE(runs_.empty());
  EXPECT_EQ(cancels_, 0);
  EXPECT_TRUE(session_.open());
}

}  // namespace
}  // namespace assent::internal
