#pragma once

// A connection that is not the adapter's: the user's own, or a relay's. Nothing is set on it, no
// statement kept, and what it is asked is asked in one sentence at a time.

#include <chrono>
#include <cstdint>
#include <memory>
#include <string>
#include <string_view>

#include <assent/status.h>

#include "participant-sdk/cpp/sqlite/native.h"

namespace assent::sqlite::internal {

// One statement, prepared and finalized. Failures stay in status(); a failed statement has no rows.
class Sentence {
 public:
  Sentence(sqlite3* db, std::string_view sql);
  ~Sentence() { sqlite3_finalize(statement_); }
  Sentence(const Sentence&) = delete;
  Sentence& operator=(const Sentence&) = delete;

  // From the first parameter on. What is bound must live until the end.
  Sentence& Int(std::int64_t value);
  Sentence& Text(std::string_view value);
  Sentence& TextOrNull(std::string_view value);  // empty: NULL
  Sentence& Blob(std::string_view value);

  bool Step();
  Status Finish();
  // For the next values.
  void Reset();
  const Status& status() const { return status_; }

  bool IsNull(int column) const { return sqlite3_column_type(statement_, column) == SQLITE_NULL; }
  std::int64_t IntAt(int column) const { return sqlite3_column_int64(statement_, column); }
  std::string BytesAt(int column) const;

 private:
  void Check(int code);
  sqlite3* db_;
  sqlite3_stmt* statement_ = nullptr;
  int bound_ = 0;
  Status status_;
};

Status RunScript(sqlite3* db, const char* sql);
// Of the table assent_outbox: what is missing is said with what to do.
Status WithHint(Status status);

struct CloseFile {
  void operator()(sqlite3* db) const { sqlite3_close_v2(db); }
};
using File = std::unique_ptr<sqlite3, CloseFile>;
// Not made where it is missing.
Result<File> OpenFile(const std::string& path, std::chrono::milliseconds busy_timeout);

// The machine's.
std::int64_t UnixMs();

}  // namespace assent::sqlite::internal
