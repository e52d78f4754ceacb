// A start or a stop that was told to end, and does not.
#include "coordinator/daemon/signals.h"

#include <chrono>
#include <csignal>
#include <functional>
#include <future>
#include <pthread.h>
#include <unistd.h>

#include <gtest/gtest.h>

namespace assent::daemon {
namespace {

using std::chrono::hours;
using std::chrono::milliseconds;

class ImpatienceTest : public testing::Test {
 protected:
  // As in the daemon: blocked in every thread. One that came while nobody was waiting is not left
  // to the next test.
  void SetUp() override {
    sigset_t signals;
    sigemptyset(&signals);
    for (const int signal : {SIGTERM, SIGINT, SIGHUP}) sigaddset(&signals, signal);
    pthread_sigmask(SIG_BLOCK, &signals, &before_);
  }
  void TearDown() override {
    while (WaitForSignal(milliseconds(0)) != 0) continue;
    pthread_sigmask(SIG_SETMASK, &before_, nullptr);
  }

  std::promise<void> gave_up_;
  const std::function<void()> give_up_ = [this] {
    if (!given_up_) gave_up_.set_value();
    given_up_ = true;
  };
  bool given_up_ = false;  // the impatience's
  sigset_t before_{};
};

TEST_F(ImpatienceTest, ASignalGivesThePhaseItsTimeAndThenEndsIt) {
  const Impatience impatience(false, milliseconds(1), give_up_);
  ASSERT_EQ(::kill(::getpid(), SIGTERM), 0);
  gave_up_.get_future().wait();
  EXPECT_TRUE(impatience.stop_asked());
}

TEST_F(ImpatienceTest, ASecondSignalEndsItAtOnce) {
  const Impatience impatience(false, hours(1), give_up_);
  ASSERT_EQ(::kill(::getpid(), SIGTERM), 0);
  while (!impatience.stop_asked()) continue;
  ASSERT_EQ(::kill(::getpid(), SIGINT), 0);
  gave_up_.get_future().wait();
}

TEST_F(ImpatienceTest, AStopHasItsTimeFromTheBeginning) {
  const Impatience impatience(true, milliseconds(1), give_up_);
  gave_up_.get_future().wait();
}

// A start that ends by itself is told that it was asked to stop, and goes the way of every stop.
TEST_F(ImpatienceTest, APhaseThatEndsInTimeIsLeftAlone) {
  ASSERT_EQ(::kill(::getpid(), SIGTERM), 0);
  {
    const Impatience impatience(false, hours(1), give_up_);
    while (!impatience.stop_asked()) continue;
    ASSERT_EQ(::kill(::getpid(), SIGHUP), 0);
  }
  EXPECT_FALSE(given_up_);
}

}  // namespace
}  // namespace assent::daemon
