#include "tests/support/store_bench.h"

#include <algorithm>
#include <atomic>
#include <chrono>
#include <condition_variable>
#include <cstdio>
#include <mutex>
#include <string>
#include <unistd.h>
#include <utility>
#include <vector>

namespace assent::test {
namespace {

constexpr int kInFlight = 256;
constexpr int kRounds = 3;

constexpr BenchWay kWays[] = {
    {"tcc, one commit each, 2 connections", 1, 2, Protocol::kTcc, 200},
    {"tcc, groups, 2 connections", 60, 2, Protocol::kTcc, 4000},
    {"tcc, one commit each, 4 connections", 1, 4, Protocol::kTcc, 200},
    {"tcc, groups, 4 connections", 60, 4, Protocol::kTcc, 4000},
    {"two-phase, 4 connections", 60, 4, Protocol::kTwoPhase, 100},
    {"two-phase, 16 connections", 60, 16, Protocol::kTwoPhase, 100},
};

struct Seen {
  std::vector<double> rates;  // branches a second
  double per_commit = 0;
};

// Keeps branches in flight: the next operation of a lane starts when the one before has been
// answered.
class Lanes {
 public:
  Lanes(Resource& resource, const BenchWay& way, std::string prefix)
      : resource_(resource), way_(way), prefix_(std::move(prefix)) {}

  // Branches a second; 0 when one was not done.
  double Run() {
    const auto begin = std::chrono::steady_clock::now();
    running_ = kInFlight;
    for (int i = 0; i < kInFlight; ++i) Start();
    std::unique_lock lock(mutex_);
    idle_.wait(lock, [this] { return running_ == 0; });
    const std::chrono::duration<double> took = std::chrono::steady_clock::now() - begin;
    if (failed_ == 0) return way_.branches / took.count();
    std::fprintf(stderr, "%s: %d operations were not done\n", way_.name, failed_.load());
    return 0;
  }

 private:
  void Start() {
    const int number = next_.fetch_add(1);
    if (number >= way_.branches) {
      const std::lock_guard lock(mutex_);
      if (--running_ == 0) idle_.notify_one();
      return;
    }
    Call call;
    call.gid = prefix_ + std::to_string(number);
    call.branch_id = "1";
    call.action = "move";
    call.protocol = way_.protocol;
    call.operation = OperationsOf(way_.protocol).forward;
    call.payload = std::to_string(static_cast<std::int64_t>(number) * 7919 % kBenchAccountsCount);
    Send(std::move(call));
  }
  void Send(Call call) {
    Call next = call;
    resource_.Execute(std::move(call), [this, next = std::move(next)](const Reply& reply) mutable {
      if (reply.kind != Reply::Kind::kDone) ++failed_;
      const Operations& operations = OperationsOf(way_.protocol);
      if (next.operation != operations.forward) return Start();
      next.operation = operations.finish;
      Send(std::move(next));
    });
  }

  Resource& resource_;
  const BenchWay& way_;
  const std::string prefix_;
  std::atomic<int> next_{0};
  std::atomic<int> failed_{0};
  std::mutex mutex_;
  std::condition_variable idle_;
  int running_ = 0;
};

double Median(std::vector<double> values) {
  std::sort(values.begin(), values.end());
  return values[values.size() / 2];
}

void PrintJson(const std::vector<Seen>& seen) {
  std::printf("{\"in_flight\":%d,\"ways\":[", kInFlight);
  for (std::size_t i = 0; i < seen.size(); ++i) {
    std::printf("%s{\"name\":\"%s\",\"per_commit\":%.3f,\"rates\":[", i == 0 ? "" : ",",
                kWays[i].name, seen[i].per_commit);
    for (std::size_t round = 0; round < seen[i].rates.size(); ++round)
      std::printf("%s%.1f", round == 0 ? "" : ",", seen[i].rates[round]);
    std::printf("]}");
  }
  std::printf("]}\n");
}

void Print(const std::vector<Seen>& seen) {
  std::printf("%d in flight, medians of %d rounds in turns\n", kInFlight, kRounds);
  for (std::size_t i = 0; i < seen.size(); ++i) {
    std::printf("%-40s %8.0f branches/s  %5.1f operations to a commit\n", kWays[i].name,
                Median(seen[i].rates), seen[i].per_commit);
  }
}

}  // namespace

int StoreBench(bool json, const std::function<std::unique_ptr<BenchStore>(const BenchWay&)>& open) {
  std::vector<Seen> seen(std::size(kWays));
  bool all_done = true;
  for (int round = 0; round < kRounds; ++round) {
    for (std::size_t i = 0; i < seen.size(); ++i) {
      const std::unique_ptr<BenchStore> store = open(kWays[i]);
      const std::string prefix =
          std::to_string(getpid()) + "-" + std::to_string(round) + "-" + std::to_string(i) + "-";
      seen[i].rates.push_back(Lanes(store->resource(), kWays[i], prefix).Run());
      const BenchStore::Work done = store->Done();
      seen[i].per_commit = static_cast<double>(done.operations) / static_cast<double>(done.groups);
      all_done = all_done && seen[i].rates.back() > 0;
    }
  }
  json ? PrintJson(seen) : Print(seen);
  return all_done ? 0 : 1;
}

}  // namespace assent::test
