#include "participant-sdk/cpp/postgresql/barrier_rows.h"

#include "participant-sdk/cpp/barrier/read_row.h"

namespace assent::postgresql::internal {
namespace {

using barrier::State;

// Several processes that create the same table at once get in each other's way: one after the
// other.
constexpr char kTables[] = R"(BEGIN;
SELECT pg_advisory_xact_lock(7400);
CREATE TABLE IF NOT EXISTS assent_barrier(
  gid text COLLATE "C" NOT NULL, branch_id text COLLATE "C" NOT NULL, protocol smallint NOT NULL,
  action text NOT NULL, state smallint NOT NULL, kind smallint NOT NULL, result bytea NOT NULL,
  reason text NOT NULL, second_result bytea NOT NULL, coordinator_id bigint NOT NULL,
  began_epoch bigint NOT NULL, touched_ms bigint NOT NULL, orphan integer NOT NULL DEFAULT 0,
  PRIMARY KEY(gid, branch_id));
ALTER TABLE assent_barrier ADD COLUMN IF NOT EXISTS orphan integer NOT NULL DEFAULT 0;
CREATE INDEX IF NOT EXISTS assent_barrier_age ON assent_barrier(touched_ms);
CREATE TABLE IF NOT EXISTS assent_marker(
  gid text NOT NULL, branch_id text NOT NULL, PRIMARY KEY(gid, branch_id));
CREATE TABLE IF NOT EXISTS assent_age(
  gid text PRIMARY KEY, began_unix_ms bigint NOT NULL, coordinator_id bigint NOT NULL);
COMMIT)";

// Also for who may not create anything, where everything is.
constexpr char kHasTables[] =
    "SELECT to_regclass('assent_marker') IS NOT NULL AND to_regclass('assent_age') IS NOT NULL AND "
    "to_regclass('assent_barrier_age') IS NOT NULL AND EXISTS(SELECT FROM pg_attribute WHERE "
    "attrelid = to_regclass('assent_barrier') AND attname = 'orphan' AND NOT attisdropped)";

#define ASSENT_KEY                                                                             \
  "('x' || left(encode(sha256(convert_to('[\"' || k.gid || '\", \"' || k.branch_id || '\"]', " \
  "'UTF8')), 'hex'), 16))::bit(64)::bigint"
#define ASSENT_KEYS "unnest($1::text[], $2::text[]) AS k(gid, branch_id)"
#define ASSENT_NOW "(extract(epoch FROM clock_timestamp()) * 1000)::bigint"

constexpr char kTry[] = "SELECT pg_try_advisory_xact_lock(" ASSENT_KEY ") FROM " ASSENT_KEYS;
constexpr char kWait[] = "SELECT pg_advisory_xact_lock(" ASSENT_KEY ") FROM " ASSENT_KEYS;
constexpr char kSession[] = "SELECT pg_advisory_lock(" ASSENT_KEY ") FROM " ASSENT_KEYS;

// By the primary key for each, whatever the planner believes about the table.
constexpr char kFind[] =
    "SELECT k.n, b.state, b.protocol, b.action, b.kind, b.result, b.reason, b.second_result "
    "FROM unnest($1::text[], $2::text[]) WITH ORDINALITY AS k(gid, branch_id, n) CROSS JOIN "
    "LATERAL (SELECT * FROM assent_barrier WHERE gid = k.gid AND branch_id = k.branch_id LIMIT 1) "
    "b";

constexpr char kInsert[] =
    "INSERT INTO assent_barrier(gid, branch_id, protocol, action, state, kind, result, reason, "
    "second_result, coordinator_id, began_epoch, touched_ms) VALUES($1, $2, $3, $4, $5, $6, $7, "
    "$8, "
    "'', $9, $10, coalesce($11::bigint, " ASSENT_NOW "))";

// Division by zero where there is no such row.
constexpr char kAdvance[] =
    "WITH moved AS (UPDATE assent_barrier SET state = $4, second_result = $5, touched_ms = "
    "coalesce($6::bigint, " ASSENT_NOW
    ") WHERE gid = $1 AND branch_id = $2 AND state = $3 "
    "RETURNING 1) SELECT 1 / count(*) FROM moved";

#define ASSENT_IS_OLD "touched_ms <= coalesce($4::bigint, " ASSENT_NOW ") - $5::bigint"
constexpr char kForget[] =
    "DELETE FROM assent_barrier WHERE gid = $1 AND branch_id = $2 AND state = $3 "
    "AND " ASSENT_IS_OLD;
constexpr char kOrphan[] =
    "UPDATE assent_barrier SET orphan = 1 WHERE gid = $1 AND branch_id = $2 AND state = $3 "
    "AND " ASSENT_IS_OLD;

Param TimeOf(Now now_ms) { return now_ms ? Param::Int(*now_ms) : Param::Null(); }

Params KeysOf(const std::vector<BranchKey>& branches) {
  std::vector<std::string_view> gids;
  std::vector<std::string_view> ids;
  for (const BranchKey& branch : branches) {
    gids.push_back(branch.gid);
    ids.push_back(branch.branch_id);
  }
  return {Param::Words(gids), Param::Words(ids)};
}

}  // namespace

