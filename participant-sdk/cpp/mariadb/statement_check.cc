#include <algorithm>
#include <array>
#include <cctype>
#include <string>

#include "participant-sdk/cpp/mariadb/db_impl.h"

namespace assent::mariadb::internal {
namespace {

// Behind white space, brackets and comments. One that is executed (/*! … */) is none.
std::string_view WithoutHead(std::string_view sql) {
  while (!sql.empty()) {
    const auto c = static_cast<unsigned char>(sql.front());
    if (std::isspace(c) != 0 || c == '(' || c == ';') {
      sql.remove_prefix(1);
    } else if (sql.starts_with("--") || c == '#') {
      sql.remove_prefix(std::min(sql.find('\n'), sql.size()));
    } else if (sql.starts_with("/*") && !sql.starts_with("/*!") && !sql.starts_with("/*M!")) {
      const std::size_t end = sql.find("*/", 2);
      sql.remove_prefix(end == std::string_view::npos ? sql.size() : end + 2);
    } else {
      break;
    }
  }
  return sql;
}

std::string FirstWord(std::string_view sql) {
  std::string word;
  for (const char c : WithoutHead(sql)) {
    if (std::isalpha(static_cast<unsigned char>(c)) == 0) break;
    word += static_cast<char>(std::toupper(static_cast<unsigned char>(c)));
  }
  return word;
}

}  // namespace

StatementKind KindOf(std::string_view sql) {
  static constexpr std::array kReads = {"SELECT", "WITH", "VALUES", "SHOW", "DESCRIBE", "EXPLAIN"};
  static constexpr std::array kWrites = {"INSERT", "UPDATE", "DELETE", "REPLACE"};
  const std::string word = FirstWord(sql);
  const auto is_in = [&word](const auto& words) {
    return std::find(words.begin(), words.end(), word) != words.end();
  };
  if (sql.find('\0') != std::string_view::npos)
    return {.status = InvalidArgument("a statement cannot have a NUL in it")};
  if (is_in(kWrites)) return {.status = {}, .writes = true};
  if (is_in(kReads)) return {};
  return {.status = InvalidArgument(
              (word.empty() ? "what begins with no word" : word) +
              " is not for handlers: they SELECT, INSERT, UPDATE, DELETE and REPLACE. The adapter "
              "begins and ends local transactions, which MariaDB commits at most other statements; "
              "several operations share one and its settings, and Db::TryExec is a savepoint of "
              "its own")};
}

}  // namespace assent::mariadb::internal
