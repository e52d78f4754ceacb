#pragma once

// The table of PostgreSQL, and a row of it. No trigger guards it: the words that all stores of this
// kind have in common know none.

#include <string>

#include <assent/status.h>

#include "coordinator/audit/chain.h"
#include "coordinator/log/postgresql/values.h"

namespace assent::audit {

// A code of -1 is none.
inline constexpr const char* kCreateSql = R"sql(
CREATE TABLE IF NOT EXISTS audit_rows (
  chain text COLLATE "C" NOT NULL, number bigint NOT NULL, kind text NOT NULL,
  at_ms bigint NOT NULL,
  about_ms bigint NOT NULL, about_epoch bigint NOT NULL, about_number bigint NOT NULL,
  node text NOT NULL, verb text NOT NULL, gid text COLLATE "C" NOT NULL, branch text NOT NULL,
  detail text NOT NULL, who text NOT NULL, claims text NOT NULL, reason text NOT NULL,
  address text NOT NULL, was text NOT NULL, code bigint NOT NULL, said text NOT NULL,
  times bigint NOT NULL, hash bytea NOT NULL,
  PRIMARY KEY (chain, number));
CREATE UNIQUE INDEX IF NOT EXISTS audit_by_entry
  ON audit_rows (about_ms, about_epoch, about_number, kind);
CREATE INDEX IF NOT EXISTS audit_rows_by_gid
  ON audit_rows (gid, about_ms, about_epoch, about_number);
CREATE TABLE IF NOT EXISTS audit_tried (id bigint PRIMARY KEY, at_ms bigint NOT NULL);
INSERT INTO audit_tried SELECT 1, 0 WHERE NOT EXISTS (SELECT 1 FROM audit_tried)
)sql";
inline constexpr const char* kInsertSql =
    "INSERT INTO audit_rows VALUES ($1::text, $2::bigint, $3::text, $4::bigint, $5::bigint,"
    " $6::bigint, $7::bigint, $8::text, $9::text, $10::text, $11::text, $12::text, $13::text,"
    " $14::text, $15::text, $16::text, $17::text, $18::bigint, $19::text, $20::bigint, $21::bytea)";
inline constexpr const char* kRetireSql =
    "DELETE FROM audit_rows WHERE chain = $1::text AND number <= $2::bigint";
inline constexpr const char* kIsThereSql =
    "SELECT 1 FROM audit_rows WHERE about_ms = $1::bigint AND about_epoch = $2::bigint"
    " AND about_number = $3::bigint AND kind = $4::text";
inline constexpr const char* kHeadSql =
    "SELECT number, hash FROM audit_rows WHERE chain = $1::text ORDER BY number DESC LIMIT 1";
inline constexpr const char* kHashSql =
    "SELECT hash FROM audit_rows WHERE chain = $1::text AND number = $2::bigint";
inline constexpr const char* kTrySql = "UPDATE audit_tried SET at_ms = $1::bigint WHERE id = 1";
inline constexpr const char* kChainsSql =
    "SELECT s.chain, s.first, s.last, r.hash FROM (SELECT chain, MIN(number) AS first,"
    " MAX(number) AS last FROM audit_rows WHERE chain > $1::text GROUP BY chain ORDER BY chain"
    " LIMIT $2::bigint) s JOIN audit_rows r ON r.chain = s.chain AND r.number = s.last"
    " ORDER BY s.chain";
inline constexpr const char* kAgesSql =
    "SELECT chain, MIN(number), MAX(number) FROM audit_rows"
    " WHERE substr(chain, 1, $2::bigint::integer) = $1::text GROUP BY chain ORDER BY MIN(at_ms)";
inline constexpr const char* kRowsSql =
    "SELECT chain, number, kind, at_ms, about_ms, about_epoch, about_number, node, verb, gid,"
    " branch, detail, who, claims, reason, address, was, code, said, times, hash FROM audit_rows"
    " WHERE chain = $1::text AND number > $2::bigint ORDER BY number LIMIT $3::bigint";
// Of the table that there was before the chain, some at a time.
inline constexpr const char* kReadFormat1Sql =
    "SELECT at_ms, epoch, number, node, verb, gid, branch, detail, who, reason, address, was, code,"
    " said FROM audit ORDER BY at_ms, epoch, number LIMIT 1000";
inline constexpr const char* kTakeFormat1Sql =
    "DELETE FROM audit WHERE at_ms = $1::bigint AND epoch = $2::bigint AND number = $3::bigint";

inline constexpr const char* kUndefinedTable = "42P01";

std::string EntriesSql(const Query& query);
log::Params ParamsOf(const EntryId& id);
log::Params ParamsOf(const Row& row);
// kInternal: no kind is called so.
Result<Row> RowOf(const log::Rows& rows, int row);
Entry EntryOf(const log::Rows& rows, int row);
Row OldRow(const log::Rows& rows, int row);

}  // namespace assent::audit
