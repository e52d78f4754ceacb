#pragma once

// Who shows credentials that are none: counted by the address that they come from. An address with
// too many in a window of time is barred until the window ends: what it shows is refused without
// being looked at.
//
// Thread-safety: all of it, from any thread; nothing waits.

#include <cstddef>
#include <cstdint>
#include <map>
#include <string>
#include <string_view>

#include <assent/thread_safety.h>

namespace assent::security {

// Of one address within a window, unless it is set otherwise. A program that has an old token and
// tries again each second gets here in half a minute.
inline constexpr std::size_t kMaxFailuresPerWindowCount = 20;
// From the first of them.
inline constexpr std::int64_t kFailureWindowMs = 60'000;
// Addresses that are remembered; beyond it the one whose window ends first is forgotten.
inline constexpr std::size_t kMaxFailingAddressesCount = 4096;

class Failures {
 public:
  // How long it is barred yet, if it takes so many; 0: it is not. 0 of them bar nobody.
  std::int64_t BarredForMs(std::string_view address, std::int64_t now_unix_ms,
                           std::size_t max_count) const;
  void Count(std::string_view address, std::int64_t now_unix_ms);

  std::size_t addresses_count() const {
    const MutexLock lock(mutex_);
    return windows_.size();
  }
  std::size_t BarredCount(std::int64_t now_unix_ms, std::size_t max_count) const;

 private:
  struct Window {
    std::int64_t ends_unix_ms = 0;
    std::size_t count = 0;

    bool Bars(std::int64_t now_unix_ms, std::size_t max_count) const {
      return max_count > 0 && count >= max_count && Lasts(now_unix_ms);
    }
    // A clock that was set back makes none of them longer.
    bool Lasts(std::int64_t now_unix_ms) const {
      return now_unix_ms < ends_unix_ms && now_unix_ms >= ends_unix_ms - kFailureWindowMs;
    }
  };
  using Windows = std::map<std::string, Window, std::less<>>;
  void MakeRoom() ASSENT_REQUIRES(mutex_);

  mutable Mutex mutex_;
  Windows windows_ ASSENT_GUARDED_BY(mutex_);
  // Which of them ends when.
  std::multimap<std::int64_t, std::string> ends_ ASSENT_GUARDED_BY(mutex_);
};

}  // namespace assent::security
