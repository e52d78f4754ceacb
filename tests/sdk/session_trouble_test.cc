// The participant's state machine, in trouble: bounds, malformed frames, silence, goodbyes,
// questions.

#include <chrono>
#include <string>
#include <utility>
#include <variant>
#include <vector>

#include <gmock/gmock.h>
#include <gtest/gtest.h>

#include <assent/limits.h>

#include "tests/sdk/session_fixture.h"

namespace assent::internal {
namespace {

using std::chrono::milliseconds;
using std::chrono::seconds;
using ::testing::HasSubstr;

TEST_F(SessionTest, MoreThanMaxInFlightIsAnsweredNotHeld) {
  Open();
  v1::CoordinatorFrame frame;
  for (std::uint64_t i = 1; i <= 6; ++i) AddCommand(&frame, i, "g" + std::to_string(i));
  Frame(std::move(frame));
  EXPECT_EQ(runs_.size(), 4u);
  ASSERT_EQ(sent_.size(), 1u);
  ASSERT_EQ(sent_[0].replies_size(), 2);
  EXPECT_EQ(sent_[0].replies(0).command_id(), 5u);
  EXPECT_EQ(sent_[0].replies(0).kind(), v1::BranchReply::RETRY_LATER);
  EXPECT_THAT(sent_[0].replies(0).reason(), HasSubstr("max_in_flight (4)"));
}

TEST(SessionBoundTest, AFullCallTableIsAnsweredRetryLater) {
  CallTable calls(1);
  Session session({}, &calls);
  Actions out;
  session.Start(kStart, &out);
  session.OnStarted(1, kStart, &out);
  v1::CoordinatorFrame frame;
  frame.mutable_welcome();
  for (int i = 1; i <= 2; ++i) {
    v1::BranchCommand* command = frame.add_commands();
    command->set_gid("g" + std::to_string(i));
    command->set_branch_id("1");
    command->set_operation(v1::ACTION);
    command->set_protocol(v1::SAGA);
  }
  session.OnWritten(1, kStart, &out);
  out.clear();
  session.OnFrame(1, &frame, kStart, &out);
  ASSERT_TRUE(std::holds_alternative<act::Send>(out.back()));
  const v1::ParticipantFrame& sent = std::get<act::Send>(out.back()).frame;
  ASSERT_EQ(sent.replies_size(), 1);
  EXPECT_EQ(sent.replies(0).gid(), "g2");
  EXPECT_EQ(sent.replies(0).kind(), v1::BranchReply::RETRY_LATER);
}

TEST_F(SessionTest, AnIllFormedCommandIsAnsweredAndTheStreamGoesOn) {
  Open();
  v1::CoordinatorFrame frame;
  AddCommand(&frame, 1, "g1");
  frame.mutable_commands(0)->set_protocol(v1::SAGA);  // TRY of a Saga step
  AddCommand(&frame, 2, "g2");
  frame.mutable_commands(1)->set_operation(static_cast<v1::Operation>(99));
  AddCommand(&frame, 3, "");
  AddCommand(&frame, 4, "g4");
  Frame(std::move(frame));
  EXPECT_EQ(runs_.size(), 1u);
  ASSERT_EQ(sent_.size(), 1u);
  ASSERT_EQ(sent_[0].replies_size(), 3);
  for (const v1::BranchReply& reply : sent_[0].replies())
    EXPECT_EQ(reply.kind(), v1::BranchReply::RETRY_LATER);
  EXPECT_EQ(static_cast<int>(sent_[0].replies(1).operation()), 99);  // echoed
  EXPECT_EQ(cancels_, 0);
}

TEST_F(SessionTest, AMalformedFrameGivesTheStreamUpAndDialsAgain) {
  Open();
  Do([&](Actions* out) { session_.OnMalformed(connection_, "it does not parse", out); });
  EXPECT_EQ(cancels_, 1);
  Command(1, "g1");  // came behind it: not looked at
  EXPECT_TRUE(runs_.empty());
  Closed();
  EXPECT_THAT(session_.last_failure().message(), HasSubstr("does not parse"));
  DialAgain();
  EXPECT_EQ(dials_, 2);
}

TEST_F(SessionTest, AFirstFrameWithoutWelcomeIsMalformed) {
  Start();
  Command(1, "g1");
  EXPECT_EQ(cancels_, 1);
  EXPECT_TRUE(runs_.empty());
}

TEST_F(SessionTest, ASecondWelcomeIsMalformed) {
  Open();
  Welcome();
  EXPECT_EQ(cancels_, 1);
}

TEST_F(SessionTest, NoWelcomeInTimeGivesTheStreamUp) {
  Start();
  Written();
  now_ = session_.Due();
  EXPECT_EQ(now_, kStart + seconds(10));
  Do([&](Actions* out) { session_.OnTick(now_, out); });
  EXPECT_EQ(cancels_, 1);
  Closed();
  EXPECT_THAT(session_.last_failure().message(), HasSubstr("did not say Welcome"));
}

// Nobody listens there: a stream waits for its connection, so it is not refused. Once that was
// called a coordinator that "did not say Welcome".
TEST_F(SessionTest, NoConnectionInTimeIsCalledThat) {
  std::vector<Action> out;
  session_.Start(now_, &out);
  now_ = session_.Due();
  session_.OnTick(now_, &out);
  session_.OnClosed(1, Unavailable("refused; is assentd running?"), now_, &out);
  EXPECT_EQ(session_.state(), Session::State::kWaiting);
  EXPECT_THAT(session_.last_failure().message(),
              HasSubstr("no connection to here:1 within 10000 ms: refused; is assentd running?"));
}

TEST_F(SessionTest, WaitsGrowToACeilingAndShrinkAfterAGoodConnection) {
  Start();
  milliseconds longest{0};
  for (int i = 0; i < 40; ++i) {
    Closed();
    const auto wait = std::chrono::duration_cast<milliseconds>(session_.Due() - now_);
    EXPECT_GE(wait.count(), 1);
    EXPECT_LE(wait.count(), 1000);
    if (i == 0) {
      EXPECT_LE(wait.count(), 100);
    }
    longest = std::max(longest, wait);
    DialAgain();
  }
  EXPECT_GT(longest.count(), 500);
  Written();
  Welcome();
  now_ += seconds(6);
  Closed();
  EXPECT_LE(session_.Due() - now_, milliseconds(100));
}

TEST_F(SessionTest, AConnectionThatEndsAtOnceDoesNotResetTheWait) {
  Start();
  for (int i = 0; i < 12; ++i) {  // welcomed and thrown out, again and again
    Written();
    Welcome();
    Closed();
    DialAgain();
  }
  EXPECT_GT(now_ - kStart, seconds(2));
}

TEST_F(SessionTest, StopSaysGoodbyeAnswersWhatItHasAndLeaves) {
  Open();
  Command(1, "g1");
  ASSERT_TRUE(TakeCallOf(runs_[0]));
  Do([&](Actions* out) { session_.Stop(now_, out); });
  ASSERT_EQ(sent_.size(), 1u);
  EXPECT_TRUE(sent_[0].goodbye());
  Written();
  EXPECT_EQ(half_closes_, 0);  // g1 is still running
  Finish(runs_[0], Reply::Done("kept"));
  ASSERT_EQ(sent_.size(), 2u);
  EXPECT_EQ(sent_[1].replies(0).result(), "kept");
  EXPECT_EQ(half_closes_, 0);
  Written();
  EXPECT_EQ(half_closes_, 1);
  Closed(OkStatus());
  EXPECT_EQ(session_.state(), Session::State::kStopped);
  EXPECT_EQ(session_.Due(), SteadyTime::max());
  EXPECT_EQ(dials_, 1);
}

TEST_F(SessionTest, StopWhileWaitingOrDialingEndsWithoutAnotherDial) {
  Start();
  Closed();
  Do([&](Actions* out) { session_.Stop(now_, out); });
  EXPECT_EQ(session_.state(), Session::State::kStopped);
  EXPECT_EQ(session_.Due(), SteadyTime::max());
}

TEST_F(SessionTest, TheCoordinatorsGoodbyeDrainsThenDialsAgain) {
  Open();
  Command(1, "g1");
  ASSERT_TRUE(TakeCallOf(runs_[0]));
  v1::CoordinatorFrame goodbye;
  goodbye.set_goodbye(true);
  Frame(std::move(goodbye));
  EXPECT_EQ(half_closes_, 0);
  Finish(runs_[0], Reply::Done());
  Written();
  EXPECT_EQ(half_closes_, 1);
  Closed(OkStatus());
  DialAgain();
  EXPECT_EQ(dials_, 2);
}

TEST_F(SessionTest, ACoordinatorThatDoesNotEndAHalfClosedStreamIsLeft) {
  Open();
  v1::CoordinatorFrame goodbye;
  goodbye.set_goodbye(true);
  Frame(std::move(goodbye));
  EXPECT_EQ(half_closes_, 1);
  DialAgain();
  EXPECT_EQ(cancels_, 1);
}

TEST_F(SessionTest, QuestionsAreAskedOnceAndOnlyTheirAnswersDelivered) {
  Open();
  const HeldBranch held{"g1", "1", 9, 3};
  Do([&](Actions* out) { session_.Question({held}, now_, out); });
  Do([&](Actions* out) { session_.Question({held}, now_, out); });
  ASSERT_EQ(sent_.size(), 1u);
  ASSERT_EQ(sent_[0].queries_size(), 1);
  EXPECT_EQ(sent_[0].queries(0).began_epoch(), 3u);
  v1::CoordinatorFrame frame;
  v1::OutcomeAnswer* answer = frame.add_answers();
  answer->set_gid("g1");
  answer->set_branch_id("1");
  answer->set_verdict(v1::OutcomeAnswer::ABORT);
  answer->set_finished(true);
  answer = frame.add_answers();
  answer->set_gid("stranger");
  answer->set_branch_id("1");
  answer->set_verdict(v1::OutcomeAnswer::ABORT);
  Frame(frame);
  Frame(frame);  // and a second time
  ASSERT_EQ(delivered_.size(), 1u);
  EXPECT_EQ(delivered_[0].branch.gid, "g1");
  EXPECT_EQ(delivered_[0].branch.began_epoch, 3u);
  EXPECT_EQ(delivered_[0].verdict, Verdict::kAbort);
  EXPECT_TRUE(delivered_[0].finished);
}

TEST_F(SessionTest, AVerdictThatIsNotUnderstoodIsNotDelivered) {
  Open();
  Do([&](Actions* out) { session_.Question({{"g1", "1", 9, 3}}, now_, out); });
  v1::CoordinatorFrame frame;
  frame.add_answers()->set_gid("g1");
  frame.mutable_answers(0)->set_branch_id("1");
  frame.mutable_answers(0)->set_verdict(static_cast<v1::OutcomeAnswer::Verdict>(77));
  Frame(std::move(frame));
  EXPECT_TRUE(delivered_.empty());
}

}  // namespace
}  // namespace assent::internal
