// The code of docs/sdk-sqlite.md, compiled and run. tests/docs/check_snippets.py keeps page and
// file alike.

#include <cstdint>
#include <memory>
#include <optional>
#include <string>

#include <gtest/gtest.h>

#include <assent/testkit.h>

#include "tests/support/process.h"

// snippet: messages-handler
#include <assent/outbox_sqlite.h>

// "ship", which begins if this branch's own local transaction commits.
assent::Reply Reserve(const assent::sqlite::Outbox& outbox, assent::sqlite::Db& db,
                      const assent::Call& call) {
  db.Exec("UPDATE stock SET reserved = reserved + 1 WHERE sku = ?", call.payload);
  assent::Transaction ship;
  ship.Saga("shipping", "book", call.payload).Label("order", call.gid);
  // What fails is remembered by the Db, as of any statement: then Done is a refusal, or "later".
  (void)outbox.Publish(db, ship, {.ordering_key = call.payload});
  return assent::Reply::Done();
}

assent::Result<std::unique_ptr<assent::sqlite::Store>> OpenStock(const std::string& path) {
  const assent::sqlite::Outbox outbox;
  auto store = assent::sqlite::Store::Open({.path = path, .setup = [&](assent::sqlite::Db& db) {
                                              db.Exec(
                                                  "CREATE TABLE stock(sku TEXT PRIMARY KEY NOT "
                                                  "NULL, reserved INT)");
                                              outbox.CreateTable(db);
                                            }});
  if (!store.ok()) return store;
  const auto nothing = [](assent::sqlite::Db&, const assent::Call&) {
    return assent::Reply::Done();
  };
  (*store)->Saga(
      "reserve",
      {.action = [outbox](auto& db, const auto& call) { return Reserve(outbox, db, call); },
       .compensate = nothing});
  return store;
}
// end

// snippet: messages-own
#include <sqlite3.h>

assent::Status PlaceOrder(sqlite3* db, const std::string& order) {
  static const assent::sqlite::Outbox outbox;
  sqlite3_exec(db, "BEGIN IMMEDIATE; INSERT INTO orders DEFAULT VALUES", nullptr, nullptr, nullptr);
  assent::Transaction ship;
  ship.Saga("shipping", "book", order);
  const assent::Status status = outbox.Publish(db, ship);
  sqlite3_exec(db, status.ok() ? "COMMIT" : "ROLLBACK", nullptr, nullptr, nullptr);
  return status;
}
// end

// snippet: messages-relay
std::unique_ptr<assent::Relay> StartRelay(const assent::Client& client, const std::string& path) {
  return std::make_unique<assent::Relay>(client, assent::sqlite::OpenOutboxTable({.path = path}));
}
// end

// snippet: messages-check-back
#include <sqlite3.h>

#include <assent/outbox_sqlite.h>

assent::Status PlaceAndTell(const assent::Client& client, sqlite3* db, const std::string& order) {
  assent::Transaction ship;
  ship.CheckBack("orders", "placed").Saga("shipping", "book", order);
  // Before anything happens. Without an answer: say it again, or give up.
  if (const auto prepared = client.Prepare(ship); !prepared.ok()) return prepared.status();
  sqlite3_exec(db, "BEGIN IMMEDIATE; INSERT INTO orders DEFAULT VALUES", nullptr, nullptr, nullptr);
  assent::Status status = assent::sqlite::Enlist(db, ship);
  sqlite3_exec(db, status.ok() ? "COMMIT" : "ROLLBACK", nullptr, nullptr, nullptr);
  // It begins now. Without this it would as well, a second later.
  if (status.ok()) (void)client.Submit(ship);
  return status;
}

// The participant "orders", on the same database.
void AnswerWhetherPlaced(assent::sqlite::Store& orders) {
  orders.Saga("placed", assent::sqlite::CheckBack({.patience = std::chrono::seconds(10)}));
}
// end

// snippet: sqlite-tcc
#include <assent/participant.h>
#include <assent/sqlite.h>

using assent::Call;
using assent::Reply;
using assent::sqlite::Db;
using assent::sqlite::Store;

assent::Result<std::unique_ptr<Store>> OpenInventory(const std::string& path) {
  auto store =
      Store::Open({.path = path, .setup = [](Db& db) {
                     db.Exec(
                         "CREATE TABLE IF NOT EXISTS stock(sku TEXT PRIMARY KEY NOT NULL,"
                         "                                 available INT, reserved INT, sold INT)");
                   }});
  if (!store.ok()) return store;
  (*store)->Tcc(
      "reserve",
      {.try_ =
           [](Db& db, const Call& call) {
             const std::int64_t rows = db.Exec(
                 "UPDATE stock SET available = available - 1, reserved = reserved + 1 "
                 "WHERE sku = ? AND available > 0",
                 call.payload);
             return rows == 0 ? Reply::Refused("out of stock: " + call.payload) : Reply::Done();
           },
       .confirm =
           [](Db& db, const Call& call) {
             db.Exec("UPDATE stock SET reserved = reserved - 1, sold = sold + 1 WHERE sku = ?",
                     call.payload);
             return Reply::Done();
           },
       .cancel =
           [](Db& db, const Call& call) {
             db.Exec(
                 "UPDATE stock SET reserved = reserved - 1, available = available + 1 "
                 "WHERE sku = ?",
                 call.payload);
             return Reply::Done();
           }});
  return store;
}
// end

