#pragma once

// The trace of whoever begins a transaction: what its door was told of it, and what it said itself.

#include <memory>
#include <string_view>

#include <assent/status.h>
#include <assent/trace.h>

#include "assent/v1/types.pb.h"

namespace assent::service {

// What came beside the request, as W3C Trace Context names it. Counts if the request itself names
// none and it is well-formed: the standard has all else left out. True: `spec` has it now.
bool AdoptTrace(std::string_view traceparent, std::string_view tracestate,
                v1::TransactionSpec& spec);

// nullptr: there is none. kInvalidArgument: the request says one that is ill-formed.
Result<std::shared_ptr<const TraceContext>> TraceOf(const v1::TransactionSpec& spec);

}  // namespace assent::service
