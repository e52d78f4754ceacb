// assentd: the coordinator as a process.

#include <chrono>
#include <csignal>
#include <cstdio>
#include <ctime>
#include <iostream>
#include <thread>

#include <absl/synchronization/mutex.h>
#include <spdlog/spdlog.h>
#include <sys/resource.h>

#include "coordinator/daemon/config.h"
#include "coordinator/daemon/logging.h"
#include "coordinator/daemon/server.h"

namespace {

using assent::daemon::Config;
using assent::daemon::Server;

// Waits for one of `signals`, at most `seconds`; 0 if none came.
int WaitForSignal(const sigset_t& signals, time_t seconds) {
  const timespec patience{seconds, 0};
  const int signal = sigtimedwait(&signals, nullptr, &patience);
  return signal > 0 ? signal : 0;
}

// gRPC stops listening for good once it has found no descriptor for a connection. So we take as many as we may have, and say so
// if they are fewer than the sessions that we would accept.
void RaiseFileLimit(const Config& config) {
  rlimit files{};
  if (getrlimit(RLIMIT_NOFILE, &files) != 0) return;
  if (files.rlim_cur < files.rlim_max) {
    files.rlim_cur = files.rlim_max;
    if (setrlimit(RLIMIT_NOFILE, &files) != 0) getrlimit(RLIMIT_NOFILE, &files);
  }
  constexpr rlim_t kOwnFiles = 64;
  if (files.rlim_cur < config.max_sessions + kOwnFiles) {
    spdlog::warn(
        "event=few_files limit={} max_sessions={} hint=\"raise the limit on open files (ulimit -n, "
        "LimitNOFILE=), or lower "
        "--max-sessions: without a free one no connection is accepted any more\"",
        files.rlim_cur, config.max_sessions);
  }
}

bool IsStop(int signal) { return signal == SIGTERM || signal == SIGINT; }

// Refuses new work, waits for what is under way, and gives up waiting on a second signal.
void Drain(Server& server, const Config& config, const sigset_t& signals) {
  spdlog::info(
      "event=drain phase=refuse_new seconds_at_most={} hint=\"a second signal stops at once\"",
      config.drain_seconds);
  server.BeginDrain();
  const auto until = std::chrono::steady_clock::now() + std::chrono::seconds(config.drain_seconds);
  const timespec slice{0, 50'000'000};
  while (std::chrono::steady_clock::now() < until) {
    if (server.Drained()) {
      spdlog::info("event=drain phase=all_finished");
      return;
    }
    if (IsStop(sigtimedwait(&signals, nullptr, &slice))) {
      spdlog::info("event=drain phase=told_twice");
      return;
    }
  }
  spdlog::info(
      "event=drain phase=time_is_up hint=\"unfinished transactions go on at the next start\"");
}

}  // namespace

int main(int argc, char** argv) {
  const assent::daemon::ParsedConfig parsed = assent::daemon::ParseConfig(argc, argv);
  if (parsed.exit) return parsed.exit_code;
  const assent::daemon::Logging logging(parsed.config.log_level,
                                        parsed.config.log_format == "json");

  // Debian's abseil was built without NDEBUG: every lock that gRPC takes would look for deadlock cycles, under one global
  // lock of its own.
  absl::SetMutexDeadlockDetectionMode(absl::OnDeadlockCycle::kIgnore);
  RaiseFileLimit(parsed.config);
  // Before any thread is made, so that all of them leave the signals to us.
  sigset_t signals;
  sigemptyset(&signals);
  for (const int signal : {SIGTERM, SIGINT, SIGHUP}) sigaddset(&signals, signal);
  pthread_sigmask(SIG_BLOCK, &signals, nullptr);
  std::signal(SIGPIPE, SIG_IGN);

  Server server(parsed.config);
  int exit_code = 0;
  const assent::Status started = server.Start(exit_code);
  if (!started.ok()) {
    spdlog::default_logger()->flush();
    std::cerr << "assentd: " << started.message() << "\n";
    return exit_code;
  }
  std::cout << server.Card() << std::flush;

  for (;;) {
    const int signal = WaitForSignal(signals, 1);
    if (IsStop(signal)) break;
    server.Tick();
  }
  Drain(server, parsed.config, signals);
  server.Stop();
  spdlog::info("event=stopped");
  return assent::daemon::kExitOk;
}
