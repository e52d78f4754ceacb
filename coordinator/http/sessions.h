#pragma once

// Sessions of the console: whoever has shown a token once is known by a cookie, for a while.
//
// Invariant: what is kept is of no use without the cookie. A session is found by a hash of its
// secret, and keeps what was shown, sealed by it: whoever asks with it is asked for that again each
// time, so that a session ends with its token, and with the rules.

#include <chrono>
#include <cstddef>
#include <cstdint>
#include <map>
#include <optional>
#include <string>
#include <string_view>

#include <assent/status.h>
#include <assent/thread_safety.h>

namespace assent::http {

// Since the login, and since anything was asked.
inline constexpr std::int64_t kMaxSessionMs = 8 * 3'600'000;
inline constexpr std::int64_t kMaxSessionIdleMs = 30 * 60'000;
// Beyond it the idlest one ends of whoever has the most.
inline constexpr std::size_t kMaxSessionsCount = 1024;
// Beyond it the one that has asked nothing for the longest ends.
inline constexpr std::size_t kMaxSessionsPerIdentityCount = 16;
// Of what is shown at a login.
inline constexpr std::size_t kMaxCredentialBytes = 8 * 1024;
inline constexpr std::size_t kSessionSecretBytes = 32;

// Thread-safety: all of it, from any thread; nothing waits.
class Sessions {
 public:
  using TimePoint = std::chrono::steady_clock::time_point;

  // Its secret, in hexadecimal digits. `shown`: what is asked for again.
  Result<std::string> Begin(std::string identity, std::string_view shown, TimePoint now)
      ASSENT_EXCLUDES(mutex_);
  // What was shown. Nothing: there is no such session, or none any more.
  std::optional<std::string> Find(std::string_view secret, TimePoint now) ASSENT_EXCLUDES(mutex_);
  // What one is found by. Is not its secret.
  static std::string KeyOf(std::string_view secret);
  // Whether it is there yet; to ask this is no use of it.
  bool Stands(const std::string& key, TimePoint now) const ASSENT_EXCLUDES(mutex_);
  // Whose it was; empty: nobody's.
  std::string End(std::string_view secret) ASSENT_EXCLUDES(mutex_);
  std::size_t count() const ASSENT_EXCLUDES(mutex_);

  // What a page of ours shows beside the cookie, and no page of somebody else's can know.
  static std::string CsrfOf(std::string_view secret);

 private:
  struct Session {
    std::string identity;
    std::string sealed;
    TimePoint began;
    TimePoint used;

    bool IsOver(TimePoint now) const;
  };
  void MakeRoom(const std::string& identity) ASSENT_REQUIRES(mutex_);
  void DropIdlestOf(const std::string& identity) ASSENT_REQUIRES(mutex_);

  mutable Mutex mutex_;
  std::map<std::string, Session, std::less<>> sessions_ ASSENT_GUARDED_BY(mutex_);  // by hash
};

// In the same time, wherever they differ.
bool IsSameSecret(std::string_view a, std::string_view b);

}  // namespace assent::http
