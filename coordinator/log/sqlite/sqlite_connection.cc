#include "coordinator/log/sqlite/sqlite_connection.h"

#include <sqlite3.h>
#include <utility>

namespace assent::log {

Statement::~Statement() { sqlite3_finalize(statement_); }

Statement::Statement(Statement&& other) noexcept
    : statement_(std::exchange(other.statement_, nullptr)), bind_error_(other.bind_error_) {}

Statement& Statement::operator=(Statement&& other) noexcept {
  if (this != &other) {
    sqlite3_finalize(statement_);
    statement_ = std::exchange(other.statement_, nullptr);
    bind_error_ = other.bind_error_;
  }
  return *this;
}

Statement& Statement::BindInt(int index, std::int64_t value) {
  if (const int code = sqlite3_bind_int64(statement_, index, value)) bind_error_ = code;
  return *this;
}

Statement& Statement::BindText(int index, std::string_view value) {
  const char* data = value.data() == nullptr ? "" : value.data();
  const int code =
      sqlite3_bind_text64(statement_, index, data, value.size(), SQLITE_STATIC, SQLITE_UTF8);
  if (code != SQLITE_OK) bind_error_ = code;
  return *this;
}

Statement& Statement::BindBlob(int index, std::string_view value) {
  // A null pointer would bind NULL.
  const char* data = value.data() == nullptr ? "" : value.data();
  const int code = sqlite3_bind_blob64(statement_, index, data, value.size(), SQLITE_STATIC);
  if (code != SQLITE_OK) bind_error_ = code;
  return *this;
}

int Statement::Step() {
  if (bind_error_ != SQLITE_OK) return bind_error_;
  return sqlite3_step(statement_);
}

int Statement::Run() {
  int code = Step();
  while (code == SQLITE_ROW) code = Step();
  Reset();
  return code == SQLITE_DONE ? SQLITE_OK : code;
}

void Statement::Reset() {
  sqlite3_reset(statement_);  // repeats the error of the last Step, which was seen there
  bind_error_ = SQLITE_OK;
}

std::int64_t Statement::Int(int column) const { return sqlite3_column_int64(statement_, column); }

std::string_view Statement::Bytes(int column) const {
  // column_blob on text gives the stored bytes without conversion.
  const auto* data = static_cast<const char*>(sqlite3_column_blob(statement_, column));
  const int size = sqlite3_column_bytes(statement_, column);
  return data == nullptr ? std::string_view()
                         : std::string_view(data, static_cast<std::size_t>(size));
}

int Statement::Type(int column) const { return sqlite3_column_type(statement_, column); }

SqliteConnection::SqliteConnection(SqliteConnection&& other) noexcept
    : db_(std::exchange(other.db_, nullptr)) {}

int SqliteConnection::Open(const std::string& path, const std::string& vfs) {
  const int flags =
      SQLITE_OPEN_READWRITE | SQLITE_OPEN_CREATE | SQLITE_OPEN_NOMUTEX | SQLITE_OPEN_EXRESCODE;
  return Open(path, vfs, flags);
}

int SqliteConnection::OpenUnchanging(const std::string& uri) {
  return Open(uri, "",
              SQLITE_OPEN_READONLY | SQLITE_OPEN_URI | SQLITE_OPEN_NOMUTEX | SQLITE_OPEN_EXRESCODE);
}

int SqliteConnection::Open(const std::string& path, const std::string& vfs, int flags) {
  const int code = sqlite3_open_v2(path.c_str(), &db_, flags, vfs.empty() ? nullptr : vfs.c_str());
  if (code != SQLITE_OK) return code;
  return sqlite3_db_config(db_, SQLITE_DBCONFIG_NO_CKPT_ON_CLOSE, 1, nullptr);
}

void SqliteConnection::Close() {
  if (db_ != nullptr) sqlite3_close_v2(std::exchange(db_, nullptr));
}

int SqliteConnection::Execute(const char* sql) {
  return sqlite3_exec(db_, sql, nullptr, nullptr, nullptr);
}

int SqliteConnection::Prepare(const char* sql, Statement& statement) {
  statement = Statement();
  return sqlite3_prepare_v3(db_, sql, -1, SQLITE_PREPARE_PERSISTENT, &statement.statement_,
                            nullptr);
}

int SqliteConnection::QueryInt(const char* sql, std::int64_t& value) {
  Statement statement;
  if (const int code = Prepare(sql, statement); code != SQLITE_OK) return code;
  const int code = statement.Step();
  if (code != SQLITE_ROW) return code == SQLITE_DONE ? SQLITE_EMPTY : code;
  value = statement.Int(0);
  return SQLITE_OK;
}

int SqliteConnection::QueryText(const char* sql, std::string& value) {
  Statement statement;
  if (const int code = Prepare(sql, statement); code != SQLITE_OK) return code;
  const int code = statement.Step();
  if (code != SQLITE_ROW) return code == SQLITE_DONE ? SQLITE_EMPTY : code;
  value = std::string(statement.Bytes(0));
  return SQLITE_OK;
}

std::int64_t SqliteConnection::Changes() const { return sqlite3_changes64(db_); }

bool SqliteConnection::InTransaction() const { return sqlite3_get_autocommit(db_) == 0; }

std::string SqliteConnection::ErrorText(int code) const {
  std::string text = sqlite3_errstr(code);
  if (db_ != nullptr && sqlite3_extended_errcode(db_) == code) {
    const std::string detail = sqlite3_errmsg(db_);
    if (detail != text) text += ": " + detail;
  }
  text += " (SQLite code " + std::to_string(code & 0xFF);
  if (code > 0xFF) text += "." + std::to_string(code >> 8);
  const int system = db_ == nullptr ? 0 : sqlite3_system_errno(db_);
  if (system != 0) text += ", errno " + std::to_string(system);
  return text + ")";
}

bool IsFull(int code) { return (code & 0xFF) == SQLITE_FULL; }
bool IsBusy(int code) { return (code & 0xFF) == SQLITE_BUSY || (code & 0xFF) == SQLITE_LOCKED; }
bool IsCorrupt(int code) {
  return (code & 0xFF) == SQLITE_CORRUPT || (code & 0xFF) == SQLITE_NOTADB;
}

}  // namespace assent::log
