#include "coordinator/security/failures.h"

#include <memory>
#include <string>

#include <gtest/gtest.h>

#include "coordinator/security/verified.h"

namespace assent::security {
namespace {

constexpr std::int64_t kBegin = 1'000'000;

void Fail(Failures& failures, const std::string& address, std::size_t times, std::int64_t at) {
  for (std::size_t i = 0; i < times; ++i) failures.Count(address, at);
}

std::int64_t Barred(const Failures& failures, const char* address, std::int64_t at) {
  return failures.BarredForMs(address, at, kMaxFailuresPerWindowCount);
}

TEST(Failures, TooManyBarUntilTheWindowEnds) {
  Failures failures;
  Fail(failures, "a", kMaxFailuresPerWindowCount - 1, kBegin);
  EXPECT_EQ(Barred(failures, "a", kBegin), 0);
  failures.Count("a", kBegin + 10);
  EXPECT_EQ(Barred(failures, "a", kBegin + 10), kFailureWindowMs - 10);
  EXPECT_EQ(Barred(failures, "b", kBegin + 10), 0);
  EXPECT_EQ(failures.BarredForMs("a", kBegin + 10, kMaxFailuresPerWindowCount + 1), 0);
  EXPECT_EQ(failures.BarredForMs("a", kBegin + 10, 0), 0) << "nobody is barred";
  EXPECT_EQ(failures.BarredCount(kBegin + 10, kMaxFailuresPerWindowCount), 1U);
  EXPECT_EQ(Barred(failures, "a", kBegin + kFailureWindowMs - 1), 1);
  EXPECT_EQ(Barred(failures, "a", kBegin + kFailureWindowMs), 0);
  EXPECT_EQ(failures.BarredCount(kBegin + kFailureWindowMs, kMaxFailuresPerWindowCount), 0U);
}

TEST(Failures, AWindowThatIsOverBeginsAnew) {
  Failures failures;
  Fail(failures, "a", kMaxFailuresPerWindowCount - 1, kBegin);
  const std::int64_t later = kBegin + kFailureWindowMs;
  Fail(failures, "a", kMaxFailuresPerWindowCount - 1, later);
  EXPECT_EQ(Barred(failures, "a", later), 0);
  failures.Count("a", later);
  EXPECT_EQ(Barred(failures, "a", later), kFailureWindowMs);
  EXPECT_EQ(failures.addresses_count(), 1U);
}

TEST(Failures, AClockThatIsSetBackBarsNobodyForLonger) {
  Failures failures;
  Fail(failures, "a", kMaxFailuresPerWindowCount, kBegin);
  EXPECT_EQ(Barred(failures, "a", kBegin - 1), 0);
  Fail(failures, "a", kMaxFailuresPerWindowCount, kBegin - 100'000);
  EXPECT_EQ(Barred(failures, "a", kBegin - 100'000), kFailureWindowMs);
  EXPECT_EQ(failures.addresses_count(), 1U);
}

TEST(Failures, RemembersNoMoreAddressesThanItMay) {
  Failures failures;
  Fail(failures, "last", kMaxFailuresPerWindowCount, kBegin + 1);
  for (std::size_t i = 0; i < 2 * kMaxFailingAddressesCount; ++i) {
    failures.Count(std::to_string(i), kBegin);
    ASSERT_LE(failures.addresses_count(), kMaxFailingAddressesCount);
  }
  EXPECT_GT(Barred(failures, "last", kBegin + 1), 0) << "the first to end goes first";
  for (std::size_t i = 0; i < kMaxFailingAddressesCount; ++i)
    failures.Count("x" + std::to_string(i), kBegin + 2);
  EXPECT_EQ(Barred(failures, "last", kBegin + 2), 0);
}

TEST(Verified, WhatWasFoundRightIsSoUntilItEnds) {
  Verified verified;
  const auto policy = std::make_shared<int>(1);
  EXPECT_EQ(verified.Find(policy, "secret", 10), std::nullopt);
  verified.Keep(policy, "secret", {.name = "jwt:ann", .from_unix_ms = 10, .until_unix_ms = 20});
  EXPECT_EQ(verified.Find(policy, "secret", 9), std::nullopt);
  EXPECT_EQ(verified.Find(policy, "secret", 10), "jwt:ann");
  EXPECT_EQ(verified.Find(policy, "secret", 19), "jwt:ann");
  EXPECT_EQ(verified.Find(policy, "secrets", 19), std::nullopt);
  EXPECT_EQ(verified.Find(std::make_shared<int>(1), "secret", 19), std::nullopt)
      << "other rules, tokens or keys";
  EXPECT_EQ(verified.Find(policy, "secret", 20), std::nullopt);
  EXPECT_EQ(verified.count(), 0U);
}

TEST(Verified, WhatWasRightBeforeAChangeIsKnownUntilItIsFoundWrong) {
  Verified verified;
  const auto one = std::make_shared<int>(1);
  const auto two = std::make_shared<int>(2);
  verified.Keep(one, "secret", {.name = "a", .until_unix_ms = 1});
  EXPECT_FALSE(verified.WasKnownBefore(two, "other"));
  EXPECT_TRUE(verified.WasKnownBefore(two, "secret"));
  EXPECT_TRUE(verified.WasKnownBefore(two, "secret")) << "several may come with it at once";
  EXPECT_EQ(verified.Find(two, "secret", 0), std::nullopt) << "and has to be looked at";
  verified.Forget("secret");
  EXPECT_FALSE(verified.WasKnownBefore(two, "secret"));
}

TEST(Verified, KeepsNoMoreThanItMay) {
  Verified verified;
  const auto policy = std::make_shared<int>(1);
  for (std::size_t i = 0; i < 2 * kMaxVerifiedCredentialsCount + 3; ++i) {
    verified.Keep(policy, std::to_string(i), {.name = "a", .until_unix_ms = 1});
    ASSERT_LE(verified.count(), kMaxVerifiedCredentialsCount);
    ASSERT_EQ(verified.Find(policy, std::to_string(i), 0), "a");
  }
}

}  // namespace
}  // namespace assent::security
