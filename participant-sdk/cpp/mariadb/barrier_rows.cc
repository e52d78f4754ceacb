#include "participant-sdk/cpp/mariadb/barrier_rows.h"

#include <utility>

#include "participant-sdk/cpp/barrier/read_row.h"

namespace assent::mariadb::internal {
namespace {

using barrier::State;

// Each statement commits by itself: run again, they complete what there is.
constexpr char kTables[] = R"(CREATE TABLE IF NOT EXISTS assent_barrier(
  gid VARCHAR(64) CHARACTER SET ascii COLLATE ascii_bin NOT NULL,
  branch_id VARCHAR(64) CHARACTER SET ascii COLLATE ascii_bin NOT NULL, protocol INT NOT NULL,
  action VARCHAR(128) CHARACTER SET ascii COLLATE ascii_bin NOT NULL, state INT NOT NULL,
  kind INT NOT NULL, result MEDIUMBLOB, reason TEXT CHARACTER SET utf8mb4, second_result MEDIUMBLOB,
  coordinator_id BIGINT NOT NULL, began_epoch BIGINT NOT NULL, touched_ms BIGINT NOT NULL,
  orphan INT NOT NULL DEFAULT 0,
  PRIMARY KEY(gid, branch_id), KEY assent_barrier_age(touched_ms)) ENGINE=InnoDB;
ALTER TABLE assent_barrier ADD COLUMN IF NOT EXISTS orphan INT NOT NULL DEFAULT 0;
CREATE INDEX IF NOT EXISTS assent_barrier_age ON assent_barrier(touched_ms);
CREATE TABLE IF NOT EXISTS assent_marker(
  gid VARCHAR(64) CHARACTER SET ascii COLLATE ascii_bin NOT NULL,
  branch_id VARCHAR(64) CHARACTER SET ascii COLLATE ascii_bin NOT NULL,
  PRIMARY KEY(gid, branch_id)) ENGINE=InnoDB)";

// Also for who may not create anything, where everything is.
constexpr char kHasTables[] =
    "SELECT (SELECT count(*) FROM information_schema.TABLES WHERE TABLE_SCHEMA = DATABASE() AND "
    "TABLE_NAME = 'assent_marker') + (SELECT count(*) FROM information_schema.COLUMNS WHERE "
    "TABLE_SCHEMA = DATABASE() AND TABLE_NAME = 'assent_barrier' AND COLUMN_NAME = 'orphan') + "
    "(SELECT count(*) FROM information_schema.STATISTICS WHERE TABLE_SCHEMA = DATABASE() AND "
    "TABLE_NAME = 'assent_barrier' AND INDEX_NAME = 'assent_barrier_age') = 3";
constexpr char kOtherEngine[] =
    "SELECT TABLE_NAME, ENGINE FROM information_schema.TABLES WHERE TABLE_SCHEMA = DATABASE() AND "
    "TABLE_NAME IN ('assent_barrier', 'assent_marker') AND ENGINE <> 'InnoDB'";

constexpr int kFirstRowColumn = 2;

std::string LockOf(BranchKey branch, const char* of_what = "") {
  return "CONCAT('assent/', LEFT(SHA2('" + std::string(branch.gid) + "/" +
         std::string(branch.branch_id) + "', 256), 40), '" + of_what + "')";
}

std::string Number(std::int64_t number) { return std::to_string(number); }
std::string Number(State state) { return std::to_string(static_cast<int>(state)); }

std::string IsOldRow(BranchKey branch, State was, Now now_ms, std::int64_t retain_ms) {
  return " WHERE " + IsBranch(branch) + " AND state = " + Number(was) +
         " AND touched_ms <= " + TimeOf(now_ms) + " - " + Number(retain_ms);
}

}  // namespace

Status MakeTables(Connection& connection) {
  Answer answer = connection.Run(kHasTables);
  if (answer.ok() && answer.table.Int(0, 0) != 1) {
    // Several processes that create the same tables at once get in each other's way.
    answer = connection.Run(std::string("SELECT GET_LOCK('assent/tables', 60); ") + kTables + "; " +
                            kUnlockAll);
  }
  if (answer.ok()) answer = connection.Run(kOtherEngine);
  if (!answer.ok()) {
    return {answer.status().code(),
            connection.place() + ": tables of the barrier: " + answer.message};
  }
  if (answer.table.rows() == 0) return OkStatus();
  const std::string name(answer.table.Text(0, 0));
  return FailedPrecondition(connection.place() + ": table " + name + " is of the engine " +
                            std::string(answer.table.Text(0, 1)) +
                            ", which undoes nothing: ALTER "
                            "TABLE " +
                            name + " ENGINE = InnoDB");
}

std::string IsBranch(BranchKey branch) {
  return "gid = " + Quoted(branch.gid) + " AND branch_id = " + Quoted(branch.branch_id);
}

