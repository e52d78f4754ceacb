#include "tools/assent-sim/explorer.h"

#include <algorithm>
#include <atomic>
#include <chrono>
#include <ctime>
#include <functional>
#include <sstream>
#include <thread>
#include <utility>

#include <assent/thread_safety.h>

#include "tools/assent-sim/interleaver.h"
#include "tools/assent-sim/scenarios.h"
#include "tools/assent-sim/world.h"

namespace assent::sim {
namespace {

// Who dies, and how: 0 the coordinator's process; 1 its machine, and nothing unsynchronised
// survives; 2 its machine, and all of it survives; then each participant's process and machine.
constexpr std::size_t kCoordinatorDeaths = 3;

struct Crash {
  std::uint64_t at = 0;  // after so many events
  std::size_t kind = 0;
};

std::size_t KindsOf(const Scenario& scenario) {
  return kCoordinatorDeaths + 2 * scenario.options.services;
}

void Kill(World& world, std::size_t kind) {
  if (kind < kCoordinatorDeaths)
    return world.KillCoordinator(kind > 0,
                                 kind == 2 ? world.coordinator().disk().unsynced_groups() : 0);
  world.KillParticipant((kind - kCoordinatorDeaths) / 2, (kind - kCoordinatorDeaths) % 2 == 1);
}

struct Run {
  std::uint64_t events = 0;
  std::string violation;
  std::vector<std::string> trace;
};

Run RunWith(const Scenario& scenario, const std::vector<Crash>& crashes, bool tracing) {
  World world(scenario.options, tracing, /*fixed_pace=*/true, scenario.plans);
  world.Open();
  world.Heal();  // nothing goes wrong by chance
  std::size_t next = 0;
  for (;;) {
    while (next < crashes.size() && crashes[next].at == world.events())
      Kill(world, crashes[next++].kind);
    if (next == crashes.size() && world.AtRest()) break;
    if (!world.Step()) break;
  }
  world.Finish();
  return {world.events(), world.sim().violation(), world.sim().trace()};
}

std::string Where(const Scenario& scenario, const std::vector<Crash>& crashes) {
  std::string where = "crash:" + scenario.name;
  for (const Crash& crash : crashes)
    where += ":" + std::to_string(crash.at) + "/" + std::to_string(crash.kind);
  return where;
}

// Work that threads take piece by piece.
class Explorer {
 public:
  explicit Explorer(const ExplorerOptions& options) : options_(options) {}

  ExplorerReport Go() {
    const auto began = std::chrono::steady_clock::now();
    const std::clock_t cpu_began = std::clock();
    for (const Scenario& scenario : crash_scenarios_) PlanCrashes(scenario);
    if (options_.interleavings) {
      for (const Scenario& scenario : interleaving_scenarios_) {
        for (std::size_t first = 0; first < FirstChoices(scenario); ++first)
          jobs_.push_back([this, &scenario, first] { Interleavings(scenario, first); });
      }
    }
    std::vector<std::thread> threads;
    for (std::uint32_t i = 1; i < options_.threads; ++i) threads.emplace_back([this] { Work(); });
    Work();
    for (std::thread& thread : threads) thread.join();
    const MutexLock lock(mutex_);
    std::sort(report_.findings.begin(), report_.findings.end(),
              [](const auto& a, const auto& b) { return a.where < b.where; });
    for (const auto& [name, count] : report_.orders) report_.incomplete += count.complete ? 0 : 1;
    report_.scenarios = crash_scenarios_.size() + interleaving_scenarios_.size();
    report_.seconds =
        std::chrono::duration<double>(std::chrono::steady_clock::now() - began).count();
    report_.cpu_seconds = static_cast<double>(std::clock() - cpu_began) / CLOCKS_PER_SEC;
    return std::move(report_);
  }

 private:
  void PlanCrashes(const Scenario& scenario) {
    const Run plain = RunWith(scenario, {}, false);
    if (options_.progress != nullptr) ++*options_.progress;
    if (!plain.violation.empty()) return Found(Where(scenario, {}), plain.violation);
    for (std::size_t kind = 0; kind < KindsOf(scenario); ++kind) {
      for (std::uint64_t at = 0; at < plain.events; ++at)
        jobs_.push_back([this, &scenario, at, kind] { CrashAt(scenario, {at, kind}); });
    }
  }

