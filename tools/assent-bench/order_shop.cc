#include "tools/assent-bench/order_shop.h"

#include <optional>
#include <string>
#include <string_view>

#include <nlohmann/json.hpp>

namespace assent::bench {
namespace {

constexpr int kArticlesCount = 1000;
constexpr int kCustomersCount = 1000;

struct Order {
  std::string id;
  std::string customer;
  std::string article;
  std::int64_t quantity = 0;
  std::int64_t coins = 0;
};

Order FromPayload(const std::string& payload) {
  const nlohmann::json json = nlohmann::json::parse(payload, nullptr, /*allow_exceptions=*/false);
  return {.id = json["id"],
          .customer = json["customer"],
          .article = json["article"],
          .quantity = json["quantity"],
          .coins = json["coins"]};
}

using OrderHandler = Reply (*)(sqlite::Db&, const Order&);
sqlite::DbHandler On(OrderHandler handler) {
  return [handler](sqlite::Db& db, const Call& call) {
    return handler(db, FromPayload(call.payload));
  };
}

// ---- order

Reply Create(sqlite::Db& db, const Order& order) {
  db.Exec("INSERT INTO orders VALUES (?1, ?2, ?3, ?4, ?5, ?6)", order.id, order.customer,
          order.article, order.quantity, order.coins, "pending");
  return Reply::Done();
}
template <int kConfirm>
Reply CloseOrder(sqlite::Db& db, const Order& order) {
  db.Exec("UPDATE orders SET status = ?2 WHERE id = ?1", order.id,
          kConfirm != 0 ? "confirmed" : "cancelled");
  return Reply::Done();
}

// ---- inventory

Reply Reserve(sqlite::Db& db, const Order& order) {
  const std::optional<std::int64_t> available =
      db.Get<std::int64_t>("SELECT available FROM stock WHERE article = ?", order.article);
  if (!available || *available < order.quantity) return Reply::Refused("out of stock");
  db.Exec("UPDATE stock SET available = max(available - ?2, 0) WHERE article = ?1", order.article,
          order.quantity);
  db.Exec("UPDATE stock SET frozen = frozen + ?2 WHERE article = ?1", order.article,
          order.quantity);
  db.Exec("INSERT INTO reservation VALUES (?1, ?2, ?3, ?4)", order.id, order.article,
          order.quantity, "frozen");
  return Reply::Done();
}
template <int kConfirm>
Reply CloseReservation(sqlite::Db& db, const Order& order) {
  db.Exec(kConfirm != 0
              ? "UPDATE stock SET frozen = frozen - ?2, sold = sold + ?2 WHERE article = ?1"
              : "UPDATE stock SET frozen = frozen - ?2, available = available + ?2 "
                "WHERE article = ?1",
          order.article, order.quantity);
  db.Exec("UPDATE reservation SET status = ?2 WHERE order_id = ?1", order.id,
          kConfirm != 0 ? "sold" : "released");
  return Reply::Done();
}

// ---- payment

Reply Hold(sqlite::Db& db, const Order& order) {
  const auto account = db.GetRow<std::int64_t, std::int64_t>(
      "SELECT balance, most_at_once FROM account WHERE customer = ?", order.customer);
  if (!account || order.coins > std::get<0>(*account) || order.coins > std::get<1>(*account))
    return Reply::Refused("insufficient funds");
  db.Exec("UPDATE account SET balance = balance - ?2, held = held + ?2 WHERE customer = ?1",
          order.customer, order.coins);
  db.Exec("INSERT INTO payment VALUES (?1, ?2, ?3, ?4)", order.id, order.customer, order.coins,
          "held");
  return Reply::Done();
}
template <int kConfirm>
Reply ClosePayment(sqlite::Db& db, const Order& order) {
  db.Exec(kConfirm != 0
              ? "UPDATE account SET held = held - ?2, spent = spent + ?2 WHERE customer = ?1"
              : "UPDATE account SET held = held - ?2, balance = balance + ?2 WHERE customer = ?1",
          order.customer, order.coins);
  db.Exec("UPDATE payment SET status = ?2 WHERE order_id = ?1", order.id,
          kConfirm != 0 ? "paid" : "released");
  return Reply::Done();
}

constexpr const char* kTables[kShopServicesCount] = {
    R"(CREATE TABLE IF NOT EXISTS orders(
         id TEXT PRIMARY KEY NOT NULL, customer TEXT NOT NULL, article TEXT NOT NULL,
         quantity INTEGER NOT NULL CHECK (quantity > 0), coins INTEGER NOT NULL CHECK (coins > 0),
         status TEXT NOT NULL CHECK (status IN ('pending', 'confirmed', 'cancelled'))))",
    R"(CREATE TABLE IF NOT EXISTS stock(
         article TEXT PRIMARY KEY NOT NULL, available INTEGER NOT NULL CHECK (available >= 0),
         frozen INTEGER NOT NULL DEFAULT 0 CHECK (frozen >= 0),
         sold INTEGER NOT NULL DEFAULT 0 CHECK (sold >= 0));
       CREATE TABLE IF NOT EXISTS reservation(
         order_id TEXT PRIMARY KEY NOT NULL, article TEXT NOT NULL, quantity INTEGER NOT NULL,
         status TEXT NOT NULL CHECK (status IN ('frozen', 'sold', 'released'))))",
    R"(CREATE TABLE IF NOT EXISTS account(
         customer TEXT PRIMARY KEY NOT NULL, balance INTEGER NOT NULL CHECK (balance >= 0),
         held INTEGER NOT NULL DEFAULT 0 CHECK (held >= 0),
         spent INTEGER NOT NULL DEFAULT 0 CHECK (spent >= 0), most_at_once INTEGER NOT NULL);
       CREATE TABLE IF NOT EXISTS payment(
         order_id TEXT PRIMARY KEY NOT NULL, customer TEXT NOT NULL, coins INTEGER NOT NULL,
         status TEXT NOT NULL CHECK (status IN ('held', 'paid', 'released'))))"};

}  // namespace

