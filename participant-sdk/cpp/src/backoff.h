#pragma once

// Waits between attempts: exponential, capped, with full jitter, and without a clock or a generator
// of anybody else's.

#include <algorithm>
#include <chrono>
#include <cstdint>

namespace assent::internal {

// SplitMix64: small, deterministic, good enough to spread waits.
class Jitter {
 public:
  explicit Jitter(std::uint64_t seed) : state_(seed) {}
  // Uniform in [0, bound].
  std::uint64_t Below(std::uint64_t bound) {
    state_ += 0x9E3779B97F4A7C15ULL;
    std::uint64_t z = state_;
    z = (z ^ (z >> 30)) * 0xBF58476D1CE4E5B9ULL;
    z = (z ^ (z >> 27)) * 0x94D049BB133111EBULL;
    z ^= z >> 31;
    return bound == UINT64_MAX ? z : z % (bound + 1);
  }

 private:
  std::uint64_t state_;
};

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
    const auto span = static_cast<std::uint64_t>(ceiling.count() - 1);
    return Milliseconds(1 + static_cast<std::int64_t>(jitter_.Below(span)));
  }
  void Reset() { failures_ = 0; }

 private:
  Milliseconds initial_;
  Milliseconds max_;
  Jitter jitter_;
  int failures_ = 0;
};

}  // namespace assent::internal
