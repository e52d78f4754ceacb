#include "coordinator/security/quota.h"

#include <chrono>
#include <string>
#include <thread>
#include <vector>

#include <gtest/gtest.h>

#include "coordinator/security/guard.h"
#include "coordinator/security/rules.h"

namespace assent::security {
namespace {

using std::chrono::milliseconds;

Rules Read(const std::string& text) {
  auto rules = Rules::Parse(text + "\n");
  EXPECT_TRUE(rules.ok()) << rules.status().message();
  return std::move(rules).value();
}

std::string Fault(const std::string& text) {
  const auto rules = Rules::Parse(text + "\n");
  EXPECT_FALSE(rules.ok()) << text;
  return rules.ok() ? "" : rules.status().message();
}

// How many of so many at once are let through.
int Burst(Account& account, const Quota& quota, int count, MonoTime now) {
  int passed = 0;
  for (int i = 0; i < count; ++i) passed += account.Spend(quota, now).ok() ? 1 : 0;
  return passed;
}

TEST(Quota, ASecondsWorthAtOnceAndThenAtItsRate) {
  Accounts accounts;
  const AccountPtr account = accounts.Of("cn:a", MonoTime{});
  const Quota quota{.requests = 10};
  MonoTime now{std::chrono::hours(1)};
  EXPECT_EQ(Burst(*account, quota, 100, now), 10);
  EXPECT_EQ(Burst(*account, quota, 100, now + milliseconds(99)), 0);
  EXPECT_EQ(Burst(*account, quota, 100, now + milliseconds(100)), 1);
  EXPECT_EQ(Burst(*account, quota, 100, now + milliseconds(600)), 5);
  EXPECT_EQ(Burst(*account, quota, 100, now + std::chrono::hours(5)), 10) << "no more is kept";
  EXPECT_EQ(accounts.refusals().requests, 90U + 100 + 99 + 95 + 90);
  const Status refused = account->Spend(quota, now + std::chrono::hours(5));
  EXPECT_EQ(refused.code(), Code::kResourceExhausted);
  EXPECT_EQ(refused.message(),
            "cn:a makes more than 10 requests per second, the limit: this one was turned away; try "
            "again later");
}

TEST(Quota, OfALargeLimitAndOfNone) {
  Accounts accounts;
  const AccountPtr account = accounts.Of("cn:a", MonoTime{});
  EXPECT_EQ(Burst(*account, {}, 1'000, MonoTime{}), 1'000);
  EXPECT_EQ(Burst(*account, {.requests = kMaxQuotaFigure}, 1'000, MonoTime{}), 1'000);
  EXPECT_EQ(accounts.refusals().requests, 0U);
}

TEST(Quota, ASmallerLimitAppliesToWhatWasSpent) {
  Accounts accounts;
  const AccountPtr account = accounts.Of("cn:a", MonoTime{});
  EXPECT_EQ(Burst(*account, {.requests = 100}, 100, MonoTime{}), 100);
  EXPECT_EQ(Burst(*account, {.requests = 2}, 100, MonoTime{}), 0) << "a reload gives nothing back";
  EXPECT_EQ(Burst(*account, {.requests = 2}, 100, MonoTime{} + std::chrono::seconds(1)), 2);
}

TEST(Quota, PlacesAreGivenBack) {
  Accounts accounts;
  const AccountPtr account = accounts.Of("cn:a", MonoTime{});
  const Quota quota{.streams = 2, .sessions = 1};
  std::vector<Account::SeatPtr> seats;
  for (int i = 0; i < 2; ++i) seats.push_back(*account->Enter(quota, Seated::kStream));
  const auto refused = account->Enter(quota, Seated::kStream);
  EXPECT_EQ(refused.status().code(), Code::kResourceExhausted);
  EXPECT_EQ(refused.status().message().rfind("2 streams are open of cn:a, the limit", 0), 0U);
  EXPECT_TRUE(account->Enter(quota, Seated::kSession).ok()) << "each kind has its own";
  EXPECT_TRUE(account->Enter(quota, Seated::kSession).ok()) << "it went at once";
  EXPECT_TRUE(account->Enter(quota, Seated::kCall).ok()) << "calls have no limit";
  seats.pop_back();
  EXPECT_TRUE(account->Enter(quota, Seated::kStream).ok());
  EXPECT_EQ(accounts.refusals().seats[static_cast<std::size_t>(Seated::kStream)], 1U);
}

TEST(Quota, EachIdentityHasItsOwn) {
  Accounts accounts;
  const Quota quota{.requests = 5};
  const MonoTime now{std::chrono::hours(1)};
  EXPECT_EQ(Burst(*accounts.Of("cn:a", now), quota, 100, now), 5);
  EXPECT_EQ(Burst(*accounts.Of("cn:b", now), quota, 100, now), 5);
  EXPECT_EQ(Burst(*accounts.Of("cn:a", now), quota, 100, now), 0) << "asked for again";
}

// Whoever could have his account forgotten would begin with a full bucket again.
TEST(Quota, NobodyIsForgottenBeforeHisBucketIsFull) {
  Accounts accounts(100);
  const Quota quota{.requests = 5};
  MonoTime now{std::chrono::hours(1)};
  EXPECT_EQ(Burst(*accounts.Of("cn:a", now), quota, 100, now), 5);
  for (int i = 0; i < 10'000; ++i) {
    (void)accounts.Of("cn:" + std::to_string(i), now);
    ASSERT_LE(accounts.size(), 100U);
  }
  EXPECT_EQ(Burst(*accounts.Of("cn:a", now), quota, 100, now), 0);
  const auto seat = accounts.Of("cn:b", now)->Enter({.sessions = 1}, Seated::kSession);
  for (int i = 0; i < 10'000; ++i) (void)accounts.Of("cn:" + std::to_string(i), now);
  EXPECT_FALSE(accounts.Of("cn:b", now)->Enter({.sessions = 1}, Seated::kSession).ok());
}

// What cannot be counted by itself is counted together, and not let through.
TEST(Quota, BeyondTheTableAllShareOne) {
  Accounts accounts(10);
  const Quota quota{.requests = 5};
  const MonoTime now{std::chrono::hours(1)};
  for (int i = 0; i < 10; ++i)
    EXPECT_EQ(Burst(*accounts.Of("cn:" + std::to_string(i), now), quota, 1, now), 1);
  int passed = 0;
  for (int i = 10; i < 1'000; ++i)
    passed += Burst(*accounts.Of("cn:" + std::to_string(i), now), quota, 1, now);
  EXPECT_EQ(passed, 5);
  EXPECT_EQ(accounts.size(), 10U);
  EXPECT_EQ(Burst(*accounts.Of("cn:1", now), quota, 100, now), 4) << "who has one keeps it";
  EXPECT_NE(accounts.Of("cn:99", now + std::chrono::seconds(2)),
            accounts.Of("cn:98", now + std::chrono::seconds(2)));
}

TEST(Quota, ManyThreadsSpendNoMoreThanThereIs) {
  Accounts accounts;
  const AccountPtr account = accounts.Of("cn:a", MonoTime{});
  std::atomic<int> passed{0};
  std::vector<std::thread> callers;
  for (int i = 0; i < 4; ++i) {
    callers.emplace_back([&] {
      passed += Burst(*account, {.requests = 1'000}, 1'000, MonoTime{});
      for (int n = 0; n < 1'000; ++n) (void)account->Enter({.calls = 2}, Seated::kCall);
    });
  }
  for (std::thread& caller : callers) caller.join();
  EXPECT_EQ(passed, 1'000);
  EXPECT_TRUE(account->IsIdle(MonoTime{} + std::chrono::seconds(1)));
}

// ---- Sentences --------------------------------------------------------------------------------

TEST(Limits, ASentenceSaysAllOfThem) {
  const Rules rules = Read(
      "limit cn:a to 200 requests per second, 3 calls, 4 streams, 10 sessions, 1000 transactions, "
      "64 MiB # the web shop");
  const Quota quota = rules.QuotaOf("cn:a");
  EXPECT_EQ(quota.Text(),
            "200 requests per second, 3 calls, 4 streams, 10 sessions, 1000 transactions, 67108864 "
            "bytes");
  EXPECT_EQ(rules.QuotaOf("cn:b").Text(), "no limit");
  EXPECT_EQ(rules.all().size(), 0U);
  EXPECT_TRUE(rules.For("cn:a").empty()) << "a limit allows nothing";
}

TEST(Limits, TheMostExactLineCountsForEachFigure) {
  const std::string lines[] = {"limit anyone to 1 requests per second, 1 calls, 1 streams\n",
                               "limit cn:a* to 2 requests per second, 2 calls\n",
                               "limit cn:ab* to 3 requests per second\n",
                               "limit cn:abc to 4 streams\n"};
  for (const std::string& text :
       {lines[0] + lines[1] + lines[2] + lines[3], lines[3] + lines[2] + lines[1] + lines[0]}) {
    const Rules rules = Read(text);
    EXPECT_EQ(rules.QuotaOf("cn:abc").Text(), "3 requests per second, 2 calls, 4 streams");
    EXPECT_EQ(rules.QuotaOf("cn:abd").Text(), "3 requests per second, 2 calls, 1 streams");
    EXPECT_EQ(rules.QuotaOf("cn:ac").Text(), "2 requests per second, 2 calls, 1 streams");
    EXPECT_EQ(rules.QuotaOf("").Text(), "1 requests per second, 1 calls, 1 streams");
  }
}

TEST(Limits, WhatIsWrongIsSaidWithItsLine) {
  const std::pair<const char*, const char*> faults[] = {
      {"limit", "\"\" is no identity"},
      {"limit ann to 3 calls", "\"ann\" is no identity"},
      {"limit unix 3 calls", "\"3\" stands where there should be: to N requests per second"},
      {"limit unix to", "the line's end is no number"},
      {"limit unix to many calls", "\"many\" is no number"},
      {"limit unix to -3 calls", "\"-3\" is no number"},
      {"limit unix to 3.5 calls", "\"3.5\" is no number"},
      {"limit unix to 0 calls", "0 is no limit"},
      {"limit unix to 99999999999999999999 calls", "is no number"},
      {"limit unix to 1000000000001 calls", "are more than a limit can be"},
      {"limit unix to 1000000 GiB", "are more than a limit can be"},
      {"limit unix to 3", "the line's end is nothing that has a limit"},
      {"limit unix to 3 apples", "\"apples\" is nothing that has a limit"},
      {"limit unix to 3 requests", "requests are so many \"per second\""},
      {"limit unix to 3 requests per minute", "requests are so many \"per second\""},
      {"limit unix to 3 calls 4 streams", "between two limits of a line there is a comma"},
      {"limit unix to 3 calls,", "the line's end is no number"},
      {"limit unix to 3 calls, 4 calls", "what calls limits is limited twice"},
      {"limit unix to 3 MiB, 4 KiB", "what KiB limits is limited twice"},
  };
  for (const auto& [line, what] : faults) {
    const std::string said = Fault("# one\n" + std::string(line));
    EXPECT_EQ(said.rfind("line 2: ", 0), 0U) << said;
    EXPECT_NE(said.find(what), std::string::npos) << line << ": " << said;
  }
  EXPECT_EQ(Fault("limit unix to 3 calls\nlimit unix to 4 streams"),
            "line 2: unix has its limits in line 1: make one line of both");
}

// ---- With the guard -----------------------------------------------------------------------------

Visitor Of(Guard& guard, const std::string& name) {
  const auto visitor = guard.Admit({.common_name = name}, 0);
  EXPECT_TRUE(visitor.ok());
  return *visitor;
}

TEST(Limits, AReloadDoesNotFillABucket) {
  Guard guard;
  const std::string rules = "allow cn:* as viewer\nlimit cn:* to 3 requests per second";
  guard.Enforce({.rules = Read(rules)});
  const MonoTime now = std::chrono::steady_clock::now();
  const auto burst = [&](const std::string& name) {
    int passed = 0;
    for (int i = 0; i < 50; ++i) passed += Of(guard, name).grants->Spend(now).ok() ? 1 : 0;
    return passed;
  };
  EXPECT_EQ(burst("a"), 3);
  EXPECT_EQ(burst("b"), 3) << "one line, and each has his own";
  EXPECT_EQ(guard.figures().refused_requests, 94U);
  const auto session = Of(guard, "a").grants->Enter(Seated::kSession);
  guard.Enforce({.rules = Read(rules + ", 1 sessions")});
  EXPECT_EQ(burst("a"), 0);
  EXPECT_FALSE(Of(guard, "a").grants->Enter(Seated::kSession).ok()) << "what stood is counted";
  EXPECT_EQ(guard.figures().refused_seats[static_cast<std::size_t>(Seated::kSession)], 1U);
  // All that is remembered of names is forgotten; what they have spent is not.
  for (std::size_t i = 0; i < kMaxRememberedVisitorsCount + 3; ++i)
    (void)Of(guard, "x" + std::to_string(i));
  EXPECT_EQ(burst("a"), 0);
  guard.Enforce({.rules = Read("allow cn:* as viewer")});
  EXPECT_EQ(burst("a"), 50) << "without limits there are none";
}

// Rules may get their first limit later: what stands by then is counted as well.
TEST(Limits, WhatStoodBeforeTheFirstLimitIsCounted) {
  Guard guard;
  guard.Enforce({.rules = Read("allow cn:* as viewer")});
  const auto stream = Of(guard, "a").grants->Enter(Seated::kStream);
  guard.Enforce({.rules = Read("allow cn:* as viewer\nlimit cn:* to 1 streams")});
  EXPECT_FALSE(Of(guard, "a").grants->Enter(Seated::kStream).ok());
  EXPECT_TRUE(Of(guard, "b").grants->Enter(Seated::kStream).ok());
}

}  // namespace
}  // namespace assent::security
