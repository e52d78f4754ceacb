// assent-bench: what the coordinator does on this machine, and what the machine could do.

#include <algorithm>
#include <cstdio>
#include <iostream>
#include <string>
#include <vector>

#include <CLI/CLI.hpp>
#include <absl/synchronization/mutex.h>

#include "tools/assent-bench/fleet.h"
#include "tools/assent-bench/options.h"
#include "tools/assent-bench/order_shop.h"
#include "tools/assent-bench/report.h"
#include "tools/assent-bench/trials.h"

namespace assent::bench {

std::string ServiceName(const Load& load, int participant) {
  if (load.workload == "order") return kShopServices[participant];
  return (load.workload == "absent" ? "absent-" : "bench-") + std::to_string(participant);
}

std::string ProtocolOf(const Load& load) {
  return load.workload == "2pc" || load.workload == "saga" ? load.workload : "tcc";
}

std::vector<std::string> LoadArguments(const Load& load) {
  std::vector<std::string> arguments{"--workload",     load.workload,
                                     "--branches",     std::to_string(load.branches),
                                     "--participants", std::to_string(load.participants),
                                     "--initiators",   std::to_string(load.initiators),
                                     "--in-flight",    std::to_string(load.in_flight),
                                     "--rate",         std::to_string(load.rate),
                                     "--payload",      std::to_string(load.payload_bytes),
                                     "--seconds",      std::to_string(load.seconds),
                                     "--warmup",       std::to_string(load.warmup_seconds),
                                     "--wait",         load.wait,
                                     "--group",        std::to_string(load.group),
                                     "--max-pending",  std::to_string(load.max_pending),
                                     "--count",        std::to_string(load.count)};
  if (!load.retry) arguments.push_back("--no-retry");
  if (!load.log.empty()) arguments.insert(arguments.end(), {"--log", load.log});
  if (!load.tls_folder.empty())
    arguments.insert(arguments.end(), {"--tls-folder", load.tls_folder});
  return arguments;
}

namespace {

// A thread for each transaction under way.
constexpr int kMaxThreads = 256;
// Of `scale`, unless it is told: so that commits are what is waited for, and not processors.
constexpr int kScaleInFlight = 64;
constexpr double kScaleCommitDelayMs = 10;

struct Words {
  Load load;
  bool json = false;
  bool no_retry = false;
  int rounds = 5;
  int number = 0;
  int sessions = 1000;
  std::uint64_t transactions = 1'000'000;
  std::uint64_t waiting = 100'000;
  std::vector<std::string> dial;
  std::vector<std::string> endpoints;
  std::string folder;
};

void AddLoad(CLI::App& app, Words& words) {
  Load& load = words.load;
  app.add_option(
         "--workload", load.workload,
         "tcc, 2pc, saga (no-op handlers); order (the demo's shop on SQLite); interactive; "
         "unary (plain unary initiators and participants); submit (plain unary initiators "
         "alone); rest (initiators of HTTP, a connection each); mixed-faults (1 % refusals)")
      ->check(CLI::IsMember({"tcc", "2pc", "saga", "order", "interactive", "unary", "submit",
                             "rest", "mixed-faults", "hold", "absent", "stream"}))
      ->capture_default_str();
  app.add_option("--branches", load.branches, "Branches of a transaction")
      ->check(CLI::Range(1, 128))
      ->capture_default_str();
  app.add_option("--participants", load.participants, "Participant processes")
      ->check(CLI::Range(1, 64))
      ->capture_default_str();
  app.add_option("--initiators", load.initiators, "Initiator processes")
      ->check(CLI::Range(1, 64))
      ->capture_default_str();
  app.add_option("--in-flight", load.in_flight, "Closed loop: transactions under way")
      ->check(CLI::Range(1, 1'000'000))
      ->capture_default_str();
  app.add_option("--rate", load.rate,
                 "Open loop: transactions per second, latency from the intended moment of sending "
                 "(0: closed loop)")
      ->check(CLI::Range(0.0, 1e7))
      ->capture_default_str();
  app.add_option("--payload", load.payload_bytes, "Bytes of payload per branch")
      ->check(CLI::Range(0, 1024 * 1024))
      ->capture_default_str();
  app.add_option("--seconds", load.seconds, "Measured time")
      ->check(CLI::Range(0.1, 86400.0))
      ->capture_default_str();
  app.add_option("--warmup", load.warmup_seconds, "Time before it")
      ->check(CLI::Range(0.0, 3600.0))
      ->capture_default_str();
  app.add_option("--wait", load.wait, "What the initiator waits for")
      ->check(CLI::IsMember({"accepted", "decided", "completed"}))
      ->capture_default_str();
  app.add_option("--group", load.group,
                 "order: operations that may share one local commit (1: a commit each)")
      ->check(CLI::Range(1, 256))
      ->capture_default_str();
  app.add_option("--max-pending", load.max_pending,
                 "Unanswered transactions of an initiator; more are refused there")
      ->capture_default_str();
  app.add_flag("--no-retry", words.no_retry, "Initiators do not repeat what was refused");
  app.add_option(
      "--log", load.log,
      "Log on PostgreSQL: postgresql://USER@HOST:PORT/DATABASE; the role creates a database "
      "for each measurement, and drops it (none: SQLite)");
  app.add_option("--coordinators", load.coordinators,
                 "So many that share the log of --log; the load is spread over them")
      ->check(CLI::Range(1, 16))
      ->capture_default_str();
  app.add_option(
         "--commit-delay", load.commit_delay_ms,
         "Milliseconds that each commit of the database takes longer (its commit_delay; the "
         "role of --log is a superuser)")
      ->check(CLI::Range(0.0, 100.0))
      ->capture_default_str();
  app.add_option("--count", load.count)->group("");
  app.add_option("--daemon-argument", load.daemon_arguments,
                 "One more argument for assentd: --daemon-argument=--shards=2");
  app.add_option("--under", load.under,
                 "The words of a program that runs the coordinator: valgrind --tool=callgrind ...")
      ->delimiter(' ');
  app.add_flag("--syscalls", load.count_syscalls,
               "The coordinator's writes and syncs, counted by strace");
}

bool IsThreaded(const Load& load) {
  return load.workload == "interactive" || load.workload == "unary" || load.workload == "submit";
}

// What the words say that cannot be.
std::string Wrong(const Load& load, bool floor) {
  if (load.tls && load.workload == "rest") return "rest is measured without TLS";
  if (floor && load.workload != "tcc" && load.workload != "2pc" && load.workload != "unary" &&
      load.workload != "rest")
    return "there is a floor for tcc, 2pc, unary and rest";
  if (load.rate > 0 && (IsThreaded(load) || load.workload == "rest"))
    return "interactive, unary, submit and rest have no open loop";
  if (load.workload == "rest" && load.coordinators > 1) return "rest asks one coordinator";
  if (load.log.empty() && (load.coordinators > 1 || load.commit_delay_ms > 0))
    return "--coordinators and --commit-delay need the --log that is shared";
  if (load.coordinators > 1 && (load.count_syscalls || !load.under.empty()))
    return "--syscalls and --under look at one coordinator";
  return "";
}

class Program {
 public:
  Program() : app_(kAbout) {
    app_.require_subcommand(1);
    app_.footer(kExamples);
    AddMeasurements();
    AddRoles();
  }

