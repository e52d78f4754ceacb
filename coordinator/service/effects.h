#pragma once

// What an operator is told: one sentence, and true of the transaction as it stands.

#include <string>

#include "assent/v1/transaction.pb.h"
#include "coordinator/audit/entry.h"
#include "coordinator/core/transaction.h"
#include "coordinator/engine/requests.h"
#include "coordinator/service/asker.h"
#include "proto/words/words.h"

namespace assent::service {

struct Deed {
  engine::OperatorVerb verb = engine::OperatorVerb::kRetryNow;
  std::string branch_id = {};                         // kResolve
  core::Decision resolution = core::Decision::kNone;  // kResolve
  bool dry_run = false;
  bool brief = false;  // nobody wants to see the transaction afterwards
};
inline Deed DeedOf(const v1::RetryNowRequest&) { return {engine::OperatorVerb::kRetryNow}; }
inline Deed DeedOf(const v1::AbortRequest&) { return {engine::OperatorVerb::kAbort}; }
inline Deed DeedOf(const v1::SuspendRequest&) { return {engine::OperatorVerb::kSuspend}; }
inline Deed DeedOf(const v1::ResumeRequest&) { return {engine::OperatorVerb::kResume}; }
inline Deed DeedOf(const v1::ResolveBranchRequest& request) {
  const auto resolution = wire::FromWire<Decision>(request.resolution()).value_or(Decision::kNone);
  return {engine::OperatorVerb::kResolve, request.branch_id(), resolution};
}

// As it goes on record.
audit::Deed DeedOnRecord(const Caller& caller, const v1::OperatorAction& action, const Deed& deed);

// `txn` is the transaction afterwards; before, with dry_run.
std::string EffectOf(const Deed& deed, const core::Transaction& txn, const core::Now& now);

}  // namespace assent::service
