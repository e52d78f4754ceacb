#pragma once

// What one initiator asks for: drawn transactions between banks whose deltas sum to zero.

#include <cstdint>
#include <random>
#include <string>
#include <vector>

#include <assent/transaction.h>

#include "tests/crash/campaign/journal.h"

namespace assent::crash {

inline constexpr int kBanksCount = 4;
inline constexpr int kDialledBank = 3;  // the coordinator dials it; the others dial in

struct Plan {
  Transaction transaction;  // the whole of it; for an open one only its identity and deadline count
  std::vector<Branch> branches;  // the same branches, one by one
  std::vector<PlannedBranch> planned;
};
using Dice = std::mt19937_64;

Plan DrawPlan(Dice& dice, bool open);

}  // namespace assent::crash
