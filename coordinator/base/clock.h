#pragma once

// The only clocks of the coordinator. Intervals are measured on the first, people are told the
// second. The third goes on while the machine is suspended.

#include <chrono>
#include <cstdint>
#include <time.h>

namespace assent::base {

inline std::chrono::time_point<std::chrono::steady_clock, std::chrono::microseconds> MonoNow() {
  return std::chrono::time_point_cast<std::chrono::microseconds>(std::chrono::steady_clock::now());
}
inline std::chrono::time_point<std::chrono::system_clock, std::chrono::milliseconds> WallNow() {
  return std::chrono::time_point_cast<std::chrono::milliseconds>(std::chrono::system_clock::now());
}
inline std::chrono::milliseconds BootNow() {
  timespec now{};
  (void)clock_gettime(CLOCK_BOOTTIME, &now);
  return std::chrono::milliseconds(std::int64_t{now.tv_sec} * 1000 + now.tv_nsec / 1'000'000);
}

// The same in milliseconds: since 1970, and from some moment on.
inline std::int64_t UnixNowMs() { return WallNow().time_since_epoch().count(); }
inline std::int64_t MonoNowMs() {
  return std::chrono::duration_cast<std::chrono::milliseconds>(MonoNow().time_since_epoch())
      .count();
}

}  // namespace assent::base
