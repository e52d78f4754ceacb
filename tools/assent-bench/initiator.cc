// One initiator process: drives transactions for the given time and prints what it saw as one line
// of JSON.

#include <atomic>
#include <chrono>
#include <csignal>
#include <cstdio>
#include <functional>
#include <memory>
#include <string>
#include <thread>
#include <unistd.h>
#include <vector>

#include <nlohmann/json.hpp>

#include <assent/client.h>
#include <assent/thread_safety.h>

#include "tools/assent-bench/certificates.h"
#include "tools/assent-bench/child.h"
#include "tools/assent-bench/options.h"
#include "tools/assent-bench/order_shop.h"
#include "tools/assent-bench/tally.h"

namespace assent::bench {
namespace {

using Clock = Tally::Clock;

// Longer than any measurement: what is held stays held.
constexpr std::chrono::hours kHeld{1};

Branch MakeBranch(const Load& load, int i, const std::string& payload) {
  const std::string protocol = ProtocolOf(load);
  return {.protocol = protocol == "tcc"   ? Protocol::kTcc
                      : protocol == "2pc" ? Protocol::kTwoPhase
                                          : Protocol::kSaga,
          .service = ServiceName(load, i % load.participants),
          .action = "act",
          .payload = payload};
}

Transaction MakeTransaction(const Load& load, std::uint64_t number) {
  if (load.workload == "order") return MakeOrder(number, static_cast<std::uint64_t>(getpid()));
  Transaction txn;
  const bool refuse = load.workload == "mixed-faults" && number % 100 == 0;
  std::string payload(static_cast<std::size_t>(load.payload_bytes), 'p');
  if (refuse) payload = "refuse";
  for (int i = 0; i < load.branches; ++i) txn.Add(MakeBranch(load, i, payload));
  return txn;
}

CallOptions Calls(const Load& load) {
  return {.wait = load.wait == "completed"  ? WaitFor::kCompleted
                  : load.wait == "accepted" ? WaitFor::kAccepted
                                            : WaitFor::kDecided,
          .timeout = std::chrono::seconds(20)};
}

// Counts what is under way, so that the end can be waited for.
class Outstanding {
 public:
  void Up() { ++count_; }
  void Down() {
    if (--count_ == 0) {
      const MutexLock lock(mutex_);
      none_.NotifyAll();
    }
  }
  // Longer than any call may take: afterwards nobody holds a reference to the loop's state.
  void WaitNone() {
    const MutexLock lock(mutex_);
    while (count_ != 0) none_.Wait(mutex_);
  }

