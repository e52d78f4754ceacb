#include "coordinator/security/permission.h"

#include <algorithm>
#include <utility>

#include <assent/status.h>

namespace assent::security {
namespace {

using P = Permission;

constexpr auto kCalls = std::to_array<CallRule>({
    {"/assent.v1.BatchService/Batch", P::kOperate},
    {"/assent.v1.ClusterService/Drain", P::kAdminister},
    {"/assent.v1.ClusterService/Fence", P::kAdminister},
    {"/assent.v1.ClusterService/Get", P::kLook},
    {"/assent.v1.ClusterService/GiveWay", P::kHandOn},
    {"/assent.v1.ClusterService/Move", P::kAdminister},
    {"/assent.v1.ClusterService/Watch", P::kFindWay},
    {"/assent.v1.MaintenanceService/Backup", P::kAdminister},
    {"/assent.v1.MaintenanceService/GetMetrics", P::kLook},
    {"/assent.v1.MaintenanceService/GetSettings", P::kLook},
    {"/assent.v1.MaintenanceService/ReadAudit", P::kReadRecord},
    {"/assent.v1.ParticipantSession/Connect", P::kServe},
    {"/assent.v1.TransactionService/Abort", P::kOperate},
    {"/assent.v1.TransactionService/Begin", P::kBegin},
    {"/assent.v1.TransactionService/Commit", P::kBegin},
    {"/assent.v1.TransactionService/Events", P::kLook},
    {"/assent.v1.TransactionService/ExecuteBranch", P::kBegin},
    {"/assent.v1.TransactionService/Forget", P::kAdminister},
    {"/assent.v1.TransactionService/Get", P::kFollow},
    {"/assent.v1.TransactionService/GetServerInfo", P::kLook},
    {"/assent.v1.TransactionService/List", P::kFollow},
    {"/assent.v1.TransactionService/ListAudit", P::kReadRecord},
    {"/assent.v1.TransactionService/ListCauses", P::kLook},
    {"/assent.v1.TransactionService/ListParticipants", P::kLook},
    {"/assent.v1.TransactionService/ResolveBranch", P::kOperate},
    {"/assent.v1.TransactionService/Resume", P::kOperate},
    {"/assent.v1.TransactionService/RetryNow", P::kOperate},
    {"/assent.v1.TransactionService/Rollback", P::kBegin},
    {"/assent.v1.TransactionService/SetBreaker", P::kOperate},
    {"/assent.v1.TransactionService/Submit", P::kBegin},
    {"/assent.v1.TransactionService/SubmitStream", P::kBegin},
    {"/assent.v1.TransactionService/Suspend", P::kOperate},
    {"/assent.v1.TransactionService/Wait", P::kFollow},
    {"/assent.v1.TransactionService/Watch", P::kFollow},
});

constexpr std::array<std::string_view, 6> kRoleNames = {"initiator", "participant", "viewer",
                                                        "operator",  "admin",       "coordinator"};

constexpr unsigned Bits(auto... permissions) { return (0U | ... | (1U << unsigned(permissions))); }
// Of an initiator's permission to follow, see Grants::sees_all.
constexpr std::array<unsigned, 6> kMay = {
    Bits(P::kFindWay, P::kBegin, P::kFollow),
    Bits(P::kFindWay, P::kServe),
    Bits(P::kFindWay, P::kFollow, P::kLook),
    Bits(P::kFindWay, P::kFollow, P::kLook, P::kOperate, P::kReadRecord),
    Bits(P::kFindWay, P::kFollow, P::kLook, P::kOperate, P::kReadRecord, P::kAdminister),
    Bits(P::kFindWay, P::kFollow, P::kLook, P::kHandOn),
};

}  // namespace

std::string_view Name(Permission permission) {
  switch (permission) {
    case P::kBegin: return "begin transactions";
    case P::kFollow: return "see transactions";
    case P::kLook: return "look at what the coordinator has";
    case P::kOperate: return "act on transactions";
    case P::kReadRecord: return "read the record of actions";
    case P::kAdminister: return "administer the coordinator";
    case P::kServe: return "be a participant";
    case P::kHandOn: return "be a coordinator";
    case P::kFindWay: return "ask which coordinator has what";
  }
  return "do this";
}

std::string_view Name(Role role) { return kRoleNames.at(static_cast<std::size_t>(role)); }

std::optional<Role> RoleOf(std::string_view name) {
  const auto* const found = std::find(kRoleNames.begin(), kRoleNames.end(), name);
  if (found == kRoleNames.end()) return {};
  return static_cast<Role>(found - kRoleNames.begin());
}

bool Has(Role role, Permission permission) {
  return (kMay.at(static_cast<std::size_t>(role)) & Bits(permission)) != 0;
}

std::span<const CallRule> CallRules() { return kCalls; }

std::optional<Permission> NeededFor(std::string_view method) {
  const auto* const found = std::lower_bound(
      kCalls.begin(), kCalls.end(), method,
      [](const CallRule& rule, std::string_view name) { return rule.method < name; });
  if (found == kCalls.end() || found->method != method) return {};
  return found->needs;
}

Permission NeededBy(const std::string& service, const std::string& call) {
  const auto needs = NeededFor("/" + service + "/" + call);
  ASSENT_CHECK(needs.has_value());
  return *needs;
}

}  // namespace assent::security
