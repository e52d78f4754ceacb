#pragma once

// Between core's values and assent.v1 messages.

#include <functional>
#include <string>

#include <assent/status.h>

#include "assent/v1/transaction.pb.h"
#include "assent/v1/types.pb.h"
#include "coordinator/core/transaction.h"
#include "coordinator/engine/requests.h"

namespace assent::api {

// Not normalised. Only what has no counterpart in core is refused here (an unknown enum value).
Result<core::TransactionSpec> FromProto(v1::TransactionSpec spec);
Result<core::BranchSpec> FromProto(v1::BranchSpec spec);
Result<engine::WaitFor> FromProto(v1::WaitFor wait_for);
// The reason is an operator's: too long a one is refused, not cut.
Result<core::Actor> FromProto(const v1::OperatorAction& action);

// A Submit, or a Begin (`open`), normalised and ready for the engine but for its callbacks. `issue_gid` is asked when the
// initiator gave none.
Result<engine::BeginRequest> ToBegin(v1::TransactionSpec spec, v1::WaitFor wait_for, bool open,
                                     const std::function<std::string()>& issue_gid);

enum class Detail { kSummary, kFull };
// kSummary leaves out payloads, results and attempts. An invisible decision (not durable yet) is shown as none.
void ToProto(const core::Transaction& txn, const core::Now& now, Detail detail,
             bool decision_visible, v1::Transaction& out);
void FillReply(const core::Transaction& txn, v1::SubmitReply& out);

}  // namespace assent::api
