#pragma once

// One transaction on one page. Pure: message in, text out.

#include <string>

#include "assent/v1/types.pb.h"
#include "tools/assentctl/style.h"

namespace assent::ctl {

// Header, why it is not finished, branches, timeline; in JSON and YAML the message itself.
std::string RenderTransaction(const v1::Transaction& transaction, const Style& style);

// The last word on a wait: "COMMITTED after 38 ms", "ABORTED: out of stock", with results of the
// branches.
std::string RenderOutcome(const v1::Transaction& transaction, const Style& style);

}  // namespace assent::ctl
