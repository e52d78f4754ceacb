// assent-sim-mutants: the coordinator's code with planted bugs, one at a time, each in a process of its own, because some
// of them end it. `assent-sim mutants` runs this program.

#include "tools/assent-sim/mutants.h"

#include <algorithm>
#include <atomic>
#include <cstdio>
#include <cstring>
#include <string>
#include <thread>
#include <unistd.h>
#include <vector>

#include <CLI/CLI.hpp>
#include <nlohmann/json.hpp>
#include <sys/mman.h>
#include <sys/wait.h>

#include "tools/assent-sim/campaign.h"
#include "tools/assent-sim/explorer.h"

namespace assent::sim {
namespace {

constexpr unsigned kPatienceSeconds = 120;

// What a child process leaves behind, in memory that outlives it.
struct Finding {
  std::atomic<std::uint64_t> random_runs;
  std::atomic<std::uint64_t> exhaustive_runs;
  std::atomic<bool> random_caught;
  std::atomic<bool> exhaustive_caught;
  char what[256];
};

struct Settings {
  std::uint64_t schedules = 20'000;
  std::uint32_t at_once = 1;
  bool json = false;
};

void Note(Finding& finding, const std::string& what) {
  if (finding.what[0] == '\0') std::strncpy(finding.what, what.c_str(), sizeof finding.what - 1);
}

void TryRandom(Finding& finding, const Settings& settings) {
  CampaignOptions options;
  options.schedules = settings.schedules;
  options.stop_at_first = true;
  options.progress = &finding.random_runs;
  const CampaignReport report = RunCampaign(options);
  if (report.failures.empty()) return;
  finding.random_caught = true;
  Note(finding, report.failures.front().what);
}

void TryExhaustive(Finding& finding) {
  ExplorerOptions options;
  options.pairs = false;
  options.max_interleavings = 300;
  options.stop_at_first = true;
  options.progress = &finding.exhaustive_runs;
  const ExplorerReport report = Explore(options);
  if (report.findings.empty()) return;
  finding.exhaustive_caught = true;
  Note(finding, report.findings.front().what);
}

pid_t Spawn(Planted which, Finding& finding, const Settings& settings, bool exhaustive) {
  std::fflush(nullptr);
  const pid_t child = fork();
  if (child != 0) return child;
  alarm(kPatienceSeconds);
  if (std::freopen("/dev/null", "w", stderr) == nullptr) _exit(3);
  planted = which;
  exhaustive ? TryExhaustive(finding) : TryRandom(finding, settings);
  _exit(0);
}

void Judge(Finding& finding, int status, bool exhaustive) {
  if (!WIFSIGNALED(status)) return;
  (exhaustive ? finding.exhaustive_caught : finding.random_caught) = true;
  Note(finding, WTERMSIG(status) == SIGABRT   ? "an assertion ends the process"
                : WTERMSIG(status) == SIGALRM ? "it never ends"
                                              : "the process crashes");
}

// One mutant after the other, `at_once` of them side by side.
void RunAll(const std::vector<Planted>& all, Finding* findings, const Settings& settings) {
  struct Job {
    std::size_t mutant;
    bool exhaustive;
  };
  std::vector<Job> jobs;
  for (std::size_t i = 0; i < all.size(); ++i) {
    jobs.push_back({i, false});
    jobs.push_back({i, true});
  }
  std::vector<std::pair<pid_t, Job>> running;
  std::size_t next = 0;
  while (next < jobs.size() || !running.empty()) {
    while (next < jobs.size() && running.size() < settings.at_once) {
      const Job job = jobs[next++];
      running.emplace_back(Spawn(all[job.mutant], findings[job.mutant], settings, job.exhaustive),
                           job);
    }
    int status = 0;
    const pid_t ended = wait(&status);
    const auto found = std::find_if(running.begin(), running.end(),
                                    [&](const auto& r) { return r.first == ended; });
    if (found == running.end()) continue;
    Judge(findings[found->second.mutant], status, found->second.exhaustive);
    running.erase(found);
  }
}

std::string Runs(bool caught, std::uint64_t runs) { return caught ? std::to_string(runs) : "-"; }

int Report(const Finding* findings, const Settings& settings) {
  const bool canary = findings[0].random_caught && findings[0].exhaustive_caught;
  const bool control = !findings[1].random_caught && !findings[1].exhaustive_caught;
  std::size_t caught = 0;
  nlohmann::ordered_json table = nlohmann::json::array();
  for (std::size_t i = 0; i < kMutants.size(); ++i) {
    const Finding& f = findings[i + 2];
    if (f.random_caught || f.exhaustive_caught) ++caught;
    table.push_back({{"mutant", kMutants[i].name},
                     {"says", kMutants[i].says},
                     {"random", f.random_caught.load()},
                     {"random_schedules", f.random_runs.load()},
                     {"exhaustive", f.exhaustive_caught.load()},
                     {"exhaustive_runs", f.exhaustive_runs.load()},
                     {"found_by", f.what}});
    if (settings.json) continue;
    std::printf("%-28s %8s %8s  %s\n", kMutants[i].name,
                Runs(f.random_caught, f.random_runs).c_str(),
                Runs(f.exhaustive_caught, f.exhaustive_runs).c_str(),
                f.what[0] == '\0' ? "NOT CAUGHT" : f.what);
  }
  const bool good = caught == kMutants.size() && canary && control;
  if (settings.json) {
    const nlohmann::ordered_json out{{"mutants", kMutants.size()},
                                     {"caught", caught},
                                     {"canary_caught", canary},
                                     {"control_clean", control},
                                     {"table", table}};
    std::printf("%s\n", out.dump().c_str());
  } else {
    std::printf("%zu mutants, %zu caught; the canary %s; the code without a mutant %s\n",
                kMutants.size(), caught, canary ? "was caught" : "WAS NOT CAUGHT",
                control ? "is clean" : "IS NOT CLEAN");
  }
  return good ? 0 : 1;
}

int Main(int argc, char** argv) {
  Settings settings;
  settings.at_once = std::max(1U, std::thread::hardware_concurrency());
  CLI::App app(
      "Plants one bug at a time in the coordinator and in its participants, and sees whether the "
      "simulator notices.",
      "assent-sim mutants");
  app.add_option("--schedules", settings.schedules, "Random schedules for each, at most")
      ->capture_default_str();
  app.add_option("--threads", settings.at_once, "Mutants side by side")
      ->capture_default_str()
      ->check(CLI::Range(1, 256));
  app.add_flag("--json", settings.json, "One JSON object on stdout");
  CLI11_PARSE(app, argc, argv);
  std::vector<Planted> all = {Planted::kCanary, Planted::kNone};
  for (const MutantText& mutant : kMutants) all.push_back(mutant.which);
  void* shared = mmap(nullptr, sizeof(Finding) * all.size(), PROT_READ | PROT_WRITE,
                      MAP_SHARED | MAP_ANONYMOUS, -1, 0);
  if (shared == MAP_FAILED) return 3;
  auto* findings = static_cast<Finding*>(shared);  // zero is how each of them begins
  if (!settings.json)
    std::printf("%-28s %8s %8s  %s\n", "planted bug", "random", "exhaust.", "first noticed as");
  RunAll(all, findings, settings);
  return Report(findings, settings);
}

}  // namespace
}  // namespace assent::sim

int main(int argc, char** argv) { return assent::sim::Main(argc, argv); }
