// assent-sim: the coordinator's worst days, lived through thousands of times. See DESIGN.md.

#include <algorithm>
#include <cstdio>
#include <cstdlib>
#include <string>
#include <thread>

#include <CLI/CLI.hpp>
#include <nlohmann/json.hpp>

#include "tools/assent-sim/campaign.h"

namespace assent::sim {
namespace {

struct Arguments {
  CampaignOptions campaign;
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
  CLI::App* replay =
      app.add_subcommand("replay", "One seed again; e.g. assent-sim replay 4711 --trace");
  replay->add_option("SEED", args.replay_seed, "The seed")->required();
  replay->add_flag("--trace", args.trace, "Event by event, in words");
  replay->add_flag("--full", args.full, "The seed is of a larger world");
  CLI11_PARSE(app, argc, argv);
  if (*random) return Random(args);
  return ReplayOne(args);
}

}  // namespace
}  // namespace assent::sim

int main(int argc, char** argv) { return assent::sim::Main(argc, argv); }
