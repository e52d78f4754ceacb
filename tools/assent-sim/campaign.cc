#include "tools/assent-sim/campaign.h"

#include <algorithm>
#include <atomic>
#include <chrono>
#include <ctime>
#include <mutex>
#include <thread>

#include "tools/assent-sim/world.h"

namespace assent::sim {
namespace {

// What one thread found.
void RunShare(const CampaignOptions& options, std::atomic<std::uint64_t>& next,
              std::atomic<bool>& stop, CampaignReport& mine) {
  for (;;) {
    const std::uint64_t n = next.fetch_add(1, std::memory_order_relaxed);
    if (n >= options.schedules || stop.load(std::memory_order_relaxed)) return;
    const std::uint64_t seed = options.seed + n;
    if (options.progress != nullptr) ++*options.progress;
    Options drawn = Draw(seed, options.form, options.coordinators);
    drawn.business_checks = options.business_checks;
    World world(drawn, false);
    world.Run();
    ++mine.schedules;
    mine.events += world.events();
    mine.marks.Add(world.sim().marks);
    std::string violation = world.sim().violation();
    if (options.twice_each != 0 && n % options.twice_each == 0) {
      World again(drawn, false);
      again.Run();
      ++mine.repeated;
      if (again.sim().hash() != world.sim().hash() && violation.empty())
        violation =
            "the same seed went two ways: something in the simulator or under it is not "
            "deterministic";
    }
    if (violation.empty()) continue;
    mine.failures.push_back({seed, std::move(violation)});
    if (options.stop_at_first) stop = true;
  }
}

}  // namespace

CampaignReport RunCampaign(const CampaignOptions& options) {
  const auto began = std::chrono::steady_clock::now();
  const std::clock_t cpu_began = std::clock();
  std::atomic<std::uint64_t> next = 0;
  std::atomic<bool> stop = false;
  std::vector<CampaignReport> shares(options.threads);
  std::vector<std::thread> threads;
  for (std::uint32_t i = 1; i < options.threads; ++i)
    threads.emplace_back([&, i] { RunShare(options, next, stop, shares[i]); });
  RunShare(options, next, stop, shares[0]);
  for (std::thread& thread : threads) thread.join();

  CampaignReport report;
  for (CampaignReport& share : shares) {
    report.schedules += share.schedules;
    report.events += share.events;
    report.repeated += share.repeated;
    report.marks.Add(share.marks);
    report.failures.insert(report.failures.end(), share.failures.begin(), share.failures.end());
  }
  std::sort(report.failures.begin(), report.failures.end(),
            [](const Failure& a, const Failure& b) { return a.seed < b.seed; });
  report.seconds = std::chrono::duration<double>(std::chrono::steady_clock::now() - began).count();
  report.cpu_seconds = static_cast<double>(std::clock() - cpu_began) / CLOCKS_PER_SEC;
  return report;
}

ReplayReport Replay(std::uint64_t seed, Form form, std::uint32_t coordinators, bool trace) {
  const Options options = Draw(seed, form, coordinators);
  World world(options, trace);
  world.Run();
  return {world.sim().violation(), world.sim().hash(), world.events(), options.Describe(),
          world.sim().trace()};
}

}  // namespace assent::sim
