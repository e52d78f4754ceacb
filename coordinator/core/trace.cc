#include "coordinator/core/trace.h"

#include <cstddef>

#include <assent/random.h>

#include "coordinator/core/transaction.h"

namespace assent::core {
namespace {

// Each part is mixed in with SplitMix64's finalizer; the length keeps "ab","c" from "a","bc".
class Mixer {
 public:
  explicit Mixer(std::uint64_t seed) : state_(seed) {}
  Mixer& Add(std::uint64_t value) {
    state_ = SplitMix64(state_ ^ value).Next();
    return *this;
  }
  Mixer& Add(std::string_view text) {
    Add(text.size());
    for (std::size_t at = 0; at < text.size(); at += 8) {
      std::uint64_t word = 0;
      for (const char c : text.substr(at, 8)) word = word << 8 | static_cast<unsigned char>(c);
      Add(word);
    }
    return *this;
  }
  // Never zero, which would be no id.
  std::uint64_t Id() const { return state_ == 0 ? 1 : state_; }

 private:
  std::uint64_t state_;
};

template <std::size_t kBytes>
void Put(std::uint64_t value, std::array<std::uint8_t, kBytes>& out, std::size_t at) {
  for (std::size_t i = 0; i < 8; ++i)
    out[at + i] = static_cast<std::uint8_t>(value >> (56 - 8 * i));
}

SpanId SpanIdOf(const Mixer& mixer) {
  SpanId id{};
  Put(mixer.Id(), id, 0);
  return id;
}

Mixer Begun(const Transaction& txn, std::uint64_t kind) {
  Mixer mixer(kind);
  for (const std::uint8_t byte : txn.spec().trace->trace_id) mixer.Add(byte);
  // A gid that was forgotten may be begun anew, by the same trace.
  return mixer.Add(txn.gid())
      .Add(txn.began_epoch())
      .Add(static_cast<std::uint64_t>(txn.began_at().time_since_epoch().count()));
}

constexpr std::uint64_t kTransactionSpan = 1, kBranchSpan = 2, kAttemptSpan = 3, kWriteSpan = 4,
                        kTrace = 5;

}  // namespace

std::shared_ptr<const TraceContext> NewTrace(std::string_view gid, std::uint64_t epoch,
                                             std::uint64_t entropy) {
  auto trace = std::make_shared<TraceContext>();
  const Mixer mixer = Mixer(kTrace).Add(gid).Add(epoch);
  Put(Mixer(mixer).Add(entropy).Id(), trace->trace_id, 0);
  Put(Mixer(mixer).Add(~entropy).Id(), trace->trace_id, 8);
  trace->sampled = true;
  return trace;
}

SpanId SpanOf(const Transaction& txn) { return SpanIdOf(Begun(txn, kTransactionSpan)); }

SpanId SpanOf(const Transaction& txn, BranchIndex branch) {
  return SpanIdOf(Begun(txn, kBranchSpan).Add(branch));
}

SpanId SpanOf(const Transaction& txn, BranchIndex branch, Operation operation,
              std::uint32_t attempt) {
  return SpanIdOf(Begun(txn, kAttemptSpan)
                      .Add(branch)
                      .Add(static_cast<std::uint64_t>(operation))
                      .Add(attempt)
                      // Numbers that no write has kept are given again after a restart.
                      .Add(txn.recoveries()));
}

SpanId SpanOfWrite(const Transaction& txn, std::uint64_t version) {
  return SpanIdOf(Begun(txn, kWriteSpan).Add(version));
}

CarriedTrace TraceFor(const Transaction& txn, const Send& send, bool own_spans) {
  const TraceContext* const trace = txn.spec().trace.get();
  if (trace == nullptr) return {};
  // Of a trace that is not recorded nobody would find the span.
  if (!own_spans || !trace->sampled) return {TraceparentOf(txn), trace->state};
  const SpanId span = SpanOf(txn, send.branch, send.operation, send.attempt);
  return {Traceparent(trace->trace_id, span, true), trace->state};
}

std::string TraceparentOf(const Transaction& txn) {
  const TraceContext* const trace = txn.spec().trace.get();
  if (trace == nullptr) return {};
  const SpanId span = IsZero(trace->span_id) ? SpanOf(txn) : trace->span_id;
  return Traceparent(trace->trace_id, span, trace->sampled);
}

}  // namespace assent::core
