#include "examples/order/driver/books.h"

#include <functional>
#include <memory>
#include <set>
#include <sqlite3.h>
#include <utility>

namespace demo {
namespace {

// One database file, read only, in one snapshot.
class Reader {
 public:
  explicit Reader(std::string path) : path_(std::move(path)) {
    sqlite3* db = nullptr;
    const int code = sqlite3_open_v2(path_.c_str(), &db, SQLITE_OPEN_READONLY, nullptr);
    db_.reset(db);
    if (code != SQLITE_OK) Fail();
    sqlite3_busy_timeout(db, 5000);
    Each("BEGIN", [](sqlite3_stmt*) {});  // does nothing after a failure
  }

  void Each(const std::string& sql, const std::function<void(sqlite3_stmt*)>& take) {
    if (!status_.ok()) return;
    sqlite3_stmt* statement = nullptr;
    if (sqlite3_prepare_v2(db_.get(), sql.c_str(), -1, &statement, nullptr) != SQLITE_OK) {
      return Fail();
    }
    int code = SQLITE_ROW;
    while ((code = sqlite3_step(statement)) == SQLITE_ROW) take(statement);
    if (code != SQLITE_DONE) Fail();
    sqlite3_finalize(statement);
  }

  void Shelves(const std::string& sql, std::map<std::string, Shelf>& into) {
    Each(sql, [&](sqlite3_stmt* row) {
      into[Text(row, 0)] = {.available = sqlite3_column_int64(row, 1),
                            .frozen = sqlite3_column_int64(row, 2),
                            .sold = sqlite3_column_int64(row, 3)};
    });
  }

  void Entries(const std::string& sql, std::map<std::string, Entry>& into) {
    Each(sql, [&](sqlite3_stmt* row) {
      into[Text(row, 0)] = {
          .status = Text(row, 1), .subject = Text(row, 2), .amount = sqlite3_column_int64(row, 3)};
    });
  }

  void Held(const std::string& file, std::map<std::string, std::int64_t>& into) {
    for (const char* table : {"assent_prepared", "assent_lock"}) {
      Each(std::string("SELECT count(*) FROM ") + table,
           [&](sqlite3_stmt* row) { into[file + ": " + table] = sqlite3_column_int64(row, 0); });
    }
  }

  const assent::Status& status() const { return status_; }

 private:
  static std::string Text(sqlite3_stmt* row, int column) {
    const unsigned char* text = sqlite3_column_text(row, column);
    return text == nullptr ? std::string() : reinterpret_cast<const char*>(text);
  }
  void Fail() {
    if (status_.ok()) status_ = assent::Unavailable(path_ + ": " + sqlite3_errmsg(db_.get()));
  }

  struct Close {
    void operator()(sqlite3* db) const { sqlite3_close(db); }
  };
  std::string path_;
  std::unique_ptr<sqlite3, Close> db_;
  assent::Status status_;
};

class Faults {
 public:
  template <typename... Parts>
  void Add(const Parts&... parts) {
    std::string sentence;
    (sentence.append(parts), ...);
    list_.push_back(std::move(sentence));
  }
  std::vector<std::string> Take() { return std::move(list_); }

