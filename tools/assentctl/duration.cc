#include "tools/assentctl/duration.h"

#include <array>
#include <cstdio>
#include <ctime>
#include <limits>

namespace assent::ctl {
namespace {

struct Unit {
  std::string_view name;
  std::int64_t ms;
};

// From large to small; "ms" is matched before "m" because units are compared whole.
constexpr std::array<Unit, 5> kUnits = {
    {{"d", 86'400'000}, {"h", 3'600'000}, {"m", 60'000}, {"s", 1'000}, {"ms", 1}}};

bool IsDigit(char c) { return c >= '0' && c <= '9'; }

Status NotADuration(std::string_view text) {
  return InvalidArgument("'" + std::string(text) +
                         "' is not a duration; write 250ms, 5s, 2m, 1h, 7d or 1h30m");
}

}  // namespace

Result<std::int64_t> ParseDuration(std::string_view text) {
  if (text == "0") return std::int64_t{0};
  std::int64_t total = 0;
  std::int64_t previous_unit = std::numeric_limits<std::int64_t>::max();
  std::size_t at = 0;
  if (text.empty()) return NotADuration(text);
  while (at < text.size()) {
    const std::size_t number_from = at;
    while (at < text.size() && IsDigit(text[at])) ++at;
    const std::size_t unit_from = at;
    while (at < text.size() && !IsDigit(text[at])) ++at;
    if (unit_from == number_from || unit_from - number_from > 15) return NotADuration(text);
    const std::int64_t number =
        std::stoll(std::string(text.substr(number_from, unit_from - number_from)));
    const std::string_view name = text.substr(unit_from, at - unit_from);
    std::int64_t unit = 0;
    for (const Unit& known : kUnits) {
      if (known.name == name) unit = known.ms;
    }
    if (unit == 0 || unit >= previous_unit) return NotADuration(text);
    previous_unit = unit;
    std::int64_t part = 0;
    if (__builtin_mul_overflow(number, unit, &part) ||
        __builtin_add_overflow(total, part, &total)) {
      return NotADuration(text);
    }
  }
  return total;
}

std::string FormatDuration(std::int64_t ms) {
  if (ms < 0) ms = 0;
  if (ms < 1'000) return std::to_string(ms) + " ms";
  struct Step {
    std::int64_t ms;
    const char* name;
  };
  constexpr std::array<Step, 4> kSteps = {
      {{86'400'000, " d"}, {3'600'000, " h"}, {60'000, " min"}, {1'000, " s"}}};
  for (std::size_t i = 0; i < kSteps.size(); ++i) {
    const std::int64_t whole = ms / kSteps[i].ms;
    if (whole == 0) continue;
    std::string text = std::to_string(whole) + kSteps[i].name;
    if (i + 1 < kSteps.size() && whole < 10) {
      const std::int64_t rest = ms % kSteps[i].ms / kSteps[i + 1].ms;
      if (rest > 0) text += " " + std::to_string(rest) + kSteps[i + 1].name;
    }
    return text;
  }
  return "0 s";
}

std::string FormatLatency(std::int64_t us) {
  if (us < 1'000) return std::to_string(us) + " us";
  if (us >= 60'000'000) return FormatDuration(us / 1'000);
  const bool seconds = us >= 1'000'000;
  const double value = static_cast<double>(us) / (seconds ? 1e6 : 1e3);
  const int decimals = value < 10 ? 2 : value < 100 ? 1 : 0;
  char text[32];
  std::snprintf(text, sizeof text, "%.*f %s", decimals, value, seconds ? "s" : "ms");
  return text;
}

std::string FormatStopwatch(std::int64_t ms) {
  const auto part = [ms](std::int64_t unit, std::int64_t of) {
    return static_cast<long long>(of == 0 ? ms / unit : ms / unit % of);
  };
  char text[64];
  if (ms < 60'000) {
    std::snprintf(text, sizeof text, "%lld.%03lld s", part(1'000, 0), part(1, 1'000));
  } else if (ms < 3'600'000) {
    std::snprintf(text, sizeof text, "%lld:%02lld.%03lld", part(60'000, 0), part(1'000, 60),
                  part(1, 1'000));
  } else {
    std::snprintf(text, sizeof text, "%lld:%02lld:%02lld.%03lld", part(3'600'000, 0),
                  part(60'000, 60), part(1'000, 60), part(1, 1'000));
  }
  return text;
}

std::string FormatIso(std::int64_t unix_ms) {
  std::int64_t seconds = unix_ms / 1'000;
  std::int64_t ms = unix_ms % 1'000;
  if (ms < 0) {
    ms += 1'000;
    --seconds;
  }
  const std::time_t time = static_cast<std::time_t>(seconds);
  std::tm parts{};
  if (gmtime_r(&time, &parts) == nullptr) return std::to_string(unix_ms);
  char date[40];
  std::strftime(date, sizeof date, "%Y-%m-%dT%H:%M:%S", &parts);
  char text[64];
  std::snprintf(text, sizeof text, "%s.%03dZ", date, static_cast<int>(ms));
  return text;
}

}  // namespace assent::ctl
