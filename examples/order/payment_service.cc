// The payment service: keeps the customers' accounts. One action, `charge`, in all three protocols.
//
//   two-phase   PREPARE takes the coins where nobody sees it yet, COMMIT shows it, ROLLBACK drops
//               it
//   TCC         TRY holds, CONFIRM spends what is held, CANCEL gives it back
//   Saga        ACTION spends at once, COMPENSATE refunds
//
// However it goes, balance + held + spent of a customer is always what it was in the beginning.

#include <cstdint>
#include <optional>
#include <string>
#include <string_view>
#include <tuple>

#include "examples/order/service.h"

namespace {

using assent::Reply;
using assent::sqlite::Db;
using assent::sqlite::Store;
using shop::OnOrder;
using shop::Order;

void Tables(Db& db) {
  db.ExecScript(R"(
    CREATE TABLE IF NOT EXISTS account(
      customer TEXT PRIMARY KEY NOT NULL,
      balance INTEGER NOT NULL CHECK (balance >= 0),
      held INTEGER NOT NULL DEFAULT 0 CHECK (held >= 0),
      spent INTEGER NOT NULL DEFAULT 0 CHECK (spent >= 0),
      most_at_once INTEGER NOT NULL);
    CREATE TABLE IF NOT EXISTS payment(
      order_id TEXT PRIMARY KEY NOT NULL,
      customer TEXT NOT NULL,
      coins INTEGER NOT NULL,
      status TEXT NOT NULL CHECK (status IN ('held', 'paid', 'released')));
    INSERT OR IGNORE INTO account(customer, balance, most_at_once)
      VALUES ('Ada', 5000, 1000), ('Bob', 20, 1000))");
}

Reply Take(Db& db, const Order& order, std::string_view status) {
  const auto account = db.GetRow<std::int64_t, std::int64_t>(
      "SELECT balance, most_at_once FROM account WHERE customer = ?", order.customer);
  if (!account) return Reply::Refused("there is no such customer: " + order.customer);
  const auto [balance, most_at_once] = *account;
  if (order.coins > most_at_once) {
    return Reply::Refused("over the limit: at most " + std::to_string(most_at_once) +
                          " coins at once, " + std::to_string(order.coins) + " asked");
  }
  if (order.coins > balance) {
    return Reply::Refused("insufficient funds: " + order.customer + " has " +
                          std::to_string(balance) + " coins, " + std::to_string(order.coins) +
                          " asked");
  }
  db.Exec(status == "paid"
              ? "UPDATE account SET balance = balance - ?2, spent = spent + ?2 WHERE customer = ?1"
              : "UPDATE account SET balance = balance - ?2, held = held + ?2 WHERE customer = ?1",
          order.customer, order.coins);
  db.Exec("INSERT INTO payment VALUES (?1, ?2, ?3, ?4)", order.id, order.customer, order.coins,
          status);
  return Reply::Done();
}

Reply Become(Db& db, const Order& order, std::string_view status) {
  db.Exec("UPDATE payment SET status = ?2 WHERE order_id = ?1", order.id, status);
  return Reply::Done();
}

Reply SpendHeld(Db& db, const Order& order) {
  db.Exec("UPDATE account SET held = held - ?2, spent = spent + ?2 WHERE customer = ?1",
          order.customer, order.coins);
  return Become(db, order, "paid");
}

Reply GiveBackHeld(Db& db, const Order& order) {
  db.Exec("UPDATE account SET held = held - ?2, balance = balance + ?2 WHERE customer = ?1",
          order.customer, order.coins);
  return Become(db, order, "released");
}

Reply Refund(Db& db, const Order& order) {
  db.Exec("UPDATE account SET spent = spent - ?2, balance = balance + ?2 WHERE customer = ?1",
          order.customer, order.coins);
  return Become(db, order, "released");
}

void Actions(Store& store, const std::string& /*fault*/) {
  const auto take = [](std::string_view status) {
    return OnOrder([status](Db& db, const Order& order) { return Take(db, order, status); });
  };
  store.TwoPhase("charge", take("paid"));
  store.Tcc("charge",
            {.try_ = take("held"), .confirm = OnOrder(SpendHeld), .cancel = OnOrder(GiveBackHeld)});
  store.Saga("charge", {.action = take("paid"), .compensate = OnOrder(Refund)});
}

}  // namespace

int main(int argc, char** argv) {
  return shop::Serve(argc, argv,
                     {.name = "payment", .faults = {}, .tables = Tables, .actions = Actions});
}
