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

constexpr char kInsertAll[] =
    "INSERT INTO assent_barrier(gid, branch_id, protocol, action, state, kind, result, reason, "
    "second_result, coordinator_id, began_epoch, touched_ms) SELECT k.gid, k.branch_id, "
    "k.protocol, k.action, k.state, k.kind, k.result, k.reason, ''::bytea, k.coordinator_id, "
    "k.began_epoch, coalesce($11::bigint, " ASSENT_NOW
    ") FROM unnest($1::text[], $2::text[], $3::smallint[], $4::text[], $5::smallint[], "
    "$6::smallint[], $7::bytea[], $8::text[], $9::bigint[], $10::bigint[]) AS k(gid, branch_id, "
    "protocol, action, state, kind, result, reason, coordinator_id, began_epoch)";

// Each row is found by the primary key, whatever the planner believes about the table: a conflict
// is looked for in its index, where UPDATE … FROM unnest may be a hash join over all rows. What is
// proposed has the state in which the row was read as an `orphan` below zero, which no row has. So
// where there is no row any more, the one that is made in its place is not counted; nor is one that
// is in another state. Division by zero unless all are.
constexpr char kAdvanceAll[] =
    "WITH moved AS (INSERT INTO assent_barrier AS b(gid, branch_id, protocol, action, state, kind, "
    "result, reason, second_result, coordinator_id, began_epoch, touched_ms, orphan) SELECT k.gid, "
    "k.branch_id, 0, '', k.state, 0, ''::bytea, '', k.second_result, 0, 0, "
    "coalesce($6::bigint, " ASSENT_NOW
    "), -k.was FROM unnest($1::text[], $2::text[], $3::smallint[], $4::smallint[], "
    "$5::bytea[]) AS k(gid, branch_id, was, state, second_result) ON CONFLICT (gid, branch_id) DO "
    "UPDATE SET state = excluded.state, second_result = excluded.second_result, touched_ms = "
    "excluded.touched_ms WHERE b.state = -excluded.orphan RETURNING b.orphan) SELECT 1 / (count(*) "
    "= cardinality($1::text[]))::int FROM moved WHERE orphan >= 0";

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
  return {Param::Texts(gids), Param::Texts(ids)};
}

// One value of each row.
template <typename Of>
std::vector<std::string_view> ViewsOf(const std::vector<RowWrite>& rows, Of of) {
  std::vector<std::string_view> views;
  for (const RowWrite& row : rows) views.push_back(of(row));
  return views;
}
template <typename Of>
Param TextsOf(const std::vector<RowWrite>& rows, Of of) {
  return Param::Texts(ViewsOf(rows, of));
}
template <typename Of>
Param BlobsOf(const std::vector<RowWrite>& rows, Of of) {
  return Param::Blobs(ViewsOf(rows, of));
}
template <typename Of>
Param IntsOf(const std::vector<RowWrite>& rows, Of of) {
  std::vector<std::int64_t> numbers;
  for (const RowWrite& row : rows) numbers.push_back(static_cast<std::int64_t>(of(row)));
  return Param::Ints(numbers);
}

std::string_view GidOf(const RowWrite& row) { return row.call->gid; }
std::string_view BranchIdOf(const RowWrite& row) { return row.call->branch_id; }
std::string_view ResultOf(const RowWrite& row) { return row.reply->result; }

void AddInsertAll(Connection& connection, const std::vector<RowWrite>& rows, Now now_ms) {
  using Row = const RowWrite&;
  connection.Add(kInsertAll,
                 {TextsOf(rows, GidOf), TextsOf(rows, BranchIdOf),
                  IntsOf(rows, [](Row row) { return row.call->protocol; }),
                  TextsOf(rows, [](Row row) -> std::string_view { return row.call->action; }),
                  IntsOf(rows, [](Row row) { return row.state; }),
                  IntsOf(rows, [](Row row) { return row.reply->kind; }), BlobsOf(rows, ResultOf),
                  TextsOf(rows, [](Row row) -> std::string_view { return row.reply->reason; }),
                  IntsOf(rows, [](Row row) { return row.call->coordinator_id; }),
                  IntsOf(rows, [](Row row) { return row.call->began_epoch; }), TimeOf(now_ms)});
}

void AddAdvanceAll(Connection& connection, const std::vector<RowWrite>& rows, Now now_ms) {
  using Row = const RowWrite&;
  connection.Add(kAdvanceAll, {TextsOf(rows, GidOf), TextsOf(rows, BranchIdOf),
                               IntsOf(rows, [](Row row) { return row.was; }),
                               IntsOf(rows, [](Row row) { return row.state; }),
                               BlobsOf(rows, ResultOf), TimeOf(now_ms)});
}

}  // namespace

const char* const kLockOne = "SELECT pg_advisory_xact_lock(" ASSENT_KEY
                             ") FROM (SELECT $1::text AS gid, $2::text AS branch_id) AS k";

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

void AddWrites(Connection& connection, const std::vector<RowWrite>& rows, Now now_ms) {
  std::vector<RowWrite> fresh;
  std::vector<RowWrite> moved;
  for (const RowWrite& row : rows) (row.was == State::kNone ? fresh : moved).push_back(row);
  if (fresh.size() == 1) {
    const RowWrite& row = fresh.front();
    AddInsert(connection, *row.call, row.state, *row.reply, now_ms);
  } else if (!fresh.empty()) {
    AddInsertAll(connection, fresh, now_ms);
  }
  if (moved.size() == 1) {
    const RowWrite& row = moved.front();
    AddAdvance(connection, {GidOf(row), BranchIdOf(row)}, row.was, row.state, ResultOf(row),
               now_ms);
  } else if (!moved.empty()) {
    AddAdvanceAll(connection, moved, now_ms);
  }
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
