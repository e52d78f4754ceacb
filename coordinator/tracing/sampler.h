#pragma once

// Which traces are kept, of those that begin here.

#include <cmath>
#include <cstdint>

#include "coordinator/tracing/span.h"

namespace assent::tracing {

// By the last 56 bits of the trace's id, which are random, as OpenTelemetry's samplers do: who has
// the same ratio keeps the same traces, and who has a larger one keeps those as well.
class Sampler {
 public:
  // From 0 (none) to 1 (all).
  explicit Sampler(double ratio)
      : least_(kAll - static_cast<std::uint64_t>(std::llround(ratio * static_cast<double>(kAll)))) {
  }

  bool Takes(const TraceId& id) const {
    std::uint64_t random = 0;
    for (std::size_t i = id.size() - 7; i < id.size(); ++i) random = random << 8 | id[i];
    return random >= least_;
  }

 private:
  static constexpr std::uint64_t kAll = std::uint64_t{1} << 56;
  std::uint64_t least_;
};

}  // namespace assent::tracing
