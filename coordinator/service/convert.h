#pragma once

// Between core's values and assent.v1 messages.

#include <cstddef>
#include <cstdint>
#include <functional>
#include <string>
#include <vector>

#include <assent/status.h>

#include "assent/v1/transaction.pb.h"
#include "assent/v1/types.pb.h"
#include "coordinator/audit/entry.h"
#include "coordinator/core/transaction.h"
#include "coordinator/engine/requests.h"
#include "coordinator/service/asker.h"
#include "coordinator/transport/transport.h"

namespace assent::service {

// Not normalised. Only what has no counterpart in core is refused here (an unknown enum value).
// `at` names the branch in messages: "branches[2]".
Result<core::TransactionSpec> FromProto(v1::TransactionSpec spec);
Result<core::BranchSpec> FromProto(v1::BranchSpec spec, const std::string& at);
Result<engine::WaitFor> FromProto(v1::WaitFor wait_for);
// Somebody must say who it is. The reason is an operator's: too long a one is refused, not cut.
// Whoever has proven a name acts under that one.
Result<core::Actor> ActorOf(const Caller& caller, const v1::OperatorAction& action);

// The same in two texts, for the record: who is proven, and what is only said.
struct Doer {
  std::string who{};
  std::string claims{};
};
Doer DoerOf(const Caller& caller, const v1::OperatorAction& action);
// What is asked for, and by whom, why and from where.
audit::Deed DeedBy(const Caller& caller, const v1::OperatorAction& action, audit::Deed deed);

// A Submit, or a Begin (`open`), normalised and ready for the engine but for its callbacks.
// `issue_gid` is asked when the initiator gave none.
Result<engine::BeginRequest> ToBegin(v1::TransactionSpec spec, v1::WaitFor wait_for, bool open,
                                     const std::function<std::string()>& issue_gid);

// What is shown of a transaction, as far as it has room in one message (limits::kMaxShownBytes).
struct Detail {
  bool attempts = false;
  bool payloads = false;
  bool results = false;
  // This branch alone; SIZE_MAX: all.
  std::size_t only = SIZE_MAX;

  static const Detail kSummary;
  static const Detail kFull;
};
inline constexpr Detail Detail::kSummary{};
inline constexpr Detail Detail::kFull{true, true, true};

// NOT_FOUND if there is no such branch.
Result<Detail> DetailOf(const v1::GetRequest& request, const core::Transaction& txn);

// An invisible decision (not durable yet) is shown as none.
inline constexpr char kBeingDecided[] = "being decided";
void ToProto(const core::Transaction& txn, const core::Now& now, const Detail& detail,
             bool decision_visible, v1::Transaction& out);
void FillReply(const core::Transaction& txn, v1::SubmitReply& out);
void FillReply(const core::Transaction& txn, v1::BeginReply& out);

// The services after `page_token`, by name, as many as have room in one message.
void FillPage(std::vector<transport::ServiceInfo> services, const std::string& page_token,
              v1::ListParticipantsReply& out);

}  // namespace assent::service
