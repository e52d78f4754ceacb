// Each of these is a mistake that was planted in hub, dialer or switchboard and that no other test
// noticed (tools/mutate.sh).

#include <string>
#include <vector>

#include <gtest/gtest.h>

#include <assent/limits.h>

#include "tests/transport/fake_carriers.h"

namespace assent::transport {
namespace {

// A target is tried again and again while it is down; a line for each try would be all that the log
// holds.
TEST(Survivors, TheLogHearsOnceThatATargetIsDown) {
  Exchange rig;
  FakeCaller caller;
  UnaryDialer dialer(caller, rig.board, {10});
  dialer.Set("s", {Endpoint("a:1")});
  dialer.Open(7);
  for (int i = 0; i < 3; ++i) caller.Link(0, false);
  EXPECT_EQ(rig.witness.Lines(),
            std::vector<std::string>{"s unreachable: cannot connect: refused"});
  for (int i = 0; i < 3; ++i) caller.Link(0, true);
  EXPECT_EQ(rig.witness.Lines(), std::vector<std::string>{"s came from a:1"});
}

// Prepared work waits for its answer; nothing else makes the session write.
TEST(Survivors, AQuestionIsAnsweredOnItsOwnSession) {
  Exchange exchange;
  const auto one = exchange.Join("s");
  (void)one->Frames();  // the welcome
  v1::ParticipantFrame frame;
  frame.add_queries()->set_gid("g");
  ASSERT_TRUE(one->Say(frame));
  std::size_t answers = 0;
  for (auto frames = one->Frames(); !frames.empty(); frames = one->Frames()) {
    for (const auto& written : frames) {
      for (const auto& answer : written.answers()) {
        EXPECT_EQ(answer.gid(), "g");
        ++answers;
      }
    }
  }
  EXPECT_EQ(answers, 1U);
}

// A frame is a bound on what one breath of a lock may cost.
TEST(Survivors, AFrameOfTooManyMessagesEndsTheSessionWithAWord) {
  Exchange exchange;
  const auto stream = exchange.Join("s");
  (void)stream->Frames();
  v1::ParticipantFrame frame;
  for (std::size_t i = 0; i < limits::kMaxFrameMessagesCount; ++i)
    frame.add_queries()->set_gid("g");
  ASSERT_TRUE(stream->Say(frame));
  EXPECT_FALSE(stream->finished().has_value());
  frame.add_queries()->set_gid("g");
  (void)stream->Frames();
  ASSERT_TRUE(stream->Say(frame));
  ASSERT_TRUE(stream->finished().has_value());
  EXPECT_EQ(stream->finished()->code(), Code::kInvalidArgument);
  EXPECT_NE(stream->finished()->message().find("the limit is 256"), std::string::npos)
      << stream->finished()->message();
}

}  // namespace
}  // namespace assent::transport
