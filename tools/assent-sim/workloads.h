#pragma once

// What the business itself can see when everything is over, without any knowledge of protocols: the
// three workloads whose violations show. A participant that answers "done" and did something else
// breaks none of the rules in invariants.cc; it breaks these.

#include <string>
#include <vector>

#include "tools/assent-sim/ledger.h"
#include "tools/assent-sim/store.h"

namespace assent::sim {

// The first rule that is broken, as "W1 ...". To be asked when all has ended, and nobody resolved
// anything by hand.
//   W1 transfers   all accounts of all banks together hold what they held at first
//   W2 tokens      every committed token stands exactly once, where it belongs; no aborted one does
//   W3 orders      of each item there is what there was, less the committed orders, each of which
//                  stands exactly once
std::string BrokenBusiness(const Options& options, const Ledger& ledger,
                           const std::vector<const Store*>& stores);

}  // namespace assent::sim
