#pragma once

#include <string>
#include <string_view>

#include <assent/status.h>

#include "coordinator/core/types.h"

namespace assent::core {

class Transaction;

// Checks a transaction against every limit (proto/vocabulary/assent/limits.h) and makes it
// explicit: defaults filled in, branch ids given, `after` resolved to indices with the ordering and
// the pivot's rule applied. kInvalidArgument names the field and the limit. The gid must be set.
Status Normalise(TransactionSpec& spec);

// The same for one more branch of an open transaction. If a branch of that id is there already, the
// result is what it would have been then, so that a repeated ExecuteBranch is recognised by
// comparing bytes (Codec::EncodeBranchSpec).
Status NormaliseAdded(BranchSpec& branch, const Transaction& transaction);

// 1 to 64 of [A-Za-z0-9._:-].
Status CheckGid(std::string_view gid);
// 1 to kMaxServiceNameBytes, or kMaxActionNameBytes, of [A-Za-z0-9._:/-]. `field` names it in the
// message.
Status CheckServiceName(std::string_view name, const std::string& field);
Status CheckActionName(std::string_view name, const std::string& field);

}  // namespace assent::core