void ShopTables(int number, sqlite::Db& db) {
  db.ExecScript(kTables[number]);
  constexpr std::int64_t kPlenty = 1'000'000'000'000;
  for (int i = 0; number == 1 && i < kArticlesCount; ++i)
    db.Exec("INSERT OR IGNORE INTO stock(article, available) VALUES (?1, ?2)",
            "article-" + std::to_string(i), kPlenty);
  for (int i = 0; number == 2 && i < kCustomersCount; ++i)
    db.Exec("INSERT OR IGNORE INTO account(customer, balance, most_at_once) VALUES (?1, ?2, 1000)",
            "customer-" + std::to_string(i), kPlenty);
}

void ShopActions(int number, sqlite::Store& store) {
  switch (number) {
    case 0:
      return store.Tcc(
          "act", {.try_ = On(Create), .confirm = On(CloseOrder<1>), .cancel = On(CloseOrder<0>)});
    case 1:
      return store.Tcc("act", {.try_ = On(Reserve),
                               .confirm = On(CloseReservation<1>),
                               .cancel = On(CloseReservation<0>)});
    case 2:
      return store.Tcc(
          "act", {.try_ = On(Hold), .confirm = On(ClosePayment<1>), .cancel = On(ClosePayment<0>)});
  }
}

Transaction MakeOrder(std::uint64_t number, std::uint64_t who) {
  const std::string payload = nlohmann::json{
      {"id", std::to_string(who) + "-" + std::to_string(number)},
      {"customer", "customer-" + std::to_string(number * 7919 % kCustomersCount)},
      {"article", "article-" + std::to_string(number * 104729 % kArticlesCount)},
      {"quantity", 1},
      {"coins", 30}}.dump();
  Transaction order;
  for (const char* service : kShopServices) order.Tcc(service, "act", payload);
  return order;
}

}  // namespace assent::bench
