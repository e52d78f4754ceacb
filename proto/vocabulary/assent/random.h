#pragma once

// A generator of our own: small, and the same everywhere, so that a seed means the same on every
// machine and with every standard library. For jitter, simulations and tests; nothing secret.

#include <cstdint>

namespace assent {

// SplitMix64 (S. Vigna, public domain algorithm).
class SplitMix64 {
 public:
  explicit constexpr SplitMix64(std::uint64_t seed) : state_(seed) {}

  constexpr std::uint64_t Next() {
    std::uint64_t z = (state_ += 0x9e3779b97f4a7c15ULL);
    z = (z ^ (z >> 30)) * 0xbf58476d1ce4e5b9ULL;
    z = (z ^ (z >> 27)) * 0x94d049bb133111ebULL;
    return z ^ (z >> 31);
  }
  // Uniform in [0, bound), as far as 64 bits are; 0 for bound 0.
  constexpr std::uint64_t Below(std::uint64_t bound) { return bound == 0 ? 0 : Next() % bound; }

 private:
  std::uint64_t state_;
};

}  // namespace assent
