#pragma once

// What a statement returned: rows in text.

#include <cstddef>
#include <cstdint>
#include <mysql.h>
#include <optional>
#include <string>
#include <string_view>
#include <utility>
#include <vector>

namespace assent::mariadb::internal {

using Cell = std::optional<std::string>;

class Table {
 public:
  Table() = default;
  // Of a statement in text: takes the rows out. Null: it returned none.
  static Table Of(MYSQL_RES* result);

  int rows() const { return static_cast<int>(rows_.size()); }
  int columns() const { return columns_; }
  bool IsNull(int row, int column) const { return At(row, column) == nullptr; }
  // 0 when null. A BIGINT UNSIGNED above what fits has the same bits.
  std::int64_t Int(int row, int column) const;
  double Real(int row, int column) const;
  // Text, or the bytes of a BLOB. Lives as long as this.
  std::string_view Text(int row, int column) const;
  // How many rows the statement has written.
  std::int64_t changed() const { return changed_; }

  void SetColumns(int columns) { columns_ = columns; }
  void Append(std::vector<Cell> row) { rows_.push_back(std::move(row)); }
  void SetChanged(std::int64_t changed) { changed_ = changed; }

 private:
  const std::string* At(int row, int column) const;
  int columns_ = 0;
  std::int64_t changed_ = 0;
  std::vector<std::vector<Cell>> rows_;
};

}  // namespace assent::mariadb::internal
