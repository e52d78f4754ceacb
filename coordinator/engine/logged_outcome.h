#pragma once

// The outcome of a finished transaction, as its row of the log has it.

#include <cstdint>
#include <vector>

#include "coordinator/core/types.h"

namespace assent::engine {

// Added to core's outcome in the log when a person declared what happened in some branch. Its
// participant has acknowledged nothing and may still ask, so retention must not make the answer a
// presumed one: only an operator's forget does.
inline constexpr std::uint8_t kResolvedByHand = 16;
constexpr core::Outcome OutcomeFromLog(std::uint8_t outcome) {
  return static_cast<core::Outcome>(outcome & (kResolvedByHand - 1U));
}
// Every outcome in the log that retention leaves alone.
std::vector<std::uint8_t> PinnedOutcomes();

}  // namespace assent::engine
