#include "participant-sdk/cpp/sqlite/tables.h"

namespace assent::sqlite::internal {
namespace {

// assent_barrier: one row per branch (BranchState), with the replies it gave. Keyed by the gid,
// which is ordered by time.
// assent_undo:    the changeset of an automatic Saga step, until it is compensated or cleaned.
// assent_prepared, assent_lock: prepared branches and what they claim.
constexpr char kTables[] = R"sql(
CREATE TABLE IF NOT EXISTS assent_meta(key TEXT PRIMARY KEY, value) WITHOUT ROWID;
CREATE TABLE IF NOT EXISTS assent_barrier(
  gid TEXT NOT NULL, branch_id TEXT NOT NULL,
  protocol INTEGER NOT NULL, action TEXT NOT NULL, state INTEGER NOT NULL,
  kind INTEGER NOT NULL, result BLOB, reason TEXT, second_result BLOB,
  coordinator_id INTEGER NOT NULL, began_epoch INTEGER NOT NULL,
  touched_ms INTEGER NOT NULL, orphan INTEGER NOT NULL DEFAULT 0,
  PRIMARY KEY(gid, branch_id)) WITHOUT ROWID;
CREATE TABLE IF NOT EXISTS assent_undo(
  gid TEXT NOT NULL, branch_id TEXT NOT NULL, changeset BLOB NOT NULL, shape BLOB NOT NULL, checksum INTEGER NOT NULL,
  PRIMARY KEY(gid, branch_id));
CREATE TABLE IF NOT EXISTS assent_prepared(
  id INTEGER PRIMARY KEY AUTOINCREMENT,
  gid TEXT NOT NULL, branch_id TEXT NOT NULL,
  coordinator_id INTEGER NOT NULL, began_epoch INTEGER NOT NULL,
  changeset BLOB NOT NULL, shape BLOB NOT NULL, checksum INTEGER NOT NULL,
  prepared_ms INTEGER NOT NULL, hazard TEXT,
  began_unix_ms INTEGER NOT NULL DEFAULT 0,
  UNIQUE(gid, branch_id));
CREATE TABLE IF NOT EXISTS assent_lock(
  resource BLOB NOT NULL, holder INTEGER NOT NULL, exclusive INTEGER NOT NULL,
  PRIMARY KEY(resource, holder)) WITHOUT ROWID;
CREATE INDEX IF NOT EXISTS assent_lock_holder ON assent_lock(holder);
INSERT INTO assent_meta VALUES('format', 2) ON CONFLICT DO NOTHING;
INSERT INTO assent_meta VALUES('starts', 0) ON CONFLICT DO NOTHING;
INSERT INTO assent_meta VALUES('clock_ms', 0) ON CONFLICT DO NOTHING;
UPDATE assent_meta SET value = value + 1 WHERE key = 'starts';
)sql";

// Stamps of format 1 are wall time, which says nothing about the clock that starts now: everything
// begins to age anew.
constexpr char kFromFormat1[] = R"sql(
ALTER TABLE assent_prepared ADD COLUMN began_unix_ms INTEGER NOT NULL DEFAULT 0;
UPDATE assent_prepared SET prepared_ms = 0;
UPDATE assent_barrier SET touched_ms = 0;
UPDATE assent_meta SET value = 2 WHERE key = 'format';
)sql";

Status CheckFormat(Connection& connection) {
  std::int64_t format = 0;
  {
    Statement exists(connection, "SELECT 1 FROM main.sqlite_schema WHERE name = 'assent_meta'");
    if (!exists.Step()) return exists.status();
    Statement read(connection, "SELECT value FROM assent_meta WHERE key = 'format'");
    if (!read.Step())
      return read.status().ok() ? DataLoss("assent_meta has no format") : read.status();
    format = read.Int(0);
  }
  if (format > kFormatVersion) {
    return FailedPrecondition("the assent_* tables have format " + std::to_string(format) +
                              ", newer than this library's " + std::to_string(kFormatVersion) +
                              ": use the newer library");
  }
  return format == 1 ? connection.Run(kFromFormat1) : OkStatus();
}

}  // namespace

Status PrepareTables(Connection& connection, StoreClock& clock) {
  Status status = connection.Run("BEGIN IMMEDIATE");
  if (!status.ok()) return status;
  status = CheckFormat(connection);
  if (status.ok()) status = connection.Run(kTables);
  if (status.ok()) status = clock.Tick(connection);
  if (status.ok()) status = connection.Run("COMMIT");
  if (!status.ok() && !connection.idle()) (void)connection.Run("ROLLBACK");
  return status;
}

}  // namespace assent::sqlite::internal
