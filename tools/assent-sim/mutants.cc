// assent-sim-mutants: the coordinator's code with planted bugs, one at a time, each in a process of
// its own, because some of them end it. `assent-sim mutants` runs this program.

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
#include "tools/assent-sim/commands.h"
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
  std::atomic<std::uint64_t> blind_runs;  // with the business' own checks off
  std::atomic<bool> blind_caught;
  char what[256];
};

struct Settings {
  std::uint64_t schedules = 20'000;
  std::uint32_t at_once = 1;
  std::string only;
  std::string plant;
  bool json = false;
};

enum class Way : std::uint8_t { kRandom, kExhaustive, kBlind };

void Note(Finding& finding, const std::string& what) {
  if (finding.what[0] == '\0') std::strncpy(finding.what, what.c_str(), sizeof finding.what - 1);
}

void TryRandom(Finding& finding, const Settings& settings, std::uint32_t coordinators, bool blind) {
  CampaignOptions options;
  options.coordinators = coordinators;
  options.schedules = settings.schedules;
  options.stop_at_first = true;
  options.business_checks = !blind;
  options.progress = blind ? &finding.blind_runs : &finding.random_runs;
  const CampaignReport report = RunCampaign(options);
  if (report.failures.empty()) return;
  (blind ? finding.blind_caught : finding.random_caught) = true;
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

// A bug to plant, or none (the control).
struct Subject {
  Planted which = Planted::kNone;
  const MutantText* text = nullptr;  // null: the canary, the control

  std::uint32_t coordinators() const { return text == nullptr ? 0 : text->coordinators; }
};

pid_t Spawn(const Subject& subject, Finding& finding, const Settings& settings, Way way) {
  std::fflush(nullptr);
  const pid_t child = fork();
  if (child != 0) return child;
  alarm(kPatienceSeconds);
  if (std::freopen("/dev/null", "w", stderr) == nullptr) _exit(3);
  planted = subject.which;
  if (way == Way::kExhaustive) {
    TryExhaustive(finding);
  } else {
    TryRandom(finding, settings, subject.coordinators(), way == Way::kBlind);
  }
  _exit(0);
}

void Judge(Finding& finding, int status, Way way) {
  if (!WIFSIGNALED(status)) return;
  if (way == Way::kRandom) finding.random_caught = true;
  if (way == Way::kExhaustive) finding.exhaustive_caught = true;
  if (way == Way::kBlind) finding.blind_caught = true;
  Note(finding, WTERMSIG(status) == SIGABRT   ? "an assertion ends the process"
                : WTERMSIG(status) == SIGALRM ? "it never ends"
                                              : "the process crashes");
}

// One after the other, `at_once` of them side by side.
void RunAll(const std::vector<Subject>& all, Finding* findings, const Settings& settings) {
  struct Job {
    std::size_t subject;
    Way way;
  };
  std::vector<Job> jobs;
  for (std::size_t i = 0; i < all.size(); ++i) {
    jobs.push_back({i, Way::kRandom});
    // The small worlds that are walked to the end have one coordinator.
    if (all[i].coordinators() == 0) jobs.push_back({i, Way::kExhaustive});
    if (all[i].text != nullptr && all[i].text->only != nullptr) jobs.push_back({i, Way::kBlind});
  }
  std::vector<std::pair<pid_t, Job>> running;
  std::size_t next = 0;
  while (next < jobs.size() || !running.empty()) {
    while (next < jobs.size() && running.size() < settings.at_once) {
      const Job job = jobs[next++];
      running.emplace_back(Spawn(all[job.subject], findings[job.subject], settings, job.way), job);
    }
    int status = 0;
    const pid_t ended = wait(&status);
    const auto found = std::find_if(running.begin(), running.end(),
                                    [&](const auto& r) { return r.first == ended; });
    if (found == running.end()) continue;
    Judge(findings[found->second.subject], status, found->second.way);
    running.erase(found);
  }
}

// Noticed; and if only the business' own checks can notice it, by those.
bool Caught(const Subject& subject, const Finding& finding) {
  if (!finding.random_caught && !finding.exhaustive_caught) return false;
  const char* only = subject.text->only;
  return only == nullptr ||
         (!finding.blind_caught && std::strncmp(finding.what, only, std::strlen(only)) == 0);
}

std::string Runs(bool caught, std::uint64_t runs) { return caught ? std::to_string(runs) : "-"; }

nlohmann::ordered_json RowOf(const Subject& subject, const Finding& f) {
  nlohmann::ordered_json row{{"mutant", subject.text->name},
                             {"says", subject.text->says},
                             {"caught", Caught(subject, f)},
                             {"random", f.random_caught.load()},
                             {"random_schedules", f.random_runs.load()},
                             {"exhaustive", f.exhaustive_caught.load()},
                             {"exhaustive_runs", f.exhaustive_runs.load()},
                             {"found_by", f.what}};
  if (subject.text->only != nullptr) row["found_without_business_checks"] = f.blind_caught.load();
  return row;
}

int Report(const std::vector<Subject>& all, const Finding* findings, const Settings& settings) {
  const bool canary = findings[0].random_caught && findings[0].exhaustive_caught;
  const bool control = !findings[1].random_caught && !findings[1].exhaustive_caught;
  std::size_t caught = 0;
  nlohmann::ordered_json table = nlohmann::json::array();
  for (std::size_t i = 2; i < all.size(); ++i) {
    const Finding& f = findings[i];
    if (Caught(all[i], f)) ++caught;
    table.push_back(RowOf(all[i], f));
    if (settings.json) continue;
    std::printf("%-28s %8s %8s  %s%s\n", all[i].text->name,
                Runs(f.random_caught, f.random_runs).c_str(),
                Runs(f.exhaustive_caught, f.exhaustive_runs).c_str(),
                Caught(all[i], f) ? "" : "NOT CAUGHT AS IT SHOULD BE ", f.what);
  }
  const std::size_t mutants = all.size() - 2;
  const bool good = caught == mutants && canary && control;
  if (settings.json) {
    const nlohmann::ordered_json out{{"mutants", mutants},
                                     {"caught", caught},
                                     {"canary_caught", canary},
                                     {"control_clean", control},
                                     {"schedules", settings.schedules},
                                     {"table", table}};
    std::printf("%s\n", out.dump().c_str());
  } else {
    std::printf("%zu mutants, %zu caught; the canary %s; the code without a mutant %s\n", mutants,
                caught, canary ? "was caught" : "WAS NOT CAUGHT",
                control ? "is clean" : "IS NOT CLEAN");
  }
  return good ? 0 : 1;
}

int NoSuch(const std::string& name) {
  std::fprintf(stderr, "there is no planted bug %s\n", name.c_str());
  return 2;
}

// What `assent-sim random` and its exit status are with a bug in the code; or, with "none", whether
// the switches alone change anything.
int Plant(const Settings& settings) {
  planted = settings.plant == "canary" ? Planted::kCanary : Planted::kNone;
  for (const MutantText& mutant : kMutants) {
    if (settings.plant == mutant.name) planted = mutant.which;
  }
  if (planted == Planted::kNone && settings.plant != "none") return NoSuch(settings.plant);
  CampaignOptions options;
  options.schedules = settings.schedules;
  options.threads = settings.at_once;
  options.stop_at_first = true;
  options.planted = true;
  return ReportCampaign(options, settings.json);
}

int Main(int argc, char** argv) {
  Settings settings;
  settings.at_once = std::max(1U, std::thread::hardware_concurrency());
  CLI::App app(
      "Plants one bug at a time in the coordinator and in its participants, and sees whether the "
      "simulator notices.",
      "assent-sim mutants");
  app.add_option("--schedules", settings.schedules, "Random schedules for each, at most")
      ->capture_default_str()
      ->check(CLI::Range(1, 1'000'000'000));
  app.add_option("--threads", settings.at_once, "Mutants side by side")
      ->capture_default_str()
      ->check(CLI::Range(1, 256));
  app.add_option("--only", settings.only, "This one alone, by its name");
  app.add_option(
      "--plant", settings.plant,
      "No table: a campaign, as of `assent-sim random`, with this bug, the canary or none in it");
  app.add_flag("--json", settings.json, "One JSON object on stdout");
  CLI11_PARSE(app, argc, argv);
  if (!settings.plant.empty()) return Plant(settings);
  std::vector<Subject> all = {{Planted::kCanary, nullptr}, {Planted::kNone, nullptr}};
  for (const MutantText& mutant : kMutants) {
    if (settings.only.empty() || settings.only == mutant.name)
      all.push_back({mutant.which, &mutant});
  }
  if (all.size() == 2) return NoSuch(settings.only);
  void* shared = mmap(nullptr, sizeof(Finding) * all.size(), PROT_READ | PROT_WRITE,
                      MAP_SHARED | MAP_ANONYMOUS, -1, 0);
  if (shared == MAP_FAILED) return 3;
  auto* findings = static_cast<Finding*>(shared);  // zero is how each of them begins
  if (!settings.json)
    std::printf("%-28s %8s %8s  %s\n", "planted bug", "random", "exhaust.", "first noticed as");
  RunAll(all, findings, settings);
  return Report(all, findings, settings);
}

}  // namespace
}  // namespace assent::sim

int main(int argc, char** argv) { return assent::sim::Main(argc, argv); }
