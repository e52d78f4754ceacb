// Client and Participant with a real assentd in a process of its own, killed under them. (A server
// in this process would do our polling for us, and hide how we find a coordinator that is back.)

#include <algorithm>
#include <atomic>
#include <chrono>
#include <condition_variable>
#include <future>
#include <map>
#include <memory>
#include <mutex>
#include <stdexcept>
#include <string>
#include <string_view>
#include <thread>
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
  test::Process daemon_{{.argv = {test::BinDir() + "/assentd", "--http-listen", "none", "--listen",
                                  endpoint_, "--data", dir_ / "data"}}};
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

// A handler that submits to its own service, which does so again: once two such calls occupied both
// workers, and waited for themselves until the deadline without a word.
class NestingTest : public DaemonTest {
 protected:
  void StartNesting(std::size_t max_extra_workers) {
    StartDaemon();
    client_ = std::make_unique<Client>(ClientOptions{.endpoint = endpoint_});
    ParticipantOptions options = OptionsFor("nest", endpoint_);
    options.worker_threads = 2;
    options.max_extra_workers = max_extra_workers;
    options.log = [this](std::string_view line) {
      const std::lock_guard lock(mutex_);
      log_.append(line).append("\n");
    };
    nest_ = std::make_unique<Participant>(options);
    nest_->Saga("egg", {.action = [this](const Call& call) {
                  const int depth = std::stoi(call.payload);
                  if (depth == 0) return Reply::Done("0");
                  Transaction inner;
                  inner.Saga("nest", "egg", std::to_string(depth - 1)).Deadline(kDeadline);
                  const Result<Report> report = client_->Submit(inner);
                  if (!report.ok()) return Reply::Refused(report.status().message());
                  if (!report->committed()) return Reply::Refused(report->abort_reason);
                  return Reply::Done(std::to_string(depth));
                }});
    ASSERT_TRUE(nest_->Start().ok());
    ASSERT_TRUE(nest_->WaitConnected(20s).ok());
  }
  Report Lay(int depth) {
    Transaction outer;
    outer.Saga("nest", "egg", std::to_string(depth)).Deadline(kDeadline);
    const auto began = Clock::now();
    const Result<Report> report = client_->Submit(outer);
    EXPECT_TRUE(report.ok()) << report.status().ToString();
    EXPECT_LT(Clock::now() - began, kDeadline / 2);
    return report.ok() ? *report : Report();
  }
  std::string Log() {
    const std::lock_guard lock(mutex_);
    return log_;
  }

  static constexpr auto kDeadline = 120s;
  std::mutex mutex_;
  std::string log_;
  std::unique_ptr<Client> client_;
  std::unique_ptr<Participant> nest_;
};

TEST_F(NestingTest, HandlersThatSubmitToTheirOwnServiceFindRoom) {
  StartNesting(64);
  EXPECT_TRUE(Lay(1).committed());
  EXPECT_TRUE(Lay(12).committed());
  EXPECT_NE(Log().find("every worker waits for a transaction, one is added workers=3"),
            std::string::npos)
      << Log();
  std::vector<std::thread> others;
  for (int i = 0; i < 4; ++i) {
    others.emplace_back([this] { EXPECT_TRUE(Lay(8).committed()); });
  }
  for (std::thread& other : others) other.join();
}

TEST_F(NestingTest, WhereThereIsNoRoomItIsSaid) {
  StartNesting(3);
  EXPECT_TRUE(Lay(4).committed());
  const Report report = Lay(5);
  EXPECT_TRUE(report.aborted());
  EXPECT_NE(report.abort_reason.find("not begun: all 2 worker threads of this participant and 3 "
                                     "extra ones are in handlers that wait for transactions"),
            std::string::npos)
      << report.abort_reason;
  EXPECT_TRUE(Lay(4).committed()) << "and nothing is left of it";
}

// What cannot be sent costs only the command that it answers: the session stays, and others go on.
TEST_F(DaemonTest, AHandlersUnsendableAnswersCostOnlyTheirCommand) {
  StartDaemon();
  Participant odd(OptionsFor("odd", endpoint_));
  odd.Saga("large", {.action = [](const Call&) { return Reply::Done(std::string(5 << 20, 'x')); }});
  odd.Saga("latin", {.action = [](const Call&) { return Reply::Refused("caf\xe9 ferm\xe9"); }});
  odd.Saga("thrown",
           {.action = [](const Call&) -> Reply { throw std::runtime_error("\xff\xfe"); }});
  odd.Saga("plain", {.action = [](const Call&) { return Reply::Done("\xff is a result"); }});
  ASSERT_TRUE(odd.Start().ok());
  ASSERT_TRUE(odd.WaitConnected(20s).ok());
  const Client client({.endpoint = endpoint_});
  const auto run = [&](const std::string& action) {
    BranchOptions once;
    once.retry.max_attempts = 1;
    Transaction one;
    one.Saga("odd", action, {}, once).Deadline(30s);
    const Result<Report> report = client.Submit(one);
    EXPECT_TRUE(report.ok()) << report.status().ToString();
    return report.ok() ? *report : Report();
  };
  EXPECT_NE(run("large").abort_reason.find(
                "the handler's answer cannot be sent: its result has 5242880 bytes; at most"),
            std::string::npos);
  EXPECT_NE(run("latin").abort_reason.find("refused: caf? ferm?"), std::string::npos);
  EXPECT_NE(run("thrown").abort_reason.find("the handler threw: ??"), std::string::npos);
  EXPECT_EQ(run("plain").results.at("1"), "\xff is a result");
  EXPECT_EQ(odd.Stats().connections, 1U) << "one session for all of it";
}

// What an idle system answers in. The SDK's threads do not nap; the median is a bound on ours and
// the daemon's together.
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
