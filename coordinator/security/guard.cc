#include "coordinator/security/guard.h"

#include <algorithm>
#include <string_view>
#include <utility>

#include <assent/limits.h>

namespace assent::security {
namespace {

constexpr std::string_view kBearer = "Bearer ";

// A URI that is written like a name of another kind is none: whoever signs certificates would give
// out tokens.
bool IsName(std::string_view uri) {
  const std::size_t end = uri.find("://");
  if (end == std::string_view::npos || end == 0) return false;
  const std::string_view scheme = uri.substr(0, end);
  return scheme != "token" && scheme != "jwt" && scheme != "dns" && scheme != "cn";
}

// The one name that rules know a certificate by.
std::string NameOf(const Proof& proof) {
  const auto uri = std::find_if(proof.uris.begin(), proof.uris.end(), IsName);
  if (uri != proof.uris.end()) return *uri;
  if (!proof.dns_names.empty()) return "dns:" + proof.dns_names.front();
  return proof.common_name.empty() ? "" : "cn:" + proof.common_name;
}

}  // namespace

void Guard::Enforce(Policy policy) {
  std::atomic_store(&policy_, std::make_shared<const Policy>(std::move(policy)));
  enforces_.store(true, std::memory_order_release);
}

Result<Visitor> Guard::Admit(const Proof& proof, std::int64_t now_unix_ms) {
  const std::shared_ptr<const Policy> policy = std::atomic_load(&policy_);
  if (policy == nullptr) return Visitor{};
  std::string name = NameOf(proof);
  if (name.empty() && proof.unix_socket) name = "unix";
  if (!proof.authorization.empty()) {
    if (!proof.authorization.starts_with(kBearer)) {
      bad_tokens_.fetch_add(1, std::memory_order_relaxed);
      return Unauthenticated("authorization takes \"Bearer TOKEN\"");
    }
    const Tokens::Found found =
        policy->tokens.Find(proof.authorization.substr(kBearer.size()), now_unix_ms);
    switch (found.fault) {
      case TokenFault::kUnknown:
        bad_tokens_.fetch_add(1, std::memory_order_relaxed);
        return Unauthenticated("the token is not one of this coordinator's");
      case TokenFault::kExpired:
        expired_tokens_.fetch_add(1, std::memory_order_relaxed);
        return Unauthenticated("the token " + found.name + " has expired");
      case TokenFault::kNone: name = "token:" + found.name; break;
    }
  }
  // What no rule could name is nobody.
  if (!name.empty() && (name == "anyone" || name.ends_with('*') || !CheckIdentity(name).ok()))
    name.clear();
  Visitor visitor;
  visitor.grants = GrantsFor(policy, name);
  if (!name.empty()) visitor.name = std::make_shared<const std::string>(std::move(name));
  return visitor;
}

Visitor Guard::Vouched(std::string name) {
  const std::shared_ptr<const Policy> policy = std::atomic_load(&policy_);
  if (policy == nullptr) return {};
  if (!CheckIdentity(name).ok()) name.clear();
  Visitor visitor;
  visitor.grants = GrantsFor(policy, name);
  if (!name.empty()) visitor.name = std::make_shared<const std::string>(std::move(name));
  return visitor;
}

GrantsPtr Guard::GrantsFor(const std::shared_ptr<const Policy>& policy, const std::string& name) {
  const MutexLock lock(mutex_);
  if (remembered_of_ != policy || remembered_.size() == kMaxRememberedVisitorsCount) {
    remembered_.clear();
    remembered_of_ = policy;
  }
  GrantsPtr& grants = remembered_[name];
  if (grants == nullptr) {
    // Keeps the rules that it points to.
    struct Kept {
      std::shared_ptr<const Policy> policy;
      Grants grants;
    };
    auto kept = std::make_shared<const Kept>(Kept{policy, policy->rules.For(name)});
    grants = GrantsPtr(kept, &kept->grants);
  }
  return grants;
}

Guard::Figures Guard::figures() const {
  return {bad_tokens_.load(std::memory_order_relaxed),
          expired_tokens_.load(std::memory_order_relaxed), denied_.load(std::memory_order_relaxed)};
}

Status CheckCall(const Visitor& visitor, Permission needs) {
  if (visitor.grants == nullptr || visitor.grants->May(needs)) return OkStatus();
  const std::string what(Name(needs));
  if (visitor.name == nullptr) {
    return Unauthenticated("nobody is known to ask, and not everybody may " + what +
                           ": show a certificate or a token");
  }
  return PermissionDenied(*visitor.name + " may not " + what + ": it has " +
                          visitor.grants->Roles());
}

}  // namespace assent::security
