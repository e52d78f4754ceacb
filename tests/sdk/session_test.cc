// The participant's state machine: frames in, actions out. No thread, no clock, no gRPC.

#include "participant-sdk/src/session.h"

#include <chrono>
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

// A session and its call table, with what came out sorted by kind.
class SessionTest : public ::testing::Test {
 protected:
  SessionTest() : calls_(100), session_(OptionsOf(), &calls_) {}

  static Session::Options OptionsOf() {
    Session::Options options;
    options.endpoint = "here:1";
    options.hello.set_version(1);
    options.hello.set_service("inventory");
    options.max_in_flight = 4;
    options.initial_backoff = milliseconds(100);
    options.max_backoff = milliseconds(1000);
    options.seed = 7;
    return options;
  }

  void Take(Actions* actions) {
    for (Action& action : *actions) {
      if (auto* dial = std::get_if<act::Dial>(&action)) connection_ = dial->connection, ++dials_;
      if (auto* send = std::get_if<act::Send>(&action)) sent_.push_back(std::move(send->frame));
      if (auto* run = std::get_if<act::Run>(&action)) runs_.push_back(run->ticket);
      if (auto* deliver = std::get_if<act::Deliver>(&action))
        delivered_.push_back(std::move(*deliver));
      if (std::holds_alternative<act::HalfClose>(action)) ++half_closes_;
      if (std::holds_alternative<act::Cancel>(action)) ++cancels_;
      if (std::holds_alternative<act::Ask>(action)) ++asks_;
    }
    actions->clear();
  }

  template <typename Feed>
  void Do(const Feed& feed) {
    Actions actions;
    feed(&actions);
    Take(&actions);
  }
  void Start() {
    Do([&](Actions* out) { session_.Start(now_, out); });
  }
  void Written() {
    Do([&](Actions* out) { session_.OnWritten(connection_, now_, out); });
  }
  void Closed(Status why = Unavailable("reset")) {
    Do([&](Actions* out) { session_.OnClosed(connection_, why, now_, out); });
  }
  void Frame(v1::CoordinatorFrame frame) {
    Do([&](Actions* out) { session_.OnFrame(connection_, &frame, now_, out); });
  }
  void Welcome() {
    v1::CoordinatorFrame frame;
    frame.mutable_welcome()->set_session_id("s");
    frame.mutable_welcome()->set_coordinator_id(9);
    Frame(std::move(frame));
  }
  // Dialled, greeted, nothing under way.
  void Open() {
    Start();
    Written();
    Welcome();
    sent_.clear();
  }
  static void AddCommand(v1::CoordinatorFrame* frame, std::uint64_t id, const std::string& gid,
                         v1::Operation operation = v1::TRY) {
    v1::BranchCommand* command = frame->add_commands();
    command->set_command_id(id);
    command->set_gid(gid);
    command->set_branch_id("1");
    command->set_operation(operation);
    command->set_protocol(v1::TCC);
    command->set_action("reserve");
  }
  void Command(std::uint64_t id, const std::string& gid, v1::Operation operation = v1::TRY) {
    v1::CoordinatorFrame frame;
    AddCommand(&frame, id, gid, operation);
    Frame(std::move(frame));
  }
  bool TakeCallOf(Ticket ticket) {
    bool expired = false;
    return calls_
        .Take(
            ticket, now_, [&](const Waiter& w) { return session_.Alive(w); }, &expired)
        .has_value();
  }
  void Finish(Ticket ticket, const Reply& reply) {
    const CallTable::Finished finished = calls_.Finish(ticket);
    if (finished.next) runs_.push_back(*finished.next);
    for (const Waiter& waiter : finished.waiters) {
      Do([&](Actions* out) {
        session_.Answer(waiter, finished.gid, finished.branch_id, finished.operation, reply, now_,
                        out);
      });
    }
  }

  CallTable calls_;
  Session session_;
  SteadyTime now_ = kStart;
  std::uint64_t connection_ = 0;
  int dials_ = 0;
  int half_closes_ = 0;
  int cancels_ = 0;
  int asks_ = 0;
  std::vector<v1::ParticipantFrame> sent_;
  std::vector<Ticket> runs_;
  std::vector<act::Deliver> delivered_;
};

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
  now_ = session_.Due();
  Do([&](Actions* out) { session_.OnTick(now_, out); });
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
  now_ = session_.Due();
  Do([&](Actions* out) { session_.OnTick(now_, out); });
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
  now_ = session_.Due();
  Do([&](Actions* out) { session_.OnTick(now_, out); });
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
  now_ = session_.Due();
  Do([&](Actions* out) { session_.OnTick(now_, out); });
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
    now_ = session_.Due();
    Do([&](Actions* out) { session_.OnTick(now_, out); });
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
    now_ = session_.Due();
    Do([&](Actions* out) { session_.OnTick(now_, out); });
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
  now_ = session_.Due();
  Do([&](Actions* out) { session_.OnTick(now_, out); });
  EXPECT_EQ(dials_, 2);
}

TEST_F(SessionTest, ACoordinatorThatDoesNotEndAHalfClosedStreamIsLeft) {
  Open();
  v1::CoordinatorFrame goodbye;
  goodbye.set_goodbye(true);
  Frame(std::move(goodbye));
  EXPECT_EQ(half_closes_, 1);
  now_ = session_.Due();
  Do([&](Actions* out) { session_.OnTick(now_, out); });
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
