// Who comes often: a row for the first time, then a count for each window.

#include "coordinator/audit/tally.h"

#include <string>
#include <vector>

#include <gmock/gmock.h>
#include <gtest/gtest.h>

namespace assent::audit {
namespace {

using testing::IsEmpty;

Visit From(const std::string& address, Code code = Code::kUnauthenticated) {
  return {.deed = {.address = address}, .code = code};
}

TEST(AuditTally, TheFirstIsWrittenAtOnceAndTheOthersAsACountForEachWindow) {
  Tally tally(1000);
  EXPECT_TRUE(tally.Take(From("a"), 0).has_value());
  for (int i = 0; i < 50; ++i) EXPECT_FALSE(tally.Take(From("a"), 10).has_value());
  EXPECT_TRUE(tally.Take(From("b"), 20).has_value());
  EXPECT_THAT(tally.TakeEnded(999, false), IsEmpty());
  std::vector<Visit> ended = tally.TakeEnded(1000, false);
  ASSERT_EQ(ended.size(), 1U);
  EXPECT_EQ(ended[0].deed.address, "a");
  EXPECT_EQ(ended[0].times, 50U);
  EXPECT_FALSE(tally.Take(From("a"), 1500).has_value());
  ended = tally.TakeEnded(2000, false);
  ASSERT_EQ(ended.size(), 1U);
  EXPECT_EQ(ended[0].times, 1U);
  EXPECT_THAT(tally.TakeEnded(3000, false), IsEmpty());
  EXPECT_FALSE(tally.next_ms().has_value()) << "nobody is remembered who comes no more";
}

TEST(AuditTally, HoweverManyComeFromWhereverFewRowsComeOfIt) {
  Tally tally(1000);
  std::size_t rows = 0;
  for (int i = 0; i < 100'000; ++i)
    rows += tally.Take(From(std::to_string(i)), i / 200).has_value() ? 1 : 0;
  EXPECT_EQ(rows, kMaxFirstRefusalsCount);
  const std::vector<Visit> ended = tally.TakeEnded(100'000, true);
  ASSERT_EQ(ended.size(), 1U);
  EXPECT_EQ(ended[0].deed.address, "others");
  EXPECT_EQ(ended[0].times, 100'000 - kMaxFirstRefusalsCount);
}

// Of six calls that were refused the first and the last were on record.
TEST(AuditTally, OfSomebodyKnownEachCallIsToldApartAndOfStrangersNot) {
  Tally tally(1000);
  const auto of = [](const std::string& who, int call) {
    Visit visit = From("a", Code::kPermissionDenied);
    visit.deed.who = who;
    visit.deed.detail = "call " + std::to_string(call);
    return visit;
  };
  const int calls = static_cast<int>(kMaxCallsToldApartCount);
  for (int call = 0; call < calls; ++call) {
    EXPECT_TRUE(tally.Take(of("ann", call), 0).has_value()) << call;
    EXPECT_FALSE(tally.Take(of("ann", call), 1).has_value()) << call;
    EXPECT_EQ(tally.Take(of("", call), 0).has_value(), call == 0) << call;
  }
  EXPECT_TRUE(tally.Take(of("ann", calls), 2).has_value());
  for (int call = calls; call < 1000; ++call)
    EXPECT_FALSE(tally.Take(of("ann", call), 3).has_value()) << call;
  EXPECT_EQ(tally.TakeEnded(1002, false).size(), kMaxCallsToldApartCount + 2);
}

TEST(AuditTally, StrangersDoNotTakeTheRoomOfThoseWhoAreKnown) {
  Tally tally(1000);
  for (std::size_t i = 0; i <= kMaxFirstRefusalsCount; ++i)
    (void)tally.Take(From(std::to_string(i)), 0);
  Visit known = From("x", Code::kPermissionDenied);
  known.deed.who = "ann";
  EXPECT_TRUE(tally.Take(known, 0).has_value());
}

Visit Known(const std::string& who, const std::string& address, const std::string& call,
            Code code = Code::kPermissionDenied) {
  Visit visit = From(address, code);
  visit.deed.who = who;
  visit.deed.detail = call;
  return visit;
}

// Strangers of many addresses, each of whom came twice a minute, filled the table within three:
// then whoever was known was counted with all others, in nobody's name, his logins too.
TEST(AuditTally, StrangersWhoStayDoNotHideWhoIsKnown) {
  Tally tally(1000);
  for (int window = 0; window < 5; ++window) {
    for (int i = 0; i < 1000; ++i) {
      (void)tally.Take(From(std::to_string(i)), window * 1000);
      (void)tally.Take(From(std::to_string(i)), window * 1000);
    }
    (void)tally.TakeEnded(window * 1000 + 1000, false);
  }
  EXPECT_TRUE(tally.Take(Known("ann", "x", "abort"), 5000).has_value());
  Visit login = Known("ann", "x", "", Code::kOk);
  login.kind = Kind::kLogin;
  EXPECT_TRUE(tally.Take(login, 5000).has_value());
}

// With enough addresses one who is known took the room of all others who are.
TEST(AuditTally, OneWhoIsKnownAndComesFromEverywhereHidesNobodyElse) {
  Tally tally(1000);
  std::size_t rows = 0;
  for (int i = 0; i < 10'000; ++i)
    rows += tally.Take(Known("mallory", std::to_string(i), std::to_string(i)), 0) ? 1 : 0;
  EXPECT_EQ(rows, kMaxCountsOfOneCount);
  EXPECT_TRUE(tally.Take(Known("ann", "x", "abort"), 0).has_value());
  std::uint64_t times = 0;
  for (const Visit& visit : tally.TakeEnded(1000, true)) {
    EXPECT_EQ(visit.deed.who, "mallory") << "it is known who it was";
    times += visit.times;
  }
  EXPECT_EQ(times, 10'000 - kMaxCountsOfOneCount);
}

TEST(AuditTally, BeyondTheFirstOnesItIsStillSaidWhoItWas) {
  Tally tally(1000);
  for (std::size_t i = 0; i < kMaxFirstRefusalsCount; ++i)
    EXPECT_TRUE(tally.Take(Known("one" + std::to_string(i), "x", "abort"), 0).has_value());
  EXPECT_FALSE(tally.Take(Known("ann", "y", "abort"), 0).has_value());
  const std::vector<Visit> ended = tally.TakeEnded(1000, false);
  ASSERT_EQ(ended.size(), 1U);
  EXPECT_EQ(ended[0].deed.who, "ann");
  EXPECT_EQ(ended[0].deed.address, "y");
}

TEST(AuditTally, WhoIsLetInIsToldApartFromWhoIsNot) {
  Tally tally(1000);
  for (int i = 0; i < 1000; ++i) (void)tally.Take(From(std::to_string(i)), 0);
  EXPECT_TRUE(tally.Take(From("x", Code::kOk), 0).has_value());
  EXPECT_FALSE(tally.Take(From("x", Code::kOk), 0).has_value());
}

}  // namespace
}  // namespace assent::audit
