#include "tools/assent-bench/floor_store.h"

#include <sqlite3.h>

#include "tools/assent-bench/child.h"

namespace assent::bench {
namespace {

constexpr int kCheckpointPages = 1000;
// In place of numbers that would be as long.
constexpr std::int64_t kChecksum = 0xC0FFEE42;
constexpr std::int64_t kFinishedUnixMs = 1'700'000'000'000;

constexpr const char* kSetUp = R"sql(
PRAGMA locking_mode = EXCLUSIVE;
PRAGMA journal_mode = WAL;
PRAGMA synchronous = FULL;
PRAGMA wal_autocheckpoint = 0;
PRAGMA cache_spill = OFF;
PRAGMA secure_delete = OFF;
PRAGMA cache_size = -65536;
CREATE TABLE meta (
  id INTEGER PRIMARY KEY, format INTEGER NOT NULL, coordinator_id INTEGER NOT NULL,
  epoch INTEGER NOT NULL, next_serial INTEGER NOT NULL, commit_seq INTEGER NOT NULL,
  live_rows INTEGER NOT NULL, live_xor INTEGER NOT NULL, live_versions INTEGER NOT NULL,
  finished_rows INTEGER NOT NULL, crc INTEGER NOT NULL);
CREATE TABLE live (
  serial INTEGER PRIMARY KEY, version INTEGER NOT NULL, commit_seq INTEGER NOT NULL,
  state_crc INTEGER NOT NULL, spec_crc INTEGER NOT NULL, gid TEXT NOT NULL, state BLOB NOT NULL,
  spec BLOB NOT NULL);
CREATE TABLE finished (
  serial INTEGER PRIMARY KEY, commit_seq INTEGER NOT NULL, crc INTEGER NOT NULL,
  outcome INTEGER NOT NULL, finished_unix_ms INTEGER NOT NULL, gid TEXT NOT NULL,
  spec BLOB NOT NULL, state BLOB NOT NULL);
CREATE UNIQUE INDEX finished_by_gid ON finished (gid);
INSERT INTO meta VALUES (1, 1, 4711, 16801517, 1, 0, 0, 0, 0, 0, 3735928559);
)sql";

void BindBytes(sqlite3_stmt* statement, int index, const std::string& bytes) {
  sqlite3_bind_blob(statement, index, bytes.data(), static_cast<int>(bytes.size()), SQLITE_STATIC);
}
void BindText(sqlite3_stmt* statement, int index, const std::string& text) {
  sqlite3_bind_text(statement, index, text.data(), static_cast<int>(text.size()), SQLITE_STATIC);
}
void BindSerial(sqlite3_stmt* statement, std::uint64_t serial) {
  sqlite3_bind_int64(statement, 1, static_cast<std::int64_t>(serial));
}

int CountPages(void* pages, sqlite3*, const char*, int count) {
  *static_cast<int*>(pages) = count;
  return SQLITE_OK;
}

}  // namespace

SqliteFloor::SqliteFloor(const std::string& path) {
  const int flags = SQLITE_OPEN_READWRITE | SQLITE_OPEN_CREATE | SQLITE_OPEN_NOMUTEX;
  Check(sqlite3_open_v2(path.c_str(), &db_, flags, nullptr), "open");
  sqlite3_db_config(db_, SQLITE_DBCONFIG_NO_CKPT_ON_CLOSE, 1, nullptr);
  Check(sqlite3_exec(db_, kSetUp, nullptr, nullptr, nullptr), "create the tables");
  sqlite3_wal_hook(db_, CountPages, &wal_pages_);
  begin_ = Prepare("BEGIN IMMEDIATE");
  insert_live_ = Prepare(
      "INSERT INTO live (serial, version, commit_seq, state_crc, spec_crc, gid, state, spec)"
      " VALUES (?1, 1, ?2, ?3, ?4, ?5, ?6, ?7)");
  update_live_ = Prepare(
      "UPDATE live SET version = 2, commit_seq = ?2, state_crc = ?3, state = ?4 WHERE serial = ?1");
  delete_live_ = Prepare("DELETE FROM live WHERE serial = ?1");
  insert_finished_ = Prepare(
      "INSERT INTO finished (serial, commit_seq, crc, outcome, finished_unix_ms, gid, spec, state)"
      " VALUES (?1, ?2, ?3, 1, ?4, ?5, ?6, ?7)");
  meta_ = Prepare(
      "UPDATE meta SET next_serial = ?1, commit_seq = ?1, live_rows = ?1, live_xor = ?1,"
      " live_versions = ?1, finished_rows = ?1, crc = ?2 WHERE id = 1");
  commit_ = Prepare("COMMIT");
}

