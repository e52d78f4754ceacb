// Each of these is a mistake that was planted in the dispatcher and that no other test noticed
// (tools/mutate.sh).

#include <gtest/gtest.h>

#include "tests/transport/dispatcher_rig.h"

namespace assent::transport {
namespace {

using core::AttemptResult;

// Another instance may know a command's number, and is not asked.
TEST(Survivors, OnlyWhoWasGivenACommandSettlesIt) {
  Rig rig;
  ASSERT_TRUE(rig.Attach(1, Rig::Hello("s")).ok());
  EXPECT_TRUE(rig.Send("g").empty());
  const auto taken = rig.Take(1);
  ASSERT_EQ(taken.size(), 1U);
  ASSERT_TRUE(rig.Attach(2, Rig::Hello("s")).ok());
  EXPECT_TRUE(rig.Answer(2, Rig::Done("g", taken[0].command_id)).empty());
  EXPECT_EQ(rig.dispatcher.counters().stale_replies, 1U);
  rig.dispatcher.End(2, taken[0].command_id, "it ended", rig.effects);
  EXPECT_TRUE(rig.Replies().empty());
  const auto back = rig.Answer(1, Rig::Done("g", taken[0].command_id));
  ASSERT_EQ(back.size(), 1U);
  EXPECT_EQ(back[0].result, AttemptResult::kDone);
}

// What could not be handed on leaves room for itself.
TEST(Survivors, WhatIsReturnedFreesItsPlace) {
  Rig rig;
  rig.Dial(1, "a:1", /*max_in_flight=*/1);
  ASSERT_TRUE(rig.Reach(1, Reach::kReady));
  EXPECT_TRUE(rig.Send("g").empty());
  auto taken = rig.Take(1);
  ASSERT_EQ(taken.size(), 1U);
  EXPECT_TRUE(rig.Take(1).empty());
  rig.Return(1, std::move(taken[0]));
  EXPECT_TRUE(rig.Replies().empty());
  taken = rig.Take(1);
  ASSERT_EQ(taken.size(), 1U);
  EXPECT_EQ(taken[0].command.gid, "g");
}

// Whatever becomes of commands, in the end nothing of them is held.
TEST(Survivors, WhatIsSettledIsNotHeld) {
  Rig rig;
  ASSERT_TRUE(rig.Attach(1, Rig::Hello("s", 1)).ok());
  Command command = Rig::Try("returned");
  command.payload.assign(5000, 'p');
  EXPECT_TRUE(rig.Send(command).empty());
  auto taken = rig.Take(1);
  ASSERT_EQ(taken.size(), 1U);
  rig.Return(1, std::move(taken[0]));
  command.attempt = 2;
  command.payload.assign(9000, 'p');
  EXPECT_EQ(rig.Send(command).size(), 1U) << "a larger one takes its place";
  command.gid = "queued";
  EXPECT_TRUE(rig.Send(command).empty());
  command.payload.assign(100, 'p');
  EXPECT_EQ(rig.Send(command).size(), 1U) << "a smaller one takes its place";
  EXPECT_EQ(rig.Pass(core::Millis(1000)).size(), 2U);
  EXPECT_TRUE(rig.Take(1).empty());
  EXPECT_EQ(rig.dispatcher.held_bytes(), 0U);
}

// Who frees a place by letting a command expire is kicked, or what waits would wait for something
// else to happen.
TEST(Survivors, APlaceThatExpiredIsOfferedAtOnce) {
  Rig rig;
  ASSERT_TRUE(rig.Attach(1, Rig::Hello("s", 1)).ok());
  EXPECT_TRUE(rig.Send("dropped").empty());
  ASSERT_EQ(rig.Take(1).size(), 1U);
  Command waits = Rig::Try("waits");
  waits.timeout = core::Millis(60'000);
  EXPECT_TRUE(rig.Send(waits).empty());
  (void)rig.Touched();
  EXPECT_TRUE(rig.Pass(core::Millis(1000)).empty());
  EXPECT_EQ(rig.Touched(), std::vector<InstanceId>{1});
}

TEST(Survivors, WhatIsReturnedAfterItsTimeDoesNotWaitAgain) {
  Rig rig;
  rig.Dial(1, "a:1", /*max_in_flight=*/1);
  ASSERT_TRUE(rig.Reach(1, Reach::kReady));
  EXPECT_TRUE(rig.Send("g").empty());
  auto taken = rig.Take(1);
  ASSERT_EQ(taken.size(), 1U);
  rig.now += core::Millis(1000);
  rig.Return(1, std::move(taken[0]));
  const auto back = rig.Replies();
  ASSERT_EQ(back.size(), 1U);
  EXPECT_EQ(back[0].result, AttemptResult::kNotSent);
  EXPECT_EQ(rig.dispatcher.held_bytes(), 0U);
}

// Carriers are late: what they speak of may be over, and they themselves may be gone.
TEST(Survivors, WhatIsNotThereIsNotTouched) {
  Rig rig;
  ASSERT_TRUE(rig.Attach(1, Rig::Hello("s")).ok());
  Dispatcher::Outgoing unknown;
  unknown.command_id = 99;
  rig.Return(1, unknown);
  rig.dispatcher.End(1, 99, "over", rig.effects);
  rig.dispatcher.Drain(7, rig.effects);
  rig.dispatcher.Detach(7, rig.effects);
  EXPECT_TRUE(rig.Answer(7, Rig::Done("g", 99)).empty());
  EXPECT_TRUE(rig.Take(7).empty());
  EXPECT_TRUE(rig.Replies().empty());
  EXPECT_TRUE(rig.Send("g").empty()) << "and the others go on";
}

// Its time is its own, not what is left of the older one's.
TEST(Survivors, ANewerAttemptHasItsWholeTime) {
  Rig rig;
  ASSERT_TRUE(rig.Attach(1, Rig::Hello("s", 1)).ok());
  Command long_one = Rig::Try("running");
  long_one.timeout = core::Millis(60'000);
  EXPECT_TRUE(rig.Send(long_one).empty());
  ASSERT_EQ(rig.Take(1).size(), 1U);
  EXPECT_TRUE(rig.Send("g").empty());
  EXPECT_TRUE(rig.Pass(core::Millis(900)).empty());
  Command again = Rig::Try("g");
  again.attempt = 2;
  EXPECT_EQ(rig.Send(again).size(), 1U) << "the older one";
  EXPECT_TRUE(rig.Pass(core::Millis(999)).empty());
  const auto back = rig.Pass(core::Millis(1));
  ASSERT_EQ(back.size(), 1U);
  EXPECT_EQ(back[0].attempt, 2U);
  EXPECT_EQ(back[0].result, AttemptResult::kNotSent);
}

// What was set aside for a target that went down no longer counts against it when it is back.
TEST(Survivors, ATargetThatIsBackHasAllItsRoom) {
  Rig rig;
  rig.Dial(1, "a:1");
  ASSERT_TRUE(rig.Reach(1, Reach::kReady));
  for (const char* gid : {"a", "b", "c"}) EXPECT_TRUE(rig.Send(gid).empty());
  ASSERT_TRUE(rig.Reach(1, Reach::kDown, "refused"));
  EXPECT_EQ(rig.Replies().size(), 3U);
  EXPECT_EQ(rig.dispatcher.held_bytes(), 0U);
  ASSERT_TRUE(rig.Reach(1, Reach::kReady));
  EXPECT_TRUE(rig.Send("d").empty());
  const auto taken = rig.Take(1);
  ASSERT_EQ(taken.size(), 1U);
  EXPECT_EQ(taken[0].command.gid, "d");
}

}  // namespace
}  // namespace assent::transport
