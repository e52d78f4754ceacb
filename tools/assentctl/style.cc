#include "tools/assentctl/style.h"

#include "tools/assentctl/duration.h"

namespace assent::ctl {
namespace {

const char* Escape(Tone tone) {
  switch (tone) {
    case Tone::kPlain: return "";
    case Tone::kGood: return "\x1b[32m";
    case Tone::kBad: return "\x1b[31m";
    case Tone::kWarn: return "\x1b[33m";
    case Tone::kDim: return "\x1b[2m";
    case Tone::kStrong: return "\x1b[1m";
  }
  return "";
}

}  // namespace

std::string Paint(std::string_view text, Tone tone, const Style& style) {
  if (!style.color || tone == Tone::kPlain || text.empty()) return std::string(text);
  return Escape(tone) + std::string(text) + "\x1b[0m";
}

std::string Moment(std::int64_t unix_ms, const Style& style) {
  if (unix_ms == 0) return "-";
  if (style.time == TimeStyle::kIso) return FormatIso(unix_ms);
  const std::int64_t passed = style.now_unix_ms - unix_ms;
  if (passed >= 0) return FormatDuration(passed) + " ago";
  return "in " + FormatDuration(-passed);
}

}  // namespace assent::ctl
