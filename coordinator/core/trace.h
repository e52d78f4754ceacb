#pragma once

// The spans of a transaction. Their ids are computed from what names them, so that a restart, or
// another coordinator that takes the transaction over, goes on in the same tree, and nothing of it
// has to be kept. Two of one trace are alike by chance once in 2^32 spans.

#include <cstdint>
#include <memory>
#include <string>
#include <string_view>

#include <assent/trace.h>

#include "coordinator/core/types.h"

namespace assent::core {

class Transaction;
struct Send;

// A trace that begins here; `entropy` tells it from those of other logs.
std::shared_ptr<const TraceContext> NewTrace(std::string_view gid, std::uint64_t epoch,
                                             std::uint64_t entropy);

// Of transactions that have a trace.
SpanId SpanOf(const Transaction& txn);
SpanId SpanOf(const Transaction& txn, BranchIndex branch);
SpanId SpanOf(const Transaction& txn, BranchIndex branch, Operation operation,
              std::uint32_t attempt);
// Of a write of its row to the log.
SpanId SpanOfWrite(const Transaction& txn, std::uint64_t version);

// What a command takes along, as W3C has it on the wire; empty: the transaction has no trace.
struct CarriedTrace {
  std::string traceparent{};
  std::string tracestate{};
};
// `own_spans`: the attempt is a span of ours, and what the participant does belongs under it.
// Otherwise under whoever began the transaction.
CarriedTrace TraceFor(const Transaction& txn, const Send& send, bool own_spans);

// What is shown of it: the span is that of whoever began it; or the transaction's own, if the trace
// begins here. Empty: it has none.
std::string TraceparentOf(const Transaction& txn);

}  // namespace assent::core
