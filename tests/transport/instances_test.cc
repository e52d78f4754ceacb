// Instances of one service that differ: in what they offer, and in whether they can be reached.

#include <gtest/gtest.h>

#include "tests/transport/dispatcher_rig.h"

namespace assent::transport {
namespace {

using core::AttemptResult;

SessionHello Newer(std::uint32_t in_flight = 0) {
  SessionHello hello = Rig::Hello("s", in_flight);
  hello.actions.emplace_back("more", core::Protocol::kTcc);
  return hello;
}

Command More(const std::string& gid) {
  Command command = Rig::Try(gid);
  command.action = "more";
  return command;
}

// A roll-out that waits for its first new instance never ended: one with another action was refused
// while an old one was there.
TEST(Instances, MayOfferDifferentActions) {
  Rig rig;
  ASSERT_TRUE(rig.Attach(1, Rig::Hello("s")).ok());
  rig.Appeared();
  EXPECT_EQ(rig.Send(More("early"))[0].result, AttemptResult::kRefused);
  ASSERT_TRUE(rig.Attach(2, Newer()).ok());
  EXPECT_EQ(rig.Appeared(), std::vector<std::string>{"s"}) << "what could not be sent can be";
  ASSERT_TRUE(rig.Attach(3, Newer()).ok());
  EXPECT_TRUE(rig.Appeared().empty());
  for (int i = 0; i < 4; ++i) EXPECT_TRUE(rig.Send(More("m" + std::to_string(i))).empty());
  EXPECT_TRUE(rig.Take(1).empty());
  EXPECT_EQ(rig.Take(2).size(), 2U);
  EXPECT_EQ(rig.Take(3).size(), 2U);
  const ServiceInfo listed = rig.dispatcher.List("s")[0];
  EXPECT_EQ(listed.actions, (std::vector<std::string>{"tcc:act", "tcc:more"}));
  EXPECT_EQ(listed.instances[0].actions, std::vector<std::string>{"tcc:act"});
  EXPECT_EQ(listed.instances[1].actions, (std::vector<std::string>{"tcc:act", "tcc:more"}));
  for (int i = 0; i < 9; ++i) EXPECT_TRUE(rig.Send("g" + std::to_string(i)).empty());
  for (const InstanceId id : {1, 2, 3}) EXPECT_EQ(rig.Take(id).size(), 3U) << "in turn";
}

TEST(Instances, WhatOnlyOneCanDoDoesNotHoldUpTheRest) {
  Rig rig;
  ASSERT_TRUE(rig.Attach(1, Rig::Hello("s", 1)).ok());
  ASSERT_TRUE(rig.Attach(2, Newer(1)).ok());
  EXPECT_TRUE(rig.Send("a").empty());
  EXPECT_TRUE(rig.Send(More("b")).empty());
  const auto one = rig.Take(1);
  const auto two = rig.Take(2);
  EXPECT_TRUE(rig.Send(More("c")).empty()) << "waits for 2";
  EXPECT_TRUE(rig.Send("d").empty()) << "waits for either";
  rig.Answer(1, Rig::Done("a", one[0].command_id));
  const auto next = rig.Take(1);
  ASSERT_EQ(next.size(), 1U);
  EXPECT_EQ(next[0].command.gid, "d") << "past the one that 1 does not offer";
  // The last that offers it leaves: what waits for it comes back, and is no refusal.
  const auto back = rig.Detach(2);
  ASSERT_EQ(back.size(), 2U);
  EXPECT_EQ(back[0].result, AttemptResult::kUnknown) << "b was out";
  EXPECT_EQ(back[1].gid, "c");
  EXPECT_EQ(back[1].result, AttemptResult::kNotSent);
  EXPECT_FALSE(back[1].service_absent);
}

TEST(Instances, DifferWithinALimit) {
  DispatcherLimits limits;
  limits.max_variants_count = 2;
  limits.max_actions_bytes = 20;
  Rig rig(limits);
  ASSERT_TRUE(rig.Attach(1, Rig::Hello("s")).ok());
  ASSERT_TRUE(rig.Attach(2, Newer()).ok());
  SessionHello third = Newer();
  third.actions.emplace_back("x", core::Protocol::kSaga);
  EXPECT_EQ(rig.Attach(3, third).message(),
            "the instances of service s offer 2 different sets of actions, which is the limit: "
            "stop those of older releases first");
  EXPECT_TRUE(rig.Attach(3, Newer()).ok());
  SessionHello long_names = Rig::Hello("t");
  long_names.actions = {{"eleven-long", core::Protocol::kTcc}};
  EXPECT_EQ(rig.Attach(4, long_names).message(),
            "the names of all actions of all services take 10 bytes, the limit is 20");
  rig.Detach(2);
  rig.Detach(3);
  EXPECT_TRUE(rig.Attach(4, long_names).ok()) << "names that nobody offers any more are forgotten";
}

TEST(Instances, ALostStreamsOutboxGoesToAnother) {
  Rig rig;
  ASSERT_TRUE(rig.Attach(1, Rig::Hello("s")).ok());
  EXPECT_TRUE(rig.Send("a").empty());
  EXPECT_TRUE(rig.Send("b").empty());
  ASSERT_TRUE(rig.Attach(2, Rig::Hello("s")).ok());
  EXPECT_TRUE(rig.Detach(1).empty()) << "none of it was written";
  EXPECT_EQ(rig.Take(2).size(), 2U);
}

TEST(Instances, OfAServiceThatIsDialledTakeNoHello) {
  Rig rig;
  rig.Dial(1, "10.0.0.1:9000");
  const Status status = rig.Attach(2, Rig::Hello("s"));
  EXPECT_EQ(status.code(), Code::kFailedPrecondition);
  EXPECT_EQ(status.message(),
            "service s is dialled: this coordinator's configuration has 10.0.0.1:9000 for it, and "
            "it takes no sessions. Take it out of `unary` there, or do not dial in");
}

// Calls once went in turn to the one known to be down as well.
TEST(Dialled, ATargetThatIsDownGetsNothing) {
  Rig rig;
  rig.Dial(1, "a:1");
  rig.Dial(2, "b:1");
  EXPECT_TRUE(rig.Send("early").empty()) << "it waits: nothing is known yet";
  EXPECT_TRUE(rig.Reach(1, Reach::kDown, "cannot connect to a:1: connection refused"));
  EXPECT_TRUE(rig.Reach(2, Reach::kReady));
  for (int i = 0; i < 5; ++i) EXPECT_TRUE(rig.Send("g" + std::to_string(i)).empty());
  EXPECT_TRUE(rig.Take(1).empty());
  EXPECT_EQ(rig.Take(2).size(), 6U);
}

TEST(Dialled, AllDownIsAbsentUntilOneIsBack) {
  Rig rig;
  rig.Dial(1, "a:1");
  EXPECT_TRUE(rig.Send("g").empty());
  rig.Reach(1, Reach::kDown, "cannot connect to a:1: connection refused");
  auto back = rig.Replies();
  ASSERT_EQ(back.size(), 1U);
  EXPECT_EQ(back[0].result, AttemptResult::kNotSent);
  EXPECT_EQ(back[0].reason, "cannot connect to a:1: connection refused");
  EXPECT_TRUE(back[0].service_absent);
  EXPECT_FALSE(rig.Reach(1, Reach::kConnecting)) << "another try is no better news";
  EXPECT_TRUE(rig.Send("g")[0].service_absent);
  EXPECT_TRUE(rig.Appeared().empty());
  rig.Reach(1, Reach::kReady);
  EXPECT_EQ(rig.Appeared(), std::vector<std::string>{"s"});
  EXPECT_EQ(rig.dispatcher.List("")[0].instances[0].connected_at, core::WallTime(core::Millis(1)));
  EXPECT_TRUE(rig.Send("g").empty());
  EXPECT_EQ(rig.Take(1).size(), 1U);
}

TEST(Dialled, WhatWasNotHandedOnWaitsAgainAndWhatWasEnded) {
  Rig rig;
  rig.Dial(1, "a:1");
  rig.Reach(1, Reach::kReady);
  EXPECT_TRUE(rig.Send("a").empty());
  EXPECT_TRUE(rig.Send("b").empty());
  auto taken = rig.Take(1);
  ASSERT_EQ(taken.size(), 2U);
  rig.Reach(1, Reach::kConnecting);
  const std::uint64_t out = taken[0].command_id;
  rig.Return(1, std::move(taken[1]));
  EXPECT_TRUE(rig.Replies().empty());
  EXPECT_TRUE(rig.Pass(core::Millis(999)).empty());
  const auto late = rig.Pass(core::Millis(1));
  ASSERT_EQ(late.size(), 1U) << "a call that is out ends by itself";
  EXPECT_EQ(late[0].gid, "b");
  EXPECT_EQ(late[0].result, AttemptResult::kNotSent);
  rig.dispatcher.End(1, out, "DEADLINE_EXCEEDED: ", rig.effects);
  const auto ended = rig.Replies();
  ASSERT_EQ(ended.size(), 1U);
  EXPECT_EQ(ended[0].result, AttemptResult::kUnknown);
  EXPECT_EQ(rig.dispatcher.held_bytes(), 0U);
}

// A handler that executed and then passed on its own downstream's words was believed never to have
// been reached.
TEST(Dialled, NoWordsAreEvidence) {
  for (const char* words :
       {"UNAVAILABLE: failed to connect to all addresses; last error: UNKNOWN: ipv4:1: Failed to "
        "connect to remote host: Connection refused",
        "UNIMPLEMENTED: no such method", "INVALID_ARGUMENT: nothing was begun"}) {
    Rig rig;
    rig.Dial(1, "a:1");
    rig.Reach(1, Reach::kReady);
    EXPECT_TRUE(rig.Send("g").empty());
    rig.dispatcher.End(1, rig.Take(1)[0].command_id, words, rig.effects);
    const auto replies = rig.Replies();
    ASSERT_EQ(replies.size(), 1U);
    EXPECT_EQ(replies[0].result, AttemptResult::kUnknown) << words;
    EXPECT_EQ(replies[0].reason, words);
  }
}

}  // namespace
}  // namespace assent::transport
