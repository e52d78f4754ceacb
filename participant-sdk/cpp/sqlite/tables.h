#pragma once

// The adapter's own tables in the user's database, and their version. docs/sdk-sqlite.md shows them
// to users.

#include <assent/status.h>

#include "participant-sdk/cpp/sqlite/connection.h"
#include "participant-sdk/cpp/sqlite/store_clock.h"

namespace assent::sqlite::internal {

// 1: ages by wall time. 2: by the store's own clock (store_clock.h); prepared work knows when its
// transaction began.
inline constexpr std::int64_t kFormatVersion = 2;

// Creates, checks or brings up to date the tables, inside one transaction of its own, and counts
// the start. The count is what makes the rows of an earlier run durable: after a kill between a
// write to the WAL and its fsync they are visible but not yet durable, and the fsync of this
// commit covers them. The store's clock goes on from where the file has it.
Status PrepareTables(Connection& connection, StoreClock& clock);

}  // namespace assent::sqlite::internal
