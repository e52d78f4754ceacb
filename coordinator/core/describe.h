#pragma once

#include <string>

#include "coordinator/core/transaction.h"

namespace assent::core {

// One sentence for a person at three in the morning: what the transaction is waiting for. Empty
// when finished.
std::string WhyNotFinished(const Transaction& transaction, const Now& now);

// "250 ms", "8 s", "3 min", "5 h", "2 d".
std::string HumanDuration(Micros duration);

}  // namespace assent::core
