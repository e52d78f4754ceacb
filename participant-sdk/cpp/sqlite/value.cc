#include "participant-sdk/cpp/sqlite/value.h"

#include <cmath>
#include <cstring>
#include <string_view>

namespace assent::sqlite::internal {
namespace {

constexpr std::size_t kDescribedBytes = 48;

void AppendBigEndian(std::uint64_t number, std::string& key) {
  for (int shift = 56; shift >= 0; shift -= 8) key.push_back(static_cast<char>(number >> shift));
}

void AppendBytes(char tag, std::string_view bytes, std::string& key) {
  key.push_back(tag);
  AppendBigEndian(bytes.size(), key);
  key.append(bytes);
}

// ASCII only, as SQLite's NOCASE.
std::string FoldCase(std::string_view text) {
  std::string folded(text);
  for (char& c : folded) {
    if (c >= 'A' && c <= 'Z') c = static_cast<char>(c - 'A' + 'a');
  }
  return folded;
}

std::string_view TrimRight(std::string_view text) {
  while (!text.empty() && text.back() == ' ') text.remove_suffix(1);
  return text;
}

void AppendText(std::string_view text, Fold fold, std::string& key) {
  switch (fold) {
    case Fold::kBinary: AppendBytes('t', text, key); return;
    case Fold::kNoCase: AppendBytes('t', FoldCase(text), key); return;
    case Fold::kRightTrim: AppendBytes('t', TrimRight(text), key); return;
    case Fold::kUnknown: ASSENT_CHECK(fold != Fold::kUnknown); return;
  }
}

void AppendReal(double real, std::string& key) {
  constexpr double kTwoTo63 = 9223372036854775808.0;
  if (std::floor(real) == real && real >= -kTwoTo63 && real < kTwoTo63) {
    key.push_back('i');
    AppendBigEndian(static_cast<std::uint64_t>(static_cast<std::int64_t>(real)), key);
    return;
  }
  std::uint64_t bits = 0;
  static_assert(sizeof(bits) == sizeof(real));
  std::memcpy(&bits, &real, sizeof(bits));
  key.push_back('r');
  AppendBigEndian(bits, key);
}

}  // namespace

Value ValueOf(sqlite3_value* value) {
  Value out;
  switch (sqlite3_value_type(value)) {
    case SQLITE_INTEGER:
      out.type = Arg::Type::kInteger;
      out.integer = sqlite3_value_int64(value);
      break;
    case SQLITE_FLOAT:
      out.type = Arg::Type::kReal;
      out.real = sqlite3_value_double(value);
      break;
    case SQLITE_TEXT: {
      out.type = Arg::Type::kText;
      const unsigned char* text = sqlite3_value_text(value);
      const int size = sqlite3_value_bytes(value);
      out.bytes.assign(reinterpret_cast<const char*>(text), static_cast<std::size_t>(size));
      break;
    }
    case SQLITE_BLOB: {
      out.type = Arg::Type::kBlob;
      const void* blob = sqlite3_value_blob(value);
      const int size = sqlite3_value_bytes(value);
      if (size > 0)
        out.bytes.assign(static_cast<const char*>(blob), static_cast<std::size_t>(size));
      break;
    }
    case SQLITE_NULL: break;
  }
  return out;
}

// SQLITE_TRANSIENT without the C cast of its macro.
sqlite3_destructor_type DestructorFor(Bytes keep) {
  if (keep == Bytes::kBorrow) return SQLITE_STATIC;
  return reinterpret_cast<sqlite3_destructor_type>(static_cast<std::intptr_t>(-1));  // NOLINT
}

int BindArg(sqlite3_stmt* statement, int index, const Arg& arg, Bytes keep) {
  const std::string_view bytes = arg.bytes();
  switch (arg.type()) {
    case Arg::Type::kNull: return sqlite3_bind_null(statement, index);
    case Arg::Type::kInteger: return sqlite3_bind_int64(statement, index, arg.integer());
    case Arg::Type::kReal: return sqlite3_bind_double(statement, index, arg.real());
    case Arg::Type::kText:
      return sqlite3_bind_text64(statement, index, bytes.data() == nullptr ? "" : bytes.data(),
                                 bytes.size(), DestructorFor(keep), SQLITE_UTF8);
    case Arg::Type::kBlob:
      return sqlite3_bind_blob64(statement, index, bytes.data() == nullptr ? "" : bytes.data(),
                                 bytes.size(), DestructorFor(keep));
  }
  return SQLITE_MISUSE;
}

int BindValue(sqlite3_stmt* statement, int index, const Value& value) {
  switch (value.type) {
    case Arg::Type::kNull: return BindArg(statement, index, nullptr, Bytes::kCopy);
    case Arg::Type::kInteger: return BindArg(statement, index, value.integer, Bytes::kCopy);
    case Arg::Type::kReal: return BindArg(statement, index, value.real, Bytes::kCopy);
    case Arg::Type::kText: return BindArg(statement, index, value.bytes, Bytes::kCopy);
    case Arg::Type::kBlob: return BindArg(statement, index, Blob{value.bytes}, Bytes::kCopy);
  }
  return SQLITE_MISUSE;
}

Fold FoldOf(const char* collation) {
  if (collation == nullptr || sqlite3_stricmp(collation, "BINARY") == 0) return Fold::kBinary;
  if (sqlite3_stricmp(collation, "NOCASE") == 0) return Fold::kNoCase;
  if (sqlite3_stricmp(collation, "RTRIM") == 0) return Fold::kRightTrim;
  return Fold::kUnknown;
}

void AppendKey(const Value& value, Fold fold, std::string& key) {
  switch (value.type) {
    case Arg::Type::kNull: key.push_back('n'); return;
    case Arg::Type::kInteger:
      key.push_back('i');
      AppendBigEndian(static_cast<std::uint64_t>(value.integer), key);
      return;
    case Arg::Type::kReal: AppendReal(value.real, key); return;
    case Arg::Type::kText: AppendText(value.bytes, fold, key); return;
    case Arg::Type::kBlob: AppendBytes('b', value.bytes, key); return;
  }
}

std::string Describe(const Value& value) {
  switch (value.type) {
    case Arg::Type::kNull: return "NULL";
    case Arg::Type::kInteger: return std::to_string(value.integer);
    case Arg::Type::kReal: return std::to_string(value.real);
    case Arg::Type::kText: break;
    case Arg::Type::kBlob: return "a blob of " + std::to_string(value.bytes.size()) + " bytes";
  }
  if (value.bytes.size() <= kDescribedBytes) return "'" + value.bytes + "'";
  return "'" + value.bytes.substr(0, kDescribedBytes) + "…'";
}

}  // namespace assent::sqlite::internal
