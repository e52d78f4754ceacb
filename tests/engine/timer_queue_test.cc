#include "coordinator/engine/timer_queue.h"

#include <algorithm>
#include <memory>
#include <random>
#include <vector>

#include <gtest/gtest.h>

namespace assent::engine {
namespace {

core::MonoTime At(int us) { return core::MonoTime(core::Micros(us)); }

TEST(TimerQueue, PopsInOrderAndOnlyWhatIsDue) {
  TimerQueue queue;
  Timer late, early;
  queue.Set(late, At(20));
  queue.Set(early, At(10));
  EXPECT_EQ(queue.Next(), At(10));
  EXPECT_EQ(queue.PopDue(At(9)), nullptr);
  EXPECT_EQ(queue.PopDue(At(10)), &early);
  EXPECT_EQ(queue.PopDue(At(10)), nullptr);
  EXPECT_EQ(queue.PopDue(At(30)), &late);
  EXPECT_EQ(queue.Next(), core::kNever);
}

// Against a sorted list, over many random sets, moves and cancellations.
TEST(TimerQueue, AgreesWithASortedList) {
  std::mt19937 random(42);
  TimerQueue queue;
  std::vector<std::unique_ptr<Timer>> timers;
  for (int i = 0; i < 50; ++i) timers.push_back(std::make_unique<Timer>());
  std::vector<int> when(timers.size(), -1);
  for (int round = 0; round < 20'000; ++round) {
    const std::size_t i = random() % timers.size();
    if (random() % 3 == 0) {
      queue.Cancel(*timers[i]);
      when[i] = -1;
    } else {
      when[i] = static_cast<int>(random() % 1000);
      queue.Set(*timers[i], At(when[i]));
    }
    int least = 1'000'000;
    for (const int w : when) least = w >= 0 ? std::min(least, w) : least;
    ASSERT_EQ(queue.Next(), least == 1'000'000 ? core::kNever : At(least));
    if (random() % 10 == 0 && least != 1'000'000) {
      const Timer* due = queue.PopDue(At(least));
      ASSERT_NE(due, nullptr);
      const auto found =
          std::find_if(timers.begin(), timers.end(), [&](const auto& t) { return t.get() == due; });
      const auto index = static_cast<std::size_t>(found - timers.begin());
      ASSERT_EQ(when[index], least);
      when[index] = -1;
    }
  }
  for (auto& timer : timers) queue.Cancel(*timer);
  EXPECT_EQ(queue.size(), 0U);
}

}  // namespace
}  // namespace assent::engine
