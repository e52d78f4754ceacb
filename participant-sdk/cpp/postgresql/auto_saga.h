#pragma once

// Saga steps whose compensation is the inverse of what they wrote.
//
//   ACTION      count ─ setting on ─ handler ─ setting off ─ all seen? ─ [tried out] ─ seal
//   COMPENSATE  images, seal ─ rows locked, compared ─ written back ─ that, and no more? ─ gone
//
// All in the local transaction of the barrier's row. What was not seen (a table that is not named,
// TRUNCATE, a change of the schema) is found by the server's own count of rows written in this
// transaction, which has all tables and all catalogs.

#include <assent/postgresql.h>

namespace assent::postgresql::internal {

// Runs `handler` and keeps images of what it writes. What could not be undone it refuses.
DbHandler Recorded(DbHandler handler);
// The compensation.
DbHandler Inverse();

}  // namespace assent::postgresql::internal
