// Services that are dialled where somebody says that they are: endpoints come and go.
#include <gmock/gmock.h>
#include <gtest/gtest.h>

#include "coordinator/transport/unary_dialer.h"
#include "tests/transport/dispatcher_rig.h"
#include "tests/transport/fake_carriers.h"

namespace assent::transport {
namespace {

using core::AttemptResult;
using testing::ElementsAre;
using testing::IsEmpty;

// ---- The dispatcher's part

TEST(Retired, GetsNothingNewAndGoesWithTheLastThatIsOut) {
  Rig rig;
  rig.Dial(1, "a:1");
  rig.Reach(1, Reach::kReady);
  EXPECT_TRUE(rig.Send("a").empty());
  EXPECT_TRUE(rig.Send("b").empty());
  auto out = rig.Take(1);
  ASSERT_EQ(out.size(), 2U);
  rig.Dial(2, "b:1");
  rig.Reach(2, Reach::kReady);
  EXPECT_TRUE(rig.Retire(1));
  EXPECT_FALSE(rig.Retire(1)) << "once";
  for (int i = 0; i < 5; ++i) EXPECT_TRUE(rig.Send("g" + std::to_string(i)).empty());
  EXPECT_TRUE(rig.Take(1).empty());
  EXPECT_EQ(rig.Take(2).size(), 5U);
  EXPECT_FALSE(rig.Reach(1, Reach::kDown)) << "how it stands is nobody's news";
  EXPECT_EQ(rig.Answer(1, Rig::Done("a", out[0].command_id)).at(0).result, AttemptResult::kDone)
      << "an answer is one whoever gives it";
  EXPECT_THAT(rig.Gone(), IsEmpty());
  rig.dispatcher.End(1, out[1].command_id, "UNAVAILABLE: ", rig.effects);
  EXPECT_THAT(rig.Gone(), ElementsAre(1));
  EXPECT_EQ(rig.dispatcher.List("")[0].instances.size(), 1U);
}

TEST(Retired, WhatWaitsForItGoesToTheOther) {
  Rig rig;
  rig.Dial(1, "a:1");
  rig.Dial(2, "b:1");
  rig.Reach(1, Reach::kReady);
  for (const char* gid : {"a", "b", "c"}) EXPECT_TRUE(rig.Send(gid).empty());
  rig.Reach(2, Reach::kReady);
  EXPECT_TRUE(rig.Retire(1));
  EXPECT_THAT(rig.Gone(), ElementsAre(1));
  EXPECT_EQ(rig.Take(2).size(), 3U);
}

// What could not be handed on is given back after its target was retired.
TEST(Retired, WhatIsReturnedGoesToTheOtherOrBack) {
  for (const bool other : {true, false}) {
    Rig rig;
    rig.Dial(1, "a:1");
    rig.Reach(1, Reach::kReady);
    EXPECT_TRUE(rig.Send("a").empty());
    auto out = rig.Take(1);
    ASSERT_EQ(out.size(), 1U);
    if (other) rig.Dial(2, "b:1");
    EXPECT_TRUE(rig.Retire(1));
    rig.Return(1, std::move(out[0]));
    EXPECT_THAT(rig.Gone(), ElementsAre(1));
    const auto back = rig.Replies();
    EXPECT_EQ(back.size(), other ? 0U : 1U);
    if (!other) {
      EXPECT_TRUE(back[0].service_absent);
      EXPECT_EQ(back[0].result, AttemptResult::kNotSent);
    } else {
      rig.Reach(2, Reach::kReady);
      EXPECT_EQ(rig.Take(2).size(), 1U);
    }
    EXPECT_EQ(rig.dispatcher.counters().expired, 0U);
  }
}

TEST(Retired, OneThatIsDownGoesAtOnceAndCountsNothingTwice) {
  Rig rig;
  rig.Dial(1, "a:1");
  rig.Dial(2, "b:1");
  rig.Reach(1, Reach::kDown, "cannot connect");
  EXPECT_TRUE(rig.Retire(1));
  EXPECT_THAT(rig.Gone(), ElementsAre(1));
  EXPECT_TRUE(rig.Send("a").empty()) << "the other may be reached yet";
  EXPECT_TRUE(rig.Retire(2));
  EXPECT_TRUE(rig.Replies().at(0).service_absent);
  EXPECT_TRUE(rig.Send("a").at(0).service_absent);
  rig.dispatcher.AddDialled(3, "s", Endpoint("c:1"), 10, rig.effects);
  EXPECT_THAT(rig.Appeared(), ElementsAre("s")) << "what waits is told";
}

// What a start finds in its settings made the first transactions that were taken up look again, by
// their backoff, for services that nobody waits for.
TEST(Retired, WhoIsThereBeforeAnybodyAskedIsNoNews) {
  Rig rig;
  rig.dispatcher.AddDialled(1, "s", Endpoint("a:1"), 10, rig.effects);
  EXPECT_THAT(rig.Appeared(), IsEmpty());
  EXPECT_TRUE(rig.Send(Rig::Try("a", "other")).at(0).service_absent);
  rig.dispatcher.AddDialled(2, "other", Endpoint("b:1"), 10, rig.effects);
  EXPECT_THAT(rig.Appeared(), ElementsAre("other"));
}

TEST(Declared, IsThereWithoutInstancesAndSaysWhy) {
  Rig rig;
  rig.dispatcher.Declare("s", "dns:pay:1: no such name");
  EXPECT_EQ(rig.Send("a").at(0).reason, "dns:pay:1: no such name");
  EXPECT_EQ(rig.Attach(9, Rig::Hello("s")).message(),
            "service s is dialled: this coordinator's configuration and it takes no sessions. Take "
            "it out of `unary` there, or do not dial in");
  rig.dispatcher.AddDialled(1, "s", Endpoint("a:1"), 10, rig.effects);
  EXPECT_THAT(rig.Appeared(), ElementsAre("s"));
  EXPECT_TRUE(rig.Send("a").empty());
  EXPECT_TRUE(rig.Retire(1));
  EXPECT_TRUE(rig.Replies().at(0).service_absent);
  EXPECT_EQ(rig.dispatcher.List("").size(), 1U) << "it stays";
  rig.dispatcher.Declare("s", "dns:pay:1: the server does not answer");
  EXPECT_EQ(rig.Send("b").at(0).reason, "dns:pay:1: the server does not answer");
}

// ---- The dialer's

struct Dialled : Exchange {
  FakeCaller caller;
  UnaryDialer dialer{caller, board, {10}};
  void Set(const std::vector<std::string>& addresses) {
    dialer.Set("s", {addresses.begin(), addresses.end()});
  }
};

TEST(Dialer, EndpointsComeAndGo) {
  Dialled rig;
  rig.Set({"a:1"});
  rig.dialer.Open(7);
  rig.Set({"a:1", "b:1", "b:1"});
  rig.caller.Link(0, true);
  rig.caller.Link(1, true);
  EXPECT_ANY_THROW(rig.caller.Nth(2)) << "each once";
  rig.Send(TryCommand("a"));
  rig.Send(TryCommand("b"));
  const auto calls = rig.caller.Calls();
  ASSERT_EQ(calls.size(), 2U);
  rig.Set({"b:1", "c:1"});
  EXPECT_THAT(rig.caller.removed(), IsEmpty()) << "a call is under way";
  EXPECT_EQ(rig.witness.Lines().back(), "s left: it is not named any more");
  for (const FakeCaller::Made& made : calls) rig.caller.Answer(made);
  EXPECT_EQ(rig.engine.Replies().size(), 2U);
  EXPECT_THAT(rig.caller.removed(), ElementsAre(rig.caller.Nth(0)));
  rig.Set({"a:1", "b:1"});  // who comes back is somebody new
  EXPECT_THAT(rig.caller.removed(), ElementsAre(rig.caller.Nth(0), rig.caller.Nth(2)));
  rig.caller.Link(3, true);
  EXPECT_EQ(rig.board.List("").at(0).instances.size(), 2U);
}

// The same endpoint by other settings is not dialled again.
TEST(Dialer, ByWhatAnEndpointIsKnownMayChange) {
  Dialled rig;
  const auto source = [&] { return rig.board.List("").at(0).instances.at(0).source; };
  rig.dialer.Set("s", {Endpoint("a:1", "a", "--unary s=dns:a:1")});
  rig.dialer.Open(7);
  EXPECT_EQ(source(), "--unary s=dns:a:1");
  rig.dialer.Set("s", {Endpoint("a:1", "a", "--unary s=dns:a:1, --unary s=dns:b:1")});
  EXPECT_EQ(source(), "--unary s=dns:a:1, --unary s=dns:b:1");
  EXPECT_EQ(rig.board.List("").at(0).instances.size(), 1U);
  EXPECT_THAT(rig.caller.removed(), IsEmpty());
  rig.caller.Link(0, true);
  EXPECT_ANY_THROW(rig.caller.Nth(1));
}

// What waits for one that is retired is called at another, by the same thread.
TEST(Dialer, WhatWaitsMovesOnWhileTheSetChanges) {
  Dialled rig;
  rig.Set({"a:1", "b:1"});
  rig.dialer.Open(7);
  rig.Send(TryCommand("g"));
  rig.caller.Link(1, true);
  EXPECT_EQ(rig.caller.Calls().size(), 1U);
  rig.caller.Unlink(1);
  rig.Send(TryCommand("h"));  // finds no connection, and waits
  rig.caller.Link(0, true);
  const auto calls = rig.caller.Calls();
  ASSERT_EQ(calls.size(), 1U);
  EXPECT_EQ(calls[0].target, rig.caller.Nth(0));
  rig.Set({"b:1"});
  rig.Set({});
  EXPECT_EQ(rig.caller.removed().size(), 0U);
  rig.caller.Answer(calls[0]);
  EXPECT_EQ(rig.engine.Replies().at(0).gid, "h");
}

}  // namespace
}  // namespace assent::transport
