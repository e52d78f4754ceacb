#include "coordinator/log/sqlite/sqlite_schema.h"

#include <array>
#include <map>
#include <random>
#include <sqlite3.h>

#include "coordinator/log/sqlite/sqlite_moved.h"

namespace assent::log {
namespace {

// Format 1. Its text is compared with what a file holds, letter by letter: it never changes. Column
// order: what changes often and is small comes before the long blobs, so that reading it does not
// follow overflow pages.
constexpr char kCreateTables[] = R"sql(
CREATE TABLE meta (
  id INTEGER PRIMARY KEY,
  format INTEGER NOT NULL,
  coordinator_id INTEGER NOT NULL,
  epoch INTEGER NOT NULL,
  next_serial INTEGER NOT NULL,
  commit_seq INTEGER NOT NULL,
  live_rows INTEGER NOT NULL,
  live_xor INTEGER NOT NULL,
  live_versions INTEGER NOT NULL,
  finished_rows INTEGER NOT NULL,
  crc INTEGER NOT NULL
);
CREATE TABLE life (
  epoch INTEGER PRIMARY KEY,
  commit_seq INTEGER NOT NULL,
  crc INTEGER NOT NULL
);
CREATE TABLE live (
  serial INTEGER PRIMARY KEY,
  version INTEGER NOT NULL,
  commit_seq INTEGER NOT NULL,
  state_crc INTEGER NOT NULL,
  spec_crc INTEGER NOT NULL,
  gid TEXT NOT NULL,
  state BLOB NOT NULL,
  spec BLOB NOT NULL
);
CREATE TABLE finished (
  serial INTEGER PRIMARY KEY,
  commit_seq INTEGER NOT NULL,
  crc INTEGER NOT NULL,
  outcome INTEGER NOT NULL,
  finished_unix_ms INTEGER NOT NULL,
  gid TEXT NOT NULL,
  spec BLOB NOT NULL,
  state BLOB NOT NULL
);
CREATE UNIQUE INDEX finished_by_gid ON finished (gid);
)sql";

// Format 2. `closed` holds the row of the newest life when that has ended in order; of a life of
// format 1 this is taken for granted, because nobody wrote down the opposite.
constexpr char kAddAgeAndEnd[] = R"sql(
CREATE TABLE age (
  ran_ms INTEGER PRIMARY KEY,
  commit_seq INTEGER NOT NULL,
  unix_ms INTEGER NOT NULL,
  crc INTEGER NOT NULL
);
CREATE TABLE closed (
  epoch INTEGER PRIMARY KEY,
  commit_seq INTEGER NOT NULL,
  crc INTEGER NOT NULL
);
INSERT INTO closed SELECT epoch, commit_seq, crc FROM life ORDER BY epoch DESC LIMIT 1;
)sql";

constexpr std::array<Migration, 2> kMigrations = {{
    {"create the tables of format 1", kCreateTables},
    {"add the tables of format 2", kAddAgeAndEnd},
}};

constexpr char kInsertMetaSql[] =
    "INSERT INTO meta (id, format, coordinator_id, epoch, next_serial, commit_seq, live_rows,"
    " live_xor, live_versions, finished_rows, crc) VALUES (1, 0, ?, 0, 1, 0, 0, 0, 0, 0, 0)";

std::uint64_t DrawCoordinatorId() {
  std::random_device device;
  return std::uniform_int_distribution<std::uint64_t>(1, 0xFFFF)(device);
}

Status Broken(SqliteConnection& db, const std::string& path, const std::string& what, int code) {
  const std::string text = path + ": " + what + ": " + db.ErrorText(code);
  if (IsFull(code)) return ResourceExhausted(text);
  if (IsCorrupt(code)) return DataLoss(text);
  return UnknownOutcome(text);
}

// One step, inside a local transaction that the caller opened and will close.
Status RunMigration(SqliteConnection& db, const std::string& path, const Migration& migration,
                    std::int64_t from) {
  if (const int code = db.Execute(migration.sql); code != SQLITE_OK) {
    return Broken(db, path, migration.what, code);
  }
  Meta meta;
  if (from == 0) {
    meta.coordinator_id = DrawCoordinatorId();
    Statement insert;
    int code = db.Prepare(kInsertMetaSql, insert);
    if (code == SQLITE_OK) code = insert.BindInt(1, meta.coordinator_id).Run();
    if (code != SQLITE_OK) return Broken(db, path, "write the meta row", code);
  } else {
    Result<Meta> old = ReadMeta(db, path);
    if (!old.ok()) return old.status();
    meta = *old;
  }
  meta.format = static_cast<std::uint64_t>(from) + 1;
  Statement update;
  int code = db.Prepare(kUpdateMetaSql, update);
  if (code == SQLITE_OK) {
    BindMeta(update, meta, meta.epoch);
    code = update.Run();
  }
  if (code == SQLITE_OK) {
    code = db.Execute("PRAGMA application_id = " + std::to_string(kApplicationId));
  }
  if (code == SQLITE_OK) code = db.Execute("PRAGMA user_version = " + std::to_string(from + 1));
  return code == SQLITE_OK ? OkStatus() : Broken(db, path, migration.what, code);
}

Result<std::map<std::string, std::string>> Tables(SqliteConnection& db, const std::string& path) {
  Statement select;
  int code = db.Prepare("SELECT name, sql FROM sqlite_schema ORDER BY name", select);
  std::map<std::string, std::string> tables;
  if (code == SQLITE_OK) {
    while ((code = select.Step()) == SQLITE_ROW) {
      tables[std::string(select.Bytes(0))] = std::string(select.Bytes(1));
    }
  }
  if (code != SQLITE_DONE) return Broken(db, path, "read the list of tables", code);
  return tables;
}

}  // namespace

