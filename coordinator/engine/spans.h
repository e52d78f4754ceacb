#pragma once

// What the transactions of a shard did, as spans of the traces that they belong to
// (docs/tracing.md). Of a transaction whose trace is not recorded it costs a test of a pointer.
//
// A span is told of once, when it has ended; a transaction's and its branches' when the end is
// durable. Attempts are told of as they end, so that one that is stuck shows what it has tried.

#include <cstdint>
#include <string_view>
#include <vector>

#include "coordinator/core/transaction.h"
#include "coordinator/engine/ports.h"
#include "coordinator/tracing/sampler.h"
#include "coordinator/tracing/span.h"

namespace assent::engine {

class Spans {
 public:
  explicit Spans(const ShardOptions& options)
      : options_(options), sampler_(options.trace_sample_ratio) {}

  bool on() const { return static_cast<bool>(options_.on_span); }
  bool Follows(const core::Transaction& txn) const {
    return txn.spec().trace != nullptr && txn.spec().trace->sampled && on();
  }

  // Whoever begins it has no trace: it gets one of its own, if it is among those that are kept.
  void BeginTrace(core::TransactionSpec& spec, std::uint64_t epoch, std::uint64_t entropy) const;

  // Those that are on their way before an event, and of them those that have ended after it.
  struct OnItsWay {
    core::BranchIndex branch = 0;
    core::Operation operation = kNoOperation;
    std::uint32_t attempt = 0;
    SpanId span{};
  };
  std::vector<OnItsWay> Watch(const core::Transaction& txn) const;
  void TellEnded(const core::Transaction& txn, const std::vector<OnItsWay>& watched) const;

  // The log took so long over a record of it.
  void TellWritten(const core::Transaction& txn, std::string_view record, std::uint64_t version,
                   core::Micros took, const core::Now& now) const;
  // Its end is durable.
  void TellEnd(const core::Transaction& txn, const core::Now& now) const;

 private:
  const ShardOptions& options_;
  const tracing::Sampler sampler_;
};

}  // namespace assent::engine
