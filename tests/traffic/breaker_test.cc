// When a breaker opens, how it is tried, and what never opens it.

#include "coordinator/traffic/breaker.h"

#include <gtest/gtest.h>

namespace assent::traffic {
namespace {

using core::Micros;
using core::Millis;
using State = Breaker::State;

struct Rig {
  core::MonoTime now{std::chrono::seconds(1000)};
  Breaker breaker{{.on = true,
                   .failure_percent = 50,
                   .window = Millis(1'000),
                   .min_calls_count = 10,
                   .open = Millis(500),
                   .probes_count = 2}};

  bool Call(CallEnd end, Millis latency = Millis(1)) {
    return breaker.End(breaker.Leave(), end, latency, now);
  }
  void Calls(int count, CallEnd end) {
    for (int i = 0; i < count; ++i) (void)Call(end);
  }
  void Open() {
    Calls(10, CallEnd::kFailed);
    ASSERT_EQ(breaker.Shown(), State::kOpen);
  }
};

TEST(Breaker, OpensWhenHalfOfEnoughCallsHaveFailed) {
  Rig rig;
  rig.Calls(5, CallEnd::kAnswered);
  rig.Calls(4, CallEnd::kFailed);
  EXPECT_EQ(rig.breaker.Shown(), State::kClosed) << "nine calls prove nothing";
  EXPECT_TRUE(rig.Call(CallEnd::kFailed));
  EXPECT_EQ(rig.breaker.Shown(), State::kOpen);
  EXPECT_FALSE(rig.breaker.Admits());
  EXPECT_EQ(rig.breaker.why(), "5 of 10 calls in 1000 ms had no reply");
  EXPECT_EQ(rig.breaker.opened_count(), 1U);
}

TEST(Breaker, StaysClosedWhereMostAreAnswered) {
  Rig rig;
  for (int i = 0; i < 100; ++i) {
    rig.Calls(3, CallEnd::kAnswered);
    rig.Calls(2, CallEnd::kFailed);
  }
  EXPECT_EQ(rig.breaker.Shown(), State::kClosed);
}

TEST(Breaker, WhatIsOlderThanTheWindowIsForgotten) {
  Rig rig;
  rig.Calls(9, CallEnd::kFailed);
  rig.now += Millis(1'001);
  rig.Calls(9, CallEnd::kFailed);
  EXPECT_EQ(rig.breaker.Shown(), State::kClosed);
  rig.now += Millis(300);  // those nine still count
  EXPECT_TRUE(rig.Call(CallEnd::kFailed));
}

TEST(Breaker, WhatWasNotSentOrNotWaitedForProvesNothing) {
  Rig rig;
  rig.Calls(100, CallEnd::kNeutral);
  EXPECT_EQ(rig.breaker.Shown(), State::kClosed);
}

TEST(Breaker, SlowAnswersOpenItWhereThePolicySaysSo) {
  Rig rig;
  for (int i = 0; i < 20; ++i) (void)rig.Call(CallEnd::kAnswered, Millis(5'000));
  EXPECT_EQ(rig.breaker.Shown(), State::kClosed) << "by default slowness is no failure";
  rig.breaker =
      Breaker({.on = true, .slow_percent = 50, .slow = Millis(100), .min_calls_count = 10});
  for (int i = 0; i < 5; ++i) (void)rig.Call(CallEnd::kAnswered, Millis(99));
  for (int i = 0; i < 4; ++i) EXPECT_FALSE(rig.Call(CallEnd::kAnswered, Millis(100)));
  EXPECT_TRUE(rig.Call(CallEnd::kAnswered, Millis(100)));
  EXPECT_EQ(rig.breaker.why(), "5 of 10 calls in 10000 ms took 100 ms or more");
}

TEST(Breaker, IsTriedWithAFewCallsAndClosesWhenAllWereAnswered) {
  Rig rig;
  rig.Open();
  EXPECT_EQ(rig.breaker.wakes_at(), rig.now + Millis(500));
  rig.now += Millis(499);
  EXPECT_FALSE(rig.breaker.Wake(rig.now));
  rig.now += Millis(1);
  EXPECT_TRUE(rig.breaker.Wake(rig.now));
  EXPECT_EQ(rig.breaker.Shown(), State::kHalfOpen);
  const auto first = rig.breaker.Leave();
  EXPECT_TRUE(rig.breaker.Admits());
  const auto second = rig.breaker.Leave();
  EXPECT_FALSE(rig.breaker.Admits()) << "two at most";
  EXPECT_FALSE(rig.breaker.End(first, CallEnd::kAnswered, Micros(1), rig.now));
  EXPECT_FALSE(rig.breaker.Admits()) << "two in all";
  EXPECT_TRUE(rig.breaker.End(second, CallEnd::kAnswered, Micros(1), rig.now));
  EXPECT_EQ(rig.breaker.Shown(), State::kClosed);
  EXPECT_EQ(rig.breaker.why(), "");
}

TEST(Breaker, OneFailureOfThoseThatTryItOpensItAgain) {
  Rig rig;
  rig.Open();
  rig.now += Millis(500);
  ASSERT_TRUE(rig.breaker.Wake(rig.now));
  EXPECT_TRUE(rig.Call(CallEnd::kFailed));
  EXPECT_EQ(rig.breaker.Shown(), State::kOpen);
  EXPECT_EQ(rig.breaker.wakes_at(), rig.now + Millis(500));
}

TEST(Breaker, ATryThatWasNotSentLeavesItsPlaceToAnother) {
  Rig rig;
  rig.Open();
  rig.now += Millis(500);
  ASSERT_TRUE(rig.breaker.Wake(rig.now));
  rig.Calls(10, CallEnd::kNeutral);
  EXPECT_TRUE(rig.breaker.Admits());
  EXPECT_EQ(rig.breaker.Shown(), State::kHalfOpen);
}

TEST(Breaker, CallsOfBeforeProveNothingOfNow) {
  Rig rig;
  const auto old = rig.breaker.Leave();
  rig.Open();
  EXPECT_FALSE(rig.breaker.End(old, CallEnd::kAnswered, Micros(1), rig.now));
  rig.now += Millis(500);
  ASSERT_TRUE(rig.breaker.Wake(rig.now));
  EXPECT_FALSE(rig.breaker.End(old, CallEnd::kFailed, Micros(1), rig.now));
  EXPECT_EQ(rig.breaker.Shown(), State::kHalfOpen);
}

TEST(Breaker, APersonsWordCountsUntilItIsTakenBack) {
  Rig rig;
  rig.breaker.Hold(Breaker::Held::kOpen);
  EXPECT_FALSE(rig.breaker.Admits());
  EXPECT_EQ(rig.breaker.wakes_at(), core::kNever);
  rig.now += std::chrono::hours(1);
  EXPECT_FALSE(rig.breaker.Wake(rig.now));
  rig.breaker.Hold(Breaker::Held::kClosed);
  rig.Calls(100, CallEnd::kFailed);
  EXPECT_TRUE(rig.breaker.Admits());
  rig.breaker.Hold(Breaker::Held::kAuto);
  rig.Open();
}

TEST(Breaker, OffIsClosed) {
  Rig rig;
  rig.Open();
  rig.breaker.Set({.on = false});
  EXPECT_TRUE(rig.breaker.Admits());
  rig.Calls(100, CallEnd::kFailed);
  EXPECT_TRUE(rig.breaker.Admits());
}

}  // namespace
}  // namespace assent::traffic
