#pragma once

// How much the crash tests try: ASSENT_CRASH_LONG=1 for all of it, ASSENT_CRASH_SEED for other
// workloads and other damage.

#include <cstdint>
#include <cstdlib>

namespace assent::log {

inline std::uint64_t CrashSeed() {
  const char* text = std::getenv("ASSENT_CRASH_SEED");
  return text == nullptr ? 1 : std::strtoull(text, nullptr, 10);
}

inline bool CrashLong() { return std::getenv("ASSENT_CRASH_LONG") != nullptr; }

}  // namespace assent::log
