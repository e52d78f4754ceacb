#include "coordinator/security/standing.h"

#include <atomic>
#include <future>

#include <gtest/gtest.h>

namespace assent::security {
namespace {

TEST(Standing, AllAreAskedAgainAndAtAChangeUntilTheyHaveEnded) {
  Standing standing;
  std::promise<void> third;
  std::atomic<int> asked{0};
  std::atomic<int> ended{0};
  standing.Join([&] {
    if (++asked == 3) third.set_value();
    return true;
  });
  standing.Join([&] {
    ++ended;
    return false;
  });
  standing.Changed();
  third.get_future().wait();  // the clock alone asks for the others
  EXPECT_EQ(ended, 1);
  standing.Close();
  EXPECT_EQ(standing.count(), 1U);
}

TEST(Standing, AChangeDoesNotWaitForTheClock) {
  Standing standing;
  const auto began = std::chrono::steady_clock::now();
  std::atomic<int> asked{0};
  for (int i = 1; i <= 20; ++i) {
    std::promise<void> done;
    standing.Join([&] {
      done.set_value();
      return false;
    });
    standing.Changed();
    done.get_future().wait();
    ++asked;
  }
  EXPECT_EQ(asked, 20);
  EXPECT_LT(std::chrono::steady_clock::now() - began, 20 * kAskAgainEvery);
}

TEST(Standing, AfterItsEndNobodyIsAsked) {
  Standing standing;
  standing.Close();
  standing.Join([]() -> bool {
    ADD_FAILURE();
    return false;
  });
  standing.Changed();
  EXPECT_EQ(standing.count(), 0U);
}

}  // namespace
}  // namespace assent::security
