// assent-campaign: real processes under real faults, for minutes to hours; then the books, and
// every answer ever given. docs/correctness.md, "Real processes", says what it does and how to read
// what it prints.

#include <csignal>
#include <cstdio>
#include <filesystem>
#include <iostream>
#include <random>
#include <sched.h>
#include <string>
#include <thread>

#include <CLI/CLI.hpp>
#include <nlohmann/json.hpp>
#include <sys/mount.h>

#include "tests/crash/campaign/audit.h"
#include "tests/crash/campaign/campaign.h"
#include "tests/crash/campaign/faults.h"
#include "tests/crash/campaign/journal.h"
#include "tests/crash/campaign/rig.h"

namespace assent::crash {

long SumOf(const Tally& tally, const std::string& prefix) {
  long sum = 0;
  for (const auto& [name, count] : tally) sum += name.rfind(prefix, 0) == 0 ? count : 0;
  return sum;
}

namespace {

using std::chrono::milliseconds;
using std::chrono::seconds;
using FloatSeconds = std::chrono::duration<double>;

constexpr milliseconds kTick{4};
constexpr milliseconds kProgressEvery{15'000};
constexpr seconds kFirstCommitBound{20};
constexpr seconds kRollBound{30};  // for faults whose victims were not up when they were due

volatile std::sig_atomic_t interrupted = 0;
void OnSignal(int) { interrupted = 1; }

class Campaign {
 public:
  Campaign(const Options& options, const std::string& folder)
      : options_(options),
        rig_(options, folder, tally_, findings_),
        faults_(options, rig_, tally_) {
    for (int i = 0; i < options.initiators; ++i) book_.Follow(rig_.Journal(i));
  }

  void Run() {
    SayWhatIsLeftOut();
    if (!findings_.empty()) return;  // what was asked for cannot be done here
    rig_.StartAll();
    do {
      Round();
    } while (findings_.empty() && interrupted == 0 && !Enough());
    if (findings_.empty()) {  // once more, all of them, after a last restart
      rig_.Kill(rig_.coordinator(), milliseconds(0));
      (void)rig_.Heal();
      everything_ = Audit(rig_, options_, book_, already_, true, findings_);
    }
    rig_.EndAll();
    if (!findings_.empty()) rig_.CopyOut();
  }

  const Findings& findings() const { return findings_; }
  void PrintSummary() const;
  nlohmann::json Json() const;

 private:
  double Elapsed() const { return FloatSeconds(Clock::now() - began_).count(); }
  long Kills() const { return SumOf(tally_, "kill "); }
  bool Enough() const { return Elapsed() >= options_.minutes * 60 && Kills() >= options_.kills; }

  void SayWhatIsLeftOut() {
    for (const std::string& name : options_.without) Say("left out as told: " + name);
    if (!rig_.own_disk() && options_.without.empty())
      Say("left out: disk-full, " + rig_.disk_refusal());
  }

  void Round() {
    ++rounds_;
    if (rounds_ > 1) rig_.StartInitiators();
    // As much as is left, over the time that is left; a round that heals and checks takes a quarter
    // of it.
    const double left = std::max(options_.minutes * 60 - Elapsed(), options_.round_seconds);
    const double kills = static_cast<double>(std::max(options_.kills - Kills(), 10L)) *
                         options_.round_seconds / (left * 0.75);
    faults_.BeginRound(kills, FloatSeconds(options_.round_seconds));
    const auto end = Clock::now() + std::chrono::duration_cast<Clock::duration>(
                                        FloatSeconds(options_.round_seconds));
    const auto on = [&] {
      const auto now = Clock::now();
      return now < end || (!faults_.RollDone() && now < end + kRollBound);
    };
    while (on() && findings_.empty() && interrupted == 0) {
      rig_.Tick();
      faults_.Tick();
      if (Clock::now() >= next_progress_) Progress();
      std::this_thread::sleep_for(kTick);  // tidy: allow(sleep) between two looks at the clock
    }
    if (!rig_.Heal()) return;
    CheckThatWorkGoesOn();
    rig_.EndInitiators();
    (void)Audit(rig_, options_, book_, already_, false, findings_);
  }

  void CheckThatWorkGoesOn() {
    book_.Read();
    const long before = book_.ByOutcome()[Outcome::kCommitted];
    const auto more = [&] {
      rig_.Tick();
      book_.Read();
      return book_.ByOutcome()[Outcome::kCommitted] > before + 20;
    };
    if (!test::WaitUntil(more, kFirstCommitBound))
      findings_.Add("20 s after all faults ended, not even 20 transactions have committed");
  }

  void Progress() {
    next_progress_ = Clock::now() + kProgressEvery;
    book_.Read();
    auto told = book_.ByOutcome();
    const double minutes = Elapsed() / 60;
    char line[400];
    std::snprintf(
        line, sizeof(line),
        "%5.1f min  kills %ld (c %ld b %ld i %ld)  stops %ld  terms %ld  proxy %ld  disk %ld  |  "
        "a minute: told committed %.0f, aborted %.0f, not begun %.0f, unknown %.0f",
        minutes, Kills(), tally_["kill coordinator"], tally_["kill bank"], tally_["kill initiator"],
        SumOf(tally_, "stop "), SumOf(tally_, "term "), SumOf(tally_, "proxy "),
        SumOf(tally_, "disk "), static_cast<double>(told[Outcome::kCommitted]) / minutes,
        static_cast<double>(told[Outcome::kAborted]) / minutes,
        static_cast<double>(book_.NeverBegun()) / minutes,
        static_cast<double>(told[Outcome::kUndecided] - book_.NeverBegun()) / minutes);
    Say(line);
  }

  void Say(const std::string& line) const {
    std::fprintf(options_.json ? stderr : stdout, "%s\n", line.c_str());
    std::fflush(stdout);
  }

  const Options& options_;
  const Clock::time_point began_ = Clock::now();
  Clock::time_point next_progress_ = began_ + kProgressEvery;
  Tally tally_;
  Findings findings_;
  Rig rig_;
  Faults faults_;
  AnswerBook book_;
  std::set<std::string> already_;
  Audited everything_;
  long rounds_ = 0;
};

nlohmann::json Campaign::Json() const {
  auto told = book_.ByOutcome();
  return {{"seed", options_.seed},
          {"minutes", Elapsed() / 60},
          {"rounds", rounds_},
          {"kills", Kills()},
          {"stops", SumOf(tally_, "stop ")},
          {"terms", SumOf(tally_, "term ")},
          {"proxy_faults", SumOf(tally_, "proxy ")},
          {"disk_faults", SumOf(tally_, "disk ")},
          {"by_kind", tally_},
          {"transactions", book_.entries().size()},
          {"told_committed", told[Outcome::kCommitted]},
          {"told_aborted", told[Outcome::kAborted]},
          {"told_not_begun", book_.NeverBegun()},
          {"told_unknown", told[Outcome::kUndecided] - book_.NeverBegun()},
          {"answers", book_.answers()},
          {"branches_checked", everything_.branches},
          {"gets", everything_.gets},
          {"interrupted", interrupted != 0},
          {"violations", findings_.count()},
          {"findings", findings_.sentences()}};
}

void Campaign::PrintSummary() const {
  const nlohmann::json json = Json();
  if (options_.json) {
    std::cout << json.dump() << std::endl;  // tidy: allow(endl) whatever becomes of us afterwards
    return;
  }
  std::printf("\n%.1f minutes, %ld rounds, seed %llu\n", Elapsed() / 60, rounds_,
              static_cast<unsigned long long>(options_.seed));
  for (const auto& [name, count] : tally_) std::printf("  %-40s %8ld\n", name.c_str(), count);
  std::printf(
      "%zu transactions: %ld told committed, %ld told aborted, %ld told 'not begun', %ld told "
      "nothing; %ld answers\n",
      book_.entries().size(), json["told_committed"].get<long>(), json["told_aborted"].get<long>(),
      json["told_not_begun"].get<long>(), json["told_unknown"].get<long>(), book_.answers());
  std::printf("checked at the end: %ld branches in the banks' files, %ld transactions by Get\n",
              everything_.branches, everything_.gets);
  for (const std::string& sentence : findings_.sentences())
    std::printf("WRONG: %s\n", sentence.c_str());
  std::printf(findings_.empty() ? "nothing lost, split or left behind\n" : "%ld findings\n",
              findings_.count());
  std::fflush(stdout);
}

int Main(Options options) {
  // Mounts of ours are seen by us and our children alone, and go with us.
  if (unshare(CLONE_NEWNS) == 0) (void)mount("none", "/", nullptr, MS_REC | MS_PRIVATE, nullptr);
  std::signal(SIGINT, OnSignal);
  std::signal(SIGTERM, OnSignal);
  std::signal(SIGPIPE, SIG_IGN);
  const bool own_folder = options.folder.empty();
  if (own_folder) {
    options.folder = std::filesystem::temp_directory_path() / "assent-campaign-XXXXXX";
    if (mkdtemp(options.folder.data()) == nullptr) {
      std::perror(options.folder.c_str());
      return 2;
    }
  }
  std::error_code error;
  std::filesystem::create_directories(options.folder, error);
  if (error) {
    std::fprintf(stderr, "%s: %s\n", options.folder.c_str(), error.message().c_str());
    return 2;
  }
  std::fprintf(stderr, "seed %llu, in %s\n", static_cast<unsigned long long>(options.seed),
               options.folder.c_str());
  bool right = false;
  {
    Campaign campaign(options, options.folder);
    campaign.Run();
    campaign.PrintSummary();
    right = campaign.findings().empty();
  }
  if (!right || options.keep || !own_folder) {
    std::fprintf(stderr, "kept: %s (journals, logs, databases; seed %llu)\n",
                 options.folder.c_str(), static_cast<unsigned long long>(options.seed));
  } else {
    std::filesystem::remove_all(options.folder);
  }
  if (!right) return 1;
  return interrupted != 0 ? 130 : 0;
}

}  // namespace
}  // namespace assent::crash

int main(int argc, char** argv) {
  assent::crash::Options options;
  options.seed = std::random_device{}();
  CLI::App app(
      "Runs assentd, participants and initiators as processes, kills, stops, cuts and starves "
      "them, and checks the "
      "books and every answer ever given. Exit status: 0 nothing is wrong, 1 something is, 2 it "
      "was asked wrongly, 130 interrupted.",
      "assent-campaign");
  app.option_defaults()->always_capture_default();
  app.add_option("--minutes", options.minutes, "At least so long")
      ->check(CLI::Range(0.0, 10'000.0));
  app.add_option("--kills", options.kills, "At least so many kill -9, spread over the minutes")
      ->check(CLI::Range(0, 1'000'000));
  app.add_option("--seed", options.seed,
                 "Draws the faults and the transactions (the timing is the machine's)");
  app.add_option("--round-seconds", options.round_seconds,
                 "Faults for so long, then everything heals and is checked")
      ->check(CLI::Range(1.0, 10'000.0));
  app.add_option("--rest-seconds", options.rest_seconds,
                 "Bound within which everything must end once faults stop")
      ->check(CLI::Range(1, 10'000));
  app.add_option("--initiators", options.initiators, "Initiator processes")
      ->check(CLI::Range(1, 64));
  app.add_option("--shards", options.shards, "Of the coordinator")->check(CLI::Range(1, 64));
  app.add_option("--folder", options.folder, "Where to put everything; kept");
  app.add_option("--without", options.without, "Faults to leave out")
      ->check(CLI::IsMember(assent::crash::FaultNames()));
  app.add_option("--plant", options.plant,
                 "A planted fault that must be noticed: tests the campaign itself")
      ->check(CLI::IsMember({"bank-loses", "bank-acks-early", "initiator-lies", "log-restored"}));
  app.add_flag("--json", options.json, "One JSON object on standard output");
  app.add_flag("--keep", options.keep, "Keep the folder also when nothing is wrong");
  try {
    app.parse(argc, argv);
  } catch (const CLI::ParseError& wrong) {
    return app.exit(wrong) == 0 ? 0 : 2;
  }
  return assent::crash::Main(std::move(options));
}
