#include "participant-sdk/cpp/sqlite/outbox_file.h"

#include <utility>

#include "participant-sdk/cpp/outbox/publish.h"

namespace assent::sqlite::internal {

Sentence::Sentence(sqlite3* db, std::string_view sql) : db_(db) {
  Check(sqlite3_prepare_v2(db_, sql.data(), static_cast<int>(sql.size()), &statement_, nullptr));
}

void Sentence::Check(int code) {
  if (status_.ok() && code != SQLITE_OK) status_ = StatusOf(code, sqlite3_errmsg(db_));
}

Sentence& Sentence::Int(std::int64_t value) {
  if (status_.ok()) Check(sqlite3_bind_int64(statement_, ++bound_, value));
  return *this;
}

Sentence& Sentence::Text(std::string_view value) {
  if (status_.ok())
    Check(sqlite3_bind_text64(statement_, ++bound_, value.data(), value.size(), SQLITE_STATIC,
                              SQLITE_UTF8));
  return *this;
}

Sentence& Sentence::TextOrNull(std::string_view value) {
  if (!value.empty()) return Text(value);
  if (status_.ok()) Check(sqlite3_bind_null(statement_, ++bound_));
  return *this;
}

Sentence& Sentence::Blob(std::string_view value) {
  // Without an address it would be NULL.
  const char* const bytes = value.empty() ? "" : value.data();
  if (status_.ok())
    Check(sqlite3_bind_blob64(statement_, ++bound_, bytes, value.size(), SQLITE_STATIC));
  return *this;
}

bool Sentence::Step() {
  if (!status_.ok()) return false;
  const int code = sqlite3_step(statement_);
  if (code == SQLITE_ROW) return true;
  if (code != SQLITE_DONE) Check(code);
  return false;
}

Status Sentence::Finish() {
  while (Step()) {
  }
  return status_;
}

void Sentence::Reset() {
  bound_ = 0;
  if (statement_ != nullptr) sqlite3_reset(statement_);
}

std::string Sentence::BytesAt(int column) const {
  const void* bytes = sqlite3_column_blob(statement_, column);
  const int size = sqlite3_column_bytes(statement_, column);
  if (bytes == nullptr) return {};
  return {static_cast<const char*>(bytes), static_cast<std::size_t>(size)};
}

Status RunScript(sqlite3* db, const char* sql) {
  const int code = sqlite3_exec(db, sql, nullptr, nullptr, nullptr);
  return code == SQLITE_OK ? OkStatus() : StatusOf(code, sqlite3_errmsg(db));
}

Status WithHint(Status status) {
  const bool missing = status.message().find("no such table: assent_outbox") != std::string::npos;
  return missing ? assent::internal::outbox::NoTable(status.message()) : status;
}

Result<File> OpenFile(const std::string& path, std::chrono::milliseconds busy_timeout) {
  sqlite3* raw = nullptr;
  const int code =
      sqlite3_open_v2(path.c_str(), &raw,
                      SQLITE_OPEN_READWRITE | SQLITE_OPEN_NOMUTEX | SQLITE_OPEN_EXRESCODE, nullptr);
  File file(raw);
  if (code != SQLITE_OK) {
    return Unavailable("cannot open " + path + ": " +
                       (raw == nullptr ? sqlite3_errstr(code) : sqlite3_errmsg(raw)));
  }
  sqlite3_busy_timeout(raw, static_cast<int>(busy_timeout.count()));
  return file;
}

std::int64_t UnixMs() {
  using std::chrono::duration_cast;
  using std::chrono::milliseconds;
  const auto since_epoch = std::chrono::system_clock::now().time_since_epoch();
  return duration_cast<milliseconds>(since_epoch).count();
}

}  // namespace assent::sqlite::internal
