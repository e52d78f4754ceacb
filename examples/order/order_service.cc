// The order service: keeps the orders. Action `create` in all three protocols, and `confirm`, the
// last step of the Saga.
//
//   two-phase   the row is written by PREPARE and appears, confirmed, at COMMIT; after a ROLLBACK
//               it never was
//   TCC         pending at TRY, confirmed at CONFIRM, cancelled at CANCEL
//   Saga        pending at ACTION of `create`, confirmed at ACTION of `confirm`; gone at COMPENSATE,
//               which nobody wrote: an order is its transaction's own, so the step undoes itself

#include <string>
#include <string_view>

#include "examples/order/service.h"

namespace {

using assent::Reply;
using assent::sqlite::Db;
using assent::sqlite::Store;
using shop::OnOrder;
using shop::Order;

void Tables(Db& db) {
  db.ExecScript(R"(
    CREATE TABLE IF NOT EXISTS orders(
      id TEXT PRIMARY KEY NOT NULL,
      customer TEXT NOT NULL,
      article TEXT NOT NULL,
      quantity INTEGER NOT NULL CHECK (quantity > 0),
      coins INTEGER NOT NULL CHECK (coins > 0),
      status TEXT NOT NULL CHECK (status IN ('pending', 'confirmed', 'cancelled'))))");
}

// An order number that exists already breaks the primary key: the adapter makes a refusal of it.
Reply Insert(Db& db, const Order& order, std::string_view status) {
  db.Exec("INSERT INTO orders VALUES (?1, ?2, ?3, ?4, ?5, ?6)", order.id, order.customer,
          order.article, order.quantity, order.coins, status);
  return Reply::Done();
}

Reply Become(Db& db, const Order& order, std::string_view status) {
  db.Exec("UPDATE orders SET status = ?2 WHERE id = ?1", order.id, status);
  return Reply::Done();
}

void Actions(Store& store, const std::string& /*fault*/) {
  const auto insert = [](std::string_view status) {
    return OnOrder([status](Db& db, const Order& order) { return Insert(db, order, status); });
  };
  const auto become = [](std::string_view status) {
    return OnOrder([status](Db& db, const Order& order) { return Become(db, order, status); });
  };
  store.TwoPhase("create", insert("confirmed"));
  store.Tcc(
      "create",
      {.try_ = insert("pending"), .confirm = become("confirmed"), .cancel = become("cancelled")});
  store.AutoSaga("create", insert("pending"));
  store.Saga("confirm", {.action = become("confirmed"), .compensate = become("pending")});
}

}  // namespace

int main(int argc, char** argv) {
  return shop::Serve(argc, argv,
                     {.name = "order", .faults = {}, .tables = Tables, .actions = Actions});
}
