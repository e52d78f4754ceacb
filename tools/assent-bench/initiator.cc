// One initiator process: drives transactions for the given time and prints what it saw as one line of JSON.

#include <atomic>
#include <chrono>
#include <condition_variable>
#include <cstdio>
#include <functional>
#include <memory>
#include <mutex>
#include <string>
#include <thread>
#include <vector>

#include <nlohmann/json.hpp>

#include <assent/client.h>

#include "tools/assent-bench/histogram.h"
#include "tools/assent-bench/options.h"

namespace assent::bench {
namespace {

using Clock = std::chrono::steady_clock;

// What was seen. Only what ends within the measured time counts.
class Tally {
 public:
  Tally(Clock::time_point from, Clock::time_point to) : from_(from), to_(to) {}

  void Add(Clock::time_point began, const Result<Report>& report) {
    const auto now = Clock::now();
    if (now < from_ || now >= to_) return;
    const std::lock_guard lock(mutex_);
    if (!report.ok()) {
      ++failed_;
      if (first_failure_.empty()) first_failure_ = report.status().ToString();
      return;
    }
    ++(report->aborted() ? aborted_ : committed_);
    latency_.Add(std::chrono::duration_cast<std::chrono::microseconds>(now - began).count());
  }

  nlohmann::json ToJson() const {
    return {{"committed", committed_},
            {"aborted", aborted_},
            {"failed", failed_},
            {"first_failure", first_failure_},
            {"seconds", std::chrono::duration<double>(to_ - from_).count()},
            {"latency", latency_.ToJson()}};
  }
  Clock::time_point end() const { return to_; }

 private:
  const Clock::time_point from_;
  const Clock::time_point to_;
  std::mutex mutex_;
  std::uint64_t committed_ = 0;
  std::uint64_t aborted_ = 0;
  std::uint64_t failed_ = 0;
  std::string first_failure_;
  Histogram latency_;
};

Branch MakeBranch(const Load& load, int i, const std::string& payload) {
  const std::string protocol = ProtocolOf(load);
  return {.protocol = protocol == "tcc"   ? Protocol::kTcc
                      : protocol == "2pc" ? Protocol::kTwoPhase
                                          : Protocol::kSaga,
          .service = ServiceName(i % load.participants),
          .action = "act",
          .payload = payload};
}

Transaction MakeTransaction(const Load& load, std::uint64_t number) {
  Transaction txn;
  const bool refuse = load.workload == "mixed-faults" && number % 100 == 0;
  std::string payload(static_cast<std::size_t>(load.payload_bytes), 'p');
  if (refuse) payload = "refuse";
  for (int i = 0; i < load.branches; ++i) txn.Add(MakeBranch(load, i, payload));
  return txn;
}

CallOptions Calls(const Load& load) {
  return {.wait = load.wait == "completed" ? WaitFor::kCompleted : WaitFor::kDecided,
          .timeout = std::chrono::seconds(20)};
}

// Counts what is under way, so that the end can be waited for.
class Outstanding {
 public:
  void Up() { ++count_; }
  void Down() {
    if (--count_ == 0) {
      const std::lock_guard lock(mutex_);
      none_.notify_all();
    }
  }
  // Longer than any call may take: afterwards nobody holds a reference to the loop's state.
  void WaitNone() {
    std::unique_lock lock(mutex_);
    none_.wait(lock, [&] { return count_ == 0; });
  }

 private:
  std::atomic<long> count_ = 0;
  std::mutex mutex_;
  std::condition_variable none_;
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

// Latency counts from the moment at which the transaction should have been sent, so that a stall is not hidden by the
// initiator stalling with it.
void OpenLoop(const Load& load, const Client& client, Tally& tally) {
  Outstanding outstanding;
  const std::chrono::duration<double> period(1.0 / load.rate);
  const auto start = Clock::now();
  for (std::uint64_t number = 0;; ++number) {
    const auto intended =
        start + std::chrono::duration_cast<Clock::duration>(period * static_cast<double>(number));
    if (intended >= tally.end()) break;
    PassUntil(intended);
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
void Threads(const Load& load, const Client& client, Tally& tally,
             const std::function<Result<Report>(std::uint64_t)>& run) {
  (void)client;
  std::atomic<std::uint64_t> number = 0;
  std::vector<std::thread> threads;
  for (int i = 0; i < load.in_flight; ++i) {
    threads.emplace_back([&] {
      while (Clock::now() < tally.end()) {
        const auto began = Clock::now();
        tally.Add(began, run(++number));
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

}  // namespace

int RunInitiator(const Load& load, const std::string& endpoint) {
  const Client client({.endpoint = endpoint,
                       .max_pending_count = 1'000'000,
                       .max_pending_bytes = std::size_t{4} << 30});
  const auto from = Clock::now() + std::chrono::duration_cast<Clock::duration>(
                                       std::chrono::duration<double>(load.warmup_seconds));
  Tally tally(from, from + std::chrono::duration_cast<Clock::duration>(
                               std::chrono::duration<double>(load.seconds)));
  if (load.workload == "interactive") {
    Threads(load, client, tally, [&](std::uint64_t) { return RunInteractive(load, client); });
  } else if (load.workload == "unary") {
    Threads(load, client, tally, [&](std::uint64_t number) {
      return client.Submit(MakeTransaction(load, number), Calls(load));
    });
  } else if (load.rate > 0) {
    OpenLoop(load, client, tally);
  } else {
    ClosedLoop(load, client, tally);
  }
  std::printf("%s\n", tally.ToJson().dump().c_str());
  return 0;
}

}  // namespace assent::bench
