// The return of a service for which many transactions wait: how long it takes to answer then,
// beside how long it takes else, and when all have been served, beside what it can work on. With
// the policy that begins it small and bounds what it has, and without, in turn.

#include <chrono>
#include <cstdio>
#include <deque>
#include <fstream>
#include <iostream>
#include <memory>
#include <string>
#include <thread>
#include <utility>
#include <vector>

#include <nlohmann/json.hpp>

#include <assent/client.h>
#include <assent/participant.h>
#include <assent/thread_safety.h>

#include "tools/assent-bench/fleet.h"
#include "tools/assent-bench/histogram.h"
#include "tools/assent-bench/report.h"
#include "tools/assent-bench/side.h"
#include "tools/assent-bench/trials.h"

namespace assent::bench {
namespace {

using Clock = std::chrono::steady_clock;
using std::chrono::milliseconds;

constexpr char kService[] = "till";
constexpr char kPolicy[] = "[till]\nslow-start = 32\nadaptive = true\n";
constexpr int kWorkers = 20;
constexpr milliseconds kEach{5};
constexpr std::uint64_t kTransactions = 100'000;
constexpr std::uint64_t kNormally = 10'000;
constexpr milliseconds kLook{2};

// Works on so many at once, each for so long; the others wait in front of it.
class Till final : public Resource {
 public:
  Till() {
    for (int i = 0; i < kWorkers; ++i) workers_.emplace_back([this] { Work(); });
  }
  ~Till() override {
    {
      const MutexLock lock(mutex_);
      stop_ = true;
    }
    came_.NotifyAll();
    for (std::thread& worker : workers_) worker.join();
  }
  std::vector<OfferedAction> Actions() const override { return {{"act", Protocol::kSaga}}; }
  void Execute(Call, Responder respond) override {
    {
      const MutexLock lock(mutex_);
      queue_.emplace_back(Clock::now(), std::move(respond));
    }
    came_.NotifyOne();
  }
  std::vector<HeldBranch> Questions(std::size_t) override { return {}; }
  void Answer(const HeldBranch&, Verdict, bool) override {}

  // What was answered since it was last asked.
  Histogram Take() {
    const MutexLock lock(mutex_);
    return std::exchange(took_, {});
  }
  std::uint64_t answered() const {
    const MutexLock lock(mutex_);
    return took_.count();
  }

 private:
  void Work() {
    for (;;) {
      std::pair<Clock::time_point, Responder> one;
      {
        MutexLock lock(mutex_);
        while (queue_.empty() && !stop_) came_.Wait(mutex_);
        if (queue_.empty()) return;
        one = std::move(queue_.front());
        queue_.pop_front();
      }
      Pass(kEach);
      const auto took =
          std::chrono::duration_cast<std::chrono::microseconds>(Clock::now() - one.first);
      one.second(Reply::Done());
      const MutexLock lock(mutex_);
      took_.Add(took.count());
    }
  }

  mutable Mutex mutex_;
  CondVar came_;
  std::deque<std::pair<Clock::time_point, Responder>> queue_ ASSENT_GUARDED_BY(mutex_);
  Histogram took_ ASSENT_GUARDED_BY(mutex_);
  bool stop_ ASSENT_GUARDED_BY(mutex_) = false;
  std::vector<std::thread> workers_;
};

Transaction One() {
  Transaction transaction;
  return transaction.Saga(kService, "act").Deadline(std::chrono::hours(1));
}

struct Ramp {
  double normal_ms = 0;
  double ramp_ms = 0;
  double seconds = 0;
};

std::unique_ptr<Participant> Open(const Side& side, Till& till) {
  ParticipantOptions options;
  options.service = kService;
  options.endpoints = {side.endpoint()};
  auto participant = std::make_unique<Participant>(std::move(options));
  participant->Attach(till);
  if (Status s = participant->Start(); !s.ok()) Die(s.ToString());
  return participant;
}

double P99(const Histogram& took) { return static_cast<double>(took.Percentile(0.99)) / 1000; }

Ramp RunOnce(Load load, std::uint64_t count, bool policy) {
  const Folder folder("");
  if (policy) {
    const std::string path = folder.path() + "/policies.toml";
    std::ofstream(path) << kPolicy;
    load.daemon_arguments.insert(load.daemon_arguments.end(), {"--service-policies", path});
  }
  load.participants = 0;
  const Side side(load);
  const Client client(ClientOptions{.endpoint = side.endpoint(), .max_pending_count = count + 1});
  Till till;
  Ramp ramp;
  {
    const auto normally = Open(side, till);
    if (Status s = normally->WaitConnected(std::chrono::seconds(30)); !s.ok()) Die(s.ToString());
    (void)till.Take();
    SubmitAll(client, kNormally, kWorkers, WaitFor::kDecided, One);
    ramp.normal_ms = P99(till.Take());
    normally->Stop();
  }
  SubmitAll(client, count, 1024, WaitFor::kAccepted, One);
  const auto began = Clock::now();
  const auto back = Open(side, till);
  while (till.answered() < count) Pass(kLook);
  ramp.seconds = std::chrono::duration<double>(Clock::now() - began).count();
  ramp.ramp_ms = P99(till.Take());
  back->Stop();
  return ramp;
}

nlohmann::json Row(const std::vector<Ramp>& ramps, double capacity_seconds) {
  const auto median = [&](auto of) {
    std::vector<double> values;
    for (const Ramp& one : ramps) values.push_back(of(one));
    return Median(values);
  };
  return {{"normal_p99_ms", median([](const Ramp& r) { return r.normal_ms; })},
          {"p99_ms", median([](const Ramp& r) { return r.ramp_ms; })},
          {"p99_ratio", median([](const Ramp& r) { return r.ramp_ms / r.normal_ms; })},
          {"seconds", median([](const Ramp& r) { return r.seconds; })},
          {"time_ratio", median([&](const Ramp& r) { return r.seconds / capacity_seconds; })}};
}

}  // namespace

int ReturnOfMany(const Load& load, int rounds, bool json) {
  const std::uint64_t count = load.count > 0 ? load.count : kTransactions;
  std::vector<Ramp> with;
  std::vector<Ramp> without;
  for (int round = 0; round < rounds; ++round) {
    ShowProgress("ramp", round, rounds);
    with.push_back(RunOnce(load, count, /*policy=*/true));
    without.push_back(RunOnce(load, count, /*policy=*/false));
  }
  EndProgress();
  const double capacity =
      std::chrono::duration<double>(kEach).count() * static_cast<double>(count) / kWorkers;
  const nlohmann::json out{{"transactions", count},
                           {"rounds", rounds},
                           {"capacity_seconds", capacity},
                           {"with", Row(with, capacity)},
                           {"without", Row(without, capacity)}};
  if (json) {
    std::cout << out.dump() << "\n";
    return 0;
  }
  std::printf("%llu wait for a service that can work on them in %.1f s\n",
              static_cast<unsigned long long>(count), capacity);
  for (const char* name : {"with", "without"}) {
    const nlohmann::json& row = out.at(name);
    std::printf(
        "%-8s the policy: p99 of its answers %.1f ms, else %.1f ms (%.2f times); all served in "
        "%.1f s "
        "(%.2f of that time)\n",
        name, row.at("p99_ms").get<double>(), row.at("normal_p99_ms").get<double>(),
        row.at("p99_ratio").get<double>(), row.at("seconds").get<double>(),
        row.at("time_ratio").get<double>());
  }
  return 0;
}

}  // namespace assent::bench
