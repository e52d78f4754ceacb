#pragma once

// The JSON form of a transaction, as `assentctl submit` reads it. docs/assentctl.md has the schema
// and examples. Unknown and repeated keys are errors, and each error names the place:
// branches[2].retry.max_backoff.

#include <string>
#include <string_view>

#include <assent/status.h>

#include "assent/v1/types.pb.h"

namespace assent::ctl {

// `name` stands for the text in messages. `gid`, unless empty, overrides the file's. Checked
// against every limit that can be checked without the coordinator
// (proto/vocabulary/assent/limits.h).
Result<v1::TransactionSpec> ReadTransactionSpec(std::string_view text, const std::string& name,
                                                const std::string& gid = "");

// The limits alone. The message names the field; the coordinator checks again.
Status CheckSpec(const v1::TransactionSpec& spec);

}  // namespace assent::ctl
