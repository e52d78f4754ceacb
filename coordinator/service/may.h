#pragma once

// What a caller may of what a request says; whether it may make the request at all, its door has
// asked. Who has no grants may everything.

#include <string>

#include <assent/status.h>

#include "coordinator/core/types.h"
#include "coordinator/engine/requests.h"
#include "coordinator/service/asker.h"

namespace assent::service {

// Whose transactions it goes on with: its own.
engine::OnlyOf OwnOf(const Caller& caller);
// Whose it may look at.
engine::OnlyOf SeenBy(const Caller& caller);
// Each branch of it.
Status MayBegin(const Caller& caller, const core::TransactionSpec& spec);
Status MayAdd(const Caller& caller, const std::string& gid, const core::BranchSpec& branch);
// How much of what it begins may be under way.
engine::Allowance AllowanceOf(const Caller& caller);
// Payloads and results of what others began.
Status MaySeePayloads(const Caller& caller);

}  // namespace assent::service
