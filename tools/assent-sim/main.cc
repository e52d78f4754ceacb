// assent-sim: the coordinator's worst days, lived through thousands of times. See DESIGN.md.

#include <algorithm>
#include <cerrno>
#include <cstdio>
#include <cstring>
#include <filesystem>
#include <string>
#include <thread>
#include <unistd.h>
#include <vector>

#include <CLI/CLI.hpp>
#include <nlohmann/json.hpp>

#include "tools/assent-sim/campaign.h"
#include "tools/assent-sim/explorer.h"

namespace assent::sim {
namespace {

struct Arguments {
  CampaignOptions campaign;
  ExplorerOptions explorer;
  std::string where;
  std::uint64_t replay_seed = 0;
  bool full = false;
  bool trace = false;
  bool json = false;
  std::size_t show_failures = 5;
};

void PrintTrace(const ReplayReport& replay) {
  for (const std::string& line : replay.trace) std::printf("%s\n", line.c_str());
}

int Random(Arguments& args) {
  args.campaign.form = args.full ? Form::kFull : Form::kLite;
  const CampaignReport report = RunCampaign(args.campaign);
  const std::vector<std::string> missed = report.marks.Missed();
  const double rate =
      report.seconds > 0 ? static_cast<double>(report.schedules) / report.seconds : 0;
  if (args.json) {
    nlohmann::ordered_json out{
        {"schedules", report.schedules},    {"violations", report.failures.size()},
        {"schedules_per_second", rate},     {"marks_missed", missed},
        {"seed", args.campaign.seed},       {"form", args.full ? "full" : "lite"},
        {"events", report.events},          {"repeated", report.repeated},
        {"threads", args.campaign.threads}, {"seconds", report.seconds}};
    for (std::size_t i = 0; i < Marks::kCount; ++i)
      out["marks"][MarkCounts::Name(i)] = report.marks[i];
    out["failures"] = nlohmann::json::array();
    for (const Failure& failure : report.failures)
      out["failures"].push_back({{"seed", failure.seed}, {"what", failure.what}});
    std::printf("%s\n", out.dump().c_str());
    return report.failures.empty() ? 0 : 1;
  }
  std::printf(
      "%llu schedules (%llu events) in %.1f s on %u threads: %.0f a second; %zu violations; %llu "
      "run twice and compared\n",
      static_cast<unsigned long long>(report.schedules),
      static_cast<unsigned long long>(report.events), report.seconds, args.campaign.threads, rate,
      report.failures.size(), static_cast<unsigned long long>(report.repeated));
  std::printf("marks: %zu of %zu reached\n", Marks::kCount - missed.size(), Marks::kCount);
  for (const std::string& mark : missed) std::printf("  missed %s\n", mark.c_str());
  for (std::size_t i = 0; i < std::min(report.failures.size(), args.show_failures); ++i) {
    const Failure& failure = report.failures[i];
    std::printf("seed %llu: %s\n", static_cast<unsigned long long>(failure.seed),
                failure.what.c_str());
    if (i > 0) continue;
    const ReplayReport replay = Replay(failure.seed, args.campaign.form, true);
    std::printf("options: %s\n", replay.options.c_str());
    PrintTrace(replay);
    std::printf("again:   assent-sim replay %llu --trace%s\n",
                static_cast<unsigned long long>(failure.seed), args.full ? " --full" : "");
  }
  return report.failures.empty() ? 0 : 1;
}

int Exhaustive(Arguments& args) {
  if (!args.where.empty()) {
    for (const std::string& line : ReplayExploration(args.where)) std::printf("%s\n", line.c_str());
    return 0;
  }
  args.explorer.threads = args.campaign.threads;
  const ExplorerReport report = Explore(args.explorer);
  if (args.json) {
    nlohmann::ordered_json out{{"points", report.points},
                               {"pairs", report.pairs},
                               {"violations", report.findings.size()},
                               {"interleavings", report.interleavings},
                               {"incomplete", report.incomplete},
                               {"scenarios", report.scenarios},
                               {"seconds", report.seconds}};
    for (const auto& [name, count] : report.orders) {
      out["orders"][name] = {
          {"runs", count.runs}, {"redundant", count.redundant}, {"complete", count.complete}};
    }
    out["findings"] = nlohmann::json::array();
    for (std::size_t i = 0; i < std::min(report.findings.size(), std::size_t{100}); ++i)
      out["findings"].push_back(
          {{"where", report.findings[i].where}, {"what", report.findings[i].what}});
    std::printf("%s\n", out.dump().c_str());
    return report.findings.empty() ? 0 : 1;
  }
  std::printf(
      "%llu scenarios in %.1f s: %llu crash points, %llu pairs, %llu interleavings (%llu scenarios "
      "cut off); %zu violations\n",
      static_cast<unsigned long long>(report.scenarios), report.seconds,
      static_cast<unsigned long long>(report.points), static_cast<unsigned long long>(report.pairs),
      static_cast<unsigned long long>(report.interleavings),
      static_cast<unsigned long long>(report.incomplete), report.findings.size());
  for (std::size_t i = 0; i < std::min(report.findings.size(), args.show_failures); ++i) {
    const ExplorerFinding& finding = report.findings[i];
    std::printf("%s\n  again: assent-sim exhaustive --replay '%s'\n", finding.what.c_str(),
                finding.where.c_str());
    if (i > 0) continue;
    for (const std::string& line : ReplayExploration(finding.where))
      std::printf("%s\n", line.c_str());
  }
  return report.findings.empty() ? 0 : 1;
}

// The planted bugs live in a program of their own, beside this one: what runs here has none.
int Mutants(const char* self, const std::vector<std::string>& arguments) {
  const std::string program =
      (std::filesystem::read_symlink("/proc/self/exe").parent_path() / "assent-sim-mutants")
          .string();
  std::vector<char*> argv;
  std::vector<std::string> words = {program};
  words.insert(words.end(), arguments.begin(), arguments.end());
  for (std::string& word : words) argv.push_back(word.data());
  argv.push_back(nullptr);
  execv(program.c_str(), argv.data());
  std::fprintf(stderr, "%s: cannot run %s: %s (it is built with the tests)\n", self,
               program.c_str(), std::strerror(errno));
  return 3;
}

int ReplayOne(const Arguments& args) {
  const ReplayReport replay =
      Replay(args.replay_seed, args.full ? Form::kFull : Form::kLite, args.trace);
  std::printf("options: %s\n", replay.options.c_str());
  PrintTrace(replay);
  std::printf("%llu events, hash %016llx: %s\n", static_cast<unsigned long long>(replay.events),
              static_cast<unsigned long long>(replay.hash),
              replay.violation.empty() ? "no violation" : replay.violation.c_str());
  return replay.violation.empty() ? 0 : 1;
}

int Main(int argc, char** argv) {
  Arguments args;
  args.campaign.threads = std::max(1U, std::thread::hardware_concurrency());
  CLI::App app("Runs the coordinator's own code in a simulated world that misbehaves.",
               "assent-sim");
  app.require_subcommand(1);
  CLI::App* random = app.add_subcommand(
      "random", "Schedules drawn from seeds; e.g. assent-sim random --schedules 20000");
  random->add_option("--schedules", args.campaign.schedules, "How many")->capture_default_str();
  random->add_option("--seed", args.campaign.seed, "The first seed; the others follow it")
      ->capture_default_str();
  random->add_option("--threads", args.campaign.threads, "Threads")
      ->capture_default_str()
      ->check(CLI::Range(1, 256));
  random->add_flag("--full", args.full, "Larger worlds, fewer a second");
  random->add_flag("--stop", args.campaign.stop_at_first, "Stop at the first violation");
  random->add_flag("--json", args.json, "One JSON object on stdout");
  CLI::App* exhaustive = app.add_subcommand(
      "exhaustive",
      "A crash at every point and pair of points of small worlds, and every order of messages");
  exhaustive->add_option("--threads", args.campaign.threads, "Threads")
      ->capture_default_str()
      ->check(CLI::Range(1, 256));
  exhaustive->add_flag("--json", args.json, "One JSON object on stdout");
  exhaustive->add_flag("--stop", args.explorer.stop_at_first, "Stop at the first violation");
  exhaustive->add_option("--max-interleavings", args.explorer.max_interleavings, "Of one scenario")
      ->capture_default_str();
  exhaustive->add_flag("!--no-pairs", args.explorer.pairs, "Only one crash at a time");
  exhaustive->add_option("--replay", args.where, "One exploration again, in words");
  CLI::App* mutants = app.add_subcommand("mutants",
                                         "Plants bugs, one at a time, and sees whether each is "
                                         "noticed; e.g. assent-sim mutants --json");
  mutants->prefix_command();
  CLI::App* replay =
      app.add_subcommand("replay", "One seed again; e.g. assent-sim replay 4711 --trace");
  replay->add_option("SEED", args.replay_seed, "The seed")->required();
  replay->add_flag("--trace", args.trace, "Event by event, in words");
  replay->add_flag("--full", args.full, "The seed is of a larger world");
  CLI11_PARSE(app, argc, argv);
  if (*random) return Random(args);
  if (*exhaustive) return Exhaustive(args);
  if (*mutants) return Mutants(argv[0], mutants->remaining());
  return ReplayOne(args);
}

}  // namespace
}  // namespace assent::sim

int main(int argc, char** argv) { return assent::sim::Main(argc, argv); }
