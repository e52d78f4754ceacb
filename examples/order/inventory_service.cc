// The inventory service: keeps the stock. One action, `reserve`, in all three protocols.
//
//   two-phase   PREPARE takes the goods off the shelf where nobody sees it yet, COMMIT shows it,
//               ROLLBACK drops it
//   TCC         TRY freezes, CONFIRM sells what is frozen, CANCEL puts it back
//   Saga        ACTION sells at once, COMPENSATE takes it back
//
// However it goes, available + frozen + sold of an article is always what it was in the beginning.

#include <cstdint>
#include <optional>
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
    CREATE TABLE IF NOT EXISTS stock(
      article TEXT PRIMARY KEY NOT NULL,
      available INTEGER NOT NULL CHECK (available >= 0),
      frozen INTEGER NOT NULL DEFAULT 0 CHECK (frozen >= 0),
      sold INTEGER NOT NULL DEFAULT 0 CHECK (sold >= 0));
    CREATE TABLE IF NOT EXISTS reservation(
      order_id TEXT PRIMARY KEY NOT NULL,
      article TEXT NOT NULL,
      quantity INTEGER NOT NULL,
      status TEXT NOT NULL CHECK (status IN ('frozen', 'sold', 'released')));
    INSERT OR IGNORE INTO stock(article, available) VALUES ('lamp', 100), ('violin', 1))");
}

// Takes the goods off the shelf and writes down for whom; or says no.
Reply Take(Db& db, const Order& order, std::string_view status, bool oversell) {
  const std::optional<std::int64_t> available =
      db.Get<std::int64_t>("SELECT available FROM stock WHERE article = ?", order.article);
  if (!available) return Reply::Refused("there is no such article: " + order.article);
  if (*available < order.quantity && !oversell) {
    return Reply::Refused("out of stock: " + std::to_string(*available) + " " + order.article +
                          " left, " + std::to_string(order.quantity) + " wanted");
  }
  // The broken rule sells what is not there (max: the CHECK above would not let it go below zero).
  db.Exec("UPDATE stock SET available = max(available - ?2, 0) WHERE article = ?1", order.article,
          order.quantity);
  db.Exec(status == "sold" ? "UPDATE stock SET sold = sold + ?2 WHERE article = ?1"
                           : "UPDATE stock SET frozen = frozen + ?2 WHERE article = ?1",
          order.article, order.quantity);
  db.Exec("INSERT INTO reservation VALUES (?1, ?2, ?3, ?4)", order.id, order.article,
          order.quantity, status);
  return Reply::Done();
}

Reply Become(Db& db, const Order& order, std::string_view status) {
  db.Exec("UPDATE reservation SET status = ?2 WHERE order_id = ?1", order.id, status);
  return Reply::Done();
}

Reply Sell(Db& db, const Order& order) {
  db.Exec("UPDATE stock SET frozen = frozen - ?2, sold = sold + ?2 WHERE article = ?1",
          order.article, order.quantity);
  return Become(db, order, "sold");
}

Reply PutBackFrozen(Db& db, const Order& order) {
  db.Exec("UPDATE stock SET frozen = frozen - ?2, available = available + ?2 WHERE article = ?1",
          order.article, order.quantity);
  return Become(db, order, "released");
}

Reply TakeBackSold(Db& db, const Order& order) {
  db.Exec("UPDATE stock SET sold = sold - ?2, available = available + ?2 WHERE article = ?1",
          order.article, order.quantity);
  return Become(db, order, "released");
}

Reply Forget(Db&, const Order&) { return Reply::Done(); }

Reply RefuseToTakeBack(Db&, const Order&) { return Reply::Refused("the shelf is sealed"); }

void Actions(Store& store, const std::string& fault) {
  const auto take = [oversell = fault == "oversell"](std::string_view status) {
    return OnOrder([status, oversell](Db& db, const Order& order) {
      return Take(db, order, status, oversell);
    });
  };
  store.TwoPhase("reserve", take("sold"));
  store.Tcc("reserve", {.try_ = take("frozen"),
                        .confirm = OnOrder(Sell),
                        .cancel = OnOrder(fault == "skip-cancel" ? Forget : PutBackFrozen)});
  store.Saga("reserve", {.action = take("sold"),
                         .compensate = OnOrder(fault == "skip-compensate"     ? Forget
                                               : fault == "refuse-compensate" ? RefuseToTakeBack
                                                                              : TakeBackSold)});
}

}  // namespace

int main(int argc, char** argv) {
  return shop::Serve(argc, argv,
                     {.name = "inventory",
                      .faults = {"oversell", "skip-cancel", "skip-compensate", "refuse-compensate"},
                      .tables = Tables,
                      .actions = Actions});
}
