#pragma once

// Why a transaction is not finished, without what is its own: so that a thousand that wait for the
// same thing are one line with a number.

#include <cstdint>
#include <string>
#include <string_view>

#include <assent/states.h>

#include "coordinator/core/transaction.h"

namespace assent::core {

// Of a transaction: of the branch that WhyNotFinished names. Its views are the transaction's.
struct Cause {
  CauseKind kind = CauseKind::kUnderWay;
  // As far as they belong to the cause: whoever waits for a service that is away waits for it
  // whatever is to be done there.
  std::string_view service{};
  std::string_view action{};
  Operation operation = kNoOperation;
  // What was said, where that is part of the cause; without the transaction's own gid and labels,
  // and with '#' for each word that has a digit. At most kMaxCauseBytes.
  std::string words{};
};
inline constexpr std::size_t kMaxCauseBytes = 300;

Cause CauseOf(const Transaction& transaction);

// "not connected", "failing".
std::string_view Name(CauseKind kind);
// "payment: not connected", "inventory/reserve: CANCEL fails: shelf # is locked".
std::string Sentence(const Cause& cause);

}  // namespace assent::core
