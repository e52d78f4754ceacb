// assentd: the coordinator as a process.

#include <algorithm>
#include <atomic>
#include <chrono>
#include <csignal>
#include <cstddef>
#include <cstdlib>
#include <functional>
#include <memory>
#include <string>
#include <unistd.h>

#include <absl/synchronization/mutex.h>
#include <grpc/grpc.h>
#include <spdlog/spdlog.h>

#include "coordinator/daemon/config.h"
#include "coordinator/daemon/file_modes.h"
#include "coordinator/daemon/logging.h"
#include "coordinator/daemon/output.h"
#include "coordinator/daemon/server.h"
#include "coordinator/daemon/signals.h"
#include "coordinator/daemon/supervisor.h"
#include "proto/tls/channel_credentials.h"

namespace {

using assent::daemon::Config;
using assent::daemon::Impatience;
using assent::daemon::Server;
using std::chrono::milliseconds;

// How long a start or a stop that was told to end may still take.
constexpr milliseconds kPatienceOfStart{2'000};
constexpr milliseconds kPatienceOfStop{10'000};

// As the first code of the process, before the constructors of the libraries, which take longer
// than everything up to main. Instruments of sanitizers are not ready yet.
__attribute__((no_sanitize_address)) void BlockSignals(int, char**, char**) {
  static sigset_t signals;
  sigemptyset(&signals);
  sigaddset(&signals, SIGTERM);
  sigaddset(&signals, SIGINT);
  sigaddset(&signals, SIGHUP);
  sigprocmask(SIG_BLOCK, &signals, nullptr);
}
__attribute__((section(".preinit_array"), used)) void (*const kBlockSignals)(int, char**,
                                                                             char**) = BlockSignals;

// A supervisor with less patience than the settings ask for would kill what is about to end.
void TellOfStop(const Config& config) {
  const std::chrono::microseconds most =
      std::chrono::seconds(config.drain_seconds) + 2 * kPatienceOfStop;
  assent::daemon::TellSupervisor("STOPPING=1\nEXTEND_TIMEOUT_USEC=" + std::to_string(most.count()) +
                                 "\nSTATUS=stopping: transactions under way have " +
                                 std::to_string(config.drain_seconds) + " s to end");
}

// Refuses new work, waits for what is under way, and gives up waiting on a second signal.
void Drain(Server& server, const Config& config) {
  spdlog::info(
      "event=drain phase=refuse_new seconds_at_most={} hint=\"a second signal stops at once\"",
      config.drain_seconds);
  TellOfStop(config);
  server.BeginDrain();
  const auto until = std::chrono::steady_clock::now() + std::chrono::seconds(config.drain_seconds);
  while (std::chrono::steady_clock::now() < until) {
    if (const auto rest = server.Drained()) {
      if (*rest == 0) spdlog::info("event=drain phase=all_finished");
      if (*rest > 0) {
        spdlog::info(
            "event=drain phase=rest_waits transactions={} hint=\"for participants that are away; "
            "the next start goes on with them\"",
            *rest);
      }
      return;
    }
    if (assent::daemon::IsStop(assent::daemon::WaitForSignal(milliseconds(50)))) {
      spdlog::info("event=drain phase=told_twice");
      return;
    }
  }
  spdlog::info(
      "event=drain phase=time_is_up hint=\"at the next start what is decided goes on, and TCC and "
      "Saga; what is undecided and has a 2pc branch is aborted\"");
}

// The end for a phase that does not come to its own. What anybody was told is durable.
void EndNow(Server* server, const char* phase) {
  spdlog::info("event=stopped phase={} hint=\"not waited for; the next start takes up the rest\"",
               phase);
  spdlog::default_logger()->flush();
  if (server != nullptr) server->RemoveSocket();
  _exit(assent::daemon::kExitOk);
}

// What was read again and differs is taken up, or wants a restart; what is wrong changes nothing.
void Reload(Server& server, const assent::Result<Config>& read, Config& config) {
  const auto line = [](const std::string& text) {
    constexpr std::size_t kMaxBytes = 400;
    return assent::daemon::OneLine(text, kMaxBytes);
  };
  if (!read.ok()) {
    spdlog::error("event=reload_refused error=\"{}\" hint=\"nothing was changed\"",
                  line(read.status().message()));
    return;
  }
  std::string taken;
  for (const assent::daemon::ChangedSetting& one : assent::daemon::TakeUp(config, *read)) {
    if (one.taken_up) {
      taken += (taken.empty() ? "" : ",") + one.name;
    } else {
      spdlog::warn("event=reload_needs_restart setting={} runs_with=\"{}\" is_now=\"{}\"", one.name,
                   line(one.was), line(one.is));
    }
  }
  const std::string failed = server.Reload(config);
  const auto level = spdlog::level::from_str(config.log_level);
  spdlog::set_level(std::min(level, spdlog::get_level()));
  if (failed.empty()) {
    spdlog::info("event=reloaded changed=\"{}\"", taken);
  } else {
    spdlog::error("event=reloaded_in_part changed=\"{}\" not_read=\"{}\"", taken, failed);
  }
  spdlog::set_level(level);
}

// Until told to stop.
void Serve(Server& server, assent::daemon::Logging& logging, const Config& config,
           const std::function<void()>& reload, bool stop) {
  assent::daemon::Output card(STDOUT_FILENO, {}, [](std::uint64_t) { return std::string(); });
  card.Put(server.Card());
  assent::daemon::TellSupervisor("READY=1\nSTATUS=serving " + server.address());
  while (!stop) {
    const int signal = assent::daemon::WaitForSignal(milliseconds(1'000));
    stop = assent::daemon::IsStop(signal);
    if (signal == SIGHUP) reload();
    server.Tick();
    logging.Tick();
    assent::daemon::TellSupervisor("WATCHDOG=1");
  }
  Drain(server, config);
  const Impatience impatience(true, kPatienceOfStop, [&] { EndNow(&server, "stopping"); });
  server.Stop();
  spdlog::info("event=stopped");
}

}  // namespace

int main(int argc, char** argv) {
  std::atomic<Server*> made = nullptr;
  auto starting =
      std::make_unique<Impatience>(false, kPatienceOfStart, [&] { EndNow(made, "starting"); });
  assent::daemon::ParsedConfig parsed = assent::daemon::ParseConfig(argc, argv);
  if (parsed.exit) return parsed.exit_code;
  assent::daemon::Logging logging(parsed.config.log_level, parsed.config.log_format == "json");

  // Debian's abseil was built without NDEBUG: every lock that gRPC takes would look for deadlock
  // cycles, under one global lock of its own.
  absl::SetMutexDeadlockDetectionMode(absl::OnDeadlockCycle::kIgnore);
  // Stays until the process ends: its own end joins a thread that may sleep for ten seconds after
  // an unfinished write.
  assent::tls::KeepOpenSslToTheEnd();
  grpc_init();
  std::signal(SIGPIPE, SIG_IGN);
  std::signal(SIGXFSZ,
              SIG_IGN);  // a file that may not grow is an I/O error, with a line of the log

  Server server(parsed.config);
  made = &server;
  int exit_code = 0;
  assent::daemon::TellSupervisor("STATUS=opening the log");
  const assent::Status started = server.Start(exit_code);
  assent::daemon::WarnOfOpenFiles(parsed.config);
  const bool stop = starting->stop_asked();
  starting.reset();
  if (!started.ok()) {
    logging.Say("assentd: " + started.message());
    return exit_code;
  }
  const auto reload = [&] { Reload(server, assent::daemon::ReadAgain(argc, argv), parsed.config); };
  Serve(server, logging, parsed.config, reload, stop);
  return assent::daemon::kExitOk;
}
