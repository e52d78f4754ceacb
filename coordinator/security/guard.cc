#include "coordinator/security/guard.h"

#include <algorithm>
#include <chrono>
#include <string_view>
#include <utility>

#include <assent/limits.h>

namespace assent::security {
namespace {

constexpr std::string_view kBearer = "Bearer ";

// A URI that is written like a name of another kind is none: whoever signs certificates would give
// out tokens.
bool IsName(std::string_view uri) {
  const std::size_t end = uri.find(':');
  if (end == std::string_view::npos || end == 0 || !uri.substr(end).starts_with("://"))
    return false;
  const std::string_view scheme = uri.substr(0, end);
  return scheme != "token" && scheme != "jwt" && scheme != "dns" && scheme != "cn" &&
         scheme != "unix";
}

// The one name that rules know a certificate by.
std::string NameOf(const Proof& proof) {
  const auto uri = std::find_if(proof.uris.begin(), proof.uris.end(), IsName);
  if (uri != proof.uris.end()) return *uri;
  if (!proof.dns_names.empty()) return "dns:" + proof.dns_names.front();
  return proof.common_name.empty() ? "" : "cn:" + proof.common_name;
}

// What no rule could name, or all of them together, is nobody in particular.
bool IsSomebody(const std::string& name) {
  return name != "anyone" && !name.ends_with('*') && CheckIdentity(name).ok();
}

}  // namespace

void Guard::Enforce(Policy policy) {
  std::atomic_store(&policy_, std::make_shared<const Policy>(std::move(policy)));
  enforces_.store(true, std::memory_order_release);
  standing_.Changed();
}

Result<Visitor> Guard::Admit(const Proof& proof, std::int64_t now_unix_ms) {
  return Admit(proof, now_unix_ms, /*again=*/false);
}

Result<Visitor> Guard::AdmitAgain(const Proof& proof, std::int64_t now_unix_ms) {
  return Admit(proof, now_unix_ms, /*again=*/true);
}

Result<Visitor> Guard::Admit(const Proof& proof, std::int64_t now_unix_ms, bool again) {
  const std::shared_ptr<const Policy> policy = std::atomic_load(&policy_);
  if (policy == nullptr) return Visitor{};
  std::string name = NameOf(proof);
  if (name.empty() && !proof.unix_uid.empty()) name.assign(kUnixUser).append(proof.unix_uid);
  if (!proof.authorization.empty()) {
    auto shown = NameOfShown(policy, proof, now_unix_ms, again);
    if (!shown.ok()) return shown.status();
    name = *std::move(shown);
  }
  return VisitorOf(policy, std::move(name));
}

std::int64_t Guard::BarredForMs(std::string_view address, std::int64_t now_unix_ms) const {
  const std::shared_ptr<const Policy> policy = std::atomic_load(&policy_);
  if (policy == nullptr) return 0;
  return failures_.BarredForMs(address, now_unix_ms, policy->max_failures_count);
}

std::size_t Guard::BarredCount(std::int64_t now_unix_ms) const {
  const std::shared_ptr<const Policy> policy = std::atomic_load(&policy_);
  return policy == nullptr ? 0 : failures_.BarredCount(now_unix_ms, policy->max_failures_count);
}

Result<std::string> Guard::NameOfShown(const std::shared_ptr<const Policy>& policy,
                                       const Proof& proof, std::int64_t now_unix_ms, bool again) {
  // Right ones go on where others fail: many may come from one address.
  if (auto known = verified_.Find(policy, proof.authorization, now_unix_ms))
    return *std::move(known);
  const std::int64_t left = BarredForMs(proof.address, now_unix_ms);
  if (left > 0 && !again && !verified_.WasKnownBefore(policy, proof.authorization)) {
    barred_.fetch_add(1, std::memory_order_relaxed);
    return ResourceExhausted(
        "too many credentials from this address were wrong, so that this one was not looked at: "
        "come back in " +
        std::to_string((left + 999) / 1000) + " s");
  }
  auto checked = Check(*policy, proof.authorization, now_unix_ms);
  if (checked.ok()) {
    verified_.Keep(policy, proof.authorization, *checked);
    return checked->name;
  }
  verified_.Forget(proof.authorization);
  if (again) return checked.status();
  failures_.Count(proof.address, now_unix_ms);
  const MutexLock lock(mutex_);
  ++failed_.count;
  failed_.address = proof.address;
  failed_.why = checked.status().message();
  return checked.status();
}

Result<Verified::Credential> Guard::Check(const Policy& policy, std::string_view authorization,
                                          std::int64_t now_unix_ms) {
  if (!authorization.starts_with(kBearer)) {
    bad_tokens_.fetch_add(1, std::memory_order_relaxed);
    return Unauthenticated("authorization takes \"Bearer TOKEN\"");
  }
  const std::string_view shown = authorization.substr(kBearer.size());
  if (policy.jwts.empty() || shown.starts_with(Tokens::kPrefix))
    return CheckToken(policy, shown, now_unix_ms);
  JwtFound found = policy.jwts.Verify(shown, now_unix_ms);
  if (found.fault != JwtFault::kNone) {
    auto& figure = found.fault == JwtFault::kExpired ? expired_ : bad_jwts_;
    figure.fetch_add(1, std::memory_order_relaxed);
    return Unauthenticated("the JWT is not taken: " + std::string(Name(found.fault)));
  }
  return Verified::Credential{"jwt:" + found.subject, found.from_unix_ms, found.until_unix_ms};
}

Result<Verified::Credential> Guard::CheckToken(const Policy& policy, std::string_view token,
                                               std::int64_t now_unix_ms) {
  const Tokens::Found found = policy.tokens.Find(token, now_unix_ms);
  switch (found.fault) {
    case TokenFault::kUnknown:
      bad_tokens_.fetch_add(1, std::memory_order_relaxed);
      return Unauthenticated("the token is not one of this coordinator's");
    case TokenFault::kExpired:
      expired_.fetch_add(1, std::memory_order_relaxed);
      return Unauthenticated("the token " + found.name + " has expired");
    case TokenFault::kNone: break;
  }
  return Verified::Credential{"token:" + found.name, std::numeric_limits<std::int64_t>::min(),
                              found.until_unix_ms};
}

std::optional<Guard::Failed> Guard::TakeFailed() {
  const MutexLock lock(mutex_);
  if (failed_.count == 0) return {};
  return std::exchange(failed_, Failed{});
}

Visitor Guard::Vouched(std::string name) {
  const std::shared_ptr<const Policy> policy = std::atomic_load(&policy_);
  if (policy == nullptr) return {};
  return VisitorOf(policy, std::move(name));
}

Visitor Guard::VisitorOf(const std::shared_ptr<const Policy>& policy, std::string name) {
  if (!IsSomebody(name)) name.clear();
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
    // Also of who has no limits yet: what it holds is counted when a reload gives it some.
    AccountPtr account = accounts_.Of(name, std::chrono::steady_clock::now());
    auto kept =
        std::make_shared<const Kept>(Kept{policy, policy->rules.For(name, std::move(account))});
    grants = GrantsPtr(kept, &kept->grants);
  }
  return grants;
}

