#pragma once

// Waits between attempts: exponential, capped, with full jitter, and without a clock or a generator
// of anybody else's.

#include <algorithm>
#include <chrono>
#include <cstdint>

#include <assent/random.h>

namespace assent::internal {

class Backoff {
 public:
  using Milliseconds = std::chrono::milliseconds;
  Backoff(Milliseconds initial, Milliseconds max, std::uint64_t seed)
      : initial_(std::max(initial, Milliseconds(1))),
        max_(std::max(max, initial_)),
        jitter_(seed) {}

  // The next wait: uniform between 1 ms and a ceiling that doubles each time.
  Milliseconds Next() {
    const Milliseconds ceiling =
        std::min(max_, initial_ * (std::int64_t{1} << std::min(failures_, 20)));
    ++failures_;
    const auto span = static_cast<std::uint64_t>(ceiling.count());
    return Milliseconds(1 + static_cast<std::int64_t>(jitter_.Below(span)));
  }
  void Reset() { failures_ = 0; }

 private:
  Milliseconds initial_;
  Milliseconds max_;
  SplitMix64 jitter_;
  int failures_ = 0;
};

}  // namespace assent::internal
