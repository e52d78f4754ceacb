#include "coordinator/log/postgresql/verdict.h"

#include <algorithm>
#include <cctype>
#include <utility>

namespace assent::log {

std::string OneLine(std::string_view words) {
  std::string line;
  bool points = false;  // the next one is a caret below our statement
  while (!words.empty()) {
    const std::size_t end = std::min(words.find('\n'), words.size());
    std::string_view part = words.substr(0, end);
    words.remove_prefix(std::min(end + 1, words.size()));
    if (std::exchange(points, part.starts_with("LINE ")) || points) continue;
    const bool indented = part.starts_with('\t');
    while (!part.empty() && std::isspace(static_cast<unsigned char>(part.front())) != 0)
      part.remove_prefix(1);
    if (part.empty()) continue;
    // A sentence that libpq has broken goes on in small letters.
    const bool goes_on = indented && std::islower(static_cast<unsigned char>(part.front())) != 0;
    if (!line.empty()) line += goes_on ? " " : "; ";
    for (const char c : part) {
      const bool blank = std::isspace(static_cast<unsigned char>(c)) != 0;
      if (blank && line.ends_with(' ')) continue;
      line += blank ? ' ' : c == '"' ? '\'' : c;
    }
  }
  while (line.ends_with(' ')) line.pop_back();
  return line;
}

Verdict VerdictOf(std::string_view sqlstate) {
  const std::string_view kind = sqlstate.substr(0, 2);
  if (sqlstate == "22012") return Verdict::kCondition;
  if (sqlstate == "23505") return Verdict::kDuplicate;
  if (sqlstate == "40001" || sqlstate == "40P01") return Verdict::kAgain;
  if (sqlstate == "55P03") return Verdict::kLocked;
  if (kind == "53" || kind == "54") return Verdict::kNoSpace;
  // 57: somebody cancels or ends us. 40003: it does not know itself. 25006: it is a standby now.
  // 58, XX: it cannot read, or found a fault in itself; what it had done by then it may have kept.
  if (kind.empty() || kind == "08" || kind == "57" || kind == "58" || kind == "XX" ||
      kind == "01" || sqlstate == "40003" || sqlstate == "25006") {
    return Verdict::kUnknown;
  }
  return Verdict::kRefused;
}

}  // namespace assent::log
