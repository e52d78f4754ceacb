#pragma once

// One column's value, owned; and the keys that rows are claimed by.

#include <cstdint>
#include <string>
#include <vector>

#include <assent/sqlite.h>

#include "participant-sdk/cpp/sqlite/native.h"

namespace assent::sqlite::internal {

struct Value {
  Arg::Type type = Arg::Type::kNull;
  std::int64_t integer = 0;
  double real = 0;
  std::string bytes;

  bool is_null() const { return type == Arg::Type::kNull; }
  friend bool operator==(const Value&, const Value&) = default;
};

Value ValueOf(sqlite3_value* value);
// Whether SQLite copies the bytes that are bound, or they outlive the statement's use.
enum class Bytes : std::uint8_t { kCopy, kBorrow };
// Binds at `index` (from 1).
int BindValue(sqlite3_stmt* statement, int index, const Value& value);
int BindArg(sqlite3_stmt* statement, int index, const Arg& arg, Bytes keep);

// The equivalence that a collating sequence makes of texts.
enum class Fold : std::uint8_t { kBinary, kNoCase, kRightTrim, kUnknown };
Fold FoldOf(const char* collation);

// Appends bytes that are equal for two values exactly when SQLite takes them for equal under `fold`
// (1 and 1.0 are; 'Bob' and 'BOB' are under NOCASE). Self-delimiting, so that keys of several
// columns may be joined.
void AppendKey(const Value& value, Fold fold, std::string& key);

// "'abc'", "42", "x'…'", "NULL": for messages; cut when long.
std::string Describe(const Value& value);

}  // namespace assent::sqlite::internal
