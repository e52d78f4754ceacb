#include <algorithm>
#include <cstdio>
#include <iostream>

#include <nlohmann/json.hpp>

#include "tools/assent-bench/fleet.h"
#include "tools/assent-bench/trials.h"

namespace assent::bench {
namespace {

constexpr int kProcesses = 4;

}  // namespace

int Idle(const Load& load, int sessions, bool json) {
  const Folder folder("");
  const std::string errors = folder.path() + "/errors";
  Child coordinator(DaemonCommand(load, folder.path()), errors);
  const std::string endpoint = WaitListening(coordinator);
  std::vector<std::unique_ptr<Child>> children;
  for (int i = 0; i < kProcesses; ++i) {
    const int share = sessions / kProcesses + (i < sessions % kProcesses ? 1 : 0);
    if (share == 0) continue;
    children.push_back(std::make_unique<Child>(
        std::vector<std::string>{BinFolder() + "/assent-bench", "silent-sessions", "--endpoint",
                                 endpoint, "--number", std::to_string(i), "--sessions",
                                 std::to_string(share)},
        errors));
  }
  for (auto& child : children) child->WaitLine("ready");
  Pass(std::chrono::duration<double>(load.warmup_seconds));  // until it has settled
  const Usage before = UsageOf(coordinator.pid());
  for (double passed = 0; passed < load.seconds; passed += 0.5) {
    ShowProgress("idle with " + std::to_string(sessions) + " sessions", passed, load.seconds);
    Pass(std::chrono::duration<double>(std::min(0.5, load.seconds - passed)));
  }
  EndProgress();
  const Usage after = UsageOf(coordinator.pid());
  const double share = (after.cpu_seconds - before.cpu_seconds) / load.seconds;
  if (json) {
    std::cout << nlohmann::json{{"sessions", sessions},
                                {"seconds", load.seconds},
                                {"cpu_seconds", after.cpu_seconds - before.cpu_seconds},
                                {"core_share", share},
                                {"resident_kib", after.resident_kib}}
                     .dump()
              << "\n";
  } else {
    std::printf("idle, %d sessions: %.2f %% of a core over %.0f s, %.0f MiB\n", sessions,
                100 * share, load.seconds, static_cast<double>(after.resident_kib) / 1024);
  }
  return 0;
}

}  // namespace assent::bench
