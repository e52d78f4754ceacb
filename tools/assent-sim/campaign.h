#pragma once

// Many random schedules, on several threads.

#include <atomic>
#include <cstdint>
#include <string>
#include <vector>

#include "tools/assent-sim/marks.h"
#include "tools/assent-sim/options.h"

namespace assent::sim {

struct CampaignOptions {
  std::uint64_t seed = 1;
  std::uint64_t schedules = 1000;
  std::uint32_t threads = 1;
  Form form = Form::kLite;
  std::uint32_t coordinators = 0;  // 0: mostly one
  bool stop_at_first = false;
  bool business_checks = true;  // see Options
  bool planted = false;         // there is a bug in the code on purpose
  // Every n-th schedule is run twice, and must come out the same.
  std::uint64_t twice_each = 64;
  // How many have been begun, for whoever looks from another process.
  std::atomic<std::uint64_t>* progress = nullptr;
};

struct Failure {
  std::uint64_t seed = 0;
  std::string what;
};

struct CampaignReport {
  std::uint64_t schedules = 0;
  std::uint64_t events = 0;
  std::uint64_t repeated = 0;  // run twice, to compare
  double seconds = 0;
  double cpu_seconds = 0;         // of all threads: says something on a busy machine as well
  std::vector<Failure> failures;  // by seed
  MarkCounts marks;
};

CampaignReport RunCampaign(const CampaignOptions& options);

struct ReplayReport {
  std::string violation;
  std::uint64_t hash = 0;
  std::uint64_t events = 0;
  std::string options;
  std::vector<std::string> trace;
};
ReplayReport Replay(std::uint64_t seed, Form form, std::uint32_t coordinators, bool trace);

}  // namespace assent::sim
