#include <algorithm>
#include <array>
#include <cctype>
#include <string>

#include "participant-sdk/cpp/postgresql/db_impl.h"

namespace assent::postgresql::internal {
namespace {

// Comments of PostgreSQL nest.
std::string_view AfterComment(std::string_view sql) {
  int depth = 1;
  std::size_t at = 2;
  for (; at + 1 < sql.size() && depth > 0; ++at) {
    const std::string_view two = sql.substr(at, 2);
    if (two != "/*" && two != "*/") continue;
    depth += two == "/*" ? 1 : -1;
    ++at;
  }
  return depth > 0 ? std::string_view() : sql.substr(at);
}

std::string FirstWord(std::string_view sql) {
  while (!sql.empty()) {
    const auto c = static_cast<unsigned char>(sql.front());
    if (std::isspace(c) != 0 || c == '(' || c == ';') {
      sql.remove_prefix(1);
    } else if (sql.starts_with("--")) {
      sql.remove_prefix(std::min(sql.find('\n'), sql.size()));
    } else if (sql.starts_with("/*")) {
      sql = AfterComment(sql);
    } else {
      break;
    }
  }
  std::string word;
  for (const char c : sql) {
    if (std::isalpha(static_cast<unsigned char>(c)) == 0) break;
    word += static_cast<char>(std::toupper(static_cast<unsigned char>(c)));
  }
  return word;
}

}  // namespace

Status CheckStatement(std::string_view sql) {
  static constexpr std::array kNotYours = {
      "ABORT",   "BEGIN",   "COMMIT", "COPY",     "DISCARD",   "DEALLOCATE", "END",
      "PREPARE", "RELEASE", "RESET",  "ROLLBACK", "SAVEPOINT", "SET",        "START"};
  const std::string word = FirstWord(sql);
  if (std::find(kNotYours.begin(), kNotYours.end(), word) == kNotYours.end()) {
    if (sql.find('\0') == std::string_view::npos) return OkStatus();
    return InvalidArgument("a statement cannot have a NUL in it");
  }
  return InvalidArgument(word +
                         " is not for handlers: the adapter begins and ends local transactions, "
                         "several operations share one and its settings, and Db::TryExec is a "
                         "savepoint of its own");
}

}  // namespace assent::postgresql::internal
