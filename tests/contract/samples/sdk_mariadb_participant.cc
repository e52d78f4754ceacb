// The standard actions on the SDK, over the MariaDB at ASSENT_CONTRACT_MARIADB: "PORT DATABASE" of
// a server on this machine that lets root in.
#include <sstream>

#include <assent/mariadb.h>

#include "tests/contract/samples/sdk_ledger.h"

int main() {
  using assent::mariadb::Db;
  using assent::mariadb::Store;
  std::istringstream place(assent::contract::samples::Env("ASSENT_CONTRACT_MARIADB", ""));
  assent::mariadb::Server server{.user = "root"};
  place >> server.port >> server.database;
  return assent::contract::samples::RunSdkParticipant<Db>(
      [&server] {
        return Store::Open({.server = server, .setup = [](Db& db) {
                              db.Exec(
                                  "CREATE TABLE IF NOT EXISTS ledger(account VARCHAR(190) "
                                  "CHARACTER SET utf8mb4 COLLATE utf8mb4_bin PRIMARY KEY, balance "
                                  "BIGINT NOT NULL, held BIGINT NOT NULL)");
                            }});
      },
      {.find = "SELECT balance, held FROM ledger WHERE account = ?",
       .change = "INSERT INTO ledger VALUES(?, ?, ?) ON DUPLICATE KEY UPDATE balance = balance + "
                 "VALUE(balance), held = held + VALUE(held)",
       .sum = "SELECT balance + held FROM ledger WHERE account = ?"});
}
