#include "coordinator/service/may.h"

#include <memory>

namespace assent::service {

engine::OnlyOf OwnOf(const Caller& caller) {
  if (caller.grants == nullptr) return nullptr;
  return std::make_shared<const std::string>(caller.name);
}

engine::OnlyOf SeenBy(const Caller& caller) {
  return caller.grants == nullptr || caller.grants->sees_all() ? nullptr : OwnOf(caller);
}

Status MayAdd(const Caller& caller, const std::string& gid, const core::BranchSpec& branch) {
  if (caller.grants == nullptr || caller.grants->MayBegin(gid, branch.service, branch.action))
    return OkStatus();
  return PermissionDenied(caller.name + " may not begin " + branch.service + "/" + branch.action +
                          " in a transaction named " + gid);
}

Status MayBegin(const Caller& caller, const core::TransactionSpec& spec) {
  if (caller.grants == nullptr) return OkStatus();
  if (spec.branches.empty() && !caller.grants->MayBegin(spec.gid))
    return PermissionDenied(caller.name + " may not begin a transaction named " + spec.gid);
  for (const core::BranchSpec& branch : spec.branches) {
    if (const Status may = MayAdd(caller, spec.gid, branch); !may.ok()) return may;
  }
  return OkStatus();
}

engine::Allowance AllowanceOf(const Caller& caller) {
  if (caller.grants == nullptr) return {};
  const security::Quota& quota = caller.grants->quota();
  engine::Allowance allowance;
  if (quota.transactions > 0) allowance.max_transactions_count = quota.transactions;
  if (quota.bytes > 0) allowance.max_bytes = quota.bytes;
  return allowance;
}

Status MaySeePayloads(const Caller& caller) {
  if (SeenBy(caller) != nullptr || caller.grants == nullptr || caller.grants->sees_payloads())
    return OkStatus();
  return PermissionDenied(caller.name + " may not see payloads and results: its rule is without " +
                          "\"with payloads\"");
}

}  // namespace assent::service
