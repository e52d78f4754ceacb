#include "coordinator/security/grants.h"

#include <algorithm>

namespace assent::security {

bool Scope::Covers(std::string_view of_service, std::string_view action) const {
  if (service != "*" && service != of_service) return false;
  return actions.empty() || std::find(actions.begin(), actions.end(), action) != actions.end();
}

bool SpeaksOf(std::string_view identity, std::string_view name) {
  if (identity == "anyone") return true;
  if (name.empty()) return false;
  if (identity == "unix") return name == identity || name.starts_with(kUnixUser);
  if (!identity.ends_with('*')) return identity == name;
  return name.starts_with(identity.substr(0, identity.size() - 1));
}

const Rule* Grants::RuleFor(Permission permission) const {
  const auto found = std::find_if(rules_.begin(), rules_.end(),
                                  [&](const Rule* rule) { return Has(rule->role, permission); });
  return found == rules_.end() ? nullptr : *found;
}

bool Grants::MayBegin(std::string_view gid) const {
  return std::any_of(rules_.begin(), rules_.end(), [&](const Rule* rule) {
    return rule->role == Role::kInitiator && gid.starts_with(rule->gid_prefix);
  });
}

// One rule has to give all of it: prefixes and services of two are not mixed.
bool Grants::MayBegin(std::string_view gid, std::string_view service,
                      std::string_view action) const {
  return std::any_of(rules_.begin(), rules_.end(), [&](const Rule* rule) {
    return rule->role == Role::kInitiator && gid.starts_with(rule->gid_prefix) &&
           std::any_of(rule->scopes.begin(), rule->scopes.end(),
                       [&](const Scope& scope) { return scope.Covers(service, action); });
  });
}

bool Grants::MayServe(std::string_view service) const {
  return std::any_of(rules_.begin(), rules_.end(), [&](const Rule* rule) {
    return rule->role == Role::kParticipant &&
           std::any_of(rule->scopes.begin(), rule->scopes.end(), [&](const Scope& scope) {
             return scope.service == "*" || scope.service == service;
           });
  });
}

bool Grants::sees_all() const {
  return std::any_of(rules_.begin(), rules_.end(), [](const Rule* rule) {
    return rule->role != Role::kInitiator && Has(rule->role, Permission::kFollow);
  });
}

bool Grants::sees_payloads() const {
  return std::any_of(rules_.begin(), rules_.end(), [](const Rule* rule) {
    return rule->payloads || rule->role == Role::kCoordinator;
  });
}

std::string Grants::Roles() const {
  std::string names;
  for (const Role role : kRoles) {
    const bool has = std::any_of(rules_.begin(), rules_.end(),
                                 [&](const Rule* rule) { return rule->role == role; });
    if (has) names.append(names.empty() ? "" : ", ").append(Name(role));
  }
  return names.empty() ? "no role" : names;
}

}  // namespace assent::security
