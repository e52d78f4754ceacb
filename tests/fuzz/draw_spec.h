#pragma once

// Transactions as an initiator sends them, drawn from a fuzz input: mostly well-formed, so that the
// engine is reached.

#include <string>

#include "assent/v1/types.pb.h"
#include "tests/fuzz/input.h"

namespace assent::fuzz {

// From a small pool: the same names meet again.
inline std::string DrawGid(Input& in) { return "gid-" + std::to_string(in.Below(6)); }

inline void DrawBranch(Input& in, int index, v1::BranchSpec& branch) {
  const std::uint8_t flags = in.Byte();
  branch.set_protocol(static_cast<v1::Protocol>(1 + in.Below(3)));
  branch.set_service("s" + std::to_string(flags & 1));
  branch.set_action("act");
  if ((flags & 2) != 0) branch.set_branch_id("b" + std::to_string(index));
  if ((flags & 4) != 0) branch.set_pivot(true);
  if ((flags & 8) != 0) branch.set_receive_results(true);
  if ((flags & 16) != 0) branch.add_after(std::to_string(1 + in.Below(4)));
  if ((flags & 32) != 0) branch.mutable_retry()->set_max_attempts(1 + in.Byte() % 3);
  if ((flags & 64) != 0) branch.set_payload("payload");
  if ((flags & 128) != 0)
    branch.set_attempt_timeout_ms(1 + static_cast<std::int64_t>(in.Number(2)));
}

inline v1::TransactionSpec DrawSpec(Input& in) {
  v1::TransactionSpec spec;
  const std::uint8_t flags = in.Byte();
  if ((flags & 1) == 0) spec.set_gid(DrawGid(in));
  if ((flags & 2) != 0) spec.set_ordering(static_cast<v1::Ordering>(in.Below(3)));
  if ((flags & 4) != 0) spec.set_deadline_ms(1 + static_cast<std::int64_t>(in.Number(2)));
  if ((flags & 8) != 0) (*spec.mutable_labels())["k"] = "v";
  const int branches = (flags >> 4) % 5;
  for (int i = 1; i <= branches; ++i) DrawBranch(in, i, *spec.add_branches());
  return spec;
}

}  // namespace assent::fuzz