Guard::Figures Guard::figures() const {
  Figures figures{
      .bad_tokens = bad_tokens_.load(std::memory_order_relaxed),
      .bad_jwts = bad_jwts_.load(std::memory_order_relaxed),
      .expired = expired_.load(std::memory_order_relaxed),
      .denied = denied_.load(std::memory_order_relaxed),
      .barred = barred_.load(std::memory_order_relaxed),
      .refused_requests = accounts_.refusals().requests.load(std::memory_order_relaxed)};
  for (std::size_t i = 0; i < Refusals::kSeatedCount; ++i)
    figures.refused_seats.at(i) = accounts_.refusals().seats.at(i).load(std::memory_order_relaxed);
  return figures;
}

Status CheckStay(const std::string& name, const Grants& now, const Grants& then) {
  const std::string who = name.empty() ? "who is not known" : name;
  for (std::size_t i = 0; i < kPermissionsCount; ++i) {
    const auto permission = static_cast<Permission>(i);
    if (!then.May(permission) || now.May(permission)) continue;
    return PermissionDenied("the rules have changed: " + who + " may not " +
                            std::string(Name(permission)) + " any more");
  }
  const bool sees_less =
      (then.sees_all() && !now.sees_all()) || (then.sees_payloads() && !now.sees_payloads());
  if (!sees_less) return OkStatus();
  return PermissionDenied("the rules have changed: " + who + " may see less than when this began");
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
