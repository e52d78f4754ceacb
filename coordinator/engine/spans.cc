#include "coordinator/engine/spans.h"

#include <algorithm>
#include <string>
#include <utility>

#include "coordinator/core/trace.h"

namespace assent::engine {
namespace {

using tracing::Span;
using tracing::SpanKind;
using tracing::SpanStatus;

std::int64_t UnixUs(core::WallTime time) {
  return std::chrono::duration_cast<core::Micros>(time.time_since_epoch()).count();
}

Span Begun(const core::Transaction& txn, const SpanId& id, const SpanId& parent, std::string name) {
  const TraceContext& trace = *txn.spec().trace;
  Span span;
  span.trace_id = trace.trace_id;
  span.span_id = id;
  span.parent_id = parent;
  span.tracestate = trace.state;
  span.flags = 1;
  span.name = std::move(name);
  span.attributes.push_back({"assent.gid", txn.gid()});
  return span;
}

std::string PlaceOf(const core::BranchSpec& spec) { return spec.service + "/" + spec.action; }

void Describe(const core::BranchSpec& spec, Span& span) {
  span.attributes.push_back({"assent.branch_id", spec.id});
  span.attributes.push_back({"assent.protocol", std::string(Name(spec.protocol))});
  span.attributes.push_back({"assent.service", spec.service});
  span.attributes.push_back({"assent.action", spec.action});
}

bool IsFailure(core::AttemptResult result) {
  return result == core::AttemptResult::kUnknown || result == core::AttemptResult::kNotSent ||
         result == core::AttemptResult::kRetryLater;
}

}  // namespace

void Spans::BeginTrace(core::TransactionSpec& spec, std::uint64_t epoch,
                       std::uint64_t entropy) const {
  auto trace = core::NewTrace(spec.gid, epoch, entropy);
  if (sampler_.Takes(trace->trace_id)) spec.trace = std::move(trace);
}

std::vector<Spans::OnItsWay> Spans::Watch(const core::Transaction& txn) const {
  std::vector<OnItsWay> watched;
  if (!Follows(txn)) return watched;
  for (core::BranchIndex i = 0; i < txn.branches().size(); ++i) {
    const core::Branch& branch = txn.branches()[i];
    if (!branch.in_flight) continue;
    const core::Operation operation = txn.Due(i);
    watched.push_back(
        {i, operation, branch.attempts, core::SpanOf(txn, i, operation, branch.attempts)});
  }
  return watched;
}

void Spans::TellEnded(const core::Transaction& txn, const std::vector<OnItsWay>& watched) const {
  for (const OnItsWay& one : watched) {
    const auto& kept = txn.branches()[one.branch].history.kept();
    const auto at = std::find_if(kept.rbegin(), kept.rend(), [&](const core::Attempt& attempt) {
      return attempt.operation == one.operation && attempt.number == one.attempt;
    });
    if (at == kept.rend() || at->result == core::AttemptResult::kInFlight) continue;
    const core::BranchSpec& spec = txn.spec().branches[one.branch];
    Span span = Begun(txn, one.span, core::SpanOf(txn, one.branch),
                      std::string(Name(one.operation)) + " " + PlaceOf(spec));
    span.kind = SpanKind::kClient;
    span.start_unix_us = UnixUs(at->started);
    span.end_unix_us = span.start_unix_us + at->latency.count();
    Describe(spec, span);
    span.attributes.push_back({"peer.service", spec.service});
    span.attributes.push_back({"assent.operation", std::string(Name(one.operation))});
    span.attributes.push_back({"assent.attempt", std::int64_t{one.attempt}});
    span.attributes.push_back({"assent.result", std::string(Name(at->result))});
    if (IsFailure(at->result)) {
      span.status = SpanStatus::kError;
      span.message = at->error;
    } else if (!at->error.empty()) {
      span.attributes.push_back({"assent.reason", at->error});
    }
    options_.on_span(std::move(span));
  }
}

void Spans::TellWritten(const core::Transaction& txn, std::string_view record,
                        std::uint64_t version, core::Micros took, const core::Now& now) const {
  if (!Follows(txn)) return;
  const SpanId own = core::SpanOf(txn);
  Span span = Begun(txn, core::SpanOfWrite(txn, version), own, "log " + std::string(record));
  span.end_unix_us = UnixUs(now.wall);
  span.start_unix_us = span.end_unix_us - took.count();
  span.attributes.push_back({"assent.record", std::string(record)});
  span.attributes.push_back({"assent.version", static_cast<std::int64_t>(version)});
  options_.on_span(std::move(span));
}

void Spans::TellEnd(const core::Transaction& txn, const core::Now& now) const {
  if (!Follows(txn)) return;
  const SpanId own = core::SpanOf(txn);
  for (core::BranchIndex i = 0; i < txn.branches().size(); ++i) {
    const core::Branch& branch = txn.branches()[i];
    const auto& kept = branch.history.kept();
    if (kept.empty()) continue;  // nothing was ever asked of it
    const core::BranchSpec& spec = txn.spec().branches[i];
    Span span = Begun(txn, core::SpanOf(txn, i), own, "branch " + PlaceOf(spec));
    span.start_unix_us = UnixUs(kept.front().started);
    span.end_unix_us = UnixUs(kept.back().started) + kept.back().latency.count();
    Describe(spec, span);
    span.attributes.push_back({"assent.state", std::string(Name(branch.state))});
    if (branch.resolved != core::Decision::kNone)
      span.attributes.push_back({"assent.resolved", std::string(Name(branch.resolved))});
    if (branch.hazard) {
      span.status = SpanStatus::kError;
      span.message = branch.last_error;
    }
    options_.on_span(std::move(span));
  }
  Span span = Begun(txn, own, txn.spec().trace->span_id, "transaction");
  span.start_unix_us = UnixUs(txn.began_at());
  span.end_unix_us = UnixUs(now.wall);
  span.attributes.push_back({"assent.outcome", std::string(Name(txn.outcome()))});
  span.attributes.push_back({"assent.branches", static_cast<std::int64_t>(txn.branches().size())});
  if (txn.recoveries() > 0)
    span.attributes.push_back({"assent.recoveries", std::int64_t{txn.recoveries()}});
  if (!txn.abort_reason().empty())
    span.attributes.push_back({"assent.abort_reason", txn.abort_reason()});
  const bool bad =
      txn.outcome() == core::Outcome::kMixed || txn.outcome() == core::Outcome::kHazard;
  if (bad) {
    span.status = SpanStatus::kError;
    span.message = "ended " + std::string(Name(txn.outcome()));
  }
  options_.on_span(std::move(span));
}

}  // namespace assent::engine
