// The standard actions on the SDK, over SQLite.
#include <assent/sqlite.h>

#include "tests/contract/samples/sdk_ledger.h"

int main() {
  using assent::sqlite::Db;
  using assent::sqlite::Store;
  return assent::contract::samples::RunSdkParticipant<Db>([] {
    return Store::Open(
        {.path = assent::contract::samples::Env("ASSENT_CONTRACT_FOLDER", ".") + "/ledger.db",
         .setup = [](Db& db) {
           db.Exec(
               "CREATE TABLE IF NOT EXISTS ledger(account TEXT PRIMARY KEY NOT NULL,"
               "                                  balance INT NOT NULL, held INT NOT NULL)");
         }});
  });
}
