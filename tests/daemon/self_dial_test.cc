// The daemon's dial to itself, against those who do not answer.
#include "coordinator/daemon/self_dial.h"

#include <deque>
#include <poll.h>
#include <string>
#include <thread>
#include <unistd.h>
#include <utility>

#include <gtest/gtest.h>

#include <assent/thread_safety.h>

#include "coordinator/daemon/listener.h"

namespace assent::daemon {
namespace {

using std::chrono::milliseconds;

TEST(DialOnceTest, SomebodyWhoNeverAnswersIsSilent) {
  auto listener = Listener::Open("127.0.0.1:0", {});
  ASSERT_TRUE(listener.ok());
  // Taken is not listening: whoever dials too early is refused, and does not wait.
  EXPECT_EQ(DialOnce((*listener)->dial_address(), milliseconds(20'000), -1),
            DialVerdict::kNobodyThere);
  ASSERT_TRUE((*listener)->Listen().ok());
  const DialAddress address = (*listener)->dial_address();
  EXPECT_EQ(DialOnce(address, milliseconds(20), -1), DialVerdict::kSilent);
  listener->reset();
  EXPECT_EQ(DialOnce(address, milliseconds(20'000), -1), DialVerdict::kNobodyThere);
}

// Where TLS is spoken, the beginning of HTTP/2 is turned away before gRPC sees it, which would look
// like an answer.
TEST(DialOnceTest, BeginsTlsWhereTlsIsSpoken) {
  auto listener = Listener::Open("127.0.0.1:0", {});
  ASSERT_TRUE(listener.ok());
  ASSERT_TRUE((*listener)->Listen().ok());
  const int listening = (*listener)->descriptors().front();
  for (const bool tls : {false, true}) {
    char first = 0;
    std::thread answers([&] {
      pollfd ready{listening, POLLIN, 0};
      ASSERT_EQ(::poll(&ready, 1, 20'000), 1);
      const int accepted = ::accept(listening, nullptr, nullptr);
      EXPECT_EQ(::recv(accepted, &first, 1, 0), 1);
      EXPECT_EQ(::send(accepted, "x", 1, 0), 1);
      ::close(accepted);
    });
    EXPECT_EQ(DialOnce((*listener)->dial_address(), milliseconds(20'000), -1, tls),
              DialVerdict::kAnswers);
    answers.join();
    EXPECT_EQ(first, tls ? 0x16 : 'P');
  }
}

// A dialler with a list of verdicts; when it is at its end, the test goes on.
class SelfDialTest : public testing::Test {
 protected:
  // What was done, one letter each: `l` listened again, `g` gave up.
  std::string Run(std::deque<DialVerdict> verdicts) {
    Mutex mutex;
    CondVar changed;
    std::string done;
    bool over = false;
    SelfDial dial({.pause = milliseconds(1), .patience = milliseconds(1), .max_failures_count = 3},
                  {[&](milliseconds, int) {
                     const MutexLock lock(mutex);
                     if (verdicts.empty()) {
                       over = true;
                       changed.NotifyAll();
                       return DialVerdict::kAnswers;
                     }
                     const DialVerdict verdict = verdicts.front();
                     verdicts.pop_front();
                     return verdict;
                   },
                   [&] { done += 'l'; }, [&] { done += 'g'; }});
    const MutexLock lock(mutex);
    while (!over) changed.Wait(mutex);
    return done;
  }
};

TEST_F(SelfDialTest, ThreeFailuresInARowAreTooMany) {
  constexpr auto kSilent = DialVerdict::kSilent;
  EXPECT_EQ(Run({kSilent, kSilent, kSilent}), "g");
  EXPECT_EQ(Run({kSilent, kSilent, DialVerdict::kAnswers, kSilent, kSilent}), "");
}

TEST_F(SelfDialTest, WhereNobodyIsItListensAgain) {
  constexpr auto kNobody = DialVerdict::kNobodyThere;
  EXPECT_EQ(Run({kNobody, DialVerdict::kAnswers}), "l");
  EXPECT_EQ(Run({kNobody, kNobody, kNobody}), "lllg");
}

// Without a descriptor to dial with nothing can be said of the listener.
TEST_F(SelfDialTest, WhatCannotBeToldIsNoFailure) {
  constexpr auto kCannotTell = DialVerdict::kCannotTell;
  EXPECT_EQ(Run({kCannotTell, kCannotTell, kCannotTell, kCannotTell}), "");
}

}  // namespace
}  // namespace assent::daemon
