// How much an instance gets: at its start, and where more only makes it slower; tokens.

#include "coordinator/traffic/limit.h"

#include <algorithm>
#include <deque>

#include <gtest/gtest.h>

#include "coordinator/traffic/tokens.h"

namespace assent::traffic {
namespace {

using core::Micros;
using core::Millis;
using core::MonoTime;

constexpr MonoTime kStart{std::chrono::seconds(1000)};

TEST(Limit, WhatTheInstanceOrThePolicySays) {
  EXPECT_EQ(Limit({.slow_start = 0}, 100).value(), 100U);
  EXPECT_EQ(Limit({.concurrency = 7}, 100).value(), 7U);
  EXPECT_EQ(Limit({.concurrency = 700}, 100).value(), 100U);
}

TEST(Limit, AStartGrowsByOneWithEachAnswer) {
  Limit limit({.slow_start = 4}, 100);
  limit.Start(kStart);
  EXPECT_EQ(limit.value(), 4U);
  for (int i = 0; i < 4; ++i) limit.End(CallEnd::kAnswered, Millis(1), 4);
  EXPECT_EQ(limit.value(), 8U);
  for (int i = 0; i < 4; ++i) limit.End(CallEnd::kFailed, Millis(1), 4);
  EXPECT_EQ(limit.value(), 8U) << "what has no reply is no reason for more";
  for (int i = 0; i < 200; ++i) limit.End(CallEnd::kAnswered, Millis(1), 4);
  EXPECT_EQ(limit.value(), 100U);
  EXPECT_EQ(limit.wakes_at(), core::kNever);
}

// Who answers nothing until he has more gets it.
TEST(Limit, AStartGrowsWithTimeToo) {
  Limit limit({.slow_start = 4}, 30);
  limit.Start(kStart);
  EXPECT_EQ(limit.wakes_at(), kStart + Limit::kDoublesEach);
  limit.Wake(kStart + Limit::kDoublesEach - Micros(1));
  EXPECT_EQ(limit.value(), 4U);
  limit.Wake(kStart + Limit::kDoublesEach);
  EXPECT_EQ(limit.value(), 8U);
  limit.Wake(kStart + 3 * Limit::kDoublesEach);
  EXPECT_EQ(limit.value(), 30U);
  EXPECT_EQ(limit.wakes_at(), core::kNever);
}

// A service that works on so many at a time, each for so long; the rest waits there. How long a
// command takes in the end, with as many under way as the limit lets.
struct Service {
  std::size_t workers;
  Micros work;
  double Latency(Limit& limit, int rounds) const {
    double latency = 0;
    for (int i = 0; i < rounds; ++i) {
      const std::size_t in_flight = limit.value();
      const double wait =
          std::max(1.0, static_cast<double>(in_flight) / static_cast<double>(workers));
      latency = static_cast<double>(work.count()) * wait;
      for (std::size_t n = 0; n < in_flight; ++n) {
        limit.End(CallEnd::kAnswered, Micros(static_cast<std::int64_t>(latency)), in_flight);
      }
    }
    return latency / static_cast<double>(work.count());
  }
};

TEST(Limit, AdaptsToWhatTheServiceCanWorkOn) {
  for (const std::size_t workers : {4U, 16U, 100U}) {
    Limit limit({.adaptive = true, .slow_start = 2}, 1'000);
    limit.Start(kStart);
    const double slower = Service{workers, Millis(5)}.Latency(limit, 200);
    EXPECT_LE(slower, 2.2) << workers << " workers, " << limit.value() << " under way";
    EXPECT_GE(limit.value(), workers) << "and none of them idles";
  }
}

TEST(Limit, AdaptsAgainWhenTheServiceHasBecomeSlowerForGood) {
  Limit limit({.adaptive = true, .slow_start = 2}, 1'000);
  limit.Start(kStart);
  (void)Service{16, Millis(5)}.Latency(limit, 200);
  (void)Service{16, Millis(50)}.Latency(limit, 2'000);
  EXPECT_GE(limit.value(), 16U) << "the best of long ago is forgotten";
}

TEST(Limit, WhatHasNoReplyMakesItLess) {
  Limit limit({.adaptive = true, .slow_start = 50}, 100);
  limit.Start(kStart);
  limit.End(CallEnd::kAnswered, Millis(1), 1);
  const std::size_t before = limit.value();
  for (int i = 0; i < 5; ++i) limit.End(CallEnd::kFailed, Millis(1), 50);
  EXPECT_LT(limit.value(), before * 7 / 10);
  for (int i = 0; i < 500; ++i) limit.End(CallEnd::kFailed, Millis(1), 50);
  EXPECT_EQ(limit.value(), Limit::kMinAdaptive);
}

TEST(Limit, IsNeverNothing) {
  Limit limit({.concurrency = 1, .adaptive = true, .slow_start = 1}, 1);
  limit.Start(kStart);
  for (int i = 0; i < 50; ++i) limit.End(CallEnd::kFailed, Millis(1), 1);
  for (int i = 0; i < 50; ++i) limit.End(CallEnd::kAnswered, Millis(1), 1);
  EXPECT_EQ(limit.value(), 1U);
}

TEST(Tokens, SoManyComeEachSecondAndSomeAreKept) {
  Tokens tokens(10, 2);
  tokens.Refill(kStart);
  EXPECT_EQ(tokens.NextAt(), core::kNever) << "there is one";
  tokens.Take();
  tokens.Take();
  EXPECT_FALSE(tokens.Has());
  const MonoTime next = tokens.NextAt();
  EXPECT_NEAR(static_cast<double>((next - kStart).count()), 100'000, 10);
  tokens.Refill(next);
  EXPECT_TRUE(tokens.Has());
  tokens.Refill(next + std::chrono::hours(1));
  tokens.Take();
  tokens.Take();
  EXPECT_FALSE(tokens.Has()) << "two are kept";
}

}  // namespace
}  // namespace assent::traffic
