#pragma once

// Draws what initiators want: bank transfers, unique tokens, orders.

#include <vector>

#include "tools/assent-sim/books.h"
#include "tools/assent-sim/sim.h"

namespace assent::sim {

std::vector<TransactionPlan> DrawPlans(Sim& sim);

}  // namespace assent::sim
