#include "coordinator/service/effects.h"

#include <algorithm>

#include "coordinator/core/describe.h"
#include "coordinator/service/convert.h"

namespace assent::service {
namespace {

// "; not finished: branch 2 …", or nothing.
std::string AndThen(const core::Transaction& txn, const core::Now& now) {
  const std::string left = core::WhyNotFinished(txn, now);
  return left.empty() ? "" : "; not finished: " + left;
}

std::string AbortEffect(const core::Transaction& txn, const core::Now& now, bool dry_run) {
  const std::string left = core::WhatIsLeft(txn, now);
  switch (txn.phase()) {
    case core::Phase::kActive:
      if (dry_run) return "the transaction would be aborted: what its branches did would be undone";
      // One phase: its own commit would have been the decision.
      return "the transaction is given up, and decided by what its only branch did: " + left;
    case core::Phase::kUnknown:
    case core::Phase::kCommitting: break;
    case core::Phase::kAborting:
      return std::string("the transaction is aborted") + (dry_run ? " already" : "") +
             "; not undone yet: " + left;
    case core::Phase::kFinished:
      if (txn.outcome() == core::Outcome::kAborted)
        return "the transaction is aborted: every branch is undone, or never ran";
      break;
  }
  return "the transaction is " + std::string(core::Name(txn.phase())) + ": " +
         std::string(core::Name(txn.outcome()));
}

std::string RetryEffect(const core::Transaction& txn, bool dry_run) {
  if (!dry_run) return "what is waiting is tried now";
  const auto& branches = txn.branches();
  const auto waiting =
      std::count_if(branches.begin(), branches.end(), [](const core::Branch& branch) {
        return !branch.in_flight &&
               (branch.next_attempt != core::kNever || branch.absent_since != core::kNever);
      });
  if (waiting == 0) return "nothing is waiting";
  return std::to_string(waiting) + (waiting == 1 ? " branch" : " branches") + " would be tried now";
}

// Of one that is, or was, held: the branch itself has not been resolved.
bool DecidesAll(const Deed& deed, const core::Transaction& txn) {
  const std::size_t i = txn.FindBranch(deed.branch_id);
  if (i == txn.branches().size()) return false;
  if (!deed.dry_run) return txn.branches()[i].resolved == core::Decision::kNone;
  return txn.held();
}

// The words of Intervention.verb.
std::string VerbOf(engine::OperatorVerb verb) {
  switch (verb) {
    case engine::OperatorVerb::kRetryNow: return "retry";
    case engine::OperatorVerb::kAbort: return "abort";
    case engine::OperatorVerb::kSuspend: return "suspend";
    case engine::OperatorVerb::kResume: return "resume";
    case engine::OperatorVerb::kResolve: return "resolve";
  }
  return {};
}

}  // namespace

audit::Deed DeedOnRecord(const Caller& caller, const v1::OperatorAction& action, const Deed& deed) {
  const bool resolves = deed.verb == engine::OperatorVerb::kResolve;
  return DeedBy(
      caller, action,
      {.verb = VerbOf(deed.verb),
       .gid = action.gid(),
       .branch_id = deed.branch_id,
       .detail = resolves ? v1::Decision_Name(wire::ToWire(deed.resolution)) : std::string()});
}

std::string EffectOf(const Deed& deed, const core::Transaction& txn, const core::Now& now) {
  const std::string would = deed.dry_run ? "would be " : "is ";
  switch (deed.verb) {
    case engine::OperatorVerb::kRetryNow: return RetryEffect(txn, deed.dry_run);
    case engine::OperatorVerb::kAbort: return AbortEffect(txn, now, deed.dry_run);
    case engine::OperatorVerb::kSuspend:
      return "the transaction " +
             (deed.dry_run && txn.held()        ? std::string("is held")
              : deed.dry_run && txn.suspended() ? std::string("is suspended already")
                                                : would + "suspended") +
             ": nothing more is sent for it until it is resumed";
    case engine::OperatorVerb::kResume:
      return "the transaction " + would + "resumed" + (deed.dry_run ? "" : AndThen(txn, now));
    case engine::OperatorVerb::kResolve:
      return "branch " + deed.branch_id + " " + would + "taken as " +
             (deed.resolution == core::Decision::kCommit ? "committed" : "aborted") +
             " by declaration: " +
             (DecidesAll(deed, txn)
                  ? "so the whole transaction is decided, and every branch is asked to follow"
                  : "its participant is asked no more") +
             (deed.dry_run ? "" : AndThen(txn, now));
  }
  return {};
}

}  // namespace assent::service
