#pragma once

// What one caller may: what all rules that speak of it give it, together. Who has none of these
// may everything: then nobody is asked who he is.

#include <memory>
#include <string>
#include <string_view>
#include <vector>

#include "coordinator/security/permission.h"
#include "coordinator/security/quota.h"

namespace assent::security {

// A service, and some of its actions; none: all of them. The service "*" is any.
struct Scope {
  std::string service;
  std::vector<std::string> actions{};

  bool Covers(std::string_view of_service, std::string_view action) const;
};

// One rule, read.
struct Rule {
  int line = 0;
  std::string text{};      // as it stands in the file
  std::string identity{};  // ends with '*': all that begin so; "anyone": also who is not known
  Role role = Role::kViewer;
  std::vector<Scope> scopes{};  // of initiators and participants
  std::string gid_prefix{};     // of initiators
  bool payloads = false;        // of viewers, operators and admins
};
// Before the uid, in the name of who comes by a Unix socket.
constexpr std::string_view kUnixUser = "unix:";

// Whether an identity of the rules is, among others, this one; empty: who is not known.
bool SpeaksOf(std::string_view identity, std::string_view name);

// Immutable.
class Grants {
 public:
  // Without an account nothing is counted.
  explicit Grants(std::vector<const Rule*> rules, const Quota& quota = {}, AccountPtr account = {})
      : rules_(std::move(rules)), quota_(quota), account_(std::move(account)) {}

  bool May(Permission permission) const { return RuleFor(permission) != nullptr; }
  // A transaction of this name, of whose branches nothing is known yet.
  bool MayBegin(std::string_view gid) const;
  // A branch of this service and action, in a transaction of this name.
  bool MayBegin(std::string_view gid, std::string_view service, std::string_view action) const;
  bool MayServe(std::string_view service) const;
  // Also transactions that others began.
  bool sees_all() const;
  bool sees_payloads() const;
  bool empty() const { return rules_.empty(); }
  // The first that gives it, for people; nullptr: none does.
  const Rule* RuleFor(Permission permission) const;
  // "viewer, operator", or "no role".
  std::string Roles() const;

  const Quota& quota() const { return quota_; }
  // One request. RESOURCE_EXHAUSTED: it is one too many.
  Status Spend(MonoTime now) const {
    return account_ == nullptr ? OkStatus() : account_->Spend(quota_, now);
  }
  // The place of one that is under way, while the pointer is there; nullptr: nobody counts.
  Result<Account::SeatPtr> Enter(Seated what) const {
    return account_ == nullptr ? Account::SeatPtr() : account_->Enter(quota_, what);
  }

 private:
  const std::vector<const Rule*> rules_;
  const Quota quota_;
  const AccountPtr account_;
};
using GrantsPtr = std::shared_ptr<const Grants>;

}  // namespace assent::security
