#pragma once

// A thin layer over SQLite's C interface: one connection, its statements, and what its return codes
// mean to a log.

#include <cstdint>
#include <string>
#include <string_view>

#include <assent/status.h>

struct sqlite3;
struct sqlite3_stmt;

namespace assent::log {

class SqliteConnection;

// One prepared statement, kept for life. Bound text and blobs must live until the next Reset.
class Statement {
 public:
  Statement() = default;
  ~Statement();
  Statement(Statement&& other) noexcept;
  Statement& operator=(Statement&& other) noexcept;
  Statement(const Statement&) = delete;
  Statement& operator=(const Statement&) = delete;

  Statement& BindInt(int index, std::int64_t value);
  Statement& BindInt(int index, std::uint64_t value) {
    return BindInt(index, static_cast<std::int64_t>(value));
  }
  Statement& BindText(int index, std::string_view value);
  Statement& BindBlob(int index, std::string_view value);

  // SQLITE_ROW, SQLITE_DONE or an error, all as SQLite's (extended) codes. A failed Bind shows
  // here.
  int Step();
  // Step until done, then Reset: SQLITE_OK or the error.
  int Run();
  void Reset();

  std::int64_t Int(int column) const;
  std::uint64_t Unsigned(int column) const { return static_cast<std::uint64_t>(Int(column)); }
  // Text or blob, as it is stored; valid until the next Step or Reset.
  std::string_view Bytes(int column) const;
  // SQLite's type of the value: SQLITE_INTEGER, SQLITE_TEXT, SQLITE_BLOB...
  int Type(int column) const;

 private:
  friend class SqliteConnection;
  sqlite3_stmt* statement_ = nullptr;
  int bind_error_ = 0;
};

class SqliteConnection {
 public:
  SqliteConnection() = default;
  ~SqliteConnection() { Close(); }
  SqliteConnection(SqliteConnection&& other) noexcept;
  SqliteConnection& operator=(SqliteConnection&&) = delete;
  SqliteConnection(const SqliteConnection&) = delete;
  SqliteConnection& operator=(const SqliteConnection&) = delete;

  // Opens or creates, and from the first moment forbids SQLite to checkpoint when it closes: after
  // a failed fsync nothing may be written any more, and Close must be harmless whatever came
  // before.
  int Open(const std::string& path, const std::string& vfs);
  // A file that nobody writes to, and that stays as it is: "file:PATH?immutable=1".
  int OpenUnchanging(const std::string& uri);
  // Releases the lock; writes nothing. Statements must be gone.
  void Close();

  int Execute(const char* sql);
  int Execute(const std::string& sql) { return Execute(sql.c_str()); }
  // Of the page cache.
  int SetCacheBytes(std::uint64_t bytes) {
    return Execute("PRAGMA cache_size = -" + std::to_string(bytes / 1024));
  }
  int Prepare(const char* sql, Statement& statement);
  // The single integer of a pragma or query.
  int QueryInt(const char* sql, std::int64_t& value);
  int QueryText(const char* sql, std::string& value);

  // Rows changed by the last statement.
  std::int64_t Changes() const;
  bool InTransaction() const;
  sqlite3* raw() const { return db_; }

  // "disk I/O error (10.1034, errno 5)": what the last failed call says.
  std::string ErrorText(int code) const;

 private:
  int Open(const std::string& path, const std::string& vfs, int flags);

  sqlite3* db_ = nullptr;
};

// The disk is full: reversible.
bool IsFull(int code);
// Another process, or another connection, holds the file.
bool IsBusy(int code);
// The file's content is not what SQLite wrote.
bool IsCorrupt(int code);

}  // namespace assent::log