 private:
  std::vector<std::string> list_;
};

void Book(Shelf& shelf, std::int64_t amount) {
  shelf.available -= amount;
  shelf.sold += amount;
}

void CompareShelves(const std::map<std::string, Shelf>& expected,
                    const std::map<std::string, Shelf>& found, const std::string& what,
                    Faults& faults) {
  if (found.size() != expected.size()) faults.Add(what, ": rows have come or gone");
  for (const auto& [name, shelf] : expected) {
    const auto other = found.find(name);
    if (other == found.end()) {
      faults.Add(what, " ", name, " is gone");
    } else if (!(other->second == shelf)) {
      faults.Add(what, " ", name, " should be ", ToString(shelf), ", is ", ToString(other->second));
    }
  }
}

// After an abort an order may have left no trace, or a row that says so.
void CompareEntries(std::map<std::string, Entry> before, std::map<std::string, Entry> after,
                    const std::string& id, const Entry& wanted, bool committed,
                    const std::string& undone, const std::string& what, Faults& faults) {
  const auto entry = after.find(id);
  if (committed && (entry == after.end() || !(entry->second == wanted))) {
    faults.Add(what, " of ", id, " should be ", wanted.status, " for ",
               std::to_string(wanted.amount), ", is ",
               entry == after.end() ? "absent" : entry->second.status);
  }
  if (!committed && entry != after.end() && entry->second.status != undone) {
    faults.Add(what, " of ", id, " should be absent or ", undone, ", is ", entry->second.status);
  }
  after.erase(id);
  before.erase(id);
  if (before != after) faults.Add(what, " of another order than ", id, " has changed");
}

void CheckRest(const Books& books, Faults& faults) {
  for (const auto& [table, rows] : books.held) {
    if (rows != 0) faults.Add(table, " should be empty, holds ", std::to_string(rows));
  }
}

std::set<std::string> IdsWith(const std::map<std::string, Entry>& entries,
                              const std::string& status) {
  std::set<std::string> ids;
  for (const auto& [id, entry] : entries) {
    if (entry.status == status) ids.insert(id);
  }
  return ids;
}

std::map<std::string, std::int64_t> SumsOf(const std::map<std::string, Entry>& entries,
                                           const std::string& status) {
  std::map<std::string, std::int64_t> sums;
  for (const auto& [id, entry] : entries) {
    if (entry.status == status) sums[entry.subject] += entry.amount;
  }
  return sums;
}

// Sums within one database: the shelf's own columns against the entries it stands for.
void CheckSums(const std::map<std::string, Shelf>& opening,
               const std::map<std::string, Shelf>& closing,
               std::map<std::string, std::int64_t> sums, const std::string& what, Faults& faults) {
  for (const auto& [name, shelf] : closing) {
    const auto before = opening.find(name);
    if (before != opening.end() && before->second.total() != shelf.total()) {
      faults.Add(what, " ", name, ": ", ToString(shelf), " is ", std::to_string(shelf.total()),
                 ", in the beginning it was ", std::to_string(before->second.total()));
    }
    if (shelf.frozen != 0) {
      faults.Add(what, " ", name, ": ", std::to_string(shelf.frozen), " frozen at rest");
    }
    if (shelf.sold != sums[name]) {
      faults.Add(what, " ", name, ": ", std::to_string(shelf.sold), " gone, but its orders say ",
                 std::to_string(sums[name]));
    }
  }
}

}  // namespace

std::int64_t Books::prepared(const std::string& service) const {
  const auto found = held.find(service + ".db: assent_prepared");
  return found == held.end() ? 0 : found->second;
}

assent::Result<Books> ReadBooks(const std::string& directory) {
  Books books;
  Reader order(directory + "/order.db");
  order.Entries("SELECT id, status, article, quantity FROM orders", books.orders);
  order.Entries("SELECT id, status, customer, coins FROM orders", books.bills);
  order.Held("order.db", books.held);
  Reader inventory(directory + "/inventory.db");
  inventory.Shelves("SELECT article, available, frozen, sold FROM stock", books.stock);
  inventory.Entries("SELECT order_id, status, article, quantity FROM reservation",
                    books.reservations);
  inventory.Held("inventory.db", books.held);
  Reader payment(directory + "/payment.db");
  payment.Shelves("SELECT customer, balance, held, spent FROM account", books.accounts);
  payment.Entries("SELECT order_id, status, customer, coins FROM payment", books.payments);
  payment.Held("payment.db", books.held);
  for (const Reader* reader : {&order, &inventory, &payment}) {
    if (!reader->status().ok()) return reader->status();
  }
  return books;
}

std::vector<std::string> CheckOrder(const Books& before, const Books& after,
                                    const shop::Order& order, bool committed) {
  Faults faults;
  Books expected = before;
  if (committed) {
    Book(expected.stock[order.article], order.quantity);
    Book(expected.accounts[order.customer], order.coins);
  }
  CompareShelves(expected.stock, after.stock, "stock of", faults);
  CompareShelves(expected.accounts, after.accounts, "account of", faults);
  CompareEntries(before.orders, after.orders, order.id,
                 {"confirmed", order.article, order.quantity}, committed, "cancelled", "the order",
                 faults);
  CompareEntries(before.reservations, after.reservations, order.id,
                 {"sold", order.article, order.quantity}, committed, "released", "the reservation",
                 faults);
  CompareEntries(before.payments, after.payments, order.id, {"paid", order.customer, order.coins},
                 committed, "released", "the payment", faults);
  CheckRest(after, faults);
  return faults.Take();
}

std::vector<std::string> CheckAll(const Books& opening, const Books& closing,
                                  const std::vector<shop::Order>& committed) {
  Faults faults;
  std::set<std::string> told;
  for (const shop::Order& order : committed) told.insert(order.id);
  const std::set<std::string> confirmed = IdsWith(closing.orders, "confirmed");
  if (confirmed != told) {
    faults.Add(std::to_string(told.size()), " orders were told to be committed, ",
               std::to_string(confirmed.size()), " are confirmed, or not the same ones");
  }
  if (IdsWith(closing.reservations, "sold") != confirmed) {
    faults.Add("confirmed orders and sold reservations are not the same");
  }
  if (IdsWith(closing.payments, "paid") != confirmed) {
    faults.Add("confirmed orders and payments are not the same");
  }
  if (!IdsWith(closing.orders, "pending").empty()) faults.Add("there are pending orders");
  CheckSums(opening.stock, closing.stock, SumsOf(closing.orders, "confirmed"), "stock of", faults);
  CheckSums(opening.accounts, closing.accounts, SumsOf(closing.bills, "confirmed"), "account of",
            faults);
  if (SumsOf(closing.payments, "paid") != SumsOf(closing.bills, "confirmed")) {
    faults.Add("payments and the coins of confirmed orders are not the same");
  }
  if (SumsOf(closing.reservations, "sold") != SumsOf(closing.orders, "confirmed")) {
    faults.Add("reservations and the goods of confirmed orders are not the same");
  }
  CheckRest(closing, faults);
  return faults.Take();
}

std::string ToString(const Shelf& shelf) {
  return std::to_string(shelf.available) + " available + " + std::to_string(shelf.frozen) +
         " frozen + " + std::to_string(shelf.sold) + " sold";
}

}  // namespace demo
