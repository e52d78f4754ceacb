#include "tools/assent-sim/workloads.h"

#include <algorithm>
#include <cstdint>

namespace assent::sim {
namespace {

std::string ConstantTotal(const std::vector<const Store*>& stores) {
  std::int64_t initial = 0;
  std::int64_t total = 0;
  for (const Store* store : stores) {
    for (std::size_t a = 0; a < store->accounts(); ++a) {
      initial += store->InitialOf(a);
      total += store->AvailableOf(a);
    }
  }
  if (total == initial) return {};
  return "W1 broken: all accounts together held " + std::to_string(initial) + ", and hold " +
         std::to_string(total);
}

// A committed branch leaves an entry in its account, unless it only looked.
bool LeavesEntry(const BranchPlan& plan) {
  return !(plan.read_only && plan.protocol == core::Protocol::kTwoPhase);
}

std::string EachExactlyOnce(const char* rule, const Ledger& ledger,
                            const std::vector<const Store*>& stores) {
  std::size_t wanted = 0;
  for (std::size_t t = 0; t < ledger.size(); ++t) {
    const TransactionBooks& books = ledger.books(t);
    for (std::size_t b = 0; b < books.plan->branches.size(); ++b) {
      const BranchPlan& plan = books.plan->branches[b];
      const bool committed = books.commit_durable && b < books.listed && LeavesEntry(plan);
      const auto& entries = stores[plan.service]->entries(plan.account);
      const auto found = std::count_if(entries.begin(), entries.end(),
                                       [&](const auto& e) { return e.name == plan.payload; });
      wanted += committed ? 1 : 0;
      if (found != (committed ? 1 : 0))
        return std::string(rule) + " broken: " + plan.payload + " was " +
               (committed ? "" : "not ") + "committed, and stands " + std::to_string(found) +
               " times";
    }
  }
  std::size_t standing = 0;
  for (const Store* store : stores) {
    for (std::size_t a = 0; a < store->accounts(); ++a) standing += store->entries(a).size();
  }
  if (standing == wanted) return {};
  return std::string(rule) + " broken: " + std::to_string(standing) + " entries stand, and " +
         std::to_string(wanted) + " were committed";
}

std::string StockIsRight(const Ledger& ledger, const std::vector<const Store*>& stores) {
  for (std::size_t s = 0; s < stores.size(); ++s) {
    for (std::size_t a = 0; a < stores[s]->accounts(); ++a) {
      std::int64_t ordered = 0;
      for (std::size_t t = 0; t < ledger.size(); ++t) {
        const TransactionBooks& books = ledger.books(t);
        for (std::size_t b = 0; b < books.listed && books.commit_durable; ++b) {
          const BranchPlan& plan = books.plan->branches[b];
          if (plan.service == s && plan.account == a && LeavesEntry(plan)) ordered += plan.amount;
        }
      }
      const std::int64_t expected = stores[s]->InitialOf(a) - ordered;
      if (stores[s]->AvailableOf(a) == expected) continue;
      return "W3 broken: of item " + std::to_string(a) + " of s" + std::to_string(s) +
             " there are " + std::to_string(stores[s]->AvailableOf(a)) + ", and should be " +
             std::to_string(expected);
    }
  }
  return {};
}

}  // namespace

std::string BrokenBusiness(const Options& options, const Ledger& ledger,
                           const std::vector<const Store*>& stores) {
  std::string broken;
  switch (options.workload) {
    case Workload::kTransfers: return ConstantTotal(stores);
    case Workload::kTokens: return EachExactlyOnce("W2", ledger, stores);
    case Workload::kOrders: broken = EachExactlyOnce("W3", ledger, stores); break;
  }
  return broken.empty() ? StockIsRight(ledger, stores) : broken;
}

}  // namespace assent::sim
