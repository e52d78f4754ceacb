#pragma once

// The mark of a log whose rows go to another store, or have gone: table moved, with one row. A log
// that has not been moved has no such table, and so its format is what it was; builds that do not
// know the mark refuse the table by its name.

#include <optional>
#include <string>

#include <assent/status.h>

#include "coordinator/log/sqlite/sqlite_connection.h"

namespace assent::log {

inline constexpr const char* kMovedTable = "moved";
// Compared with what a file holds, letter by letter.
inline constexpr const char* kCreateMovedSql = R"sql(CREATE TABLE moved (
  id INTEGER PRIMARY KEY,
  done INTEGER NOT NULL,
  target TEXT NOT NULL,
  crc INTEGER NOT NULL
))sql";

struct Moved {
  bool done = false;   // false: it may be there or not; moving it again to the same place tells
  std::string target;  // for people, and to be compared
  friend bool operator==(const Moved&, const Moved&) = default;
};

// Nothing: it was not moved. kDataLoss: the mark is damaged.
Result<std::optional<Moved>> ReadMoved(SqliteConnection& db, const std::string& path);

}  // namespace assent::log
