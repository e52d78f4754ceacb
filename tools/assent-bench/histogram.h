#pragma once

// Latencies in microseconds, as an HDR-style histogram: 64 linear steps per power of two, so that
// every value is kept within 1.6 % (after G. Tene, HdrHistogram). Mergeable; a few kilobytes
// whatever it holds.

#include <algorithm>
#include <array>
#include <bit>
#include <cmath>
#include <cstddef>
#include <cstdint>

#include <nlohmann/json.hpp>

namespace assent::bench {

class Histogram {
 public:
  void Add(std::int64_t value_us) {
    const auto value = static_cast<std::uint64_t>(std::max<std::int64_t>(value_us, 0));
    ++buckets_[IndexOf(value)];
    ++count_;
    max_ = std::max(max_, value);
  }
  void Merge(const Histogram& other) {
    for (std::size_t i = 0; i < buckets_.size(); ++i) buckets_[i] += other.buckets_[i];
    count_ += other.count_;
    max_ = std::max(max_, other.max_);
  }
  std::uint64_t count() const { return count_; }
  std::uint64_t max() const { return max_; }
  // The value that `share` (0 to 1) of all values do not exceed, in microseconds.
  std::uint64_t Percentile(double share) const {
    const auto wanted = static_cast<std::uint64_t>(std::ceil(share * static_cast<double>(count_)));
    std::uint64_t seen = 0;
    for (std::size_t i = 0; i < buckets_.size(); ++i) {
      seen += buckets_[i];
      if (seen >= wanted && seen > 0) return std::min(UpperBound(i), max_);
    }
    return max_;
  }

  nlohmann::json ToJson() const {
    nlohmann::json sparse = nlohmann::json::array();
    for (std::size_t i = 0; i < buckets_.size(); ++i) {
      if (buckets_[i] != 0) sparse.push_back({i, buckets_[i]});
    }
    return {{"max", max_}, {"buckets", sparse}};
  }
  static Histogram FromJson(const nlohmann::json& json) {
    Histogram histogram;
    histogram.max_ = json.at("max");
    for (const auto& entry : json.at("buckets")) {
      histogram.buckets_.at(entry.at(0)) = entry.at(1);
      histogram.count_ += entry.at(1).get<std::uint64_t>();
    }
    return histogram;
  }

 private:
  static constexpr std::size_t kStepsBits = 6;
  static constexpr std::size_t kSteps = std::size_t{1} << kStepsBits;
  static constexpr std::size_t kPowers = 34;  // up to 2^40 us, twelve days

  static std::size_t IndexOf(std::uint64_t value) {
    if (value < kSteps) return value;
    const auto power = static_cast<std::size_t>(std::bit_width(value)) - kStepsBits - 1;
    if (power >= kPowers - 1) return kPowers * kSteps - 1;
    return (power + 1) * kSteps + ((value >> power) - kSteps);
  }
  static std::uint64_t UpperBound(std::size_t index) {
    if (index < kSteps) return index;
    const std::size_t power = index / kSteps - 1;
    return ((kSteps + index % kSteps + 1) << power) - 1;
  }

  std::array<std::uint64_t, kPowers * kSteps> buckets_{};
  std::uint64_t count_ = 0;
  std::uint64_t max_ = 0;
};

}  // namespace assent::bench
