#pragma once

// What people did, or wanted to, as rows. Pure: messages in, text out.

#include <string>

#include "assent/v1/transaction.pb.h"
#include "tools/assentctl/style.h"

namespace assent::ctl {

// Newest first, as the coordinator gives them.
std::string RenderAudit(const v1::ListAuditReply& page, const Style& style);

}  // namespace assent::ctl
