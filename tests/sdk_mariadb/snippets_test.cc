// The code of docs/sdk-mariadb.md, compiled and run. tests/docs/check_snippets.py keeps page and
// file alike.

#include <cstdint>
#include <memory>
#include <optional>
#include <string>

#include <gtest/gtest.h>

#include <assent/testkit.h>

#include "tests/sdk_mariadb/mariadb_server.h"

// snippet: mariadb-tcc
#include <assent/mariadb.h>
#include <assent/participant.h>

using assent::Call;
using assent::Reply;
using assent::mariadb::Db;
using assent::mariadb::Store;

assent::Result<std::unique_ptr<Store>> OpenInventory(const assent::mariadb::Server& server) {
  auto store = Store::Open({.server = server, .setup = [](Db& db) {
                              db.Exec(
                                  "CREATE TABLE IF NOT EXISTS stock(sku varchar(40) PRIMARY KEY,"
                                  "    available int, reserved int, sold int)");
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

// snippet: mariadb-forms
void OfferPayments(Store& store) {
  // What it writes is kept prepared, unseen and locked, until the transaction commits; COMMIT and
  // ROLLBACK are the adapter's.
  store.TwoPhase("debit", [](Db& db, const Call& call) {
    const auto balance =
        db.Get<std::int64_t>("SELECT balance FROM account WHERE id = ? FOR UPDATE", "A");
    if (balance.value_or(0) < std::stoll(call.payload)) return Reply::Refused("not enough");
    db.Exec("UPDATE account SET balance = balance - ? WHERE id = ?", std::stoll(call.payload), "A");
    return Reply::Done(std::to_string(*balance - std::stoll(call.payload)));
  });
  // Visible at once; undone by the inverse of what it wrote. Options::undo_tables names shipment.
  store.AutoSaga("ship", [](Db& db, const Call& call) {
    db.Exec("INSERT INTO shipment(gid, goods) VALUES(?, ?)", call.gid, call.payload);
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
                              db.Exec("UPDATE charge SET refunded = true WHERE gid = ?", call.gid);
                              return Reply::Done();
                            }});
}
// end

// snippet: mariadb-local
assent::Status Restock(Store& store, const std::string& sku, int pieces) {
  return store.Local([&](Db& db) {
    db.Exec(
        "INSERT INTO stock VALUES(?, ?, 0, 0) "
        "ON DUPLICATE KEY UPDATE available = available + VALUE(available)",
        sku, pieces);
    return assent::OkStatus();
  });
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

TEST(Snippets, TheStoreOfThePageSellsAndRefuses) {
  auto& server = assent::mariadb::test::MariaServer::OfThisBinary();
  auto opened = OpenInventory(server.Address(server.NewDatabase()));
  ASSERT_TRUE(opened.ok()) << opened.status().ToString();
  Store& store = **opened;
  ASSERT_EQ(Restock(store, "apple", 1), assent::OkStatus());
  assent::testkit::Coordinator kit;
  kit.Serve("inventory", store);
  const auto order = assent::Transaction().Tcc("inventory", "reserve", "apple");
  EXPECT_TRUE(kit.client().Submit(order)->committed());
  EXPECT_EQ(Available(store, "apple"), 0);
  const auto second = assent::Transaction().Tcc("inventory", "reserve", "apple");
  EXPECT_TRUE(kit.client().Submit(second)->aborted());
  EXPECT_EQ(Available(store, "apple"), 0);
}

TEST(Snippets, TheFormsOfThePagePayAndRefund) {
  auto& server = assent::mariadb::test::MariaServer::OfThisBinary();
  auto opened = Store::Open(
      {.server = server.Address(server.NewDatabase()),
       .setup =
           [](Db& db) {
             db.Exec("CREATE TABLE account(id varchar(40) PRIMARY KEY, balance bigint)");
             db.Exec("INSERT INTO account VALUES('A', 100)");
             db.Exec(
                 "CREATE TABLE charge(gid text, amount bigint, refunded boolean DEFAULT false)");
             db.Exec("CREATE TABLE shipment(gid varchar(64) PRIMARY KEY, goods text)");
           },
       .undo_tables = {"shipment"}});
  ASSERT_TRUE(opened.ok()) << opened.status().ToString();
  Store& store = **opened;
  OfferPayments(store);
  assent::testkit::Coordinator kit;
  kit.Serve("bank", store);
  const auto pay = [&](const std::string& amount) {
    return kit.client().Submit(assent::Transaction()
                                   .Saga("bank", "charge", amount)
                                   .Saga("bank", "ship", "a lamp")
                                   .TwoPhase("bank", "debit", amount));
  };
  EXPECT_TRUE(pay("60")->committed());
  EXPECT_TRUE(pay("60")->aborted());
  EXPECT_EQ(store.Read([](Db& db) {
    EXPECT_EQ(db.Get<int>("SELECT balance FROM account"), 40);
    EXPECT_EQ(db.Get<int>("SELECT count(*) FROM charge WHERE refunded"), 1);
    EXPECT_EQ(db.Get<int>("SELECT count(*) FROM charge"), 2);
    EXPECT_EQ(db.Get<int>("SELECT count(*) FROM shipment"), 1) << "the other was taken back";
    return assent::OkStatus();
  }),
            assent::OkStatus());
}

}  // namespace
