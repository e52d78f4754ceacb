// The standard actions on the SDK, over the PostgreSQL at ASSENT_CONTRACT_POSTGRESQL.
#include <assent/postgresql.h>

#include "tests/contract/samples/sdk_ledger.h"

int main() {
  using assent::postgresql::Db;
  using assent::postgresql::Store;
  return assent::contract::samples::RunSdkParticipant<Db>([] {
    return Store::Open(
        {.connection = assent::contract::samples::Env("ASSENT_CONTRACT_POSTGRESQL", ""),
         .setup = [](Db& db) {
           db.Exec(
               "CREATE TABLE IF NOT EXISTS ledger(account text PRIMARY KEY, balance bigint NOT "
               "NULL, held bigint NOT NULL)");
         }});
  });
}