 private:
  std::atomic<long> count_ = 0;
  Mutex mutex_;
  CondVar none_;
};

void ClosedLoop(const Load& load, const Client& client, Tally& tally) {
  Outstanding outstanding;
  std::atomic<std::uint64_t> number = 0;
  std::function<void()> next = [&] {
    if (Clock::now() >= tally.end()) return;
    outstanding.Up();
    const auto began = Clock::now();
    client.SubmitAsync(
        MakeTransaction(load, ++number),
        [&, began](Result<Report> report) {
          tally.Add(began, report);
          next();
          outstanding.Down();
        },
        Calls(load));
  };
  for (int i = 0; i < load.in_flight; ++i) next();
  PassUntil(tally.end());
  outstanding.WaitNone();
}

// Latency counts from the moment at which the transaction should have been sent, so that a stall is
// not hidden by the initiator stalling with it.
void OpenLoop(const Load& load, const Client& client, Tally& tally) {
  Outstanding outstanding;
  const std::chrono::duration<double> period(1.0 / load.rate);
  const auto start = Clock::now();
  for (std::uint64_t number = 0;; ++number) {
    const auto intended =
        start + std::chrono::duration_cast<Clock::duration>(period * static_cast<double>(number));
    if (intended >= tally.end()) break;
    // Late is late: what was intended is sent at once. Early waits, but not for less than a timer
    // can.
    if (intended - Clock::now() > std::chrono::microseconds(60)) PassUntil(intended);
    if (Clock::now() >= tally.end()) break;
    outstanding.Up();
    client.SubmitAsync(
        MakeTransaction(load, number),
        [&, intended](Result<Report> report) {
          tally.Add(intended, report);
          outstanding.Down();
        },
        Calls(load));
  }
  outstanding.WaitNone();
}

// One thread per transaction under way: what a plain caller of the unary API does.
void Threads(const Load& load, Tally& tally, int requests,
             const std::function<Result<Report>(std::uint64_t)>& run) {
  std::atomic<std::uint64_t> number = 0;
  std::vector<std::thread> threads;
  for (int i = 0; i < load.in_flight; ++i) {
    threads.emplace_back([&] {
      while (Clock::now() < tally.end()) {
        const auto began = Clock::now();
        tally.Add(began, run(++number), requests);
      }
    });
  }
  for (auto& thread : threads) thread.join();
}

Result<Report> RunInteractive(const Load& load, const Client& client) {
  auto open = client.Begin({}, Calls(load));
  if (!open.ok()) return open.status();
  const std::string payload(static_cast<std::size_t>(load.payload_bytes), 'p');
  for (int i = 0; i < load.branches; ++i) {
    const auto executed = open->Execute(MakeBranch(load, i, payload), Calls(load));
    if (!executed.ok()) return executed.status();
  }
  return open->Commit(Calls(load));
}

// Begins `count` transactions whose participants never answer, and says so.
int Hold(const Load& load, const Client& client) {
  Outstanding outstanding;
  std::atomic<std::uint64_t> number = 0;
  std::atomic<std::uint64_t> failed = 0;
  Mutex mutex;
  std::string first_failure;
  std::function<void()> next = [&] {
    const std::uint64_t mine = ++number;
    if (mine > load.count) return;
    outstanding.Up();
    Transaction txn;
    txn.Deadline(2 * kHeld);
    const std::string payload(static_cast<std::size_t>(load.payload_bytes), 'p');
    for (int i = 0; i < load.branches; ++i) {
      Branch branch = MakeBranch(load, i, payload);
      branch.options.attempt_timeout = kHeld;
      txn.Add(std::move(branch));
    }
    client.SubmitAsync(std::move(txn),
                       [&](Result<Report> report) {
                         if (!report.ok()) {
                           const MutexLock lock(mutex);
                           ++failed;
                           if (first_failure.empty()) first_failure = report.status().ToString();
                         }
                         next();
                         outstanding.Down();
                       },
                       {.wait = WaitFor::kAccepted, .timeout = std::chrono::seconds(120)});
  };
  outstanding.Up();
  for (int i = 0; i < load.in_flight; ++i) next();
  outstanding.Down();
  outstanding.WaitNone();
  const nlohmann::json seen{{"failed", failed.load()}, {"first_failure", first_failure}};
  SayAndStay(seen);
  return 0;
}

}  // namespace

int RunInitiator(const Load& load, const std::vector<std::string>& endpoints) {
  sigset_t signals;
  sigemptyset(&signals);
  sigaddset(&signals, SIGTERM);
  pthread_sigmask(SIG_BLOCK, &signals, nullptr);  // before the first thread is made
  ClientOptions options{.endpoints = endpoints,
                        .max_pending_count = load.max_pending,
                        .max_pending_bytes = std::size_t{4} << 30,
                        .tls = TlsOf(load.tls_folder, "initiator")};
  if (!load.retry) options.retry.give_up_after = std::chrono::milliseconds(0);
  const Client client(options);
  if (load.workload == "hold" || load.workload == "absent") return Hold(load, client);
  const auto from = Clock::now() + std::chrono::duration_cast<Clock::duration>(
                                       std::chrono::duration<double>(load.warmup_seconds));
  Tally tally(from, from + std::chrono::duration_cast<Clock::duration>(
                               std::chrono::duration<double>(load.seconds)));
  std::thread herald([&] {
    PassUntil(tally.begin());
    std::printf("measuring\n");
    std::fflush(stdout);
  });
  if (load.workload == "interactive") {
    Threads(load, tally, load.branches + 2,
            [&](std::uint64_t) { return RunInteractive(load, client); });
  } else if (load.workload == "unary" || load.workload == "submit") {
    Threads(load, tally, 1, [&](std::uint64_t number) {
      return client.Submit(MakeTransaction(load, number), Calls(load));
    });
  } else if (load.rate > 0) {
    OpenLoop(load, client, tally);
  } else {
    ClosedLoop(load, client, tally);
  }
  herald.join();
  SayAndStay(tally.ToJson());
  return 0;
}

}  // namespace assent::bench
