#include "participant-sdk/cpp/mariadb/prepared.h"

#include <algorithm>
#include <array>
#include <charconv>
#include <cstdint>
#include <utility>
#include <vector>

#include <assent/text.h>

#include "participant-sdk/cpp/mariadb/connection.h"

namespace assent::mariadb::internal {
namespace {

struct FreeResult {
  void operator()(MYSQL_RES* result) const { mysql_free_result(result); }
};

// Where one column of the current row is put.
struct Slot {
  enum class Form : std::uint8_t { kInteger, kReal, kBits, kBytes };
  Form form = Form::kBytes;
  bool is_unsigned = false;
  std::int64_t integer = 0;
  double real = 0;
  std::string bytes = {};
  unsigned long length = 0;  // NOLINT: the library's type
  my_bool is_null = 0;
};

Slot::Form FormOf(enum_field_types type) {
  switch (type) {
    case MYSQL_TYPE_TINY:
    case MYSQL_TYPE_SHORT:
    case MYSQL_TYPE_INT24:
    case MYSQL_TYPE_LONG:
    case MYSQL_TYPE_LONGLONG:
    case MYSQL_TYPE_YEAR: return Slot::Form::kInteger;
    case MYSQL_TYPE_FLOAT:
    case MYSQL_TYPE_DOUBLE: return Slot::Form::kReal;
    case MYSQL_TYPE_BIT: return Slot::Form::kBits;
    default: return Slot::Form::kBytes;  // as the server, or its library, writes it
  }
}

// Dates and times come in binary: their text is shorter than this.
constexpr std::size_t kLeastBytes = 64;

void BindSlot(Slot& slot, MYSQL_BIND& bind) {
  bind.is_null = &slot.is_null;
  bind.length = &slot.length;
  switch (slot.form) {
    case Slot::Form::kInteger:
      bind.buffer_type = MYSQL_TYPE_LONGLONG;
      bind.buffer = &slot.integer;
      bind.is_unsigned = slot.is_unsigned ? 1 : 0;
      return;
    case Slot::Form::kReal:
      bind.buffer_type = MYSQL_TYPE_DOUBLE;
      bind.buffer = &slot.real;
      return;
    case Slot::Form::kBits:
    case Slot::Form::kBytes: break;
  }
  bind.buffer_type = MYSQL_TYPE_STRING;
  bind.buffer = slot.bytes.data();
  bind.buffer_length = slot.bytes.size();
}

// The shortest text that is this number again.
template <typename Number>
std::string TextOf(Number number) {
  std::array<char, 40> text{};
  const auto end = std::to_chars(text.data(), text.data() + text.size(), number);
  return {text.data(), end.ptr};
}

// Parameters on their way: the library wants numbers by their address.
struct Parameters {
  Parameters(const Arg* args, std::size_t count) : binds(count), integers(count), reals(count) {
    for (std::size_t i = 0; i < count; ++i) Set(args[i], i);
  }
  void Set(const Arg& arg, std::size_t i) {
    MYSQL_BIND& bind = binds[i];
    switch (arg.type()) {
      case Arg::Type::kNull: bind.buffer_type = MYSQL_TYPE_NULL; return;
      case Arg::Type::kInteger:
        bind.buffer_type = MYSQL_TYPE_LONGLONG;
        bind.buffer = &(integers[i] = arg.integer());
        bind.is_unsigned = arg.is_unsigned() ? 1 : 0;
        return;
      case Arg::Type::kReal:
        bind.buffer_type = MYSQL_TYPE_DOUBLE;
        bind.buffer = &(reals[i] = arg.real());
        return;
      case Arg::Type::kText: bind.buffer_type = MYSQL_TYPE_STRING; break;
      case Arg::Type::kBlob: bind.buffer_type = MYSQL_TYPE_BLOB; break;
    }
    bind.buffer = const_cast<char*>(arg.bytes().data());  // NOLINT: it is only read
    bind.buffer_length = arg.bytes().size();
  }
  std::vector<MYSQL_BIND> binds;
  std::vector<std::int64_t> integers;
  std::vector<double> reals;
};

bool IsUtf8(std::string_view text) {
  while (!text.empty()) {
    const std::size_t length = Utf8Length(text);
    if (length == 0) return false;
    text.remove_prefix(length);
  }
  return true;
}

Cell CellOf(const Slot& slot) {
  if (slot.is_null != 0) return std::nullopt;
  switch (slot.form) {
    case Slot::Form::kInteger:
      return slot.is_unsigned ? TextOf(static_cast<std::uint64_t>(slot.integer))
                              : TextOf(slot.integer);
    case Slot::Form::kReal: return TextOf(slot.real);
    case Slot::Form::kBits: {
      std::uint64_t bits = 0;
      for (const char c : std::string_view(slot.bytes).substr(0, slot.length))
        bits = bits << 8U | static_cast<unsigned char>(c);
      return TextOf(bits);
    }
    case Slot::Form::kBytes: break;
  }
  return slot.bytes.substr(0, slot.length);
}

}  // namespace

std::optional<std::string> UsingOf(const Arg* args, std::size_t count) {
  std::string text;
  for (std::size_t i = 0; i < count; ++i) {
    text += i == 0 ? " USING " : ", ";
    switch (args[i].type()) {
      case Arg::Type::kNull: text += "NULL"; break;
      case Arg::Type::kInteger:
        text += args[i].is_unsigned() ? TextOf(static_cast<std::uint64_t>(args[i].integer()))
                                      : TextOf(args[i].integer());
        break;
      case Arg::Type::kReal: return std::nullopt;
      case Arg::Type::kText:
        if (!IsUtf8(args[i].bytes()) || args[i].bytes().size() > kMaxTextArgsBytes)
          return std::nullopt;
        text += HexTextOf(args[i].bytes());
        break;
      case Arg::Type::kBlob:
        if (args[i].bytes().size() > kMaxTextArgsBytes) return std::nullopt;
        text += "_binary " + HexOf(args[i].bytes());  // else it might be a number
        break;
    }
    if (text.size() > 2 * kMaxTextArgsBytes) return std::nullopt;
  }
  return text;
}

bool Prepared::Prepare(std::string_view sql) {
  if (statement_ == nullptr) return false;
  const my_bool yes = 1;  // so that the longest of a column is known before it is fetched
  (void)mysql_stmt_attr_set(statement_.get(), STMT_ATTR_UPDATE_MAX_LENGTH, &yes);
  return mysql_stmt_prepare(statement_.get(), sql.data(), sql.size()) == 0;
}

bool Prepared::Execute(const Arg* args, std::size_t count, bool writes, Table& table) {
  MYSQL_STMT* const statement = statement_.get();
  Parameters given(args, count);
  if (count > 0 && mysql_stmt_bind_param(statement, given.binds.data()) != 0) return false;
  if (mysql_stmt_execute(statement) != 0) return false;
  if (mysql_stmt_field_count(statement) == 0) {
    table.SetChanged(static_cast<std::int64_t>(mysql_stmt_affected_rows(statement)));
    return true;
  }
  if (mysql_stmt_store_result(statement) != 0) return false;
  const bool read = ReadRows(table);
  (void)mysql_stmt_free_result(statement);
  table.SetChanged(writes ? table.rows() : 0);
  return read;
}

bool Prepared::ReadRows(Table& table) {
  MYSQL_STMT* const statement = statement_.get();
  const std::unique_ptr<MYSQL_RES, FreeResult> shape(mysql_stmt_result_metadata(statement));
  if (shape == nullptr) return false;
  const unsigned columns = mysql_num_fields(shape.get());
  table.SetColumns(static_cast<int>(columns));
  std::vector<Slot> slots(columns);
  std::vector<MYSQL_BIND> binds(columns);
  for (unsigned i = 0; i < columns; ++i) {
    const MYSQL_FIELD* const field = mysql_fetch_field_direct(shape.get(), i);
    slots[i].form = FormOf(field->type);
    slots[i].is_unsigned = (field->flags & UNSIGNED_FLAG) != 0;
    if (slots[i].form == Slot::Form::kBytes || slots[i].form == Slot::Form::kBits)
      slots[i].bytes.resize(std::max<std::size_t>(field->max_length, kLeastBytes));
    BindSlot(slots[i], binds[i]);
  }
  if (mysql_stmt_bind_result(statement, binds.data()) != 0) return false;
  for (;;) {
    const int fetched = mysql_stmt_fetch(statement);
    if (fetched == MYSQL_NO_DATA) return true;
    if (fetched == 1) return false;
    std::vector<Cell> row;
    for (unsigned i = 0; i < columns; ++i) {
      Slot& slot = slots[i];
      if (slot.is_null == 0 && slot.length > slot.bytes.size() &&
          (slot.form == Slot::Form::kBytes || slot.form == Slot::Form::kBits)) {
        slot.bytes.resize(slot.length);
        BindSlot(slot, binds[i]);
        if (mysql_stmt_fetch_column(statement, &binds[i], i, 0) != 0 ||
            mysql_stmt_bind_result(statement, binds.data()) != 0) {
          return false;
        }
      }
      row.push_back(CellOf(slot));
    }
    table.Append(std::move(row));
  }
}

}  // namespace assent::mariadb::internal