const char* const kUpdateMetaSql =
    "UPDATE meta SET format = ?1, coordinator_id = ?2, epoch = ?3, next_serial = ?4,"
    " commit_seq = ?5, live_rows = ?6, live_xor = ?7, live_versions = ?8, finished_rows = ?9,"
    " crc = ?10 WHERE id = 1 AND epoch = ?11";

void BindMeta(Statement& statement, const Meta& meta, std::uint64_t held_epoch) {
  statement.BindInt(1, meta.format)
      .BindInt(2, meta.coordinator_id)
      .BindInt(3, meta.epoch)
      .BindInt(4, meta.next_serial)
      .BindInt(5, meta.commit_seq)
      .BindInt(6, meta.live_rows)
      .BindInt(7, meta.live_xor)
      .BindInt(8, meta.live_versions)
      .BindInt(9, meta.finished_rows)
      .BindInt(10, std::int64_t{MetaChecksum(meta)})
      .BindInt(11, held_epoch);
}

std::span<const Migration> Migrations() { return kMigrations; }

Status Migrate(SqliteConnection& db, const std::string& path,
               std::span<const Migration> migrations) {
  const auto newest = static_cast<std::int64_t>(migrations.size());
  std::int64_t format = 0;
  if (const int code = db.QueryInt("PRAGMA user_version", format); code != SQLITE_OK) {
    return Broken(db, path, "read the format", code);
  }
  if (format < 0 || format > newest) {
    return {Code::kUnimplemented, path + ": the log has format " + std::to_string(format) +
                                      ", this build reads up to " + std::to_string(newest) +
                                      ": run the version that wrote it, or a newer one"};
  }
  std::int64_t tables = 0;
  if (const int code = db.QueryInt("SELECT count(*) FROM sqlite_schema", tables)) {
    return Broken(db, path, "read the list of tables", code);
  }
  if (format == 0 && tables > 0) {
    return DataLoss(path + ": the header says that the log is new, but there are tables");
  }
  if (format > 0) {  // the header has no checksum: believe it only if the meta row says the same
    const Result<Meta> meta = ReadMeta(db, path);
    if (!meta.ok()) return meta.status();
    if (meta.value().format != static_cast<std::uint64_t>(format)) {
      return DataLoss(path + ": the header says format " + std::to_string(format) +
                      ", table meta says " + std::to_string(meta.value().format));
    }
  }
  for (; format < newest; ++format) {
    if (const int code = db.Execute("BEGIN IMMEDIATE"); code != SQLITE_OK) {
      return Broken(db, path, "begin a migration", code);
    }
    const Migration& migration = migrations[static_cast<std::size_t>(format)];
    if (Status status = RunMigration(db, path, migration, format); !status.ok()) return status;
    if (const int code = db.Execute("COMMIT"); code != SQLITE_OK) {
      return Broken(db, path, migration.what, code);
    }
  }
  return OkStatus();
}

Status CheckSchema(SqliteConnection& db, const std::string& path,
                   std::span<const Migration> migrations) {
  SqliteConnection model;
  int code = model.Open(":memory:", "");
  for (const Migration& migration : migrations) {
    if (code == SQLITE_OK) code = model.Execute(migration.sql);
  }
  if (code != SQLITE_OK) return Internal("the model of the log's tables: " + model.ErrorText(code));
  Result<std::map<std::string, std::string>> wanted = Tables(model, ":memory:");
  if (!wanted.ok()) return wanted.status();
  const Result<std::map<std::string, std::string>> found = Tables(db, path);
  if (!found.ok()) return found.status();
  for (const auto& [name, sql] : found.value()) {
    if (name == kMovedTable && sql == kCreateMovedSql) wanted.value()[name] = sql;
  }
  for (const auto& [name, sql] : wanted.value()) {
    const auto at = found.value().find(name);
    if (at == found.value().end())
      return DataLoss(path + ": table or index " + name + " is missing");
    if (at->second != sql) {
      return DataLoss(path + ": the definition of " + name + " is not the one of this format");
    }
  }
  for (const auto& [name, sql] : found.value()) {
    if (!wanted.value().contains(name)) {
      return DataLoss(path + ": unexpected table or index " + name);
    }
  }
  return OkStatus();
}

Result<Meta> ReadMeta(SqliteConnection& db, const std::string& path) {
  Statement select;
  int code = db.Prepare(
      "SELECT format, coordinator_id, epoch, next_serial, commit_seq, live_rows, live_xor,"
      " live_versions, finished_rows, crc, id FROM meta",
      select);
  if (code == SQLITE_OK) code = select.Step();
  if (code == SQLITE_DONE) return DataLoss(path + ": table meta is empty");
  if (code == SQLITE_ERROR) return DataLoss(path + ": table meta: " + db.ErrorText(code));
  if (code != SQLITE_ROW) return Broken(db, path, "read table meta", code);
  const Meta meta = {.format = select.Unsigned(0),
                     .coordinator_id = select.Unsigned(1),
                     .epoch = select.Unsigned(2),
                     .next_serial = select.Unsigned(3),
                     .commit_seq = select.Unsigned(4),
                     .live_rows = select.Unsigned(5),
                     .live_xor = select.Unsigned(6),
                     .live_versions = select.Unsigned(7),
                     .finished_rows = select.Unsigned(8)};
  if (select.Int(9) != std::int64_t{MetaChecksum(meta)} || select.Int(10) != 1) {
    return DataLoss(path + ": table meta, row " + std::to_string(select.Int(10)) +
                    ": checksum mismatch");
  }
  code = select.Step();
  if (code == SQLITE_ROW) return DataLoss(path + ": table meta has more than one row");
  if (code != SQLITE_DONE) return Broken(db, path, "read table meta", code);
  return meta;
}

}  // namespace assent::log
