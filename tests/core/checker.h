#pragma once

// What must hold of every step of every transaction, whatever the event was.

#include <string>

#include "coordinator/core/transaction.h"

namespace assent::core::testing {

// The first rule that the step breaks, as a sentence; empty if it breaks none. `before` is the
// transaction as it was when `event` came, `after` as the step left it.
std::string BrokenByStep(const Transaction& before, const Event& event, const Step& step,
                         const Transaction& after, const Now& now);

// The same bytes back, from and to a transaction that means the same.
std::string BrokenByCodec(const Transaction& transaction);

}  // namespace assent::core::testing