  int Main(int argc, char** argv) {
    try {
      app_.parse(argc, argv);
    } catch (const CLI::ParseError& error) {
      return app_.exit(error) == 0 ? 0 : 2;
    }
    Words& w = words_;
    w.load.retry = !w.no_retry;
    if (w.load.workload == "order") w.load.participants = w.load.branches = kShopServicesCount;
    if (participant_->parsed()) return RunParticipant(w.load, w.number, w.endpoints, w.folder);
    if (unary_->parsed()) return RunUnaryParticipant(w.load, w.endpoints.front());
    if (initiator_->parsed()) {
      return w.load.workload == "rest" ? RunRestInitiator(w.load, w.endpoints.front())
                                       : RunInitiator(w.load, w.endpoints);
    }
    if (rest_->parsed()) return RunRestFloor();
    if (echo_server_->parsed()) return RunEchoServer(w.endpoints.front());
    if (echo_caller_->parsed()) return RunEchoCaller(w.load, w.endpoints.front());
    if (coordinator_->parsed()) return RunFloorCoordinator(w.load, w.endpoints.front(), w.folder);
    if (echo_->parsed()) return RunUnaryFloor(w.endpoints.front(), w.dial);
    if (silent_->parsed()) return RunSilentSessions(w.sessions, w.number, w.endpoints.front());

    if (IsThreaded(w.load))
      w.load.in_flight = std::min(w.load.in_flight, kMaxThreads * w.load.initiators);
    if (const std::string wrong =
            Wrong(w.load, floor_->parsed() || (compare_->parsed() && !w.load.tls));
        !wrong.empty()) {
      std::fprintf(stderr, "assent-bench: %s\n", wrong.c_str());
      return 2;
    }
    if (append_->parsed()) return Append(w.load, w.rounds, w.json);
    if (scale_->parsed()) {
      if (scale_->count("--in-flight") == 0) w.load.in_flight = kScaleInFlight;
      if (scale_->count("--commit-delay") == 0) w.load.commit_delay_ms = kScaleCommitDelayMs;
      return Scale(w.load, w.rounds, w.json);
    }
    if (compare_->parsed() && w.load.tls) return CompareTls(w.load, w.rounds, w.json);
    if (compare_->parsed()) return Compare(w.load, w.rounds, w.json);
    if (idle_->parsed()) return Idle(w.load, w.sessions, w.json);
    if (hold_->parsed()) return HoldAndRestart(w.load, w.transactions, w.folder, w.json);
    if (absent_->parsed()) return BesideAbsent(w.load, w.waiting, w.rounds, w.json);
    if (outbox_->parsed()) return BesideOutbox(w.load, w.rounds, w.json);
    if (ramp_->parsed()) return ReturnOfMany(w.load, w.rounds, w.json);
    if (scrape_->parsed()) return Scrape(w.load, w.transactions, w.rounds, w.json);
    if (fill_->parsed()) return Fill(w.load, w.transactions, w.folder, w.json);
    if (w.load.title.empty()) w.load.title = run_->parsed() ? w.load.workload : "floor";
    const Measurement measured =
        Measure(w.load, run_->parsed() ? Kind::kEngine : Kind::kFloor, w.folder);
    if (w.json) {
      std::cout << ToJson(measured).dump() << "\n";
    } else {
      Print(w.load.title, measured);
    }
    return measured.failed == 0 ? 0 : 1;
  }

