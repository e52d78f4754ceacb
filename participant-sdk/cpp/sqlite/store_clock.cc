#include "participant-sdk/cpp/sqlite/store_clock.h"

#include <algorithm>
#include <chrono>

namespace assent::sqlite::internal {
namespace {

// A group of operations takes the time along when it has moved by so much.
constexpr std::int64_t kKeepEveryMs = 1000;

std::int64_t SteadyMs() {
  return std::chrono::duration_cast<std::chrono::milliseconds>(
             std::chrono::steady_clock::now().time_since_epoch())
      .count();
}

}  // namespace

StoreClock::StoreClock(std::function<std::int64_t()> steady_ms)
    : steady_ms_(steady_ms ? std::move(steady_ms) : SteadyMs), offset_(-steady_ms_()) {}

Status StoreClock::Tick(Connection& connection) {
  if (kept_ >= 0 && Now() - kept_ < kKeepEveryMs) return OkStatus();
  std::int64_t in_file = 0;
  {
    Statement read(connection, "SELECT value FROM assent_meta WHERE key = 'clock_ms'");
    if (read.Step()) in_file = read.Int(0);
    if (!read.status().ok()) return read.status();
  }
  const std::int64_t ahead = std::max<std::int64_t>(in_file - Now(), 0);
  offset_.fetch_add(ahead, std::memory_order_relaxed);
  kept_ = Now();
  return Statement(connection, "UPDATE assent_meta SET value = ?1 WHERE key = 'clock_ms'", kept_)
      .Finish();
}

}  // namespace assent::sqlite::internal
