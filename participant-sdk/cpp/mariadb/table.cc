#include "participant-sdk/cpp/mariadb/table.h"

#include <cstdlib>

namespace assent::mariadb::internal {

Table Table::Of(MYSQL_RES* result) {
  Table table;
  if (result == nullptr) return table;
  const unsigned columns = mysql_num_fields(result);
  table.columns_ = static_cast<int>(columns);
  while (MYSQL_ROW row = mysql_fetch_row(result)) {
    const unsigned long* const lengths = mysql_fetch_lengths(result);  // NOLINT: the library's type
    std::vector<Cell> cells(columns);
    for (unsigned i = 0; i < columns; ++i) {
      if (row[i] != nullptr) cells[i].emplace(row[i], lengths[i]);
    }
    table.rows_.push_back(std::move(cells));
  }
  return table;
}

const std::string* Table::At(int row, int column) const {
  if (row < 0 || row >= rows() || column < 0 || column >= columns_) return nullptr;
  const Cell& cell = rows_[static_cast<std::size_t>(row)][static_cast<std::size_t>(column)];
  return cell ? &*cell : nullptr;
}

std::int64_t Table::Int(int row, int column) const {
  const std::string* const text = At(row, column);
  if (text == nullptr) return 0;
  if (text->starts_with('-')) return std::strtoll(text->c_str(), nullptr, 10);
  return static_cast<std::int64_t>(std::strtoull(text->c_str(), nullptr, 10));
}

double Table::Real(int row, int column) const {
  const std::string* const text = At(row, column);
  return text == nullptr ? 0 : std::strtod(text->c_str(), nullptr);
}

std::string_view Table::Text(int row, int column) const {
  const std::string* const text = At(row, column);
  return text == nullptr ? std::string_view() : std::string_view(*text);
}

}  // namespace assent::mariadb::internal
