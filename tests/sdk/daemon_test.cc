// Client and Participant with a real assentd in a process of its own, killed under them. (A server in this process would do
// our polling for us, and hide how we find a coordinator that is back.)

#include <algorithm>
#include <atomic>
#include <chrono>
#include <condition_variable>
#include <future>
#include <map>
#include <memory>
#include <mutex>
#include <string>
#include <utility>
#include <vector>

#include <gtest/gtest.h>

#include <assent/client.h>
#include <assent/participant.h>

#include "tests/sdk/shelf.h"
#include "tests/support/process.h"

namespace assent {
namespace {

using std::chrono_literals::operator""ms;
using std::chrono_literals::operator""s;
using Clock = std::chrono::steady_clock;
using testing::Shelf;

class DaemonTest : public ::testing::Test {
 protected:
  DaemonTest() : participant_(OptionsFor("shelf", endpoint_)) { participant_.Attach(shelf_); }

  static ParticipantOptions OptionsFor(const std::string& service, const std::string& endpoint) {
    ParticipantOptions options;
    options.service = service;
    options.endpoints = {endpoint};
    return options;
  }
  void StartDaemon() {
    ASSERT_TRUE(daemon_.Start().ok());
    ASSERT_TRUE(daemon_.WaitForOutput("listening", 30s)) << daemon_.Output();
  }
  static Transaction Take(int quantity) {
    Transaction order;
    order.Tcc("shelf", "take", std::to_string(quantity)).Deadline(20s);
    return order;
  }

  test::TempDir dir_;
  const std::string endpoint_ = "127.0.0.1:" + std::to_string(test::FreePort());
  test::Process daemon_{
      {.argv = {test::BinDir() + "/assentd", "--listen", endpoint_, "--data", dir_ / "data"}}};
  Shelf shelf_{1'000'000};
  Participant participant_;
};

TEST_F(DaemonTest, AParticipantFindsACoordinatorThatStartsLateAndOneThatIsBack) {
  ASSERT_TRUE(participant_.Start().ok());
  EXPECT_EQ(participant_.WaitConnected(200ms).code(), Code::kDeadlineExceeded);
  for (std::uint64_t life = 1; life <= 3; ++life) {
    StartDaemon();
    const auto up = Clock::now();
    EXPECT_TRUE(test::WaitUntil([&] { return participant_.Stats().connections == life; }, 20s));
    const auto took = std::chrono::duration_cast<std::chrono::milliseconds>(Clock::now() - up);
    RecordProperty("reconnect_ms_" + std::to_string(life), static_cast<int>(took.count()));
    EXPECT_LT(took, 3s);  // gRPC's own next look would come after five
    daemon_.Kill();
  }
}

TEST_F(DaemonTest, AsyncSubmissionsOutliveKillsOfTheCoordinatorAndHappenOnce) {
  StartDaemon();
  ASSERT_TRUE(participant_.Start().ok());
  ASSERT_TRUE(participant_.WaitConnected(20s).ok());
  const Client client({.endpoint = endpoint_, .retry = {.give_up_after = 30s}});

  constexpr int kCount = 3000;
  std::mutex mutex;
  std::condition_variable changed;
  int completed = 0;
  std::map<std::string, Result<Report>> reports;
  for (int i = 0; i < kCount; ++i) {
    const Transaction order = Take(1);
    client.SubmitAsync(order,
                       [&, gid = order.gid()](Result<Report> report) {
                         const std::lock_guard lock(mutex);
                         reports.emplace(gid, std::move(report));
                         ++completed;
                         changed.notify_all();
                       },
                       {.wait = WaitFor::kCompleted, .timeout = 60s});
  }
  for (const int share : {5, 2}) {  // killed when a fifth, and when half has been answered
    {
      std::unique_lock lock(mutex);
      ASSERT_TRUE(changed.wait_for(lock, 60s, [&] { return completed >= kCount / share; }));
    }
    daemon_.Kill();
    StartDaemon();
  }
  std::unique_lock lock(mutex);
  ASSERT_TRUE(changed.wait_for(lock, 90s, [&] { return completed == kCount; }));
  ASSERT_EQ(reports.size(), static_cast<std::size_t>(kCount));
  int committed = 0;
  for (const auto& [gid, report] : reports) {
    ASSERT_TRUE(report.ok()) << gid << ": " << report.status().ToString();
    EXPECT_EQ(report->state, TransactionState::kFinished);
    committed += report->committed() ? 1 : 0;
  }
  participant_.Stop();
  EXPECT_EQ(shelf_.sold(), committed);  // each once, although many were asked for again
  EXPECT_EQ(shelf_.held(), 0);
  EXPECT_EQ(shelf_.free() + shelf_.sold(), 1'000'000);
  EXPECT_GT(committed, kCount / 2);
  RecordProperty("committed", committed);
}

// What an idle system answers in. The SDK's threads do not nap; the median is a bound on ours and the daemon's together.
TEST_F(DaemonTest, AfterIdlenessATransactionIsStillFast) {
  StartDaemon();
  ASSERT_TRUE(participant_.Start().ok());
  ASSERT_TRUE(participant_.WaitConnected(20s).ok());
  const Client client({.endpoint = endpoint_});
  ASSERT_TRUE(client.Submit(Take(1)).ok());
  std::vector<int> took_us;
  for (int i = 0; i < 5; ++i) {
    std::promise<void> never;
    never.get_future().wait_for(1100ms);
    const auto begin = Clock::now();
    ASSERT_TRUE(client.Submit(Take(1))->committed());
    took_us.push_back(static_cast<int>(
        std::chrono::duration_cast<std::chrono::microseconds>(Clock::now() - begin).count()));
    std::printf("after 1.1 s of idleness: %d us\n", took_us.back());
  }
  std::sort(took_us.begin(), took_us.end());
  EXPECT_LT(took_us[2], 60'000);
}

}  // namespace
}  // namespace assent
