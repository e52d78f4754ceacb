#pragma once

// The adapter's own tables in the user's database, and their version. docs/sdk-sqlite.md shows them to users.

#include <assent/status.h>

#include "participant-sdk/sqlite/connection.h"

namespace assent::sqlite::internal {

inline constexpr std::int64_t kFormatVersion = 1;

// Creates or checks the tables, inside one transaction of its own, and counts the start. The count is what makes the rows
// of an earlier life durable: after a kill between a write to the WAL and its fsync they are visible but not yet on the
// platter, and the fsync of this commit covers them.
Status PrepareTables(Connection& connection);

}  // namespace assent::sqlite::internal
