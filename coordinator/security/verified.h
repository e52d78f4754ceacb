#pragma once

// Credentials that were found right, so that the next call with the same one costs a hash and not a
// verification: until it ends, or what it was held to changes. Nothing of what was wrong is kept.
//
// Thread-safety: all of it, from any thread; nothing waits.

#include <array>
#include <cstddef>
#include <cstdint>
#include <map>
#include <memory>
#include <optional>
#include <set>
#include <string>
#include <string_view>

#include <assent/thread_safety.h>

namespace assent::security {

// Beyond it all are forgotten, and verified again.
inline constexpr std::size_t kMaxVerifiedCredentialsCount = 4096;

class Verified {
 public:
  Verified();

  struct Credential {
    std::string name{};
    std::int64_t from_unix_ms = 0;
    std::int64_t until_unix_ms = 0;  // not any more at it
  };
  // Whose it is; nothing: it has not been shown yet, under this policy, or it is not good now.
  std::optional<std::string> Find(const std::shared_ptr<const void>& policy,
                                  std::string_view credential, std::int64_t now_unix_ms);
  void Keep(const std::shared_ptr<const void>& policy, std::string_view credential,
            Credential found);
  // Whether it was right before what it is held to changed, or before there were too many, and has
  // not been found wrong since.
  // Several may come with it at once.
  bool WasKnownBefore(const std::shared_ptr<const void>& policy, std::string_view credential);
  // It is wrong now.
  void Forget(std::string_view credential);
  std::size_t count() const {
    const MutexLock lock(mutex_);
    return all_.size();
  }

 private:
  using Mark = std::array<unsigned char, 32>;
  void MoveTo(const std::shared_ptr<const void>& policy) ASSENT_REQUIRES(mutex_);
  void ForgetAll() ASSENT_REQUIRES(mutex_);
  // Of this process alone: how long a look takes says nothing of a credential.
  Mark MarkOf(std::string_view credential) const;

  const Mark own_;
  mutable Mutex mutex_;
  std::shared_ptr<const void> policy_ ASSENT_GUARDED_BY(mutex_);
  std::map<Mark, Credential> all_ ASSENT_GUARDED_BY(mutex_);
  std::set<Mark> before_ ASSENT_GUARDED_BY(mutex_);  // right once, and not shown since
};

}  // namespace assent::security
