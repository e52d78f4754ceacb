#include <assent/sqlite.h>

#include "participant-sdk/cpp/sqlite/db_impl.h"

namespace assent::sqlite {

using internal::BindArg;
using internal::Bytes;

namespace {

constexpr std::size_t kMaxShownSqlBytes = 200;

// SQLite takes a parameter that nobody bound for NULL.
Status CheckCount(std::string_view sql, sqlite3_stmt* statement, std::size_t given) {
  const auto wanted = static_cast<std::size_t>(sqlite3_bind_parameter_count(statement));
  if (wanted == given) return OkStatus();
  return InvalidArgument("the statement has " + std::to_string(wanted) + " parameters, and " +
                         std::to_string(given) +
                         " values were given: " + std::string(sql.substr(0, kMaxShownSqlBytes)));
}

}  // namespace

int Row::columns() const { return sqlite3_column_count(statement_); }
bool Row::IsNull(int column) const {
  return sqlite3_column_type(statement_, column) == SQLITE_NULL;
}
std::int64_t Row::Int(int column) const { return sqlite3_column_int64(statement_, column); }
double Row::Real(int column) const { return sqlite3_column_double(statement_, column); }

std::string_view Row::Text(int column) const {
  // Numbers read as their text; blobs as their bytes.
  const void* bytes = sqlite3_column_type(statement_, column) == SQLITE_BLOB
                          ? sqlite3_column_blob(statement_, column)
                          : static_cast<const void*>(sqlite3_column_text(statement_, column));
  const int size = sqlite3_column_bytes(statement_, column);
  if (bytes == nullptr) return {};
  return {static_cast<const char*>(bytes), static_cast<std::size_t>(size)};
}

Rows::Rows(Db* db, sqlite3_stmt* statement) : db_(db), statement_(statement), row_(statement) {}

Rows::Rows(Rows&& other) noexcept
    : db_(other.db_),
      statement_(other.statement_),
      row_(other.statement_),
      has_row_(other.has_row_) {
  other.statement_ = nullptr;
  other.has_row_ = false;
}

Rows::~Rows() {
  if (statement_ != nullptr) db_->impl_->connection.Release(statement_);
}

bool Rows::Next() {
  has_row_ = false;
  if (statement_ == nullptr || !db_->ok()) return false;
  const int code = sqlite3_step(statement_);
  has_row_ = code == SQLITE_ROW;
  if (!has_row_) {
    if (code != SQLITE_DONE) db_->impl_->Fail(db_->impl_->connection.LastError(code));
    // The end: another step would start over.
    db_->impl_->connection.Release(statement_);
    statement_ = nullptr;
  }
  return has_row_;
}

Result<std::int64_t> Db::TryExecArgs(std::string_view sql, const Arg* args, std::size_t count) {
  internal::Connection& connection = impl_->connection;
  if (!ok()) return impl_->status;
  Status status;
  sqlite3_stmt* statement = connection.Acquire(sql, status);
  if (statement == nullptr) return status;
  status = CheckCount(sql, statement, count);
  for (std::size_t i = 0; status.ok() && i < count; ++i) {
    status =
        connection.LastError(BindArg(statement, static_cast<int>(i) + 1, args[i], Bytes::kBorrow));
  }
  const std::int64_t before = sqlite3_total_changes64(connection.handle());
  if (status.ok()) {
    int code = SQLITE_ROW;
    while (code == SQLITE_ROW) code = sqlite3_step(statement);
    if (code != SQLITE_DONE) status = connection.LastError(code);
  }
  // sqlite3_changes keeps the number of the last statement that changed anything: only ours counts.
  const bool changed = sqlite3_total_changes64(connection.handle()) != before;
  const std::int64_t changes = changed ? sqlite3_changes64(connection.handle()) : 0;
  connection.Release(statement);
  // It has rolled the local transaction back: what followed would be committed by itself.
  if (!status.ok() && connection.idle()) impl_->Fail(status);
  if (!status.ok()) return status;
  impl_->changes = changes;
  return changes;
}

std::int64_t Db::ExecArgs(std::string_view sql, const Arg* args, std::size_t count) {
  Result<std::int64_t> changes = TryExecArgs(sql, args, count);
  if (changes.ok()) return *changes;
  impl_->Fail(changes.status());
  return 0;
}

void Db::ExecScript(std::string_view sql) {
  if (!ok()) return;
  impl_->has_stray = true;
  internal::Connection& connection = impl_->connection;
  while (ok() && !sql.empty()) {
    sqlite3_stmt* statement = nullptr;
    const char* rest = nullptr;
    int code = sqlite3_prepare_v2(connection.handle(), sql.data(), static_cast<int>(sql.size()),
                                  &statement, &rest);
    if (code != SQLITE_OK) return impl_->Fail(connection.LastError(code));
    const auto length = static_cast<std::size_t>(rest - sql.data());
    // Nothing but blanks or a comment is no statement.
    Status status =
        statement == nullptr ? OkStatus() : CheckCount(sql.substr(0, length), statement, 0);
    for (code = SQLITE_ROW; statement != nullptr && status.ok() && code == SQLITE_ROW;)
      code = sqlite3_step(statement);
    if (status.ok() && statement != nullptr && code != SQLITE_DONE)
      status = connection.LastError(code);
    sqlite3_finalize(statement);
    if (!status.ok()) return impl_->Fail(std::move(status));
    sql.remove_prefix(length);
  }
}

Rows Db::QueryArgs(std::string_view sql, const Arg* args, std::size_t count) {
  if (!ok()) return Rows(this, nullptr);
  Status status;
  sqlite3_stmt* statement = impl_->connection.Acquire(sql, status);
  if (status.ok()) status = CheckCount(sql, statement, count);
  // Copied: the rows are read after the caller's temporaries are gone.
  for (std::size_t i = 0; status.ok() && i < count; ++i) {
    status = impl_->connection.LastError(
        BindArg(statement, static_cast<int>(i) + 1, args[i], Bytes::kCopy));
  }
  if (!status.ok()) {
    if (statement != nullptr) impl_->connection.Release(statement);
    statement = nullptr;
    impl_->Fail(std::move(status));
  }
  return Rows(this, statement);
}

void Db::ClaimArgs(std::string_view table, const Arg* key, std::size_t count) {
  if (!ok() || impl_->schema == nullptr) return;
  impl_->Fail(internal::AddRowClaim(*impl_->schema, table, key, count, impl_->claims));
}

std::int64_t Db::Changes() const { return impl_->changes; }
std::int64_t Db::LastInsertRowid() const {
  return sqlite3_last_insert_rowid(impl_->connection.handle());
}
const Status& Db::status() const { return impl_->status; }

sqlite3* Db::handle() {
  impl_->has_stray = true;
  return impl_->connection.handle();
}

}  // namespace assent::sqlite
