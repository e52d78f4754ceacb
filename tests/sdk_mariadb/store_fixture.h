#pragma once

// A store over a fresh database of a MariaDB that the test has started, asked synchronously.

#include <functional>
#include <memory>
#include <optional>
#include <string>
#include <utility>
#include <vector>

#include <gtest/gtest.h>

#include <assent/mariadb.h>

#include "tests/sdk_mariadb/mariadb_server.h"

namespace assent::mariadb::test {

// Calls of one branch.
struct Branch {
  std::string gid = "g1";
  std::string branch_id = "b1";
  Protocol protocol = Protocol::kTcc;
  std::string action = "act";
  std::string payload = {};
  std::int64_t began_unix_ms = 0;
  std::uint32_t coordinator_id = 7;

  Call To(Operation operation) const;
};

// Asks and waits for the answer; nullopt when the store dropped the responder uncalled.
std::optional<Reply> TryAsk(Store& store, Call call);
// The same, where an answer is certain.
Reply Ask(Store& store, Call call);
// Asks until it is known, as a coordinator does.
Reply Insist(Store& store, const Call& call);
// Asks all at once, so that they may share groups; answers in the order of the calls.
std::vector<Reply> AskAll(Store& store, std::vector<Call> calls);

class StoreTest : public ::testing::Test {
 protected:
  StoreTest() : StoreTest(MariaServer::OfThisBinary()) {}
  explicit StoreTest(MariaServer& server) : server_(server), database_(server.NewDatabase()) {}

  // With the account table and the test's clock.
  Options MakeOptions();
  // Opens (again) with these; registers with `configure`.
  Store& Open(Options options, const std::function<void(Store&)>& configure);
  Store& Open(const std::function<void(Store&)>& configure) {
    return Open(MakeOptions(), configure);
  }
  // An account of rows: all actions called "act" move their payload, "id amount", in each protocol.
  Store& OpenAccounts() { return OpenAccounts(MakeOptions()); }
  Store& OpenAccounts(Options options);
  void Close() { store_.reset(); }
  Store& store() { return *store_; }
  MariaServer& server() { return server_; }
  const std::string& database() const { return database_; }
  // The first column of the first row, as committed.
  std::string Sql(const std::string& sql) { return server_.Sql(database_, sql); }
  std::string Balance(int id) {
    return Sql("SELECT CONCAT(free, '/', held) FROM account WHERE id = " + std::to_string(id));
  }
  Stats Inspect() { return *store_->Inspect(); }

  std::int64_t now_ms_ = 1'000'000'000;

 private:
  MariaServer& server_;
  const std::string database_;
  std::unique_ptr<Store> store_;
};

// The handlers of MakeOptions' accounts.
void RegisterAccounts(Store& store);
inline constexpr char kMakeAccounts[] =
    "CREATE TABLE IF NOT EXISTS account(id int PRIMARY KEY, free bigint NOT NULL, held bigint NOT "
    "NULL, CONSTRAINT account_free_check CHECK (free >= 0)) ENGINE=InnoDB; INSERT INTO account "
    "SELECT seq, 100, 0 FROM seq_1_to_200 WHERE NOT EXISTS(SELECT 1 FROM account)";

}  // namespace assent::mariadb::test
