#pragma once

// The demo's shop as a workload: three services over SQLite databases of their own. The handlers
// run the statements of examples/order, with stock and money for as long as it takes.

#include <cstdint>

#include <assent/sqlite.h>
#include <assent/transaction.h>

namespace assent::bench {

inline constexpr int kShopServicesCount = 3;
inline constexpr const char* kShopServices[kShopServicesCount] = {"order", "inventory", "payment"};

// The tables of service `number`, filled.
void ShopTables(int number, sqlite::Db& db);
// Its TCC action.
void ShopActions(int number, sqlite::Store& store);

// One order as a TCC transaction over the three services; `number` and `who` together make its
// identity.
Transaction MakeOrder(std::uint64_t number, std::uint64_t who);

}  // namespace assent::bench
