#pragma once

// W3C Trace Context, level 1 (https://www.w3.org/TR/trace-context/): the trace that a request
// belongs to, and the span under which it was made, as `traceparent` and `tracestate` carry them.

#include <algorithm>
#include <array>
#include <cstddef>
#include <cstdint>
#include <optional>
#include <string>
#include <string_view>

#include <assent/limits.h>

namespace assent {

using TraceId = std::array<std::uint8_t, 16>;
using SpanId = std::array<std::uint8_t, 8>;

struct TraceContext {
  TraceId trace_id{};
  SpanId span_id{};  // all zero, which is none on the wire: the trace begins here
  bool sampled = false;
  std::string state{};  // tracestate, unread
};

template <std::size_t kBytes>
constexpr bool IsZero(const std::array<std::uint8_t, kBytes>& id) {
  return std::all_of(id.begin(), id.end(), [](std::uint8_t byte) { return byte == 0; });
}

// Lower-case, as the standard has it.
template <std::size_t kBytes>
std::string Hex(const std::array<std::uint8_t, kBytes>& id) {
  std::string hex;
  hex.reserve(2 * kBytes);
  for (const std::uint8_t byte : id) {
    hex += "0123456789abcdef"[byte >> 4];
    hex += "0123456789abcdef"[byte & 15];
  }
  return hex;
}

// False: it is not so many bytes in lower-case hex.
template <std::size_t kBytes>
constexpr bool ReadHex(std::string_view hex, std::array<std::uint8_t, kBytes>& id) {
  if (hex.size() != 2 * kBytes) return false;
  for (std::size_t i = 0; i < hex.size(); ++i) {
    const char c = hex[i];
    const bool digit = c >= '0' && c <= '9';
    if (!digit && (c < 'a' || c > 'f')) return false;
    const int value = digit ? c - '0' : c - 'a' + 10;
    id[i / 2] = static_cast<std::uint8_t>(i % 2 == 0 ? value << 4 : id[i / 2] | value);
  }
  return true;
}

inline constexpr std::size_t kTraceparentBytes = 55;  // of version 00

// nullopt: it is none that this version of the standard lets us go on with. Of a later version what
// we know is read, as it demands.
inline std::optional<TraceContext> ParseTraceparent(std::string_view text) {
  TraceContext context;
  std::array<std::uint8_t, 1> version{};
  std::array<std::uint8_t, 1> flags{};
  if (text.size() < kTraceparentBytes || text[2] != '-' || text[35] != '-' || text[52] != '-' ||
      !ReadHex(text.substr(0, 2), version) || !ReadHex(text.substr(3, 32), context.trace_id) ||
      !ReadHex(text.substr(36, 16), context.span_id) || !ReadHex(text.substr(53, 2), flags) ||
      version[0] == 0xff || IsZero(context.trace_id) || IsZero(context.span_id))
    return std::nullopt;
  if (text.size() > kTraceparentBytes && (version[0] == 0 || text[kTraceparentBytes] != '-'))
    return std::nullopt;
  context.sampled = (flags[0] & 1) != 0;
  return context;
}

inline std::string Traceparent(const TraceId& trace, const SpanId& span, bool sampled) {
  return "00-" + Hex(trace) + "-" + Hex(span) + (sampled ? "-01" : "-00");
}

// It may be handed on. What is longer, or has other characters, may be left out.
inline bool IsTracestate(std::string_view text) {
  return text.size() <= limits::kMaxTracestateBytes &&
         std::all_of(text.begin(), text.end(), [](char c) { return c >= 0x20 && c <= 0x7e; });
}

}  // namespace assent
