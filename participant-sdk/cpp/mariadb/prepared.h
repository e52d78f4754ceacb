#pragma once

// A statement that the server has prepared: parameters go, and rows come, in binary. Or, in the
// text of a packet, under a name that it has there.

#include <cstddef>
#include <memory>
#include <mysql.h>
#include <optional>
#include <string>
#include <string_view>
#include <utility>

#include <assent/mariadb.h>

#include "participant-sdk/cpp/mariadb/table.h"

namespace assent::mariadb::internal {

class Prepared {
 public:
  explicit Prepared(MYSQL* mysql) : statement_(mysql_stmt_init(mysql)) {}

  // False: number(), sqlstate() and message() say why.
  bool Prepare(std::string_view sql);
  std::size_t parameters() const { return mysql_stmt_param_count(statement_.get()); }
  bool returns_rows() const { return mysql_stmt_field_count(statement_.get()) != 0; }
  // `table` gets what it returned.
  bool Execute(const Arg* args, std::size_t count, bool writes, Table& table);

  // As the text calls it; empty: the server does not know it by a name.
  const std::string& name() const { return name_; }
  void SetName(std::string name) { name_ = std::move(name); }

  unsigned number() const { return mysql_stmt_errno(statement_.get()); }
  std::string sqlstate() const { return mysql_stmt_sqlstate(statement_.get()); }
  std::string message() const { return mysql_stmt_error(statement_.get()); }

 private:
  struct Close {
    void operator()(MYSQL_STMT* statement) const { mysql_stmt_close(statement); }
  };
  bool ReadRows(Table& table);

  std::unique_ptr<MYSQL_STMT, Close> statement_;
  std::string name_;
};

// The words behind EXECUTE and the name, of values that are exactly the same in text: numbers that
// are whole, text that is UTF-8, bytes, NULL, of at most kMaxTextArgsBytes. Nothing: of others.
inline constexpr std::size_t kMaxTextArgsBytes = 16 * 1024;
std::optional<std::string> UsingOf(const Arg* args, std::size_t count);

}  // namespace assent::mariadb::internal
