#pragma once

// The tables of a log file and how they came to be: a list of migrations, each from one format to
// the next. Creating a new file is migrating from format 0. FORMAT.md describes the newest.

#include <cstdint>
#include <span>
#include <string>

#include <assent/status.h>

#include "coordinator/log/sqlite/sqlite_connection.h"
#include "coordinator/log/sqlite/sqlite_rows.h"

namespace assent::log {

// In the file's header (PRAGMA application_id): "Asnt".
inline constexpr std::int64_t kApplicationId = 0x41736E74;

// From format `index in the list` to the next. Runs in one local transaction with the change of
// format; a failure or a crash leaves the old format untouched.
struct Migration {
  const char* what;  // for the message of a failure
  const char* sql;
};

// What this build writes and reads. Format n is the result of the first n.
std::span<const Migration> Migrations();

// Brings the file to the newest format; a file of an even newer one is refused with kUnimplemented.
// `path` is for messages. `migrations` is Migrations() but in tests.
Status Migrate(SqliteConnection& db, const std::string& path,
               std::span<const Migration> migrations);

// Compares the tables in the file with what the migrations would have made: kDataLoss names the
// first difference.
Status CheckSchema(SqliteConnection& db, const std::string& path,
                   std::span<const Migration> migrations);

// The meta row, checked: kDataLoss if it is missing, doubled, or fails its checksum.
Result<Meta> ReadMeta(SqliteConnection& db, const std::string& path);

// Writes every column of the meta row, if its epoch is still `held_epoch`; the number of rows
// changed, or -1 and the code. Prepared from kUpdateMetaSql.
extern const char* const kUpdateMetaSql;
void BindMeta(Statement& statement, const Meta& meta, std::uint64_t held_epoch);

}  // namespace assent::log