SqliteFloor::~SqliteFloor() {
  for (sqlite3_stmt* statement : statements_) sqlite3_finalize(statement);
  sqlite3_close(db_);
}

sqlite3_stmt* SqliteFloor::Prepare(const char* sql) {
  sqlite3_stmt* statement = nullptr;
  Check(sqlite3_prepare_v3(db_, sql, -1, SQLITE_PREPARE_PERSISTENT, &statement, nullptr), sql);
  statements_.push_back(statement);
  return statement;
}

void SqliteFloor::Check(int code, const char* what) {
  if (code == SQLITE_OK || code == SQLITE_DONE) return;
  Die(std::string("floor: ") + what + ": " + sqlite3_errmsg(db_));
}

void SqliteFloor::Run(sqlite3_stmt* statement) {
  Check(sqlite3_step(statement), "write");
  sqlite3_reset(statement);
}

void SqliteFloor::Begin() {
  ++commit_seq_;
  Run(begin_);
}

void SqliteFloor::InsertLive(std::uint64_t serial, const std::string& gid, const std::string& spec,
                             const std::string& state) {
  BindSerial(insert_live_, serial);
  sqlite3_bind_int64(insert_live_, 2, commit_seq_);
  sqlite3_bind_int64(insert_live_, 3, kChecksum);
  sqlite3_bind_int64(insert_live_, 4, kChecksum);
  BindText(insert_live_, 5, gid);
  BindBytes(insert_live_, 6, state);
  BindBytes(insert_live_, 7, spec);
  Run(insert_live_);
}

void SqliteFloor::UpdateLive(std::uint64_t serial, const std::string&, const std::string& state) {
  BindSerial(update_live_, serial);
  sqlite3_bind_int64(update_live_, 2, commit_seq_);
  sqlite3_bind_int64(update_live_, 3, kChecksum);
  BindBytes(update_live_, 4, state);
  Run(update_live_);
}

void SqliteFloor::Finish(std::uint64_t serial, const std::string& gid, const std::string& spec,
                         const std::string& state) {
  BindSerial(delete_live_, serial);
  Run(delete_live_);
  BindSerial(insert_finished_, serial);
  sqlite3_bind_int64(insert_finished_, 2, commit_seq_);
  sqlite3_bind_int64(insert_finished_, 3, kChecksum);
  sqlite3_bind_int64(insert_finished_, 4, kFinishedUnixMs);
  BindText(insert_finished_, 5, gid);
  BindBytes(insert_finished_, 6, spec);
  BindBytes(insert_finished_, 7, state);
  Run(insert_finished_);
}

void SqliteFloor::Commit() {
  sqlite3_bind_int64(meta_, 1, commit_seq_);
  sqlite3_bind_int64(meta_, 2, kChecksum);
  Run(meta_);
  Run(commit_);
}

void SqliteFloor::Upkeep() {
  if (wal_pages_ < kCheckpointPages) return;
  Check(sqlite3_wal_checkpoint_v2(db_, "main", SQLITE_CHECKPOINT_PASSIVE, nullptr, nullptr),
        "checkpoint");
  wal_pages_ = 0;
}

}  // namespace assent::bench
