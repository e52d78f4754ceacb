#pragma once

// What a statement returned: rows in text.

#include <cstdint>
#include <map>
#include <memory>
#include <string>
#include <string_view>
#include <utility>

#include <libpq-fe.h>

namespace assent::postgresql::internal {

class Table {
 public:
  Table() = default;
  explicit Table(PGresult* result) : result_(result) {}

  int rows() const { return result_ == nullptr ? 0 : PQntuples(result_.get()); }
  int columns() const { return result_ == nullptr ? 0 : PQnfields(result_.get()); }
  bool IsNull(int row, int column) const;
  // Numbers, and bools as 0 and 1. 0 when null.
  std::int64_t Int(int row, int column) const;
  double Real(int row, int column) const;
  // Text, or the bytes of a bytea. Lives as long as this.
  std::string_view Text(int row, int column) const;
  // How many rows the statement has written.
  std::int64_t changed() const;
  // What was done, in the server's words: "COMMIT".
  std::string_view tag() const;
  const PGresult* raw() const { return result_.get(); }

 private:
  struct Clear {
    void operator()(PGresult* result) const { PQclear(result); }
  };
  bool Has(int row, int column) const {
    return row >= 0 && row < rows() && column >= 0 && column < columns();
  }
  std::unique_ptr<PGresult, Clear> result_;
  // Of bytea, which comes in hexadecimal: by row and column.
  mutable std::map<std::pair<int, int>, std::string> decoded_;
};

}  // namespace assent::postgresql::internal
