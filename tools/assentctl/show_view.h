#pragma once

// One transaction on one page. Pure: message in, text out.

#include <string>

#include "assent/v1/types.pb.h"
#include "tools/assentctl/style.h"

namespace assent::ctl {

// "branch 2 inventory/reserve".
std::string BranchName(const v1::Branch& branch);

// Text as it is; other bytes as "<16 B, not text>", or in base64 or hex when the style asks for them.
std::string ShownBytes(const std::string& bytes, const Style& style);

// Header, why it is not finished, branches, timeline; in JSON and YAML the message itself.
std::string RenderTransaction(const v1::Transaction& transaction, const Style& style);

// The last word on a wait: "COMMITTED after 38 ms", "ABORTED: out of stock", with results of the branches.
std::string RenderOutcome(const v1::Transaction& transaction, const Style& style);

}  // namespace assent::ctl
