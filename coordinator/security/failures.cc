#include "coordinator/security/failures.h"

#include <algorithm>

namespace assent::security {

std::int64_t Failures::BarredForMs(std::string_view address, std::int64_t now_unix_ms,
                                   std::size_t max_count) const {
  const MutexLock lock(mutex_);
  const auto found = windows_.find(address);
  const bool barred = found != windows_.end() && found->second.Bars(now_unix_ms, max_count);
  return barred ? found->second.ends_unix_ms - now_unix_ms : 0;
}

// Windows are as long as each other: in the order of their ends they stand in that of their begins.
void Failures::MakeRoom() {
  if (windows_.size() < kMaxFailingAddressesCount) return;
  windows_.erase(ends_.begin()->second);
  ends_.erase(ends_.begin());
}

void Failures::Count(std::string_view address, std::int64_t now_unix_ms) {
  const MutexLock lock(mutex_);
  auto found = windows_.find(address);
  if (found != windows_.end() && found->second.Lasts(now_unix_ms)) {
    ++found->second.count;
    return;
  }
  if (found != windows_.end()) {
    auto [at, last] = ends_.equal_range(found->second.ends_unix_ms);
    at = std::find_if(at, last, [&](const auto& one) { return one.second == address; });
    ends_.erase(at);
    windows_.erase(found);
  }
  MakeRoom();
  const std::int64_t ends = now_unix_ms + kFailureWindowMs;
  windows_.emplace(address, Window{.ends_unix_ms = ends, .count = 1});
  ends_.emplace(ends, address);
}

std::size_t Failures::BarredCount(std::int64_t now_unix_ms, std::size_t max_count) const {
  const MutexLock lock(mutex_);
  return static_cast<std::size_t>(
      std::count_if(windows_.begin(), windows_.end(),
                    [&](const auto& one) { return one.second.Bars(now_unix_ms, max_count); }));
}

}  // namespace assent::security
