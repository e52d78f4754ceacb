#pragma once

// Rows of the record: as they come over the wire, and as a line of JSON, which is as good: from the
// line the row's hash can be computed again. Pure.

#include <string>
#include <string_view>

#include <assent/status.h>

#include "assent/v1/maintenance.pb.h"
#include "coordinator/audit/chain.h"
#include "tools/assentctl/json_out.h"

namespace assent::ctl {

// kInternal: a kind that this program does not know.
Result<audit::Row> RowOf(const v1::AuditRow& row);
// Every field, in the order of the hash; it ends with a line feed.
std::string AuditLine(const audit::Row& row);
// Back. kInvalidArgument: it is no such line.
Result<audit::Row> ReadAuditLine(std::string_view line);

}  // namespace assent::ctl
