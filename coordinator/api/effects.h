#pragma once

// What an operator is told: one sentence, and true of the transaction as it stands.

#include <string>

#include "coordinator/core/transaction.h"
#include "coordinator/engine/requests.h"

namespace assent::api {

struct Deed {
  engine::OperatorVerb verb = engine::OperatorVerb::kRetryNow;
  std::string branch_id = {};                         // kResolve
  core::Decision resolution = core::Decision::kNone;  // kResolve
  bool dry_run = false;
};

// `txn` is the transaction afterwards; before, with dry_run.
std::string EffectOf(const Deed& deed, const core::Transaction& txn, const core::Now& now);

}  // namespace assent::api
