#include "coordinator/security/verified.h"

#include <utility>

#include <openssl/evp.h>
#include <openssl/rand.h>

#include <assent/status.h>

namespace assent::security {

Verified::Verified()
    : own_([] {
        Mark random{};
        ASSENT_CHECK(RAND_bytes(random.data(), static_cast<int>(random.size())) == 1);
        return random;
      }()) {}

Verified::Mark Verified::MarkOf(std::string_view credential) const {
  std::string salted(reinterpret_cast<const char*>(own_.data()), own_.size());
  salted += credential;
  Mark mark{};
  ASSENT_CHECK(
      EVP_Digest(salted.data(), salted.size(), mark.data(), nullptr, EVP_sha256(), nullptr) == 1);
  return mark;
}

std::optional<std::string> Verified::Find(const std::shared_ptr<const void>& policy,
                                          std::string_view credential, std::int64_t now_unix_ms) {
  const Mark mark = MarkOf(credential);
  const MutexLock lock(mutex_);
  if (policy_ != policy) return {};
  const auto found = all_.find(mark);
  if (found == all_.end()) return {};
  if (now_unix_ms >= found->second.until_unix_ms) {
    all_.erase(found);
    return {};
  }
  // A clock that was set back.
  if (now_unix_ms < found->second.from_unix_ms) return {};
  return found->second.name;
}

bool Verified::WasKnownBefore(const std::shared_ptr<const void>& policy,
                              std::string_view credential) {
  const Mark mark = MarkOf(credential);
  const MutexLock lock(mutex_);
  MoveTo(policy);
  // Another call may have kept it since it was looked for.
  return before_.contains(mark) || all_.contains(mark);
}

void Verified::Forget(std::string_view credential) {
  const Mark mark = MarkOf(credential);
  const MutexLock lock(mutex_);
  before_.erase(mark);
}

void Verified::MoveTo(const std::shared_ptr<const void>& policy) {
  if (policy_ == policy) return;
  policy_ = policy;
  // A call that has the one of before still is no change.
  ForgetAll();
}

// They are known yet to have been right, and verified again.
void Verified::ForgetAll() {
  if (before_.size() + all_.size() > kMaxVerifiedCredentialsCount) before_.clear();
  for (const auto& [mark, credential] : all_) before_.insert(mark);
  all_.clear();
}

void Verified::Keep(const std::shared_ptr<const void>& policy, std::string_view credential,
                    Credential found) {
  const Mark mark = MarkOf(credential);
  const MutexLock lock(mutex_);
  MoveTo(policy);
  if (all_.size() >= kMaxVerifiedCredentialsCount) ForgetAll();
  before_.erase(mark);
  all_.insert_or_assign(mark, std::move(found));
}

}  // namespace assent::security
