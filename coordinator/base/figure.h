#pragma once

// Figures that one thread keeps as things happen, and any may read.

#include <algorithm>
#include <array>
#include <atomic>
#include <chrono>
#include <cstddef>
#include <cstdint>

namespace assent::base {

class Figure {
 public:
  Figure& operator++() { return *this += 1; }
  Figure& operator--() { return *this -= 1; }
  Figure& operator+=(std::uint64_t more) {
    value_.store(value_.load(std::memory_order_relaxed) + more, std::memory_order_relaxed);
    return *this;
  }
  Figure& operator-=(std::uint64_t less) { return *this += ~less + 1; }
  Figure& operator=(std::uint64_t value) {
    value_.store(value, std::memory_order_relaxed);
    return *this;
  }
  operator std::uint64_t() const { return value_.load(std::memory_order_relaxed); }

 private:
  std::atomic<std::uint64_t> value_ = 0;
};

// How often a value was at most a bound, and above the one before it; the last count is of those
// above all. `Number`: Figure of who keeps it, a plain number of who adds it up.
template <typename Number, const auto& kBounds>
struct Histogram {
  void Observe(std::int64_t value) {
    value = std::max<std::int64_t>(value, 0);
    const auto at = std::lower_bound(kBounds.begin(), kBounds.end(), value);
    ++counts[static_cast<std::size_t>(at - kBounds.begin())];
    sum += static_cast<std::uint64_t>(value);
  }
  template <typename Other>
  void AddTo(Histogram<Other, kBounds>& other) const {
    for (std::size_t i = 0; i < counts.size(); ++i) other.counts[i] += counts[i];
    other.sum += sum;
  }

  std::array<Number, kBounds.size() + 1> counts{};
  Number sum{};
};

// Of commits, and of transactions that wait for a night.
inline constexpr std::array<std::int64_t, 19> kDurationBoundsUs{
    100,       250,        500,        1'000,       2'500,        5'000,     10'000,
    25'000,    50'000,     100'000,    250'000,     500'000,      1'000'000, 2'500'000,
    5'000'000, 10'000'000, 60'000'000, 600'000'000, 3'600'000'000};
template <typename Number>
struct Durations : Histogram<Number, kDurationBoundsUs> {
  template <typename Rep, typename Period>
  void Observe(std::chrono::duration<Rep, Period> value) {
    Histogram<Number, kDurationBoundsUs>::Observe(
        std::chrono::duration_cast<std::chrono::microseconds>(value).count());
  }
};

inline constexpr std::array<std::int64_t, 14> kSizeBounds{1,   2,   4,   8,    16,   32,   64,
                                                          128, 256, 512, 1024, 2048, 4096, 8192};
template <typename Number>
using Sizes = Histogram<Number, kSizeBounds>;

}  // namespace assent::base
