#include "participant-sdk/cpp/postgresql/failure.h"

#include <algorithm>
#include <cctype>
#include <utility>

namespace assent::postgresql::internal {

Failure FailureOf(std::string_view sqlstate) {
  const std::string_view kind = sqlstate.substr(0, 2);
  if (sqlstate == "40001" || sqlstate == "40P01") return Failure::kAgain;
  if (sqlstate == "55P03") return Failure::kLocked;
  if (sqlstate == "57014") return Failure::kCancelled;
  if (kind == "23" || sqlstate == "P0001") return Failure::kConstraint;
  // 57: somebody ends us. 40003: it does not know itself. 25006: it is a standby now. 58, XX: it
  // cannot read, or found a fault in itself; what it had done by then it may have kept.
  if (kind.empty() || kind == "08" || kind == "57" || kind == "58" || kind == "XX" ||
      sqlstate == "40003" || sqlstate == "25006" || sqlstate == "25P03") {
    return Failure::kLost;
  }
  return Failure::kMistake;
}

std::string OneLine(std::string_view words) {
  std::string line;
  bool points = false;  // the next one is a caret below our statement
  while (!words.empty()) {
    const std::size_t end = std::min(words.find('\n'), words.size());
    std::string_view part = words.substr(0, end);
    words.remove_prefix(std::min(end + 1, words.size()));
    if (std::exchange(points, part.starts_with("LINE ")) || points) continue;
    while (!part.empty() && std::isspace(static_cast<unsigned char>(part.front())) != 0)
      part.remove_prefix(1);
    if (part.empty()) continue;
    if (!line.empty()) line += "; ";
    for (const char c : part) {
      const bool blank = std::isspace(static_cast<unsigned char>(c)) != 0;
      if (!blank || !line.ends_with(' ')) line += blank ? ' ' : c;
    }
  }
  while (line.ends_with(' ')) line.pop_back();
  return line;
}

Status StatusOf(Failure failure, std::string message) {
  switch (failure) {
    case Failure::kNone: return OkStatus();
    case Failure::kConstraint: return FailedPrecondition(std::move(message));
    case Failure::kMistake: return Internal(std::move(message));
    case Failure::kSkipped:
    case Failure::kAgain:
    case Failure::kLocked:
    case Failure::kCancelled:
    case Failure::kLost: break;
  }
  return Unavailable(std::move(message));
}

}  // namespace assent::postgresql::internal
