#pragma once

// Every order in which the messages of a small world may arrive. The world runs until only messages
// and timers are left; then one of the things that could come next is chosen: a letter arrives, is
// lost, or arrives and is kept to arrive again; the coordinator dies; or time passes. A path is the
// list of choices; the explorer walks all of them, depth first, by running the world again from its
// beginning. Two orders of what different processes notice are one order: of each such class one is
// walked to its end.

#include <cstdint>
#include <string>
#include <utility>
#include <vector>

#include "tools/assent-sim/scenarios.h"

namespace assent::sim {

struct InterleavingReport {
  std::uint64_t runs = 0;
  std::uint64_t redundant = 0;  // given up on the way: equal to another one
  bool complete = true;
  std::vector<std::pair<std::string, std::string>> findings;  // path, violation
};

// The other bound: how many timers may fire while letters are under way. (When none is, any.)
std::size_t EarlyTimers(const Scenario& scenario);
// Of a loss, a duplicate and a death: how many in one walk. Two branches side by side with all
// three are too many walks for a test; any two of them are not.
std::size_t MaxMisfortunes(const Scenario& scenario);
// How many choices there are at the first step; each can be explored by a thread of its own.
std::size_t FirstChoices(const Scenario& scenario);
InterleavingReport ExploreInterleavings(const Scenario& scenario, std::size_t first,
                                        std::uint64_t max_runs);

struct WalkAgain {
  std::string violation;  // empty: none
  std::vector<std::string> trace;
};
WalkAgain ReplayInterleaving(const Scenario& scenario, const std::string& path);

}  // namespace assent::sim
