#pragma once

// The books of the shop, as they stand in the three services' own databases. Read behind the
// services' backs, with SQL, by code that shares nothing with them: what the demo says about money
// and goods is what the files say.

#include <cstdint>
#include <map>
#include <string>
#include <string_view>
#include <vector>

#include <assent/status.h>

#include "examples/order/order.h"

namespace demo {

// available + frozen + sold is constant, for goods and for coins alike.
struct Shelf {
  std::int64_t available = 0;
  std::int64_t frozen = 0;
  std::int64_t sold = 0;
  std::int64_t total() const { return available + frozen + sold; }
  friend bool operator==(const Shelf&, const Shelf&) = default;
};

// One order, as one service wrote it down.
struct Entry {
  std::string status;
  std::string subject;  // the article, or the customer
  std::int64_t amount = 0;
  friend bool operator==(const Entry&, const Entry&) = default;
};

struct Books {
  std::map<std::string, Shelf> stock;         // by article
  std::map<std::string, Shelf> accounts;      // by customer: balance, held, spent
  std::map<std::string, Entry> orders;        // by order: its article and quantity
  std::map<std::string, Entry> bills;         // by order: its customer and coins
  std::map<std::string, Entry> reservations;  // by order
  std::map<std::string, Entry> payments;      // by order
  // Rows in the SQLite adapter's tables of prepared branches and row locks, by "inventory.db:
  // assent_prepared".
  std::map<std::string, std::int64_t> held;

  std::int64_t prepared(const std::string& service) const;
};

// `directory` holds order.db, inventory.db and payment.db.
assent::Result<Books> ReadBooks(const std::string& directory);

// What is wrong with `after`, when `order` is all that happened since `before` and everything is at
// rest: one sentence each. None: exactly this order is booked (or exactly nothing), and nothing is
// frozen or prepared.
std::vector<std::string> CheckOrder(const Books& before, const Books& after,
                                    const shop::Order& order, bool committed);

// What is wrong with the closing books as a whole, given what the initiator was told.
std::vector<std::string> CheckAll(const Books& opening, const Books& closing,
                                  const std::vector<shop::Order>& committed);

// "98 available + 0 frozen + 2 sold".
std::string ToString(const Shelf& shelf);

}  // namespace demo
