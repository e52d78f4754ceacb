#pragma once

// Transactions as a list. Pure: messages in, text out.

#include <string>

#include "assent/v1/transaction.pb.h"
#include "tools/assentctl/style.h"

namespace assent::ctl {

// What of it wants a person's eye: "needs a human", "suspended" or "held", "overdue", several, or
// "".
std::string Attention(const v1::Transaction& transaction, std::int64_t now_unix_ms);

// "tcc", or "2pc+saga" when mixed.
std::string Protocols(const v1::Transaction& transaction);

// "1/3": branches that are through, of all.
std::string Progress(const v1::Transaction& transaction);

// The page in the order given by the coordinator: what needs attention first.
std::string RenderList(const v1::ListReply& page, const Style& style);

}  // namespace assent::ctl
