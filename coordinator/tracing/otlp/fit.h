#pragma once

// What of a span is kept while it waits. Nothing that others have made long takes more room than
// is said here.

#include <cstddef>
#include <cstdint>

#include "coordinator/tracing/span.h"

namespace assent::tracing {

// Of a name, a message, and an attribute's text: cut there.
inline constexpr std::size_t kMaxTextBytes = 1024;
// A longer one is left out: half of it would be another's.
inline constexpr std::size_t kMaxTracestateBytes = 512;
// The others are left out, and counted in the span.
inline constexpr std::size_t kMaxAttributesCount = 32;

struct FittedSpan {
  Span span{};
  std::uint32_t dropped_attributes = 0;
  std::size_t bytes = 0;  // of memory, about
};
FittedSpan Fit(Span&& span);

}  // namespace assent::tracing
