// What policies do to commands: one at a time, by hand.

#include <gtest/gtest.h>

#include "tests/transport/dispatcher_rig.h"

namespace assent::transport {
namespace {

using core::AttemptResult;
using core::Millis;
using traffic::Breaker;
using traffic::Policies;

struct PolicyRig : Rig {
  explicit PolicyRig(const Policies& policies, int instances = 2, std::uint32_t in_flight = 100)
      : Rig({}, policies) {
    for (int id = 1; id <= instances; ++id) Come(static_cast<InstanceId>(id), in_flight);
  }
  void Come(InstanceId id, std::uint32_t in_flight = 100) {
    SessionHello hello = Hello("s", in_flight);
    hello.instance = "i" + std::to_string(id);
    EXPECT_TRUE(Attach(id, hello).ok());
    Appeared();
    Touched();
  }
  // The one command that leaves, and where.
  std::pair<InstanceId, Dispatcher::Outgoing> TakeOne() {
    for (const InstanceId id : Touched()) {
      auto taken = Take(id);
      if (!taken.empty()) return {id, std::move(taken[0])};
    }
    ADD_FAILURE() << "nothing leaves";
    return {};
  }
  std::vector<Reply> Say(InstanceId id, const Dispatcher::Outgoing& out, AttemptResult result) {
    SessionReply reply = Done(out.command.gid, out.command_id);
    reply.result = result;
    return Answer(id, std::move(reply));
  }
  ServiceFigures Figures() const { return dispatcher.Figures().at(0); }
  InstanceInfo Shown(std::size_t n = 0) const { return dispatcher.List("s").at(0).instances.at(n); }
  // So many commands leave to this one and end without a word.
  void Fail(InstanceId id, int count) {
    for (int i = 0; i < count; ++i) {
      EXPECT_TRUE(Send("f" + std::to_string(i)).empty());
      for (const auto& out : Take(id)) (void)End(id, out.command_id, "silence");
    }
  }
};

Policies With(const std::function<void(traffic::Policy&)>& set) {
  Policies policies;
  set(policies.all);
  return policies;
}

// ---- Next, hedging ------------------------------------------------------------------------------

const Policies kNext = With([](auto& p) { p.not_now = traffic::NotNow::kNext; });

TEST(Policies, NotNowIsAskedOfTheNextAtOnce) {
  PolicyRig rig(kNext);
  EXPECT_TRUE(rig.Send("g").empty());
  const auto [first, out] = rig.TakeOne();
  EXPECT_TRUE(rig.Say(first, out, AttemptResult::kRetryLater).empty());
  const auto [second, again] = rig.TakeOne();
  EXPECT_NE(second, first);
  EXPECT_EQ(again.command.attempt, out.command.attempt);
  const auto end = rig.Say(second, again, AttemptResult::kDone);
  ASSERT_EQ(end.size(), 1U);
  EXPECT_EQ(end[0].result, AttemptResult::kDone);
  EXPECT_EQ(rig.Figures().moved, 1U);
}

TEST(Policies, WhenAllHaveSaidNotNowThatIsTheAnswer) {
  PolicyRig rig(kNext, 3);
  EXPECT_TRUE(rig.Send("g").empty());
  for (int i = 0; i < 2; ++i) {
    const auto [id, out] = rig.TakeOne();
    EXPECT_TRUE(rig.Say(id, out, AttemptResult::kRetryLater).empty());
  }
  const auto [id, out] = rig.TakeOne();
  EXPECT_EQ(rig.Say(id, out, AttemptResult::kRetryLater).at(0).result, AttemptResult::kRetryLater);
}

// The lock that it waits for is in the database that they share.
TEST(Policies, WhatIsBlockedByATransactionIsNotAskedElsewhere) {
  PolicyRig rig(kNext);
  EXPECT_TRUE(rig.Send("g").empty());
  const auto [id, out] = rig.TakeOne();
  SessionReply reply = Rig::Done("g", out.command_id);
  reply.result = AttemptResult::kRetryLater;
  reply.blocked_by = "older";
  EXPECT_EQ(rig.Answer(id, reply).at(0).blocked_by, "older");
}

// It was with one that may have done something: nobody may say that it was not sent.
TEST(Policies, WhatWasMovedAndDidNotLeaveAgainIsUnknown) {
  PolicyRig rig(kNext);
  EXPECT_TRUE(rig.Send("g").empty());
  const auto [first, out] = rig.TakeOne();
  EXPECT_TRUE(rig.Say(first, out, AttemptResult::kRetryLater).empty());
  const auto end = rig.Pass(Millis(1'000));
  ASSERT_EQ(end.size(), 1U);
  EXPECT_EQ(end[0].result, AttemptResult::kUnknown);
}

TEST(Policies, ANewerAttemptLeavesTheMovedOneUnknown) {
  PolicyRig rig(kNext);
  EXPECT_TRUE(rig.Send("g").empty());
  const auto [first, out] = rig.TakeOne();
  EXPECT_TRUE(rig.Say(first, out, AttemptResult::kRetryLater).empty());
  Command newer = Rig::Try("g");
  newer.attempt = 2;
  const auto end = rig.Send(newer);
  ASSERT_EQ(end.size(), 1U);
  EXPECT_EQ(end[0].attempt, 1U);
  EXPECT_EQ(end[0].result, AttemptResult::kUnknown);
}

const Policies kHedged = With([](auto& p) { p.hedge_after = Millis(50); });

TEST(Policies, WhoIsSlowIsHedgedAndTheFirstAnswerCounts) {
  PolicyRig rig(kHedged);
  EXPECT_TRUE(rig.Send("g").empty());
  const auto [first, out] = rig.TakeOne();
  EXPECT_EQ(rig.dispatcher.next_wake(), rig.now + Millis(50));
  EXPECT_TRUE(rig.Pass(Millis(49)).empty());
  EXPECT_TRUE(rig.Touched().empty());
  EXPECT_TRUE(rig.Pass(Millis(1)).empty());
  const auto [second, copy] = rig.TakeOne();
  EXPECT_NE(second, first);
  EXPECT_EQ(copy.command.payload, out.command.payload);
  EXPECT_EQ(rig.Figures().hedged, 1U);
  EXPECT_EQ(rig.Say(second, copy, AttemptResult::kDone).at(0).result, AttemptResult::kDone);
  EXPECT_TRUE(rig.Say(first, out, AttemptResult::kDone).empty()) << "said once";
  EXPECT_TRUE(rig.Take(second).empty());  // what it took before is written
  EXPECT_EQ(rig.dispatcher.held_bytes(), 0U);
}

TEST(Policies, OfTwoCopiesTheOneThatKnowsCounts) {
  for (const bool first_ends : {true, false}) {
    PolicyRig rig(kHedged);
    EXPECT_TRUE(rig.Send("g").empty());
    const auto one = rig.TakeOne();
    EXPECT_TRUE(rig.Pass(Millis(50)).empty());
    const auto two = rig.TakeOne();
    const auto& [lost, gone] = first_ends ? one : two;
    const auto& [stays, out] = first_ends ? two : one;
    EXPECT_TRUE(rig.Detach(lost).empty()) << "the other may still say what became of it";
    EXPECT_EQ(rig.Say(stays, out, AttemptResult::kRefused).at(0).result, AttemptResult::kRefused);
  }
}

TEST(Policies, ACopyThatDidNotLeaveEndsNothing) {
  PolicyRig rig(kHedged);
  EXPECT_TRUE(rig.Send("g").empty());
  const auto [first, out] = rig.TakeOne();
  EXPECT_TRUE(rig.Pass(Millis(50)).empty());
  const InstanceId second = first == 1 ? 2 : 1;
  EXPECT_TRUE(rig.Detach(second).empty()) << "nobody is told that it was not sent";
  EXPECT_TRUE(rig.Detach(first).at(0).result == AttemptResult::kUnknown);
}

TEST(Policies, OneInstanceAloneIsNotHedged) {
  PolicyRig rig(kHedged, 1);
  EXPECT_TRUE(rig.Send("g").empty());
  (void)rig.TakeOne();
  EXPECT_TRUE(rig.Pass(Millis(500)).empty());
  EXPECT_EQ(rig.Figures().hedged, 0U);
}

// ---- Who is next --------------------------------------------------------------------------------

TEST(Policies, WhoIsNearGetsAllThatItHasRoomFor) {
  PolicyRig rig(With([](auto& p) {
                  p.near = {"i2"};
                  p.weights = {{"i3", 0}};
                }),
                3, 2);
  for (int i = 0; i < 5; ++i) EXPECT_TRUE(rig.Send("g" + std::to_string(i)).empty());
  EXPECT_EQ(rig.Take(2).size(), 2U);
  EXPECT_EQ(rig.Take(1).size(), 2U);
  EXPECT_EQ(rig.Take(3).size(), 1U) << "who weighs nothing, when nobody else has room";
}

TEST(Policies, AHashKeepsAHeaderWithOneInstance) {
  PolicyRig rig(With([](auto& p) {
                  p.select = traffic::Select::kHash;
                  p.hash_header = "customer";
                }),
                4);
  std::map<std::string, std::set<InstanceId>> where;
  for (int i = 0; i < 200; ++i) {
    Command command = Rig::Try("g" + std::to_string(i));
    const std::string customer = "c" + std::to_string(i % 10);
    command.headers = {{"customer", customer}};
    EXPECT_TRUE(rig.Send(command).empty());
    const auto [id, out] = rig.TakeOne();
    where[customer].insert(id);
    (void)rig.Say(id, out, AttemptResult::kDone);
  }
  std::set<InstanceId> used;
  for (const auto& [customer, ids] : where) {
    EXPECT_EQ(ids.size(), 1U) << customer;
    used.insert(*ids.begin());
  }
  EXPECT_GT(used.size(), 1U);
}

TEST(Policies, ChangeWhileCommandsAreUnderWay) {
  PolicyRig rig({}, 3, 1);
  for (int i = 0; i < 6; ++i) EXPECT_TRUE(rig.Send("g" + std::to_string(i)).empty());
  EXPECT_EQ(rig.Take(1).size(), 1U);
  rig.Treat(With([](auto& p) {
    p.select = traffic::Select::kHash;
    p.limit.concurrency = 5;
  }));
  for (const InstanceId id : {1U, 2U, 3U}) {
    for (const auto& out : rig.Take(id))
      EXPECT_EQ(rig.Say(id, out, AttemptResult::kDone).size(), 1U);
  }
  EXPECT_EQ(rig.dispatcher.List("s").at(0).policy, "select=hash hash-by=gid concurrency=5");
}

// ---- Breakers -----------------------------------------------------------------------------------

const Policies kBroken = With([](auto& p) {
  p.breaker = {.on = true, .min_calls_count = 5, .open = Millis(500), .probes_count = 1};
});

TEST(Policies, WhoFailsIsLeftAloneAndTheOthersGetIt) {
  PolicyRig rig(kBroken);
  for (int i = 0; i < 10; ++i) {
    EXPECT_TRUE(rig.Send("f" + std::to_string(i)).empty());
    for (const auto& out : rig.Take(1)) (void)rig.End(1, out.command_id, "silence");
    for (const auto& out : rig.Take(2)) (void)rig.Say(2, out, AttemptResult::kDone);
  }
  EXPECT_EQ(rig.Shown(0).breaker.state, "open");
  EXPECT_EQ(rig.Shown(0).breaker.why, "5 of 5 calls in 10000 ms had no reply");
  EXPECT_EQ(rig.Shown(1).breaker.state, "closed");
  for (int i = 0; i < 10; ++i) EXPECT_TRUE(rig.Send("g" + std::to_string(i)).empty());
  EXPECT_TRUE(rig.Take(1).empty());
  EXPECT_EQ(rig.Take(2).size(), 10U);
  EXPECT_EQ(rig.Figures().open, 1U);
  EXPECT_EQ(rig.Figures().opened, 1U);
}

// It paces: what waits is not refused, is not unknown, and leaves when it is tried.
TEST(Policies, AnOpenBreakerMakesWaitAndIsTried) {
  PolicyRig rig(kBroken, 1);
  rig.Fail(1, 5);
  EXPECT_EQ(rig.Shown().breaker.state, "open");
  for (const char* gid : {"a", "b", "c"}) EXPECT_TRUE(rig.Send(gid).empty());
  EXPECT_TRUE(rig.Take(1).empty());
  EXPECT_TRUE(rig.Pass(Millis(500)).empty());
  const auto probe = rig.Take(1);
  ASSERT_EQ(probe.size(), 1U) << "one tries it";
  EXPECT_EQ(rig.Say(1, probe[0], AttemptResult::kRetryLater).size(), 1U) << "that is an answer";
  EXPECT_EQ(rig.Shown().breaker.state, "closed");
  EXPECT_EQ(rig.Take(1).size(), 2U);
}

TEST(Policies, WhatWaitedInVainForABreakerWasNotSentAndSaysWhy) {
  PolicyRig rig(kBroken, 1);
  rig.Fail(1, 5);
  Command command = Rig::Try("g");
  command.timeout = Millis(100);
  EXPECT_TRUE(rig.Send(command).empty());
  const auto end = rig.Pass(Millis(100));
  ASSERT_EQ(end.size(), 1U);
  EXPECT_EQ(end[0].result, AttemptResult::kNotSent);
  EXPECT_FALSE(end[0].service_absent);
  EXPECT_NE(end[0].reason.find("the breaker of i1 is open: 5 of 5 calls"), std::string::npos)
      << end[0].reason;
}

TEST(Policies, ARefusalOpensNothing) {
  PolicyRig rig(kBroken, 1);
  for (int i = 0; i < 100; ++i) {
    EXPECT_TRUE(rig.Send("g" + std::to_string(i)).empty());
    for (const auto& out : rig.Take(1)) (void)rig.Say(1, out, AttemptResult::kRefused);
  }
  EXPECT_EQ(rig.Shown().breaker.state, "closed");
}

TEST(Policies, WhatWasSetAsideForOneThatOpensGoesToAnother) {
  PolicyRig rig(kBroken);
  for (int i = 0; i < 10; ++i) EXPECT_TRUE(rig.Send("f" + std::to_string(i)).empty());
  const auto five = rig.Take(1, 5);
  EXPECT_TRUE(rig.Send("late-1").empty());
  EXPECT_TRUE(rig.Send("late-2").empty());
  for (const auto& out : five) (void)rig.End(1, out.command_id, "silence");
  EXPECT_TRUE(rig.Take(1).empty());
  EXPECT_EQ(rig.Take(2).size(), 7U);
}

TEST(Policies, APersonOpensAndClosesThem) {
  PolicyRig rig(kBroken);
  EXPECT_EQ(rig.dispatcher.HoldBreakers("s", "i1", Breaker::Held::kOpen, rig.effects), 1U);
  for (int i = 0; i < 4; ++i) EXPECT_TRUE(rig.Send("g" + std::to_string(i)).empty());
  EXPECT_TRUE(rig.Take(1).empty());
  EXPECT_EQ(rig.Take(2).size(), 4U);
  EXPECT_TRUE(rig.Shown(0).breaker.held);
  EXPECT_EQ(rig.dispatcher.HoldBreakers("s", "", Breaker::Held::kOpen, rig.effects), 1U);
  EXPECT_TRUE(rig.Send("waits").empty());
  EXPECT_TRUE(rig.Take(2).empty());
  EXPECT_EQ(rig.dispatcher.List("s").at(0).breaker.state, "open");
  EXPECT_EQ(rig.dispatcher.HoldBreakers("s", "", Breaker::Held::kAuto, rig.effects), 1U);
  EXPECT_EQ(rig.Take(2).size(), 1U) << "it goes at once";
  EXPECT_EQ(rig.dispatcher.HoldBreakers("s", "nobody", Breaker::Held::kOpen, rig.effects), 0U);
  EXPECT_EQ(rig.dispatcher.HoldBreakers("t", "", Breaker::Held::kOpen, rig.effects), 0U);
}

TEST(Policies, TheServicesOwnBreakerHoldsAll) {
  PolicyRig rig(With([](auto& p) {
    p.breaker = {.on = true,
                 .of_service = true,
                 .min_calls_count = 6,
                 .open = Millis(500),
                 .probes_count = 1};
  }));
  for (int i = 0; i < 6; ++i) {
    EXPECT_TRUE(rig.Send("f" + std::to_string(i)).empty());
    for (const InstanceId id : {1U, 2U})
      for (const auto& out : rig.Take(id)) (void)rig.End(id, out.command_id, "silence");
  }
  EXPECT_EQ(rig.dispatcher.List("s").at(0).breaker.state, "open");
  for (const char* gid : {"a", "b", "c"}) EXPECT_TRUE(rig.Send(gid).empty());
  EXPECT_TRUE(rig.Take(1).empty());
  EXPECT_TRUE(rig.Take(2).empty());
  EXPECT_TRUE(rig.Pass(Millis(500)).empty());
  EXPECT_EQ(rig.Take(1).size() + rig.Take(2).size(), 1U) << "one tries it";
}

// ---- How much -----------------------------------------------------------------------------------

TEST(Policies, WhoComesBeginsSmallAndGrowsWithItsAnswers) {
  PolicyRig rig(With([](auto& p) { p.limit.slow_start = 2; }), 1);
  for (int i = 0; i < 20; ++i) EXPECT_TRUE(rig.Send("g" + std::to_string(i)).empty());
  std::size_t expected = 2;
  while (expected < 16) {
    const auto taken = rig.Take(1);
    EXPECT_EQ(taken.size(), std::min<std::size_t>(expected, 20));
    for (const auto& out : taken) (void)rig.Say(1, out, AttemptResult::kDone);
    if (taken.size() < expected) break;
    expected *= 2;
  }
}

TEST(Policies, WhoAnswersNothingGetsMoreWithTime) {
  PolicyRig rig(With([](auto& p) { p.limit.slow_start = 2; }), 1);
  Command command = Rig::Try("g");
  command.timeout = Millis(10'000);
  for (int i = 0; i < 9; ++i) {
    command.gid = "g" + std::to_string(i);
    EXPECT_TRUE(rig.Send(command).empty());
  }
  EXPECT_EQ(rig.Take(1).size(), 2U);
  EXPECT_TRUE(rig.Pass(traffic::Limit::kDoublesEach).empty());
  EXPECT_EQ(rig.Take(1).size(), 2U);
  EXPECT_TRUE(rig.Pass(traffic::Limit::kDoublesEach).empty());
  EXPECT_EQ(rig.Take(1).size(), 4U);
}

TEST(Policies, ARateIsKeptAndTheRestFollows) {
  PolicyRig rig(With([](auto& p) { p.rate_per_second = 100; }), 2);
  Command command = Rig::Try("g");
  command.timeout = Millis(60'000);
  for (int i = 0; i < 60; ++i) {
    command.gid = "g" + std::to_string(i);
    EXPECT_TRUE(rig.Send(command).empty());
  }
  std::size_t left = rig.Take(1).size() + rig.Take(2).size();
  EXPECT_EQ(left, 10U) << "what comes in a tenth of a second";
  for (int ms = 0; ms < 400; ms += 20) {
    EXPECT_TRUE(rig.Pass(Millis(20)).empty());
    left += rig.Take(1).size() + rig.Take(2).size();
  }
  EXPECT_NEAR(static_cast<double>(left), 50, 1);
}

// Wherever they lie in memory: a schedule of the simulator that is run again goes the same way.
TEST(Policies, WhatWakesAtTheSameTimeWakesByName) {
  PolicyRig rig(With([](auto& p) { p.rate_per_second = 10; }), 0);
  const std::string names = "hcafbged";
  for (const char name : names) {
    SessionHello hello = Rig::Hello(std::string(1, name));
    ASSERT_TRUE(rig.Attach(static_cast<InstanceId>(name), hello).ok());
    for (const char* gid : {"g1", "g2"})
      EXPECT_TRUE(rig.Send(Rig::Try(gid + hello.service, hello.service)).empty());
    EXPECT_EQ(rig.Take(static_cast<InstanceId>(name)).size(), 1U);
  }
  (void)rig.Touched();
  EXPECT_TRUE(rig.Pass(Millis(200)).empty());
  std::string woken;
  for (const InstanceId id : rig.Touched()) woken += static_cast<char>(id);
  EXPECT_EQ(woken, "abcdefgh");
}

TEST(Policies, RetriesHaveABudgetAndFirstAttemptsHaveNone) {
  PolicyRig rig(With([](auto& p) { p.retry_percent = 10; }), 1, 1'000);
  Command retry = Rig::Try("g");
  retry.attempt = 2;
  std::size_t refused = 0;
  for (int i = 0; i < 150; ++i) {
    retry.gid = "r" + std::to_string(i);
    for (const Reply& reply : rig.Send(retry)) {
      EXPECT_EQ(reply.result, AttemptResult::kNotSent);
      EXPECT_NE(reply.reason.find("retry budget"), std::string::npos);
      ++refused;
    }
  }
  EXPECT_EQ(refused, 50U) << "a hundred are saved up";
  retry.never_sent = true;
  EXPECT_TRUE(rig.Send(retry).empty()) << "what reached nobody adds nothing to what is there";
  EXPECT_TRUE(rig.Send("first").empty());
}

// Its initiator may have committed it by itself: a no that nobody has kept would be a lie.
TEST(Policies, WhatIsOnlyAskedAboutIsNeverRefusedHere) {
  Rig rig({}, With([](auto& p) { p.absence = traffic::Absence::kRefuse; }));
  Command asked = Rig::Try("g");
  asked.operation = core::Operation::kAction;
  asked.protocol = core::Protocol::kSaga;
  asked.check_back = true;
  EXPECT_EQ(rig.Send(asked).at(0).result, AttemptResult::kNotSent) << "nobody is there";
  ASSERT_TRUE(rig.Attach(1, Rig::Hello("s")).ok());
  EXPECT_EQ(rig.Send(asked).at(0).result, AttemptResult::kNotSent) << "nobody offers the action";
  asked.check_back = false;
  EXPECT_EQ(rig.Send(asked).at(0).result, AttemptResult::kRefused);
}

TEST(Policies, AbsenceRefusesOnlyWhatReachedNobody) {
  Rig rig({}, With([](auto& p) { p.absence = traffic::Absence::kRefuse; }));
  const Reply first = rig.Send("g").at(0);
  EXPECT_EQ(first.result, AttemptResult::kRefused);
  EXPECT_FALSE(first.service_absent);
  Command second = Rig::Try("g");
  second.attempt = 2;
  EXPECT_EQ(rig.Send(second).at(0).result, AttemptResult::kNotSent);
  Command confirm = Rig::Try("g");
  confirm.operation = core::Operation::kConfirm;
  const Reply waits = rig.Send(confirm).at(0);
  EXPECT_EQ(waits.result, AttemptResult::kNotSent) << "a decision is never refused";
  EXPECT_TRUE(waits.service_absent);
}

}  // namespace
}  // namespace assent::transport
