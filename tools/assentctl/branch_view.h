#pragma once

// The branches of a transaction. Pure: message in, text out.

#include <cstdint>
#include <string>

#include "assent/v1/types.pb.h"
#include "tools/assentctl/style.h"

namespace assent::ctl {

// "branch 2 inventory/reserve".
std::string BranchName(const v1::Branch& branch);

// Text as it is; other bytes as "<16 B, not text>", or in base64 or hex when the style asks for
// them. `size`: of what the coordinator has, which may have left the bytes out.
std::string ShownBytes(const std::string& bytes, const Style& style, std::uint64_t size = 0);

// "a=1, b=2", by key.
std::string JoinedPairs(const google::protobuf::Map<std::string, std::string>& pairs);

// A table, one line per branch; wide: with what was asked for as well.
std::string RenderBranches(const v1::Transaction& transaction, const Style& style);

// Payloads and results in full; empty when there are none.
std::string RenderPayloads(const v1::Transaction& transaction, const Style& style);

}  // namespace assent::ctl