 private:
  CLI::App* Add(const char* name, const char* help) {
    CLI::App* sub = app_.add_subcommand(name, help);
    AddLoad(*sub, words_);
    sub->add_flag("--json", words_.json, "One JSON object on standard output");
    sub->add_option("--folder", words_.folder,
                    "Where the data lies; default: a temporary folder, removed afterwards");
    return sub;
  }

  void AddRounds(CLI::App& sub) {
    sub.add_option("--rounds", words_.rounds, "How often")
        ->check(CLI::Range(1, 1000))
        ->capture_default_str();
  }

  void AddMeasurements() {
    run_ = Add("run", "Measure assentd");
    run_->add_flag("--tls", words_.load.tls, "With mutual TLS on each connection");
    floor_ =
        Add("floor", "Measure the floor: the same processes, messages, frames and rows, no engine");
    compare_ = Add("compare", "Floor and assentd in turn, and their ratios");
    AddRounds(*compare_);
    compare_->add_flag("--tls", words_.load.tls,
                       "assentd alone, without TLS and with mutual TLS on each connection");
    scale_ = Add("scale",
                 "1, 2 … --coordinators in turn, each with --in-flight under way at it (64), on a "
                 "database whose commits take longer (--commit-delay, 10)");
    AddRounds(*scale_);
    append_ = Add("append",
                  "Groups of rows into --log as coordinators write them, with the fence and "
                  "without it, in turn");
    AddRounds(*append_);
    idle_ = Add("idle", "What assentd uses while participants are connected and nothing happens");
    idle_->add_option("--sessions", words_.sessions, "Connected participants")
        ->check(CLI::Range(0, 10'000))
        ->capture_default_str();
    hold_ = Add("hold",
                "Transactions whose participants never answer: memory of each; then kill -9, and "
                "how long the start takes beside SQLite reading the same rows");
    hold_->add_option("--transactions", words_.transactions, "How many")
        ->check(CLI::Range(1000, 10'000'000))
        ->capture_default_str();
    absent_ =
        Add("absent",
            "A healthy load beside transactions that wait for a participant who is not there, "
            "and without them, in turn; and what listing them costs");
    absent_->add_option("--transactions", words_.waiting, "How many wait")
        ->check(CLI::Range(100, 1'000'000))
        ->capture_default_str();
    AddRounds(*absent_);
    outbox_ =
        Add("outbox",
            "Transactions published into SQLite and relayed, and submitted directly, in turn");
    outbox_->add_option("--transactions", words_.load.count, "How many (default 20000)");
    AddRounds(*outbox_);
    ramp_ =
        Add("ramp",
            "Many transactions wait for a service that comes back, with the policy that begins it "
            "small and without, in turn");
    ramp_->add_option("--transactions", words_.load.count, "How many (default 100000)");
    AddRounds(*ramp_);
    scrape_ = Add("scrape",
                  "A healthy load beside transactions in flight that wait for a participant who is "
                  "not there, /metrics being asked for ten times a second or not, in turn");
    scrape_->add_option("--transactions", words_.transactions, "How many are in flight")
        ->check(CLI::Range(100, 9'000'000))
        ->capture_default_str();
    AddRounds(*scrape_);
    fill_ =
        Add("fill", "Writes finished transactions into the log of --folder, without running them");
    fill_->add_option("--transactions", words_.transactions, "How many")->capture_default_str();
  }

  CLI::App* AddRole(const char* name) {
    CLI::App* sub = Add(name, "A process of the fleet");
    sub->group("");
    sub->add_option("--number", words_.number);
    sub->add_option("--endpoint", words_.endpoints)->delimiter(',');
    sub->add_option("--dial", words_.dial);
    sub->add_option("--sessions", words_.sessions);
    sub->add_option("--tls-folder", words_.load.tls_folder);
    return sub;
  }

  void AddRoles() {
    participant_ = AddRole("participant");
    unary_ = AddRole("unary-participant");
    initiator_ = AddRole("initiator");
    coordinator_ = AddRole("floor-coordinator");
    echo_ = AddRole("unary-floor");
    rest_ = AddRole("rest-floor");
    silent_ = AddRole("silent-sessions");
    echo_server_ = AddRole("echo-server");
    echo_caller_ = AddRole("echo-caller");
  }

  static constexpr const char* kAbout =
      "assent-bench measures assentd with real processes over loopback TCP: a coordinator, "
      "participants, initiators.";
  static constexpr const char* kExamples =
      "Examples:\n"
      "  assent-bench run --workload tcc --in-flight 1024 --seconds 10\n"
      "  assent-bench run --rate 10000                        open loop\n"
      "  assent-bench compare --rounds 5 --json\n"
      "  assent-bench compare --tls                           what mutual TLS costs\n"
      "  assent-bench scale --coordinators 3 --log postgresql://assent@127.0.0.1:5432/postgres\n"
      "  assent-bench hold --transactions 1000000             memory, and restart\n"
      "  assent-bench absent --transactions 100000            who waits does not hold up who is "
      "well\n"
      "  assent-bench outbox                                  a relay beside submitting directly\n"
      "  assent-bench ramp                                    the return of a service that many "
      "wait for\n"
      "  assent-bench scrape --transactions 1000000           what a page of metrics costs\n";

  Words words_;
  CLI::App app_;
  CLI::App* run_ = nullptr;
  CLI::App* floor_ = nullptr;
  CLI::App* compare_ = nullptr;
  CLI::App* scale_ = nullptr;
  CLI::App* append_ = nullptr;
  CLI::App* idle_ = nullptr;
  CLI::App* hold_ = nullptr;
  CLI::App* absent_ = nullptr;
  CLI::App* outbox_ = nullptr;
  CLI::App* ramp_ = nullptr;
  CLI::App* scrape_ = nullptr;
  CLI::App* fill_ = nullptr;
  CLI::App* participant_ = nullptr;
  CLI::App* unary_ = nullptr;
  CLI::App* initiator_ = nullptr;
  CLI::App* coordinator_ = nullptr;
  CLI::App* echo_ = nullptr;
  CLI::App* rest_ = nullptr;
  CLI::App* silent_ = nullptr;
  CLI::App* echo_server_ = nullptr;
  CLI::App* echo_caller_ = nullptr;
};

}  // namespace
}  // namespace assent::bench

int main(int argc, char** argv) {
  // As assentd does, so that the floor is not slowed down by what the daemon is spared.
  absl::SetMutexDeadlockDetectionMode(absl::OnDeadlockCycle::kIgnore);
  return assent::bench::Program().Main(argc, argv);
}
