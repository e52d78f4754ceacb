#pragma once

// A span: one piece of work in a trace, with its beginning and its end. A plain value: who makes
// it knows nothing of where it goes.

#include <algorithm>
#include <array>
#include <cstddef>
#include <cstdint>
#include <string>
#include <string_view>
#include <variant>
#include <vector>

namespace assent::tracing {

using TraceId = std::array<std::uint8_t, 16>;
using SpanId = std::array<std::uint8_t, 8>;

struct Attribute {
  std::string_view key;  // of static storage
  std::variant<std::string, std::int64_t, bool> value;
};

// The numbers are those of the wire.
enum class SpanKind : std::uint8_t {
  kInternal = 1,
  kServer = 2,
  kClient = 3,
  kProducer = 4,
  kConsumer = 5
};
enum class SpanStatus : std::uint8_t { kUnset = 0, kOk = 1, kError = 2 };

struct Span {
  TraceId trace_id{};
  SpanId span_id{};
  SpanId parent_id{};        // all zero: there is none
  std::string tracestate{};  // as it came, by W3C's Trace Context
  std::uint8_t flags = 0;    // likewise
  std::string name{};        // one of few: what differs is an attribute
  std::int64_t start_unix_us = 0;
  std::int64_t end_unix_us = 0;  // the start, if the clock was set back
  SpanKind kind = SpanKind::kInternal;
  SpanStatus status = SpanStatus::kUnset;
  std::string message{};                // of kError: a sentence
  std::vector<Attribute> attributes{};  // no key twice
};

template <std::size_t kBytes>
constexpr bool IsZero(const std::array<std::uint8_t, kBytes>& id) {
  return std::all_of(id.begin(), id.end(), [](std::uint8_t byte) { return byte == 0; });
}

// Whether a receiver could read it: it has ids and a name.
inline bool IsSound(const Span& span) {
  return !IsZero(span.trace_id) && !IsZero(span.span_id) && !span.name.empty();
}

}  // namespace assent::tracing
