#pragma once

// The file's tables, and a row of them.

#include <cstdint>

#include <assent/status.h>

#include "coordinator/audit/chain.h"
#include "coordinator/log/sqlite/sqlite_connection.h"

namespace assent::audit {

inline constexpr std::int64_t kSqliteFormat = 2;

// Rows are added, and none is changed; the oldest are removed behind a row that says so.
inline constexpr const char* kCreateSqliteSql = R"sql(
CREATE TABLE audit_rows (
  chain TEXT NOT NULL, number INTEGER NOT NULL, kind TEXT NOT NULL, at_ms INTEGER NOT NULL,
  about_ms INTEGER NOT NULL, about_epoch INTEGER NOT NULL, about_number INTEGER NOT NULL,
  node TEXT NOT NULL, verb TEXT NOT NULL, gid TEXT NOT NULL, branch TEXT NOT NULL,
  detail TEXT NOT NULL, who TEXT NOT NULL, claims TEXT NOT NULL, reason TEXT NOT NULL,
  address TEXT NOT NULL, was TEXT NOT NULL, code INTEGER, said TEXT NOT NULL,
  times INTEGER NOT NULL, hash BLOB NOT NULL,
  PRIMARY KEY (chain, number)) WITHOUT ROWID;
CREATE UNIQUE INDEX audit_by_entry
  ON audit_rows (about_ms, about_epoch, about_number, kind);
CREATE INDEX audit_rows_by_gid ON audit_rows (gid, about_ms, about_epoch, about_number);
CREATE INDEX audit_retired ON audit_rows (detail, times) WHERE kind = 'retired';
CREATE TRIGGER audit_no_update BEFORE UPDATE ON audit_rows
  BEGIN SELECT RAISE(ABORT, 'rows of the record are not changed'); END;
CREATE TRIGGER audit_no_delete BEFORE DELETE ON audit_rows
  WHEN NOT EXISTS (SELECT 1 FROM audit_rows
                   WHERE kind = 'retired' AND detail = OLD.chain AND times >= OLD.number)
  BEGIN SELECT RAISE(ABORT, 'rows of the record are not removed'); END;
CREATE TABLE audit_tried (id INTEGER PRIMARY KEY, at_ms INTEGER NOT NULL);
)sql";

inline constexpr const char* kSelectRowSql =
    "SELECT chain, number, kind, at_ms, about_ms, about_epoch, about_number, node, verb, gid, "
    "branch,"
    " detail, who, claims, reason, address, was, code, said, times, hash"
    " FROM audit_rows";

// -1 is no code.
inline constexpr const char* kInsertRowSql =
    "INSERT INTO audit_rows (chain, number, kind, at_ms, about_ms, about_epoch, about_number, node,"
    " verb, gid, branch, detail, who, claims, reason, address, was, code, said, times, hash)"
    " VALUES (?, ?, ?, ?, ?, ?, ?, ?, ?, ?, ?, ?, ?, ?, ?, ?, ?, NULLIF(?, -1), ?, ?, ?)";

// Of a statement that selects kSelectRowSql. kInternal: no kind is called so.
Result<Row> RowOf(const log::Statement& statement);
// The values of kInsertRowSql; the row lives until it has run.
log::Statement& BindRow(log::Statement& insert, const Row& row);

// What the table of format 1 holds goes into the chain as it is.
int TakeOverFormat1(log::SqliteConnection& db);

}  // namespace assent::audit