namespace {

// snippet: sqlite-forms
void OfferPayments(Store& store) {
  // The writes are kept aside, invisible, until the transaction commits; commit and rollback are
  // the adapter's.
  store.TwoPhase("debit", [](Db& db, const Call& call) {
    const auto balance = db.Get<std::int64_t>("SELECT balance FROM account WHERE id = ?", "A");
    if (balance.value_or(0) < std::stoll(call.payload)) return Reply::Refused("not enough");
    db.Exec("UPDATE account SET balance = balance - ? WHERE id = ?", std::stoll(call.payload), "A");
    return Reply::Done(std::to_string(*balance - std::stoll(call.payload)));
  });
  // Visible at once; undone by the inverse of what it wrote.
  store.AutoSaga("note", [](Db& db, const Call& call) {
    db.Exec("INSERT INTO note(gid, text) VALUES(?, ?)", call.gid, call.payload);
    return Reply::Done();
  });
  // Visible at once; undone by your own rule.
  store.Saga("charge", {.action =
                            [](Db& db, const Call& call) {
                              db.Exec("INSERT INTO charge(gid, amount) VALUES(?, ?)", call.gid,
                                      std::stoll(call.payload));
                              return Reply::Done();
                            },
                        .compensate =
                            [](Db& db, const Call& call) {
                              db.Exec("UPDATE charge SET refunded = 1 WHERE gid = ?", call.gid);
                              return Reply::Done();
                            }});
}
// end

// snippet: sqlite-claim
Reply Withdraw(Db& db, const Call& call) {
  // The rule spans two rows, of which one is only read: hold it until the transaction ends.
  db.Claim("account", "B");
  const auto other = db.Get<std::int64_t>("SELECT balance FROM account WHERE id = 'B'").value_or(0);
  const auto mine = db.Get<std::int64_t>("SELECT balance FROM account WHERE id = 'A'").value_or(0);
  const std::int64_t amount = std::stoll(call.payload);
  if (mine + other < amount) return Reply::Refused("not enough on both accounts together");
  db.Exec("UPDATE account SET balance = balance - ? WHERE id = 'A'", amount);
  return Reply::Done();
}
// end

// snippet: sqlite-local
assent::Status Restock(Store& store, const std::string& sku, int pieces) {
  return store.Local(
      [&](Db& db) {
        db.Exec(
            "INSERT INTO stock VALUES(?1, ?2, 0, 0) "
            "ON CONFLICT(sku) DO UPDATE SET available = available + ?2",
            sku, pieces);
        return assent::OkStatus();
      },
      std::chrono::seconds(2));
}

std::optional<int> Available(Store& store, const std::string& sku) {
  std::optional<int> available;
  const assent::Status status = store.Read([&](Db& db) {
    available = db.Get<int>("SELECT available FROM stock WHERE sku = ?", sku);
    return assent::OkStatus();
  });
  return status.ok() ? available : std::nullopt;
}
// end

class SnippetsTest : public ::testing::Test {
 protected:
  std::optional<std::string> Sql(Store& store, const char* sql) {
    std::optional<std::string> text;
    EXPECT_TRUE(store
                    .Read([&](Db& db) {
                      text = db.Get<std::string>(sql);
                      return assent::OkStatus();
                    })
                    .ok());
    return text;
  }
  assent::test::TempDir dir_;
  assent::testkit::Coordinator kit_;
};

TEST_F(SnippetsTest, Inventory) {
  auto store = OpenInventory(dir_.path() + "/inventory.db");
  ASSERT_TRUE(store.ok());
  ASSERT_TRUE(Restock(**store, "book", 1).ok());
  EXPECT_EQ(Available(**store, "book"), 1);
  kit_.Serve("inventory", **store);
  EXPECT_TRUE(
      kit_.client().Submit(assent::Transaction().Tcc("inventory", "reserve", "book"))->committed());
  const auto second =
      kit_.client().Submit(assent::Transaction().Tcc("inventory", "reserve", "book"));
  EXPECT_TRUE(second->aborted());
  EXPECT_NE(second->abort_reason.find("out of stock: book"), std::string::npos)
      << second->abort_reason;
  EXPECT_EQ(Sql(**store, "SELECT available || '/' || reserved || '/' || sold FROM stock"), "0/0/1");
  ASSERT_TRUE(Restock(**store, "book", 5).ok());
  EXPECT_EQ(Available(**store, "book"), 5);
  EXPECT_EQ(kit_.violations(), std::vector<std::string>());
}

TEST_F(SnippetsTest, Messages) {
  const std::string path = dir_.path() + "/stock.db";
  auto store = OpenStock(path);
  ASSERT_TRUE(store.ok()) << store.status().ToString();
  kit_.Serve("stock", **store);
  EXPECT_TRUE(
      kit_.client().Submit(assent::Transaction().Saga("stock", "reserve", "b"))->committed());
  sqlite3* db = nullptr;
  ASSERT_EQ(sqlite3_open(path.c_str(), &db), SQLITE_OK);
  ASSERT_EQ(
      sqlite3_exec(db, "CREATE TABLE orders(id INTEGER PRIMARY KEY)", nullptr, nullptr, nullptr),
      SQLITE_OK);
  EXPECT_EQ(PlaceOrder(db, "17").ToString(), "OK");
  sqlite3_close(db);
  const auto rows = assent::sqlite::OpenOutboxTable({.path = path})->List(false, 10);
  ASSERT_TRUE(rows.ok());
  ASSERT_EQ(rows->size(), 2U);
  EXPECT_EQ(rows->front().ordering_key, "b");
  // The kit has no wire: it answers that, and the rows stay.
  const auto relay = StartRelay(kit_.client(), path);
  relay->Stop();
  EXPECT_EQ(relay->Stats().handed_over, 0U);
}

TEST_F(SnippetsTest, MessagesWithoutAnOutbox) {
  const std::string path = dir_.path() + "/orders.db";
  auto orders = Store::Open({.path = path, .setup = [](Db& db) {
                               db.Exec("CREATE TABLE orders(id INTEGER PRIMARY KEY)");
                             }});
  ASSERT_TRUE(orders.ok()) << orders.status().ToString();
  AnswerWhetherPlaced(**orders);
  auto shipping = Store::Open({.path = dir_.path() + "/shipping.db",
                               .setup = [](Db& db) { db.Exec("CREATE TABLE booked(what TEXT)"); }});
  ASSERT_TRUE(shipping.ok()) << shipping.status().ToString();
  (*shipping)->Saga("book",
                    {.action =
                         [](Db& db, const assent::Call& call) {
                           db.Exec("INSERT INTO booked VALUES(?1)", call.payload);
                           return assent::Reply::Done();
                         },
                     .compensate = [](Db&, const assent::Call&) { return assent::Reply::Done(); }});
  kit_.Serve("orders", **orders).Serve("shipping", **shipping);
  sqlite3* db = nullptr;
  ASSERT_EQ(sqlite3_open(path.c_str(), &db), SQLITE_OK);
  EXPECT_EQ(PlaceAndTell(kit_.client(), db, "17").ToString(), "OK");
  sqlite3_close(db);
  EXPECT_EQ(Sql(**shipping, "SELECT group_concat(what) FROM booked"), "17");
  EXPECT_EQ(kit_.violations(), std::vector<std::string>());
}

TEST_F(SnippetsTest, Payments) {
  auto store = Store::Open({.path = dir_.path() + "/payment.db", .setup = [](Db& db) {
                              db.ExecScript(
                                  "CREATE TABLE account(id TEXT PRIMARY KEY NOT NULL, balance INT);"
                                  "INSERT INTO account VALUES('A', 100), ('B', 50);"
                                  "CREATE TABLE note(gid TEXT PRIMARY KEY NOT NULL, text);"
                                  "CREATE TABLE charge(gid TEXT PRIMARY KEY NOT NULL, amount INT, "
                                  "refunded INT DEFAULT 0)");
                            }});
  ASSERT_TRUE(store.ok());
  OfferPayments(**store);
  (*store)->TwoPhase("withdraw", &Withdraw);
  kit_.Serve("payment", **store);
  const auto order = [](const char* amount) {
    return assent::Transaction()
        .Saga("payment", "note", "hello")
        .Saga("payment", "charge", "7")
        .TwoPhase("payment", "debit", amount);
  };
  EXPECT_TRUE(kit_.client().Submit(order("30"))->committed());
  EXPECT_TRUE(kit_.client().Submit(order("300"))->aborted());
  EXPECT_EQ(Sql(**store, "SELECT balance FROM account WHERE id = 'A'"), "70");
  EXPECT_EQ(Sql(**store, "SELECT count(*) FROM note"), "1");
  EXPECT_EQ(Sql(**store, "SELECT count(*) || '/' || sum(refunded) FROM charge"), "2/1");
  EXPECT_TRUE(kit_.client()
                  .Submit(assent::Transaction().TwoPhase("payment", "withdraw", "110"))
                  ->committed());
  EXPECT_TRUE(kit_.client()
                  .Submit(assent::Transaction().TwoPhase("payment", "withdraw", "110"))
                  ->aborted());
  EXPECT_EQ((*store)->Inspect()->claims, 0);
  EXPECT_EQ(kit_.violations(), std::vector<std::string>());
}

}  // namespace
