#pragma once

// A message without an outbox: a transaction that begins if, and only if, a local transaction of
// its initiator commits. The coordinator has it before; when the initiator falls silent it asks.
//
//   assent::Transaction ship;
//   ship.CheckBack("orders", "placed").Saga("shipping", "book", order);
//   if (auto s = client.Prepare(ship); !s.ok()) return s.status();   // nothing has happened
//   BEGIN; INSERT INTO orders …
//   assent::postgresql::Enlist(connection, ship)                     // a row of the barrier
//   COMMIT
//   client.Submit(ship);       // it begins now; without this it would, a moment later
//
// "orders" is a participant on the same database, whose store has
//
//   store->Saga("placed", assent::postgresql::CheckBack());
//
// Asked before the local transaction has committed it says "later", for as long as `patience` after
// Prepare; asked after that, it says no, and writes that down in the same table, where Enlist finds
// it: a local transaction that comes too late fails.
//
// Enlist and CheckBack of each adapter are in assent/outbox_sqlite.h, outbox_postgresql.h and
// outbox_mariadb.h. docs/messages.md is the guide.

#include <chrono>

#include <assent/call.h>
#include <assent/status.h>

namespace assent {

struct CheckBackOptions {
  // From Prepare, by the coordinator's clock, to the commit of the local transaction, by this
  // machine's. What takes longer is answered with no, and cannot commit any more. At least the time
  // that the slowest local transaction may take.
  std::chrono::milliseconds patience{10'000};
};

// What a participant answers that has no row of the branch: CheckBack of the adapters does.
Reply AnswerCheckBack(const Call& call, const CheckBackOptions& options = {});

}  // namespace assent
