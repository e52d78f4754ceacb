#pragma once

// What of a transaction a person would want to be told at once, wherever he is.

#include <cstdint>

#include "coordinator/core/transaction.h"

namespace assent::engine {

enum class Alarm : std::uint8_t {
  kNone,
  kStuck,   // it does not go on without a person
  kHazard,  // likewise: a participant contradicts the decision
  kHeld,    // likewise: it may have been decided, unknown to this log
  kEndedMixed,
  kEndedHazard,
};

inline Alarm AlarmOf(const core::Transaction& txn) {
  if (txn.finished()) {
    if (txn.outcome() == core::Outcome::kMixed) return Alarm::kEndedMixed;
    return txn.outcome() == core::Outcome::kHazard ? Alarm::kEndedHazard : Alarm::kNone;
  }
  if (!txn.needs_operator()) return Alarm::kNone;
  if (txn.held()) return Alarm::kHeld;
  for (const core::Branch& branch : txn.branches()) {
    if (branch.needs_operator && branch.hazard) return Alarm::kHazard;
  }
  return Alarm::kStuck;
}

}  // namespace assent::engine
