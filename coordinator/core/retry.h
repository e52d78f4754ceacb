#pragma once

#include <algorithm>
#include <cstdint>

#include "coordinator/core/types.h"

namespace assent::core {

// A phase-two operation that has failed this often asks for a person's attention. It goes on being
// retried.
inline constexpr std::uint32_t kAttemptsBeforeAttentionCount = 10;

// A forward operation that has no answer for so long may be waiting for rows, as far as GiveWay is
// concerned. Below it, it is probably just being executed.
inline constexpr Millis kMayWaitForRows{10};
// The longest backoff of who is told that somebody else holds the rows.
inline constexpr Millis kMaxBackoffForRows{50};

// The wait after the n-th failed attempt (n >= 1): the initial backoff doubled n-1 times, capped,
// of which at least half is kept and the rest is drawn ("equal jitter"; M. Brooker, "Exponential
// Backoff And Jitter", 2015).
constexpr Micros Backoff(const RetryPolicy& policy, std::uint32_t failed_attempts,
                         std::uint64_t entropy) {
  const std::uint32_t doublings =
      std::min<std::uint32_t>(failed_attempts > 0 ? failed_attempts - 1 : 0, 30);
  const std::int64_t cap = policy.max_backoff.count() * 1000;
  std::int64_t full = policy.initial_backoff.count() * 1000;
  for (std::uint32_t i = 0; i < doublings && full < cap; ++i) full *= 2;
  full = std::max<std::int64_t>(std::min(full, cap), 1);
  const std::int64_t half = full / 2;
  return Micros(half +
                static_cast<std::int64_t>(entropy % static_cast<std::uint64_t>(full - half + 1)));
}

// How long so many attempts would take, each with the longest of its waits: after so long a branch
// that is not tried at all, because nobody is there, asks for a person too.
constexpr Micros PatienceBeforeAttention(const RetryPolicy& policy) {
  Micros patience{0};
  Micros wait = policy.initial_backoff;
  for (std::uint32_t n = 1; n < kAttemptsBeforeAttentionCount; ++n) {
    wait = std::min<Micros>(wait, policy.max_backoff);
    patience += wait;
    wait *= 2;
  }
  return patience;
}

}  // namespace assent::core
