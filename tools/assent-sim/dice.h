#pragma once

// The only source of chance in the simulator. Our own, so that a seed means the same on every
// machine and with every standard library.

#include <array>
#include <cstddef>
#include <cstdint>

namespace assent::sim {

// SplitMix64 (S. Vigna, public domain algorithm).
class Dice {
 public:
  explicit Dice(std::uint64_t seed) : state_(seed) {}

  std::uint64_t Next() {
    std::uint64_t z = (state_ += 0x9e3779b97f4a7c15ULL);
    z = (z ^ (z >> 30)) * 0xbf58476d1ce4e5b9ULL;
    z = (z ^ (z >> 27)) * 0x94d049bb133111ebULL;
    return z ^ (z >> 31);
  }
  // Uniform in [0, bound); 0 for bound 0.
  std::uint64_t Below(std::uint64_t bound) { return bound == 0 ? 0 : Next() % bound; }
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

 private:
  std::uint64_t state_;
};

}  // namespace assent::sim
