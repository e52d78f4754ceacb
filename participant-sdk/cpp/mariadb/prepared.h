#pragma once

// A statement that the server has prepared: parameters go, and rows come, in binary.

#include <cstddef>
#include <memory>
#include <mysql.h>
#include <string>
#include <string_view>

#include <assent/mariadb.h>

#include "participant-sdk/cpp/mariadb/table.h"

namespace assent::mariadb::internal {

class Prepared {
 public:
  explicit Prepared(MYSQL* mysql) : statement_(mysql_stmt_init(mysql)) {}

  // False: number(), sqlstate() and message() say why.
  bool Prepare(std::string_view sql);
  std::size_t parameters() const { return mysql_stmt_param_count(statement_.get()); }
  // `table` gets what it returned.
  bool Execute(const Arg* args, std::size_t count, bool writes, Table& table);

  unsigned number() const { return mysql_stmt_errno(statement_.get()); }
  std::string sqlstate() const { return mysql_stmt_sqlstate(statement_.get()); }
  std::string message() const { return mysql_stmt_error(statement_.get()); }

 private:
  struct Close {
    void operator()(MYSQL_STMT* statement) const { mysql_stmt_close(statement); }
  };
  bool ReadRows(Table& table);

  std::unique_ptr<MYSQL_STMT, Close> statement_;
};

}  // namespace assent::mariadb::internal