std::string TimeOf(Now now_ms) {
  return now_ms ? Number(*now_ms) : "CAST(UNIX_TIMESTAMP(NOW(3)) * 1000 AS SIGNED)";
}

std::string GetLock(const std::string& lock, std::chrono::seconds wait) {
  return "GET_LOCK(" + lock + ", " + Number(wait.count()) + ")";
}

std::string WorkLockOf(BranchKey branch) { return LockOf(branch, "/work"); }

void AddLock(Connection& connection, const std::vector<BranchKey>& branches,
             std::chrono::seconds wait) {
  std::string sql = branches.empty() ? "DO 0" : "SELECT ";
  for (const BranchKey& branch : branches)
    sql += (&branch == branches.data() ? "" : ", ") + GetLock(LockOf(branch), wait);
  connection.Add(std::move(sql));
}

void AddFind(Connection& connection, const std::vector<BranchKey>& branches) {
  std::string sql = branches.empty()
                        ? "DO 0"
                        : "SELECT gid, branch_id, state, protocol, action, kind, result, reason, "
                          "second_result FROM assent_barrier FORCE INDEX(PRIMARY) WHERE ";
  for (const BranchKey& branch : branches)
    sql += (&branch == branches.data() ? "(" : " OR (") + IsBranch(branch) + ")";
  connection.Add(std::move(sql));
}

Result<barrier::Row> ReadRow(const Table& table, int row) {
  return barrier::ReadRow(table, row, kFirstRowColumn);
}

void KeptRows::Insert(const Call& call, State state, const Reply& first, Now now_ms) {
  inserted_.push_back(
      "(" + Quoted(call.gid) + ", " + Quoted(call.branch_id) + ", " +
      Number(static_cast<int>(call.protocol)) + ", " + Quoted(call.action) + ", " + Number(state) +
      ", " + Number(static_cast<int>(first.kind)) + ", " + HexOf(first.result) + ", " +
      HexTextOf(first.reason) + ", '', " + Number(call.coordinator_id) + ", " +
      Number(static_cast<std::int64_t>(call.began_epoch)) + ", " + TimeOf(now_ms) + ")");
}

void KeptRows::Advance(BranchKey branch, State was, State state, std::string_view second_result,
                       Now now_ms) {
  const std::string set = "state = " + Number(state) + ", second_result = " + HexOf(second_result) +
                          ", touched_ms = " + TimeOf(now_ms);
  Advanced& same = advanced_[{set, was}];
  same.where += (same.count == 0 ? "(" : " OR (") + IsBranch(branch) + ")";
  ++same.count;
}

void KeptRows::AddTo(Connection& connection) {
  constexpr char kInsert[] =
      "INSERT INTO assent_barrier(gid, branch_id, protocol, action, state, kind, result, reason, "
      "second_result, coordinator_id, began_epoch, touched_ms) VALUES";
  std::string sql;
  for (const std::string& row : inserted_) {
    if (!sql.empty() && sql.size() + row.size() > limits::kMaxBatchBytes)
      connection.Add(std::exchange(sql, {}));
    sql += (sql.empty() ? kInsert : ", ") + row;
  }
  if (!sql.empty()) connection.Add(std::move(sql));
  for (const auto& [what, which] : advanced_) {
    const auto& [set, was] = what;
    connection.Add("UPDATE assent_barrier FORCE INDEX(PRIMARY) SET " + set + " WHERE (" +
                   which.where + ") AND state = " + Number(was));
    connection.Add("IF ROW_COUNT() <> " + Number(which.count) +
                   " THEN SIGNAL SQLSTATE '45000' SET MESSAGE_TEXT = 'the row of a branch is in "
                   "another state by now'; END IF");
  }
  inserted_.clear();
  advanced_.clear();
}

void AddInsert(Connection& connection, const Call& call, State state, const Reply& first,
               Now now_ms) {
  KeptRows rows;
  rows.Insert(call, state, first, now_ms);
  rows.AddTo(connection);
}

void AddAdvance(Connection& connection, BranchKey branch, State was, State state,
                std::string_view second_result, Now now_ms) {
  KeptRows rows;
  rows.Advance(branch, was, state, second_result, now_ms);
  rows.AddTo(connection);
}

void AddForget(Connection& connection, BranchKey branch, State was, Now now_ms,
               std::int64_t retain_ms) {
  connection.Add("DELETE FROM assent_barrier" + IsOldRow(branch, was, now_ms, retain_ms));
}

void AddOrphan(Connection& connection, BranchKey branch, Now now_ms, std::int64_t retain_ms) {
  connection.Add("UPDATE assent_barrier SET orphan = 1" +
                 IsOldRow(branch, State::kDone, now_ms, retain_ms));
}

}  // namespace assent::mariadb::internal
