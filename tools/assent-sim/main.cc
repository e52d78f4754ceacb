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

#include "tools/assent-sim/campaign.h"
#include "tools/assent-sim/commands.h"
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
};

int Exhaustive(Arguments& args) {
  if (args.where.empty()) {
    args.explorer.threads = args.campaign.threads;
    return ReportExploration(args.explorer, args.json);
  }
  const ExplorationAgain again = ReplayExploration(args.where);
  if (!again.known) {
    std::fprintf(stderr, "there is no scenario for '%s'\n", args.where.c_str());
    return 2;
  }
  PrintTrace(again.trace);
  std::printf("%s\n", again.violation.empty() ? "no violation" : again.violation.c_str());
  return again.violation.empty() ? 0 : 1;
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
  const ReplayReport replay = Replay(args.replay_seed, args.full ? Form::kFull : Form::kLite,
                                     args.campaign.coordinators, args.trace);
  std::printf("options: %s\n", replay.options.c_str());
  PrintTrace(replay.trace);
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
  random->add_option("--schedules", args.campaign.schedules, "How many")
      ->capture_default_str()
      ->check(CLI::Range(1, 1'000'000'000));
  random->add_option("--seed", args.campaign.seed, "The first seed; the others follow it")
      ->capture_default_str();
  random->add_option("--threads", args.campaign.threads, "Threads")
      ->capture_default_str()
      ->check(CLI::Range(1, 256));
  const auto coordinators = [&](CLI::App* command) {
    command
        ->add_option("--coordinators", args.campaign.coordinators,
                     "So many over one store; 0: mostly one, in a few schedules two or three")
        ->capture_default_str()
        ->check(CLI::Range(0, 4));
  };
  coordinators(random);
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
                                         "noticed; e.g. assent-sim mutants --json. Its options: "
                                         "assent-sim-mutants --help");
  mutants->prefix_command();
  CLI::App* replay =
      app.add_subcommand("replay", "One seed again; e.g. assent-sim replay 4711 --trace");
  replay->add_option("SEED", args.replay_seed, "The seed")->required();
  coordinators(replay);
  replay->add_flag("--trace", args.trace, "Event by event, in words");
  replay->add_flag("--full", args.full, "The seed is of a larger world");
  CLI11_PARSE(app, argc, argv);
  args.campaign.form = args.full ? Form::kFull : Form::kLite;
  if (*random) return ReportCampaign(args.campaign, args.json);
  if (*exhaustive) return Exhaustive(args);
  if (*mutants) return Mutants(argv[0], mutants->remaining());
  return ReplayOne(args);
}

}  // namespace
}  // namespace assent::sim

int main(int argc, char** argv) { return assent::sim::Main(argc, argv); }
