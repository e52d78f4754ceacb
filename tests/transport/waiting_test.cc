// What waits: bounded in count and bytes, one copy for each branch, gone when its time is over, and
// never at the cost of others.

#include <gtest/gtest.h>

#include "tests/transport/dispatcher_rig.h"

namespace assent::transport {
namespace {

using core::AttemptResult;

// Expired copies once piled up behind a live head, each with its payload, and one in an outbox went
// out late.
TEST(Waiting, WhatHasExpiredIsGoneAtOnceAndCertainlyNotSent) {
  Rig rig;
  ASSERT_TRUE(rig.Attach(1, Rig::Hello("s", 2)).ok());
  EXPECT_TRUE(rig.Send("out").empty());
  ASSERT_EQ(rig.Take(1).size(), 1U);
  Command head = Rig::Try("head");
  head.timeout = core::Millis(60'000);
  EXPECT_TRUE(rig.Send(head).empty());
  for (int i = 0; i < 100; ++i) {
    Command command = Rig::Try("late-" + std::to_string(i));
    command.payload.assign(1000, 'p');
    EXPECT_TRUE(rig.Send(std::move(command)).empty());
  }
  const auto back = rig.Pass(core::Millis(1000));
  ASSERT_EQ(back.size(), 100U);
  for (const Reply& reply : back) {
    EXPECT_EQ(reply.result, AttemptResult::kNotSent);
    EXPECT_FALSE(reply.service_absent);
  }
  EXPECT_LT(rig.dispatcher.held_bytes(), 1000U) << "the head's own";
  ASSERT_EQ(rig.Take(1).size(), 1U) << "the head, which was in the outbox";
}

TEST(Waiting, AnExpiredCommandInAnOutboxIsNotTaken) {
  Rig rig;
  ASSERT_TRUE(rig.Attach(1, Rig::Hello("s")).ok());
  EXPECT_TRUE(rig.Send("late").empty());
  rig.now += core::Millis(1000);  // and no housekeeping
  EXPECT_TRUE(rig.Send(Rig::Try("new")).size() == 1) << "the late one comes back";
  rig.now += core::Millis(1000);
  EXPECT_TRUE(rig.Take(1).empty());
  const auto back = rig.Replies();
  ASSERT_EQ(back.size(), 1U);
  EXPECT_EQ(back[0].gid, "new");
  EXPECT_EQ(back[0].result, AttemptResult::kNotSent);
}

TEST(Waiting, AParticipantIsToldWhatIsLeftOfTheTime) {
  Rig rig;
  ASSERT_TRUE(rig.Attach(1, Rig::Hello("s")).ok());
  EXPECT_TRUE(rig.Send("g").empty());
  rig.now += core::Millis(400);
  EXPECT_EQ(rig.Take(1)[0].command.timeout, core::Millis(600));
}

TEST(Waiting, ANewerAttemptTakesThePlaceOfTheOlderOne) {
  Rig rig;
  ASSERT_TRUE(rig.Attach(1, Rig::Hello("s", 1)).ok());
  EXPECT_TRUE(rig.Send("running").empty());
  const auto out = rig.Take(1);
  EXPECT_TRUE(rig.Send("g").empty());
  EXPECT_TRUE(rig.Send("behind").empty());
  Command again = Rig::Try("g");
  again.attempt = 2;
  again.payload = "newer";
  const auto older = rig.Send(again);
  ASSERT_EQ(older.size(), 1U);
  EXPECT_EQ(older[0].attempt, 1U);
  EXPECT_EQ(older[0].result, AttemptResult::kNotSent);
  EXPECT_EQ(rig.dispatcher.List("")[0].queued, 2U) << "one copy";
  rig.Answer(1, Rig::Done("running", out[0].command_id));
  const auto next = rig.Take(1);
  ASSERT_EQ(next.size(), 1U);
  EXPECT_EQ(next[0].command.payload, "newer") << "in the older one's place";
  // The same in an outbox, of an undo that comes before its forward operation has left.
  Rig other;
  ASSERT_TRUE(other.Attach(1, Rig::Hello("s")).ok());
  EXPECT_TRUE(other.Send("g").empty());
  Command undo = Rig::Try("g");
  undo.operation = core::Operation::kCancel;
  EXPECT_EQ(other.Send(undo).size(), 1U);
  const auto taken = other.Take(1);
  ASSERT_EQ(taken.size(), 1U);
  EXPECT_EQ(taken[0].command.operation, core::Operation::kCancel);
}

TEST(Waiting, IsBoundedInBytes) {
  DispatcherLimits limits;
  limits.max_held_bytes = 10'000;
  limits.max_all_held_bytes = 15'000;
  Rig rig(limits);
  ASSERT_TRUE(rig.Attach(1, Rig::Hello("s", 1)).ok());
  ASSERT_TRUE(rig.Attach(2, Rig::Hello("t", 1)).ok());
  const auto send = [&](const std::string& gid, const std::string& service) {
    Command command = Rig::Try(gid, service);
    command.payload.assign(4000, 'p');
    const auto back = rig.Send(std::move(command));
    return back.empty() ? "" : back[0].reason;
  };
  EXPECT_EQ(send("a", "s"), "");
  EXPECT_EQ(send("b", "s"), "");
  EXPECT_EQ(
      send("c", "s"),
      "participant s is overloaded: 1 commands wait for it, 8512 bytes of its commands are held");
  EXPECT_EQ(send("d", "t"), "");
  EXPECT_NE(send("e", "t"), "") << "all together";
  // What is being written is held as well; and no longer when the next frame is asked for.
  ASSERT_EQ(rig.Take(1).size(), 1U);
  EXPECT_NE(send("f", "s"), "");
  EXPECT_TRUE(rig.Take(1).empty());
  EXPECT_EQ(send("g", "s"), "");
  // One that is larger than the limit, alone, is not held up for ever.
  Rig alone(limits);
  ASSERT_TRUE(alone.Attach(1, Rig::Hello("s", 1)).ok());
  Command large = Rig::Try("large");
  large.payload.assign(20'000, 'p');
  EXPECT_TRUE(alone.Send(std::move(large)).empty());
  EXPECT_TRUE(alone.Detach(1)[0].service_absent);
  EXPECT_EQ(alone.dispatcher.held_bytes(), 0U);
}

// Whoever does not read holds up about one frame: the others of its service get the rest.
TEST(Waiting, AStuckInstanceIsGivenOneFrameAndNoMore) {
  Rig rig;
  ASSERT_TRUE(rig.Attach(1, Rig::Hello("s", 60'000)).ok());
  ASSERT_TRUE(rig.Attach(2, Rig::Hello("s", 60'000)).ok());
  for (int i = 0; i < 10'000; ++i) EXPECT_TRUE(rig.Send("g" + std::to_string(i)).empty());
  std::size_t taken = 0;
  for (std::size_t n = 1; n > 0; taken += n) n = rig.Take(2, 256).size();
  EXPECT_EQ(taken, 10'000U - 256U);
}

// Expiry was quadratic in one stuck session's commands, under everybody's lock. What a session with
// tens of thousands of commands costs is counted, in commands and lists looked at.
TEST(Waiting, CostsItsOwnSize) {
  const auto steps_of = [](std::size_t count) {
    Rig rig;
    EXPECT_TRUE(rig.Attach(1, Rig::Hello("s", 65'536)).ok());
    EXPECT_TRUE(rig.Attach(2, Rig::Hello("t")).ok());
    for (std::size_t i = 0; i < count; ++i) EXPECT_TRUE(rig.Send("g" + std::to_string(i)).empty());
    for (std::size_t i = 0; i < count / 2; i += 100) EXPECT_EQ(rig.Take(1, 100).size(), 100U);
    EXPECT_EQ(rig.Pass(core::Millis(1000)).size(), count - count / 2);
    EXPECT_TRUE(rig.Take(1).empty());
    EXPECT_EQ(rig.dispatcher.held_bytes(), 0U);
    return rig.dispatcher.counters().steps;
  };
  const std::uint64_t few = steps_of(2'000);
  const std::uint64_t many = steps_of(20'000);
  EXPECT_LE(many, 11 * few);
}

// A command once looked at every instance of its service that had no room.
TEST(Waiting, DoesNotCostWhatFullInstancesAre) {
  const auto steps_of = [](std::uint64_t instances) {
    Rig rig;
    for (std::uint64_t id = 1; id <= instances; ++id) {
      EXPECT_TRUE(rig.Attach(id, Rig::Hello("s", 1)).ok());
      EXPECT_TRUE(rig.Send("first-" + std::to_string(id)).empty());
    }
    const std::uint64_t before = rig.dispatcher.counters().steps;
    for (int i = 0; i < 100; ++i) EXPECT_TRUE(rig.Send("g" + std::to_string(i)).empty());
    return rig.dispatcher.counters().steps - before;
  };
  EXPECT_EQ(steps_of(2), steps_of(2'000));
}

TEST(Waiting, ExpiryComesInSlices) {
  Rig rig;
  ASSERT_TRUE(rig.Attach(1, Rig::Hello("s", 1)).ok());
  for (int i = 0; i < 10; ++i) EXPECT_TRUE(rig.Send("g" + std::to_string(i)).empty());
  rig.dispatcher.At(rig.now += core::Millis(1000));
  EXPECT_TRUE(rig.dispatcher.Expire(4, rig.effects));
  EXPECT_EQ(rig.Replies().size(), 4U);
  EXPECT_FALSE(rig.dispatcher.Expire(6, rig.effects));
  EXPECT_EQ(rig.Replies().size(), 6U);
}

}  // namespace
}  // namespace assent::transport
