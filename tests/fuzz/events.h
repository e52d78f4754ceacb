#pragma once

// Events for a core::Transaction, drawn from a fuzz input.

#include <string>

#include "coordinator/core/transaction.h"
#include "tests/fuzz/input.h"

namespace assent::fuzz {

inline core::Actor DrawActor(Input& in) {
  const bool recorded = in.Flip();
  return recorded ? core::Actor{"ann", "why not"} : core::Actor{};
}

// Any event that a shell may apply after Begin or Recover, likely or not: answers to what was never
// asked, of branches that are not there, late, and twice.
inline core::Event DrawEvent(Input& in, const core::Transaction& txn) {
  const auto branch = static_cast<core::BranchIndex>(in.Below(txn.branches().size() + 1));
  switch (in.Below(12)) {
    case 0: return core::Tick{};
    case 1: return core::Seal{};
    case 2: return core::Abort{DrawActor(in), in.Flip()};
    case 3: return core::Suspend{DrawActor(in)};
    case 4: return core::Resume{DrawActor(in)};
    case 5: return core::RetryNow{DrawActor(in)};
    case 6: return core::ServiceAppeared{"s"};
    case 7:  // of a branch that there is: the shard looks first
      if (branch >= txn.branches().size()) return core::Tick{};
      return core::Resolve{DrawActor(in), branch,
                           in.Flip() ? core::Decision::kCommit : core::Decision::kAbort};
    default: break;
  }
  core::Answered answered;
  answered.branch = branch;
  const bool honest = in.Below(4) != 0 && branch < txn.branches().size();
  answered.operation =
      honest ? txn.Due(branch)
             : static_cast<core::Operation>(in.Below(
                   std::size_t{1} + static_cast<std::uint8_t>(core::Operation::kCompensate)));
  answered.attempt = honest ? txn.branches()[branch].attempts : in.Byte();
  constexpr core::AttemptResult kResults[] = {
      core::AttemptResult::kDone,    core::AttemptResult::kDoneReadOnly,
      core::AttemptResult::kRefused, core::AttemptResult::kRetryLater,
      core::AttemptResult::kUnknown, core::AttemptResult::kNotSent};
  answered.result = kResults[in.Below(std::size(kResults))];
  if (answered.result == core::AttemptResult::kDone) answered.bytes = std::string(in.Below(4), 'r');
  if (answered.result != core::AttemptResult::kDone) answered.reason = "because";
  answered.retry_after = core::Millis(in.Number(2));
  return answered;
}

}  // namespace assent::fuzz
