#include "participant-sdk/cpp/sqlite/connection.h"

#include <algorithm>
#include <array>
#include <utility>

#include <assent/sqlite.h>

namespace assent::sqlite::internal {
namespace {

constexpr char kOwnPrefix[] = "assent_";

bool IsOwn(const char* name) {
  return name != nullptr && sqlite3_strnicmp(name, kOwnPrefix, sizeof(kOwnPrefix) - 1) == 0;
}

// Pragmas that only look. What takes an argument that sets something is allowed without one.
bool IsLookingPragma(const char* name, const char* argument) {
  constexpr std::array kLooking = {"table_info",      "table_xinfo",      "table_list",
                                   "index_list",      "index_info",       "index_xinfo",
                                   "database_list",   "foreign_key_list", "foreign_key_check",
                                   "integrity_check", "quick_check"};
  constexpr std::array kLookingWithoutArgument = {"data_version", "schema_version", "user_version",
                                                  "foreign_keys", "page_count",     "page_size",
                                                  "journal_mode", "synchronous"};
  const auto is_name = [name](const char* other) { return sqlite3_stricmp(name, other) == 0; };
  if (std::any_of(kLooking.begin(), kLooking.end(), is_name)) return true;
  return argument == nullptr &&
         std::any_of(kLookingWithoutArgument.begin(), kLookingWithoutArgument.end(), is_name);
}

// The schema actions that a branch's handler may not take; temporary objects are its own affair.
const char* SchemaAction(int action) {
  switch (action) {
    case SQLITE_CREATE_INDEX: return "CREATE INDEX";
    case SQLITE_CREATE_TABLE: return "CREATE TABLE";
    case SQLITE_CREATE_TRIGGER: return "CREATE TRIGGER";
    case SQLITE_CREATE_VIEW: return "CREATE VIEW";
    case SQLITE_CREATE_VTABLE: return "CREATE VIRTUAL TABLE";
    case SQLITE_DROP_INDEX: return "DROP INDEX";
    case SQLITE_DROP_TABLE: return "DROP TABLE";
    case SQLITE_DROP_TRIGGER: return "DROP TRIGGER";
    case SQLITE_DROP_VIEW: return "DROP VIEW";
    case SQLITE_DROP_VTABLE: return "DROP VIRTUAL TABLE";
    case SQLITE_ALTER_TABLE: return "ALTER TABLE";
    case SQLITE_REINDEX: return "REINDEX";
    case SQLITE_ANALYZE: return "ANALYZE";
    default: return nullptr;
  }
}

Value PreupdateValue(sqlite3* db, int column, int (*read)(sqlite3*, int, sqlite3_value**)) {
  sqlite3_value* value = nullptr;
  if (read(db, column, &value) != SQLITE_OK || value == nullptr) return {};
  return ValueOf(value);
}

}  // namespace

Status StatusOf(int code, const std::string& message) {
  switch (code & 0xff) {
    case SQLITE_OK:
    case SQLITE_ROW:
    case SQLITE_DONE: return OkStatus();
    case SQLITE_CONSTRAINT: return FailedPrecondition(message);
    case SQLITE_FULL: return ResourceExhausted(message);
    case SQLITE_CORRUPT:
    case SQLITE_NOTADB: return DataLoss(message);
    case SQLITE_BUSY:
    case SQLITE_LOCKED:
    case SQLITE_IOERR:
    case SQLITE_CANTOPEN:
    case SQLITE_INTERRUPT: return Unavailable(message);
    default: return Internal(message);
  }
}

Result<std::unique_ptr<Connection>> Connection::Open(const Settings& settings) {
  std::unique_ptr<Connection> connection(new Connection());
  const int flags =
      settings.writable ? SQLITE_OPEN_READWRITE | SQLITE_OPEN_CREATE : SQLITE_OPEN_READONLY;
  const int code = sqlite3_open_v2(settings.path.c_str(), &connection->db_,
                                   flags | SQLITE_OPEN_NOMUTEX | SQLITE_OPEN_EXRESCODE, nullptr);
  if (code != SQLITE_OK) {
    const char* why =
        connection->db_ == nullptr ? sqlite3_errstr(code) : sqlite3_errmsg(connection->db_);
    return Unavailable("cannot open " + settings.path + ": " + why);
  }
  Status configured = connection->Configure(settings);
  if (!configured.ok())
    return Status(configured.code(), settings.path + ": " + configured.message());
  return connection;
}

Connection::~Connection() {
  for (Cache& cache : caches_) {
    for (auto& [sql, cached] : cache) sqlite3_finalize(cached.statement);
  }
  sqlite3_close_v2(db_);
}

Status Connection::Configure(const Settings& settings) {
  foreign_keys_ = settings.foreign_keys;
  sqlite3_busy_timeout(db_, settings.busy_timeout_ms);
  // Only the writing connection checkpoints; see DESIGN.md.
  sqlite3_db_config(db_, SQLITE_DBCONFIG_NO_CKPT_ON_CLOSE, settings.writable ? 0 : 1, nullptr);
  sqlite3_set_authorizer(db_, &Connection::Authorize, this);
  if (!settings.writable) return Run("PRAGMA query_only=ON");
  InstallHook();
  Status status = Run("PRAGMA journal_mode=WAL; PRAGMA synchronous=FULL");
  if (status.ok())
    status = Run(foreign_keys_ ? "PRAGMA foreign_keys=ON" : "PRAGMA foreign_keys=OFF");
  if (!status.ok()) return status;
  const auto expect = [this](const char* pragma, std::string_view wanted) {
    Statement read(*this, std::string("PRAGMA ") + pragma);
    if (!read.Step())
      return read.status().ok() ? Internal(std::string(pragma) + " has no value") : read.status();
    if (read.Text(0) == wanted) return OkStatus();
    return FailedPrecondition(std::string("PRAGMA ") + pragma + " is " + read.Text(0) + ", not " +
                              std::string(wanted));
  };
  status = expect("journal_mode", "wal");
  if (status.ok()) status = expect("synchronous", "2");
  if (status.ok()) status = expect("foreign_keys", foreign_keys_ ? "1" : "0");
  return status;
}

Status Connection::Run(const char* sql) {
  ModeGuard as_adapter(*this, Mode::kInternal);
  return LastError(sqlite3_exec(db_, sql, nullptr, nullptr, nullptr));
}

Status Connection::RunOne(const char* sql) { return Statement(*this, sql).Finish(); }

Status Connection::LastError(int code) {
  if ((code & 0xff) == SQLITE_OK) return OkStatus();
  if (code == SQLITE_AUTH && !denied_.empty()) return Internal(denied_);
  return StatusOf(code, sqlite3_errmsg(db_));
}

sqlite3_stmt* Connection::Acquire(std::string_view sql, Status& status) {
  auto found = cache().find(sql);
  if (found != cache().end() && !found->second.busy) {
    found->second.busy = true;
    return found->second.statement;
  }
  sqlite3_stmt* statement = nullptr;
  const char* rest = nullptr;
  denied_.clear();
  const int code = sqlite3_prepare_v3(db_, sql.data(), static_cast<int>(sql.size()),
                                      SQLITE_PREPARE_PERSISTENT, &statement, &rest);
  if (code != SQLITE_OK) {
    status = LastError(code);
    return nullptr;
  }
  const std::string_view tail = sql.substr(static_cast<std::size_t>(rest - sql.data()));
  if (statement == nullptr || tail.find_first_not_of(" \t\r\n;") != std::string_view::npos) {
    sqlite3_finalize(statement);
    status = Internal(statement == nullptr ? "an empty statement"
                                           : "more than one statement: use ExecScript");
    return nullptr;
  }
  if (found == cache().end()) Keep(sql, statement);
  return statement;
}

void Connection::Keep(std::string_view sql, sqlite3_stmt* statement) {
  Cache& kept_here = cache();
  if (kept_here.size() >= limits::kMaxCachedStatementsCount) {
    // Which one goes hardly matters: a service has tens of statements, not hundreds.
    auto idle = std::find_if(kept_here.begin(), kept_here.end(),
                             [](const auto& entry) { return !entry.second.busy; });
    if (idle == kept_here.end()) return;
    slot_of_.erase(idle->second.statement);
    sqlite3_finalize(idle->second.statement);
    kept_here.erase(idle);
  }
  auto kept = kept_here.emplace(sql, Cached{statement, true}).first;
  slot_of_.emplace(statement, &kept->second);
}

void Connection::Release(sqlite3_stmt* statement) {
  auto slot = slot_of_.find(statement);
  if (slot == slot_of_.end()) {
    sqlite3_finalize(statement);
    return;
  }
  sqlite3_reset(statement);
  sqlite3_clear_bindings(statement);
  slot->second->busy = false;
}

void Connection::ResetStray() {
  for (sqlite3_stmt* s = sqlite3_next_stmt(db_, nullptr); s != nullptr;
       s = sqlite3_next_stmt(db_, s)) {
    if (sqlite3_stmt_busy(s) != 0) sqlite3_reset(s);
  }
}

void Connection::InstallHook() { sqlite3_preupdate_hook(db_, &Connection::BeforeUpdate, this); }
void Connection::YieldHook() { sqlite3_preupdate_hook(db_, nullptr, nullptr); }

void Connection::SetRaw(bool raw) {
  if (raw == raw_) return;
  raw_ = raw;
  sqlite3_db_config(db_, SQLITE_DBCONFIG_ENABLE_TRIGGER, raw ? 0 : 1, nullptr);
  sqlite3_db_config(db_, SQLITE_DBCONFIG_ENABLE_FKEY, !raw && foreign_keys_ ? 1 : 0, nullptr);
}

bool Connection::Deny(std::string what) {
  denied_ = std::move(what);
  return true;
}

int Connection::Authorize(void* self, int action, const char* first, const char* second,
                          const char*, const char*) {
  auto& connection = *static_cast<Connection*>(self);
  if (connection.mode_ == Mode::kInternal) return SQLITE_OK;
  const auto name = [](const char* text) { return std::string(text == nullptr ? "" : text); };
  bool denied = false;
  switch (action) {
    case SQLITE_TRANSACTION:
      denied = connection.Deny(
          name(first) + " is not allowed in a handler: the adapter ends the local transaction");
      break;
    case SQLITE_ATTACH:
    case SQLITE_DETACH:
      denied = connection.Deny("ATTACH and DETACH are not allowed in a handler");
      break;
    case SQLITE_SAVEPOINT:
      if (IsOwn(second))
        denied = connection.Deny("savepoint " + name(second) + " is the adapter's own");
      break;
    case SQLITE_PRAGMA:
      if (!IsLookingPragma(first, second))
        denied = connection.Deny("PRAGMA " + name(first) + " is not allowed in a handler");
      break;
    case SQLITE_INSERT:
    case SQLITE_UPDATE:
    case SQLITE_DELETE:
      if (IsOwn(first)) denied = connection.Deny("table " + name(first) + " is the adapter's own");
      break;
    default:
      if (const char* what = SchemaAction(action); what != nullptr) {
        if (IsOwn(first) || IsOwn(second))
          denied = connection.Deny("tables named assent_* are the adapter's own");
        if (connection.mode_ == Mode::kBranch) {
          denied =
              connection.Deny(std::string(what) +
                              " is not allowed in a branch: change the schema in setup or Local");
        }
      }
  }
  return denied ? SQLITE_DENY : SQLITE_OK;
}

void Connection::BeforeUpdate(void* self, sqlite3* db, int op, const char* database,
                              const char* table, sqlite3_int64, sqlite3_int64) {
  auto& connection = *static_cast<Connection*>(self);
  Touched* touched = connection.touched_;
  if (touched == nullptr || IsOwn(table) || sqlite3_stricmp(database, "main") != 0) return;
  if (touched->rows.size() >= touched->limit) {
    touched->overflow = true;
    return;
  }
  RowChange change;
  change.kind = op == SQLITE_INSERT   ? RowChange::Kind::kInsert
                : op == SQLITE_DELETE ? RowChange::Kind::kDelete
                                      : RowChange::Kind::kUpdate;
  change.table = table;
  const int columns = sqlite3_preupdate_count(db);
  for (int i = 0; i < columns; ++i) {
    if (op != SQLITE_INSERT)
      change.before.emplace_back(PreupdateValue(db, i, &sqlite3_preupdate_old));
    if (op != SQLITE_DELETE)
      change.after.emplace_back(PreupdateValue(db, i, &sqlite3_preupdate_new));
  }
  touched->rows.push_back(std::move(change));
}

void Statement::Begin(std::string_view sql, const Arg* args, int count) {
  statement_ = connection_.Acquire(sql, status_);
  for (int i = 0; statement_ != nullptr && status_.ok() && i < count; ++i) {
    status_ = connection_.LastError(BindArg(statement_, i + 1, args[i], Bytes::kCopy));
  }
}

Statement::~Statement() {
  if (statement_ != nullptr) connection_.Release(statement_);
}

void Statement::Bind(int index, const Value& value) {
  if (statement_ == nullptr || !status_.ok()) return;
  status_ = connection_.LastError(BindValue(statement_, index, value));
}

bool Statement::Step() {
  if (statement_ == nullptr || !status_.ok()) return false;
  const int code = sqlite3_step(statement_);
  if (code == SQLITE_ROW) return true;
  if (code != SQLITE_DONE) status_ = connection_.LastError(code);
  return false;
}

std::string Statement::Text(int column) const {
  const void* bytes = sqlite3_column_blob(statement_, column);
  const int size = sqlite3_column_bytes(statement_, column);
  return bytes == nullptr
             ? std::string()
             : std::string(static_cast<const char*>(bytes), static_cast<std::size_t>(size));
}

}  // namespace assent::sqlite::internal
