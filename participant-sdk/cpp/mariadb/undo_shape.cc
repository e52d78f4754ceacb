#include "participant-sdk/cpp/mariadb/undo_shape.h"

#include <algorithm>
#include <array>
#include <utility>

#include "participant-sdk/cpp/mariadb/connection.h"

namespace assent::mariadb::internal {

std::string NameInSql(std::string_view name) {
  std::string text = "`";
  for (const char c : name) text += c == '`' ? "``" : std::string(1, c);
  return text + "`";
}

namespace {

int DigitOf(char c) {
  if (c >= '0' && c <= '9') return c - '0';
  if (c >= 'A' && c <= 'F') return c - 'A' + 10;
  if (c >= 'a' && c <= 'f') return c - 'a' + 10;
  return -1;
}

bool IsHexForm(Form form) { return form == Form::kText || form == Form::kBytes; }

bool FromHex(std::string_view hex, std::string& bytes) {
  if (hex.size() % 2 != 0) return false;
  for (std::size_t i = 0; i < hex.size(); i += 2) {
    const int high = DigitOf(hex[i]);
    const int low = DigitOf(hex[i + 1]);
    if (high < 0 || low < 0) return false;
    bytes += static_cast<char>(high * 16 + low);
  }
  return true;
}

// What stands in SQL without quotes, or within, has no other letters.
bool IsHarmless(std::string_view text) {
  return !text.empty() && std::all_of(text.begin(), text.end(), [](char c) {
    return DigitOf(c) >= 0 || std::string_view("+-.: /").find(c) != std::string_view::npos;
  });
}

std::string ToHex(std::string_view text) {
  const std::string quoted = HexOf(text);  // x'…'
  return quoted.substr(2, quoted.size() - 3);
}

// Columns are written down with nothing in them that could end the line.
std::string LineOf(const Shape& shape, std::size_t column) {
  const server::Column& one = shape.columns[column];
  return ToHex(one.name) + " " + ToHex(one.type) + " " + shape.charsets[column] + " " +
         std::to_string(one.key) + "\n";
}

std::string ColumnOf(std::string_view row, const std::string& name) {
  return std::string(row) + "." + NameInSql(name);
}

bool IsZero(std::string_view number) {
  return number.find_first_not_of("0.") == std::string_view::npos;
}

}  // namespace

std::string Shape::Text() const {
  std::string text;
  for (std::size_t i = 0; i < columns.size(); ++i) text += LineOf(*this, i);
  return text;
}

// FNV-1a.
std::string Fingerprint(std::string_view text) {
  std::uint64_t hash = 14695981039346656037U;
  for (const char c : text) hash = (hash ^ static_cast<unsigned char>(c)) * 1099511628211U;
  std::array<char, 16> digits{};
  for (std::size_t i = digits.size(); i-- > 0; hash >>= 4U)
    digits[i] = "0123456789abcdef"[hash & 15U];
  return {digits.data(), digits.size()};
}

Shape Shape::As(std::string_view text, std::string& misfit) const {
  Shape was;
  was.shown = shown;
  was.sql = sql;
  was.has_triggers = has_triggers;
  was.why_not = why_not;
  while (!text.empty() && misfit.empty()) {
    const std::string_view line = text.substr(0, text.find('\n') + 1);
    text.remove_prefix(line.empty() ? text.size() : line.size());
    std::size_t at = 0;
    while (at < columns.size() && LineOf(*this, at) != line) ++at;
    if (at == columns.size()) {
      std::string name;
      (void)FromHex(line.substr(0, line.find(' ')), name);
      misfit = server::ColumnIsGone(name, shown);
      break;
    }
    was.AddColumn(columns[at]);
    was.forms.push_back(forms[at]);
    was.charsets.push_back(charsets[at]);
    was.moving.push_back(moving[at]);
  }
  return was;
}

std::string Shape::ImageOf(std::string_view row, bool with_moving) const {
  std::string text = "CONCAT(''";
  for (std::size_t i = 0; i < columns.size(); ++i) {
    if (moving[i] && !with_moving) continue;
    std::string column = ColumnOf(row, columns[i].name);
    switch (forms[i]) {
      case Form::kNumber:
      case Form::kWord: break;
      case Form::kReal: column += " * 1e0"; break;
      case Form::kIndex: column += " + 0"; break;
      case Form::kText:
      case Form::kBytes: column = "HEX(" + column + ")"; break;
      // Of zero there is no such time.
      case Form::kStamp:
        column = "IFNULL(UNIX_TIMESTAMP(" + column + "), LEFT(CONCAT(" + column + "), 1))";
        break;
    }
    text += i == 0 ? ", " : ", ',', ";
    text += "IFNULL(CONCAT('=', " + column + "), '')";
  }
  return text + ")";
}

Result<Fields> Shape::Parse(std::string_view image) const {
  const auto damaged = [] { return DataLoss("the image of a row is damaged"); };
  Fields fields;
  for (std::size_t i = 0; i < columns.size(); ++i) {
    const std::size_t end = i + 1 == columns.size() ? image.size() : image.find(',');
    if (end == std::string_view::npos) return damaged();
    const std::string_view field = image.substr(0, end);
    image.remove_prefix(std::min(end + 1, image.size()));
    if (field.empty()) {
      fields.emplace_back(std::nullopt);
      continue;
    }
    if (field.front() != '=') return damaged();
    std::string value(field.substr(1));
    if (IsHexForm(forms[i])) {
      std::string bytes;
      if (!FromHex(value, bytes)) return damaged();
      value = std::move(bytes);
    } else if (!IsHarmless(value)) {
      return damaged();
    }
    fields.emplace_back(std::move(value));
  }
  return fields;
}

std::string Shape::Value(std::size_t column, const std::optional<std::string>& value) const {
  if (!value) return "NULL";
  switch (forms[column]) {
    case Form::kNumber:
    case Form::kIndex: return *value;
    // In quotes it would be compared as text; without an exponent it would be exact, and no double.
    case Form::kReal: return value->find('e') == std::string::npos ? *value + "e0" : *value;
    case Form::kText: return "_" + charsets[column] + " " + HexOf(*value);
    case Form::kBytes: return HexOf(*value);
    case Form::kWord: return "'" + *value + "'";
    case Form::kStamp: break;
  }
  return IsZero(*value) ? "'0000-00-00 00:00:00'" : "FROM_UNIXTIME(" + *value + ")";
}

}  // namespace assent::mariadb::internal
