#pragma once

// What tables looked like when a changeset was made of them.

#include <string>
#include <vector>

#include "participant-sdk/cpp/sqlite/connection.h"
#include "participant-sdk/cpp/sqlite/schema.h"

namespace assent::sqlite::internal {

// The columns, by name, of the tables that `changes` touch: kept beside a changeset, which knows
// columns by number. And their unique and foreign keys, by which its claims were made.
std::string ShapeOf(const Schema& schema, const std::vector<RowChange>& changes);
// Whether the keys of those tables are still what they were, so that the claims made then are all
// there is to claim.
bool KeysAreAsIn(const Schema& schema, const std::vector<RowChange>& changes,
                 const std::string& shape);

// SQLite skips, with nothing but a log line, a table whose shape does not fit. We do not.
// Empty: the columns are as they were, and there may be more.
std::string FindMisfit(const Schema& schema, const std::string& shape);

}  // namespace assent::sqlite::internal