  // One crash; then, if both are the coordinator's, or the first is, a second one at every later
  // point.
  void CrashAt(const Scenario& scenario, Crash first) {
    const Run once = RunWith(scenario, {first}, false);
    Count(&ExplorerReport::points, Where(scenario, {first}), once);
    if (!options_.pairs || first.kind > 1) return;
    for (const std::size_t kind : {std::size_t{0}, std::size_t{1}}) {
      for (std::uint64_t at = first.at + 1; at < once.events; ++at) {
        if (Stopped()) return;
        const std::vector<Crash> crashes = {first, {at, kind}};
        const Run twice = RunWith(scenario, crashes, false);
        Count(&ExplorerReport::pairs, Where(scenario, crashes), twice);
      }
    }
  }

  void Interleavings(const Scenario& scenario, std::size_t first) {
    InterleavingReport found = ExploreInterleavings(scenario, first, options_.max_interleavings);
    const MutexLock lock(mutex_);
    report_.interleavings += found.runs;
    report_.redundant += found.redundant;
    if (options_.progress != nullptr) *options_.progress += found.runs;
    InterleavingCount& count = report_.orders[scenario.name];
    count.runs += found.runs;
    count.redundant += found.redundant;
    count.complete = count.complete && found.complete;
    count.misfortunes = MaxMisfortunes(scenario);
    count.early_timers = EarlyTimers(scenario);
    for (auto& [path, what] : found.findings)
      report_.findings.push_back({"order:" + scenario.name + ":" + path, std::move(what)});
  }

  void Count(std::uint64_t ExplorerReport::*counter, const std::string& where, const Run& run) {
    {
      const MutexLock lock(mutex_);
      ++(report_.*counter);
      if (options_.progress != nullptr) ++*options_.progress;
    }
    if (!run.violation.empty()) Found(where, run.violation);
  }
  void Found(std::string where, std::string what) {
    const MutexLock lock(mutex_);
    report_.findings.push_back({std::move(where), std::move(what)});
  }
  bool Stopped() {
    const MutexLock lock(mutex_);
    return options_.stop_at_first && !report_.findings.empty();
  }
  void Work() {
    for (;;) {
      const std::size_t job = next_job_.fetch_add(1);
      if (job >= jobs_.size() || Stopped()) return;
      jobs_[jobs_.size() - 1 - job]();  // the long ones, which came last, first
    }
  }

  const ExplorerOptions options_;
  const std::vector<Scenario> crash_scenarios_ = CrashScenarios();
  const std::vector<Scenario> interleaving_scenarios_ = InterleavingScenarios();
  std::vector<std::function<void()>> jobs_;
  std::atomic<std::size_t> next_job_ = 0;
  Mutex mutex_;
  ExplorerReport report_ ASSENT_GUARDED_BY(mutex_);
};

}  // namespace

ExplorerReport Explore(const ExplorerOptions& options) { return Explorer(options).Go(); }

ExplorationAgain ReplayExploration(const std::string& where) {
  std::istringstream text(where);
  std::string form;
  std::string name;
  std::getline(text, form, ':');
  std::getline(text, name, ':');
  for (const Scenario& scenario : form == "crash" ? CrashScenarios() : InterleavingScenarios()) {
    if (scenario.name != name) continue;
    if (form == "order") {
      std::string path;
      std::getline(text, path);
      WalkAgain walk = ReplayInterleaving(scenario, path);
      return {true, std::move(walk.violation), std::move(walk.trace)};
    }
    std::vector<Crash> crashes;
    Crash crash;
    char mark = 0;
    while (text >> crash.at >> mark >> crash.kind) {
      crashes.push_back(crash);
      text >> mark;
    }
    Run run = RunWith(scenario, crashes, true);
    return {true, std::move(run.violation), std::move(run.trace)};
  }
  return {};
}

}  // namespace assent::sim
