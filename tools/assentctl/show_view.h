#pragma once

// One transaction on one page. Pure: message in, text out.

#include <string>

#include "assent/v1/types.pb.h"
#include "tools/assentctl/alike.h"
#include "tools/assentctl/style.h"

namespace assent::ctl {

// What a page has beyond the transaction itself.
struct PageHints {
  std::string trace_url{};  // ServerInfo.trace_url
  Alikes alikes{};
};

// Header, why it is not finished, branches, timeline; in JSON and YAML the message itself.
std::string RenderTransaction(const v1::Transaction& transaction, const Style& style,
                              const PageHints& hints = {});

// A branch of it could not be sent, since nobody of its service is there.
bool WaitsForAbsent(const v1::Transaction& transaction);

// The last word on a wait: "COMMITTED after 38 ms", "ABORTED: out of stock", with results of the
// branches.
std::string RenderOutcome(const v1::Transaction& transaction, const Style& style);

}  // namespace assent::ctl
