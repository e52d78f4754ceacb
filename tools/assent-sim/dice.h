#pragma once

// The only source of chance in the simulator.

#include <array>
#include <cstddef>
#include <cstdint>

#include <assent/random.h>

namespace assent::sim {

class Dice : public SplitMix64 {
 public:
  using SplitMix64::SplitMix64;

  // Uniform in [low, high].
  std::int64_t Between(std::int64_t low, std::int64_t high) {
    return low + static_cast<std::int64_t>(Below(static_cast<std::uint64_t>(high - low) + 1));
  }
  // Each power of two as likely as the next: for spans that matter from microseconds to hours.
  std::int64_t Spread(std::int64_t low, std::int64_t high) {
    int doublings = 0;
    while ((low << (doublings + 1)) <= high) ++doublings;
    const std::int64_t base = low << Below(static_cast<std::uint64_t>(doublings) + 1);
    const std::int64_t top = base * 2 - 1;
    return Between(base, top < high ? top : high);
  }
  bool Chance(std::uint32_t permille) { return permille != 0 && Below(1000) < permille; }
  template <typename T, std::size_t N>
  const T& Pick(const std::array<T, N>& from) {
    return from[Below(N)];
  }
};

}  // namespace assent::sim
