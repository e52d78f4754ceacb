#pragma once

// The foreign keys of rows that were written while SQLite's own enforcement was off.

#include <string>
#include <vector>

#include "participant-sdk/cpp/sqlite/connection.h"
#include "participant-sdk/cpp/sqlite/schema.h"

namespace assent::sqlite::internal {

// Looks only at what `changes`, already applied, could have broken: children they wrote whose
// parent is missing, and children left behind by parent keys that they took away. Empty: nothing is
// broken.
Result<std::string> FindBrokenForeignKey(Schema& schema, const std::vector<RowChange>& changes);

}  // namespace assent::sqlite::internal
