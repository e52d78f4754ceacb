// Random histories of random transactions. A failure names its seed: run it again with
// ASSENT_SEED=<n> and it is printed; look further with ASSENT_SEEDS=<how many>.

#include <cstdlib>
#include <string>

#include <gtest/gtest.h>

#include "tests/core/world.h"

namespace assent::core::testing {
namespace {

constexpr int kSteps = 80;

std::uint64_t FromEnvironment(const char* name, std::uint64_t otherwise) {
  const char* text = std::getenv(name);
  return text == nullptr ? otherwise : std::strtoull(text, nullptr, 10);
}

TEST(Property, EveryHistoryKeepsTheRulesAndEnds) {
  Tally tally;
  const std::uint64_t first = FromEnvironment("ASSENT_SEED", 1);
  const std::uint64_t count =
      FromEnvironment("ASSENT_SEEDS", std::getenv("ASSENT_SEED") == nullptr ? 20'000 : 1);
  for (std::uint64_t seed = first; seed < first + count; ++seed) {
    const std::string broken = World(seed, Plant::kNone, tally, count == 1).Live(kSteps);
    ASSERT_TRUE(broken.empty()) << "seed " << seed << ": " << broken;
  }
  RecordProperty("events", std::to_string(tally.events));
  if (count < 1000) return;
  // The histories have been where it is dangerous.
  EXPECT_GT(tally.committed, count / 20);
  EXPECT_GT(tally.aborted, count / 20);
  EXPECT_GT(tally.never_began, 0U);
  EXPECT_GT(tally.crashes, count / 2);
  EXPECT_GT(tally.one_phase_asked, count / 200);
  EXPECT_GT(tally.pivots, count / 50);
  EXPECT_GT(tally.compensated, count / 20);
  EXPECT_GT(tally.read_only, count / 50);
  EXPECT_GT(tally.suspended, count / 50);
  EXPECT_GT(tally.resolved, count / 200);
  std::printf(
      "%llu histories, %llu events: %llu committed, %llu aborted, %llu never began; "
      "%llu crashes, %llu asked in one phase, %llu pivots, %llu compensations\n",
      static_cast<unsigned long long>(count), static_cast<unsigned long long>(tally.events),
      static_cast<unsigned long long>(tally.committed),
      static_cast<unsigned long long>(tally.aborted),
      static_cast<unsigned long long>(tally.never_began),
      static_cast<unsigned long long>(tally.crashes),
      static_cast<unsigned long long>(tally.one_phase_asked),
      static_cast<unsigned long long>(tally.pivots),
      static_cast<unsigned long long>(tally.compensated));
}

// The same seed twice is the same history.
TEST(Property, IsReproducible) {
  for (std::uint64_t seed = 1; seed <= 50; ++seed) {
    Tally one;
    Tally two;
    EXPECT_EQ(World(seed, Plant::kNone, one).Live(kSteps),
              World(seed, Plant::kNone, two).Live(kSteps));
    EXPECT_EQ(one.events, two.events) << seed;
  }
}

// The test of the test: each mistake of a shell or a participant is noticed.
class PlantedTest : public ::testing::TestWithParam<std::pair<Plant, const char*>> {};

TEST_P(PlantedTest, IsNoticed) {
  Tally tally;
  for (std::uint64_t seed = 1; seed <= 5000; ++seed) {
    const std::string broken = World(seed, GetParam().first, tally).Live(kSteps);
    if (broken.empty()) continue;
    std::printf("%s: noticed by seed %llu: %s\n", GetParam().second,
                static_cast<unsigned long long>(seed), broken.c_str());
    return;
  }
  FAIL() << GetParam().second << " was not noticed in 5000 histories";
}

INSTANTIATE_TEST_SUITE_P(
    Mistakes, PlantedTest,
    ::testing::Values(std::pair(Plant::kSendBeforeDurable, "SendBeforeDurable"),
                      std::pair(Plant::kForgetRecord, "ForgetRecord"),
                      std::pair(Plant::kNoTombstone, "NoTombstone"),
                      std::pair(Plant::kRefusalForgotten, "RefusalForgotten"),
                      std::pair(Plant::kUnknownIsRefused, "UnknownIsRefused"),
                      std::pair(Plant::kUnknownIsNotSent, "UnknownIsNotSent"),
                      std::pair(Plant::kFinishWithoutAsking, "FinishWithoutAsking")),
    [](const auto& planted) { return planted.param.second; });

}  // namespace
}  // namespace assent::core::testing
