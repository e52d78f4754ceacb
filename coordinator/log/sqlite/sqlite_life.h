#pragma once

// What a log's small tables say, each row checked: which lives it has had, whether the newest has
// ended in order, and its marks of age. kDataLoss names the table, and the row if it is one.

#include <cstdint>
#include <string>
#include <vector>

#include <assent/status.h>

#include "coordinator/log/retention_clock.h"
#include "coordinator/log/sqlite/sqlite_connection.h"
#include "coordinator/log/sqlite/sqlite_rows.h"

namespace assent::log {

// The start of the oldest life that a log with this newest one keeps.
std::uint64_t OldestKeptStart(std::uint64_t newest);

Result<std::vector<std::uint64_t>> ReadEpochs(SqliteConnection& db, const std::string& path,
                                              const Meta& meta);
Result<bool> NewestLifeEnded(SqliteConnection& db, const std::string& path, const Meta& meta);
Result<std::vector<AgeMark>> ReadAges(SqliteConnection& db, const std::string& path,
                                      const Meta& meta);

}  // namespace assent::log
