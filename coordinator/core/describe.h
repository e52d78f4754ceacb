#pragma once

#include <cstddef>
#include <optional>
#include <string>
#include <string_view>

#include <assent/status.h>

#include "coordinator/core/transaction.h"

namespace assent::core {

// Of one that is held: why, and what a person has to do.
inline constexpr std::string_view kWhyHeld =
    "the log was put back to an older state and may lack what became of it";
inline constexpr std::string_view kEndHeld =
    "has to look at its participants, and abort it, resume it, or resolve a branch";

// What everybody but an operator is told of one that is held.
Status HeldStatus(const std::string& gid);

// One sentence for a person at three in the morning: what the transaction is waiting for. Empty
// when finished.
std::string WhyNotFinished(const Transaction& transaction, const Now& now);
// The end of that sentence: the branch that holds it up most, and how many more.
std::string WhatIsLeft(const Transaction& transaction, const Now& now);

// That branch, and how many others hold it up as well. None does: it waits for its initiator, or
// only for earlier branches.
struct HeldUp {
  BranchIndex by = 0;
  std::size_t others = 0;
};
std::optional<HeldUp> WhatHoldsItUp(const Transaction& transaction);

// What an undecided transaction that must now be given up was still waiting for: ": branch 2
// inventory/reserve: no participant inventory is connected (14 attempts)". The branch that has said
// or met something comes before one that is only silent, the earlier before the later.
std::string WhoIsToBlame(const Transaction& transaction);

// "250 ms", "8 s", "3 min", "5 h", "2 d".
std::string HumanDuration(Micros duration);

}  // namespace assent::core
