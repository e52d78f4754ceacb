// The participant's door: commands of a coordinator that has lost a slot, and does not know, are
// dropped there.

#include <gmock/gmock.h>
#include <gtest/gtest.h>

#include "tests/sdk/session_fixture.h"

namespace assent::internal {
namespace {

using ::testing::HasSubstr;

TEST_F(SessionTest, ALowerEpochOfASlotIsDroppedWithoutAnAnswer) {
  Open();
  SlotCommand(1, "g1", 5, 7);
  SlotCommand(2, "g2", 5, 6);
  EXPECT_EQ(runs_.size(), 1u);
  EXPECT_EQ(session_.in_flight(), 1u);
  EXPECT_EQ(session_.unsent(), 0u);
  EXPECT_TRUE(sent_.empty());
  EXPECT_EQ(session_.counters().commands, 2u);
  EXPECT_EQ(session_.counters().stale_commands, 1u);

  SlotCommand(3, "g3", 5, 7);  // the owner's next
  SlotCommand(4, "g4", 5, 8);  // a newer owner's
  SlotCommand(5, "g5", 5, 7);  // and the first one has lost it meanwhile
  EXPECT_EQ(runs_.size(), 3u);
  EXPECT_EQ(session_.counters().stale_commands, 2u);
}

TEST_F(SessionTest, EachSlotHasItsOwnEpochAndZeroIsNotChecked) {
  Open();
  SlotCommand(1, "g1", 5, 7);
  SlotCommand(2, "g2", 6, 1);
  SlotCommand(3, "g3", 5, 0);  // a log with one coordinator
  EXPECT_EQ(runs_.size(), 3u);
  EXPECT_EQ(session_.counters().stale_commands, 0u);
}

// What was seen is remembered over connections, and by all sessions of the participant, for the log
// from which it came.
TEST_F(SessionTest, EpochsAreOfTheLogNotOfTheConnection) {
  Open();
  SlotCommand(1, "g1", 5, 7);
  Closed();
  DialAgain();
  Written();
  Welcome();
  SlotCommand(2, "g2", 5, 6);
  EXPECT_EQ(runs_.size(), 1u);
  EXPECT_EQ(session_.counters().stale_commands, 1u);
  EXPECT_FALSE(calls_.HeardFromOwner(9, 5, 6));
  EXPECT_TRUE(calls_.HeardFromOwner(10, 5, 6));  // of another log
}

// Nothing is in flight here that the coordinator waits for, so the bound does not count it.
TEST_F(SessionTest, DroppedCommandsCountTowardsNoBound) {
  Open();
  SlotCommand(1, "g1", 5, 7);
  for (std::uint64_t i = 2; i < 20; ++i) SlotCommand(i, "g" + std::to_string(i), 5, 6);
  SlotCommand(20, "g20", 5, 7);
  EXPECT_EQ(runs_.size(), 2u);
  EXPECT_EQ(session_.counters().stale_commands, 18u);
  EXPECT_TRUE(sent_.empty());
}

TEST_F(SessionTest, ASlotThatCannotBeIsIllFormed) {
  Open();
  SlotCommand(1, "g1", 65'536, 1);
  EXPECT_TRUE(runs_.empty());
  ASSERT_EQ(sent_.size(), 1u);
  EXPECT_EQ(sent_[0].replies(0).kind(), v1::BranchReply::RETRY_LATER);
  EXPECT_THAT(sent_[0].replies(0).reason(), HasSubstr("slot 65536"));
  EXPECT_TRUE(calls_.HeardFromOwner(9, 0, 1));
}

// The old owner and the new one at the same time: the same operation is joined, another one of the
// branch waits until the first has ended.
TEST_F(SessionTest, TheNewOwnersOtherOperationWaitsForTheOldOnes) {
  Open();
  SlotCommand(1, "g1", 5, 7);
  ASSERT_TRUE(TakeCallOf(runs_[0]));
  SlotCommand(2, "g1", 5, 8);
  SlotCommand(3, "g1", 5, 8, v1::CANCEL);
  EXPECT_EQ(runs_.size(), 1u);
  EXPECT_EQ(session_.counters().joined, 1u);
  Finish(runs_[0], Reply::Done());
  ASSERT_EQ(runs_.size(), 2u);
  EXPECT_TRUE(TakeCallOf(runs_[1]));
  Written();
  ASSERT_EQ(sent_.size(), 2u);  // one run, two answers
  EXPECT_EQ(sent_[0].replies(0).command_id(), 1u);
  EXPECT_EQ(sent_[1].replies(0).command_id(), 2u);
}

// The coordinator has left: its session goes on until it ends, and is the last one.
TEST_F(SessionTest, ARetiredSessionEndsWithItsConnection) {
  Open();
  Do([&](Actions* out) { session_.Retire(out); });
  Command(1, "g1");
  EXPECT_EQ(runs_.size(), 1u);
  EXPECT_EQ(cancels_, 0);
  Closed();
  EXPECT_EQ(session_.state(), Session::State::kStopped);
  EXPECT_EQ(session_.Due(), SteadyTime::max());
  EXPECT_EQ(dials_, 1);
}

TEST_F(SessionTest, RetiredBetweenConnectionsItEndsAtOnceAndMayBeKept) {
  Open();
  Do([&](Actions* out) { session_.Retire(out); });
  session_.Keep();  // it is back
  Closed();
  EXPECT_EQ(session_.state(), Session::State::kWaiting);
  Do([&](Actions* out) { session_.Retire(out); });
  EXPECT_EQ(session_.state(), Session::State::kStopped);
}

TEST_F(SessionTest, RetiredWhileDiallingItGivesUp) {
  Start();
  Do([&](Actions* out) { session_.Retire(out); });
  EXPECT_EQ(cancels_, 1);
  Closed();
  EXPECT_EQ(session_.state(), Session::State::kStopped);
}

// Its part of max_in_flight changes with the number of coordinators, which is learned on the way.
TEST_F(SessionTest, ANewBoundCountsFromTheNextConnectionOn) {
  Open();
  session_.SetMaxInFlight(2);
  for (std::uint64_t i = 1; i <= 4; ++i) Command(i, "g" + std::to_string(i));
  EXPECT_EQ(runs_.size(), 4u);
  Closed();
  sent_.clear();
  DialAgain();
  ASSERT_FALSE(sent_.empty());
  EXPECT_EQ(sent_[0].hello().max_in_flight(), 2u);
  Written();
  Welcome();
  for (std::uint64_t i = 5; i <= 7; ++i) Command(i, "g" + std::to_string(i));
  EXPECT_EQ(runs_.size(), 6u);
}

}  // namespace
}  // namespace assent::internal
