#pragma once

// A span: one piece of work in a trace, with its beginning and its end. A plain value: who makes
// it knows nothing of where it goes.

#include <cstdint>
#include <string>
#include <string_view>
#include <variant>
#include <vector>

#include <assent/trace.h>

namespace assent::tracing {

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

// Whether a receiver could read it: it has ids and a name.
inline bool IsSound(const Span& span) {
  return !IsZero(span.trace_id) && !IsZero(span.span_id) && !span.name.empty();
}

}  // namespace assent::tracing
