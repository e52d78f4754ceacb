#include "coordinator/tracing/otlp/verdict.h"

#include <algorithm>

#include <assent/number.h>

#include "coordinator/tracing/otlp/encode.h"

namespace assent::tracing {
namespace {

// Of the two forms the one that OTLP has; of the other, a date, nothing is known.
std::chrono::seconds PauseOf(const std::string& retry_after) {
  std::uint32_t seconds = 0;
  return std::chrono::seconds(ReadNumber(retry_after, seconds) ? seconds : 0);
}

bool IsPassing(unsigned code) {
  return code == 0 || code == 429 || code == 502 || code == 503 || code == 504;
}

}  // namespace

Verdict Judge(const post::Answer& answer, std::size_t sent) {
  const bool readable = answer.content_type.rfind(kContentType, 0) == 0;
  if (answer.failed.empty()) {
    const Remark remark = readable ? ReadRemark(answer.body) : Remark{};
    return {.rejected = std::min(remark.rejected, sent), .said = remark.said};
  }
  std::string said = answer.failed;
  const std::string more = readable ? ReadRefusal(answer.body) : "";
  if (!more.empty()) said += ": " + more;
  if (!IsPassing(answer.code))
    return {.fate = Fate::kRefused, .rejected = sent, .said = std::move(said)};
  return {.fate = Fate::kLater, .said = std::move(said), .pause = PauseOf(answer.retry_after)};
}

}  // namespace assent::tracing
