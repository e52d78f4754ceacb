#include <cstdio>
#include <cstdlib>
#include <map>
#include <memory>
#include <sqlite3.h>

#include "tests/crash/bank.h"

namespace assent::crash {
namespace {

using Database = std::unique_ptr<sqlite3, int (*)(sqlite3*)>;

Database Open(const std::string& file) {
  sqlite3* db = nullptr;
  if (sqlite3_open_v2(file.c_str(), &db, SQLITE_OPEN_READWRITE, nullptr) != SQLITE_OK) {
    std::fprintf(stderr, "%s: %s\n", file.c_str(), sqlite3_errmsg(db));
    std::abort();
  }
  return {db, sqlite3_close};
}

std::string One(sqlite3* db, const std::string& sql, const std::string& gid = {},
                const std::string& branch = {}) {
  sqlite3_stmt* statement = nullptr;
  if (sqlite3_prepare_v2(db, sql.c_str(), -1, &statement, nullptr) != SQLITE_OK) {
    std::fprintf(stderr, "%s: %s\n", sql.c_str(), sqlite3_errmsg(db));
    std::abort();
  }
  if (!gid.empty()) sqlite3_bind_text(statement, 1, gid.c_str(), -1, SQLITE_TRANSIENT);
  if (!branch.empty()) sqlite3_bind_text(statement, 2, branch.c_str(), -1, SQLITE_TRANSIENT);
  std::string text;
  if (sqlite3_step(statement) == SQLITE_ROW && sqlite3_column_type(statement, 0) != SQLITE_NULL) {
    text = reinterpret_cast<const char*>(sqlite3_column_text(statement, 0));
  }
  sqlite3_finalize(statement);
  return text;
}

std::int64_t Number(sqlite3* db, const std::string& sql) {
  return std::strtoll(One(db, sql).c_str(), nullptr, 10);
}

}  // namespace

std::string Movement(int account, std::int64_t delta) {
  return std::to_string(account) + " " + std::to_string(delta);
}

Books ReadBooks(const std::string& file) {
  const Database db = Open(file);
  return {Number(db.get(), "SELECT sum(balance) FROM account"),
          Number(db.get(), "SELECT sum(frozen) FROM account"),
          Number(db.get(), "SELECT count(*) FROM assent_prepared"),
          Number(db.get(), "SELECT count(*) FROM assent_lock")};
}

std::string LedgerState(const std::string& file, const std::string& gid,
                        const std::string& branch_id) {
  static std::map<std::string, Database> open;  // many questions to few files
  auto found = open.find(file);
  if (found == open.end()) found = open.emplace(file, Open(file)).first;
  return One(found->second.get(), "SELECT state FROM ledger WHERE gid = ?1 AND branch_id = ?2", gid,
             branch_id);
}

std::int64_t Unsettled(const std::string& file) {
  return Number(Open(file).get(),
                "SELECT count(*) FROM ledger WHERE state NOT IN ('done', 'undone')");
}

}  // namespace assent::crash
