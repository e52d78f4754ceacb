#pragma once

// Exhaustive exploration of small worlds: a crash at every point, then at every pair of points;
// then every order of messages with at most one duplicate, one loss and one crash.

#include <atomic>
#include <cstdint>
#include <map>
#include <string>
#include <vector>

namespace assent::sim {

struct ExplorerOptions {
  std::uint32_t threads = 1;
  bool pairs = true;
  bool interleavings = true;
  // Of one scenario; what is cut off is reported as incomplete.
  std::uint64_t max_interleavings = 200'000;
  bool stop_at_first = false;
  std::atomic<std::uint64_t>* progress = nullptr;  // runs, for whoever looks from another process
};

struct ExplorerFinding {
  std::string where;  // the scenario, and what to say to `assent-sim exhaustive --replay`
  std::string what;
};

// Of one scenario.
struct InterleavingCount {
  std::uint64_t runs = 0;
  std::uint64_t redundant = 0;
  bool complete = true;
  std::uint64_t misfortunes = 0;   // of a loss, a duplicate and a death, at most, in one walk
  std::uint64_t early_timers = 0;  // that fire while messages are under way
};

struct ExplorerReport {
  std::uint64_t scenarios = 0;
  std::uint64_t points = 0;                         // runs with one crash
  std::uint64_t pairs = 0;                          // runs with two
  std::uint64_t interleavings = 0;                  // runs with messages in an order of their own
  std::uint64_t redundant = 0;                      // ... given up, because equal to another one
  std::map<std::string, InterleavingCount> orders;  // by scenario
  std::uint64_t incomplete = 0;                     // scenarios whose interleavings were cut off
  double seconds = 0;
  double cpu_seconds = 0;
  std::vector<ExplorerFinding> findings;
};

ExplorerReport Explore(const ExplorerOptions& options);

// Runs one exploration again. `where` is ExplorerFinding::where.
struct ExplorationAgain {
  bool known = false;     // there is such a scenario
  std::string violation;  // empty: none
  std::vector<std::string> trace;
};
ExplorationAgain ReplayExploration(const std::string& where);

}  // namespace assent::sim
