#pragma once

// Saga steps whose compensation is the inverse of what they wrote.
//
//   ACTION      counters, step on ─ handler ─ step off, counters ─ all seen? ─ [tried out] ─ seal
//   COMPENSATE  images, seal ─ rows locked, compared ─ written back ─ that, and no more? ─ gone
//
// All in the local transaction of the barrier's row. What was not seen (a table that is not named)
// is found by the server's own counters of rows that this session has written, in whatever table.
// They do not say in which, and they know nothing of what foreign keys do by themselves: a table
// whose rows others follow by CASCADE or SET NULL is refused by name.

#include <assent/mariadb.h>

namespace assent::mariadb::internal {

// Runs `handler` and keeps images of what it writes. What could not be undone it refuses.
DbHandler Recorded(DbHandler handler);
// The compensation.
DbHandler Inverse();

}  // namespace assent::mariadb::internal
