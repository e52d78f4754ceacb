#pragma once

// The small worlds of the explorer: one transaction, fixed latencies, no chance.

#include <string>
#include <vector>

#include "tools/assent-sim/books.h"
#include "tools/assent-sim/options.h"

namespace assent::sim {

struct Scenario {
  std::string name;
  Options options;
  std::vector<TransactionPlan> plans;
};

// Each protocol and a mixed one, on 2 and 3 branches, where all say yes and where the last one
// refuses; the one-phase path, the pivot and the interactive form.
std::vector<Scenario> CrashScenarios();
// The smallest ones, over letters, for every interleaving.
std::vector<Scenario> InterleavingScenarios();

}  // namespace assent::sim
