#pragma once

// What is true of every transaction between two events. Decoding checks it, because bytes are not
// to be trusted; so do the tests, after every event of every scenario.

#include <string_view>

#include "coordinator/core/transaction.h"

namespace assent::core {

// The first rule that does not hold, as a sentence; empty if all do.
std::string_view BrokenRule(const Transaction& transaction);

}  // namespace assent::core
