#pragma once

// The only clocks of the coordinator. Intervals are measured on the first, people are told the
// second.

#include <chrono>

namespace assent::base {

inline std::chrono::time_point<std::chrono::steady_clock, std::chrono::microseconds> MonoNow() {
  return std::chrono::time_point_cast<std::chrono::microseconds>(std::chrono::steady_clock::now());
}
inline std::chrono::time_point<std::chrono::system_clock, std::chrono::milliseconds> WallNow() {
  return std::chrono::time_point_cast<std::chrono::milliseconds>(std::chrono::system_clock::now());
}

}  // namespace assent::base