Status MakeTables(Connection& connection) {
  Answer answer = connection.Run(kHasTables);
  if (answer.ok() && answer.table.Int(0, 0) == 1) return OkStatus();
  if (answer.ok()) answer = connection.Run(kTables);
  if (answer.ok()) return OkStatus();
  const std::string why = connection.place() + ": tables of the barrier: " + answer.message;
  if (!connection.broken()) (void)connection.Run("ROLLBACK");
  return {answer.status().code(), why};
}

void AddLock(Connection& connection, Lock lock, const std::vector<BranchKey>& branches) {
  const char* const sql = lock == Lock::kTry ? kTry : lock == Lock::kWait ? kWait : kSession;
  connection.Add(sql, KeysOf(branches));
}

void AddFind(Connection& connection, const std::vector<BranchKey>& branches) {
  connection.Add(kFind, KeysOf(branches));
}

Result<barrier::Row> ReadRow(const Table& table, int row) {
  return barrier::ReadRow(table, row, kFirstRowColumn);
}

void AddInsert(Connection& connection, const Call& call, State state, const Reply& first,
               Now now_ms) {
  connection.Add(
      kInsert,
      {Param::Text(call.gid), Param::Text(call.branch_id),
       Param::Int(static_cast<int>(call.protocol)), Param::Text(call.action),
       Param::Int(static_cast<int>(state)), Param::Int(static_cast<int>(first.kind)),
       Param::Bytes(first.result), Param::Text(first.reason), Param::Int(call.coordinator_id),
       Param::Int(static_cast<std::int64_t>(call.began_epoch)), TimeOf(now_ms)});
}

void AddAdvance(Connection& connection, BranchKey branch, State was, State state,
                std::string_view second_result, Now now_ms) {
  connection.Add(kAdvance, {Param::Text(branch.gid), Param::Text(branch.branch_id),
                            Param::Int(static_cast<int>(was)), Param::Int(static_cast<int>(state)),
                            Param::Bytes(second_result), TimeOf(now_ms)});
}

void AddForget(Connection& connection, BranchKey branch, State was, Now now_ms,
               std::int64_t retain_ms) {
  connection.Add(kForget,
                 {Param::Text(branch.gid), Param::Text(branch.branch_id),
                  Param::Int(static_cast<int>(was)), TimeOf(now_ms), Param::Int(retain_ms)});
}

void AddOrphan(Connection& connection, BranchKey branch, Now now_ms, std::int64_t retain_ms) {
  connection.Add(
      kOrphan, {Param::Text(branch.gid), Param::Text(branch.branch_id),
                Param::Int(static_cast<int>(State::kDone)), TimeOf(now_ms), Param::Int(retain_ms)});
}

}  // namespace assent::postgresql::internal
