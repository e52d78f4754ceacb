#include "coordinator/core/codec.h"

#include <algorithm>
#include <array>
#include <cstddef>
#include <memory>
#include <utility>

#include <assent/limits.h>
#include <assent/text.h>

#include "coordinator/core/bytes.h"
#include "coordinator/core/soundness.h"

namespace assent::core {
namespace {

constexpr std::uint64_t kPlainSpecVersion = 1;
constexpr std::uint64_t kCheckBackSpecVersion = 2;
// Each says more than the one before it, and is written only of what has that to say: older
// programs read the rest.
constexpr std::uint64_t kPlainStateVersion = 1;
constexpr std::uint64_t kGenerationStateVersion = 2;
constexpr std::uint64_t kTraceStateVersion = 3;
constexpr std::uint64_t kInitiatorStateVersion = 4;  // and a trace, or none
constexpr std::uint64_t kOutOfServiceVersion = 0;
constexpr std::size_t kMaxErrorBytes = limits::kMaxReasonBytes;

void Write(ByteWriter& out, const StringPairs& pairs) {
  out.U64(pairs.size());
  for (const auto& [key, value] : pairs) {
    out.Text(key);
    out.Text(value);
  }
}

StringPairs ReadPairs(ByteReader& in, std::size_t max_count, std::size_t max_key,
                      std::size_t max_value) {
  StringPairs pairs;
  const std::uint64_t count = in.Bounded(max_count);
  for (std::uint64_t i = 0; in.ok() && i < count; ++i) {
    std::string key = in.Text(max_key);
    pairs.emplace_back(std::move(key), in.Text(max_value));
  }
  return pairs;
}

constexpr std::uint64_t kPivot = 1;
constexpr std::uint64_t kReceiveResults = 2;
constexpr std::uint64_t kCheckBack = 4;

void Write(ByteWriter& out, const BranchSpec& branch) {
  out.Text(branch.id);
  out.U64(static_cast<std::uint64_t>(branch.protocol));
  out.Text(branch.service);
  out.Text(branch.action);
  out.Text(branch.payload);
  out.U64(branch.after.size());
  for (const BranchIndex a : branch.after) out.U64(a);
  out.U64((branch.pivot ? kPivot : 0U) | (branch.receive_results ? kReceiveResults : 0U) |
          (branch.check_back ? kCheckBack : 0U));
  out.I64(branch.retry.initial_backoff.count());
  out.I64(branch.retry.max_backoff.count());
  out.U64(branch.retry.max_attempts);
  out.I64(branch.attempt_timeout.count());
  Write(out, branch.headers);
}

BranchSpec ReadBranchSpec(ByteReader& in, std::uint64_t known_flags = kPivot | kReceiveResults) {
  BranchSpec branch;
  branch.id = in.Text(limits::kMaxBranchIdBytes);
  const std::uint64_t protocol = in.From1To(kProtocols.size());
  branch.protocol = static_cast<Protocol>(protocol);
  branch.service = in.Text(limits::kMaxServiceNameBytes);
  branch.action = in.Text(limits::kMaxActionNameBytes);
  branch.payload = in.Text(limits::kMaxPayloadBytes);
  const std::uint64_t after = in.Bounded(limits::kMaxBranchesCount);
  for (std::uint64_t i = 0; in.ok() && i < after; ++i) {
    branch.after.push_back(static_cast<BranchIndex>(in.Bounded(limits::kMaxBranchesCount - 1)));
  }
  const std::uint64_t flags = in.Bounded(known_flags);
  branch.pivot = (flags & kPivot) != 0;
  branch.receive_results = (flags & kReceiveResults) != 0;
  branch.check_back = (flags & kCheckBack) != 0;
  branch.retry.initial_backoff = Millis(in.I64());
  branch.retry.max_backoff = Millis(in.I64());
  branch.retry.max_attempts = static_cast<std::uint32_t>(in.Bounded(limits::kMaxMaxAttemptsCount));
  branch.attempt_timeout = Millis(in.I64());
  branch.headers = ReadPairs(in, limits::kMaxHeadersCount, limits::kMaxHeaderKeyBytes,
                             limits::kMaxHeaderValueBytes);
  return branch;
}

// The same spec has one way to be written.
std::uint64_t SpecVersionOf(const TransactionSpec& spec) {
  const bool checks_back = std::any_of(spec.branches.begin(), spec.branches.end(),
                                       [](const BranchSpec& branch) { return branch.check_back; });
  return checks_back ? kCheckBackSpecVersion : kPlainSpecVersion;
}

std::string WriteSpec(const TransactionSpec& spec, std::size_t branches) {
  ByteWriter out;
  std::size_t bytes = 64;
  for (std::size_t i = 0; i < branches; ++i) bytes += 96 + spec.branches[i].payload.size();
  out.Reserve(bytes);
  out.U64(SpecVersionOf(spec));
  out.U64(static_cast<std::uint64_t>(spec.ordering));
  out.I64(spec.deadline.count());
  out.U64(spec.open ? 1 : 0);
  Write(out, spec.labels);
  out.U64(branches);
  for (std::size_t i = 0; i < branches; ++i) Write(out, spec.branches[i]);
  return out.Take();
}

constexpr std::uint64_t kInFlight = 1;
constexpr std::uint64_t kMaybeSent = 2;
constexpr std::uint64_t kOnePhase = 4;
constexpr std::uint64_t kNeedsOperator = 8;
constexpr std::uint64_t kHazard = 16;

void Write(ByteWriter& out, const Attempt& attempt) {
  out.U64(static_cast<std::uint64_t>(attempt.operation));
  out.U64(attempt.number);
  out.I64(attempt.started.time_since_epoch().count());
  out.I64(attempt.latency.count());
  out.U64(static_cast<std::uint64_t>(attempt.result));
  out.Text(CutReason(attempt.error));
}

Attempt ReadAttempt(ByteReader& in) {
  Attempt attempt;
  attempt.operation =
      static_cast<Operation>(in.Bounded(static_cast<std::uint64_t>(Operation::kCompensate)));
  attempt.number = static_cast<std::uint32_t>(in.Bounded(UINT32_MAX));
  attempt.started = WallTime(Millis(in.I64()));
  attempt.latency = Micros(in.I64());
  attempt.result =
      static_cast<AttemptResult>(in.From1To(static_cast<std::uint64_t>(AttemptResult::kNotSent)));
  attempt.error = in.Text(kMaxErrorBytes);
  return attempt;
}

void Write(ByteWriter& out, const Branch& branch) {
  out.U64(static_cast<std::uint64_t>(branch.state));
  out.U64((branch.in_flight ? kInFlight : 0) | (branch.maybe_sent ? kMaybeSent : 0) |
          (branch.one_phase ? kOnePhase : 0) | (branch.needs_operator ? kNeedsOperator : 0) |
          (branch.hazard ? kHazard : 0));
  out.U64(static_cast<std::uint64_t>(branch.resolved));
  out.U64(branch.attempts);
  out.U64(branch.not_sent);
  out.Text(branch.result);
  out.Text(CutReason(branch.last_error));
  out.U64(branch.history.dropped());
  out.U64(branch.history.kept().size());
  for (const Attempt& attempt : branch.history.kept()) Write(out, attempt);
}

Branch ReadBranch(ByteReader& in) {
  Branch branch;
  const std::uint64_t state = in.From1To(static_cast<std::uint64_t>(BranchState::kSkipped));
  branch.state = static_cast<BranchState>(state);
  const std::uint64_t flags =
      in.Bounded(kInFlight | kMaybeSent | kOnePhase | kNeedsOperator | kHazard);
  branch.in_flight = (flags & kInFlight) != 0;
  branch.maybe_sent = (flags & kMaybeSent) != 0;
  branch.one_phase = (flags & kOnePhase) != 0;
  branch.needs_operator = (flags & kNeedsOperator) != 0;
  branch.hazard = (flags & kHazard) != 0;
  branch.resolved = static_cast<Decision>(in.Bounded(static_cast<std::uint64_t>(Decision::kAbort)));
  branch.attempts = static_cast<std::uint32_t>(in.Bounded(UINT32_MAX));
  branch.not_sent = static_cast<std::uint32_t>(in.Bounded(UINT32_MAX));
  branch.result = in.Text(limits::kMaxResultBytes);
  branch.last_error = in.Text(kMaxErrorBytes);
  const auto dropped = static_cast<std::uint32_t>(in.Bounded(UINT32_MAX));
  const std::uint64_t kept =
      in.Bounded(limits::kMaxFirstAttemptsKeptCount + limits::kMaxLastAttemptsKeptCount);
  std::vector<Attempt> attempts;
  attempts.reserve(kept);
  for (std::uint64_t i = 0; in.ok() && i < kept; ++i) attempts.push_back(ReadAttempt(in));
  branch.history.Restore(std::move(attempts), dropped);
  return branch;
}

void Write(ByteWriter& out, const Intervention& intervention) {
  out.I64(intervention.at.time_since_epoch().count());
  out.Text(CutReason(intervention.verb));
  out.Text(intervention.branch_id);
  out.Text(CutReason(intervention.who));
  out.Text(CutReason(intervention.reason));
}

Intervention ReadIntervention(ByteReader& in) {
  Intervention intervention;
  intervention.at = WallTime(Millis(in.I64()));
  intervention.verb = in.Text(kMaxErrorBytes);
  intervention.branch_id = in.Text(limits::kMaxBranchIdBytes);
  intervention.who = in.Text(kMaxErrorBytes);
  intervention.reason = in.Text(kMaxErrorBytes);
  return intervention;
}

void Write(ByteWriter& out, const TraceContext& trace) {
  out.Text({reinterpret_cast<const char*>(trace.trace_id.data()), trace.trace_id.size()});
  out.Text({reinterpret_cast<const char*>(trace.span_id.data()), trace.span_id.size()});
  out.U64(trace.sampled ? 1 : 0);
  out.Text(trace.state);
}

template <std::size_t kBytes>
bool ReadId(ByteReader& in, std::array<std::uint8_t, kBytes>& id) {
  const std::string bytes = in.Text(kBytes);
  if (bytes.size() != kBytes) return false;
  std::copy(bytes.begin(), bytes.end(), id.begin());
  return true;
}

// nullptr: it is damaged.
std::shared_ptr<const TraceContext> ReadTrace(ByteReader& in) {
  auto trace = std::make_shared<TraceContext>();
  const bool ids = ReadId(in, trace->trace_id) && ReadId(in, trace->span_id);
  trace->sampled = in.Bounded(1) == 1;
  trace->state = in.Text(limits::kMaxTracestateBytes);
  const bool sound = ids && !IsZero(trace->trace_id) && IsTracestate(trace->state);
  return sound ? trace : nullptr;
}

Status UnknownVersion(const std::string& gid, const std::string& part, std::uint64_t version,
                      std::uint64_t known) {
  return DataLoss("transaction " + gid + ": its " + part + " has version " +
                  std::to_string(version) + ", this program knows 1 to " + std::to_string(known));
}

Result<TransactionSpec> ReadSpec(std::string gid, std::string_view bytes) {
  ByteReader in(bytes);
  TransactionSpec spec;
  const std::uint64_t version = in.U64();
  if (in.ok() && (version == 0 || version > kCheckBackSpecVersion))
    return UnknownVersion(gid, "spec", version, kCheckBackSpecVersion);
  spec.ordering =
      static_cast<Ordering>(in.Bounded(static_cast<std::uint64_t>(Ordering::kDeclared)));
  spec.deadline = Millis(in.I64());
  spec.open = in.Bounded(1) == 1;
  spec.labels = ReadPairs(in, limits::kMaxLabelsCount, limits::kMaxLabelKeyBytes,
                          limits::kMaxLabelValueBytes);
  const std::uint64_t branches = in.Bounded(limits::kMaxBranchesCount);
  spec.branches.reserve(branches);
  constexpr std::uint64_t kFlags = kPivot | kReceiveResults | kCheckBack;
  for (std::uint64_t i = 0; in.ok() && i < branches; ++i)
    spec.branches.push_back(ReadBranchSpec(in, kFlags));
  if (!in.done() || SpecVersionOf(spec) != version)
    return DataLoss("transaction " + gid + ": its spec cannot be decoded");
  spec.gid = std::move(gid);
  return spec;
}

}  // namespace

std::string Codec::EncodeSpec(const Transaction& transaction) {
  return WriteSpec(transaction.spec(), transaction.initial_branches());
}
std::string Codec::EncodeSpec(const TransactionSpec& spec) {
  return WriteSpec(spec, spec.branches.size());
}

std::string Codec::EncodeBranchSpec(const BranchSpec& spec) {
  ByteWriter out;
  Write(out, spec);
  return out.Take();
}

// The same state has one way to be written.
std::uint64_t Codec::StateVersionOf(const Transaction& t) {
  if (t.spec_.initiator != nullptr) return kInitiatorStateVersion;
  if (t.spec_.trace != nullptr) return kTraceStateVersion;
  const bool plain = !t.held_ && t.generation_ <= kFirstStoreGeneration;
  return plain ? kPlainStateVersion : kGenerationStateVersion;
}

std::string Codec::EncodeState(const Transaction& t) {
  ByteWriter out;
  out.Reserve(64 + 96 * t.branches_.size());
  const std::uint64_t version = StateVersionOf(t);
  out.U64(version);
  out.U64(static_cast<std::uint64_t>(t.phase_));
  out.U64(static_cast<std::uint64_t>(t.decision_));
  out.U64((t.sealed_ ? 1U : 0U) | (t.suspended_ ? 2U : 0U) | (t.held_ ? 4U : 0U));
  if (version >= kGenerationStateVersion) out.U64(t.generation_);
  if (version == kInitiatorStateVersion) {
    out.Text(*t.spec_.initiator);
    out.U64(t.spec_.trace != nullptr ? 1 : 0);
  }
  if (t.spec_.trace != nullptr) Write(out, *t.spec_.trace);
  out.Text(CutReason(t.abort_reason_));
  out.I64(t.began_at_.time_since_epoch().count());
  out.I64(t.deadline_at_.time_since_epoch().count());
  out.I64(t.decided_at_.time_since_epoch().count());
  out.I64(t.finished_at_.time_since_epoch().count());
  out.U64(t.began_epoch_);
  out.U64(t.recoveries_);
  out.U64(t.branches_.size() - t.initial_branches_);
  for (std::size_t i = t.initial_branches_; i < t.branches_.size(); ++i)
    Write(out, t.spec_.branches[i]);
  for (const Branch& branch : t.branches_) Write(out, branch);
  out.U64(t.interventions_.size());
  for (const Intervention& intervention : t.interventions_) Write(out, intervention);
  return out.Take();
}

std::string Codec::EncodeState(const OutOfService& row) {
  ByteWriter out;
  out.U64(kOutOfServiceVersion);
  out.Text(CutReason(row.actor.who));
  out.Text(CutReason(row.actor.reason));
  out.I64(row.at.time_since_epoch().count());
  out.U64(row.sound ? 1 : 0);
  out.Text(row.gid);
  out.Text(row.state);
  return out.Take();
}

std::optional<OutOfService> Codec::DecodeOutOfService(std::string_view state) {
  ByteReader in(state);
  if (in.U64() != kOutOfServiceVersion) return std::nullopt;
  OutOfService row;
  row.actor.who = in.Text(kMaxErrorBytes);
  row.actor.reason = in.Text(kMaxErrorBytes);
  row.at = WallTime(Millis(in.I64()));
  row.sound = in.Bounded(1) == 1;
  row.gid = in.Text(state.size());
  row.state = in.Text(state.size());
  if (!in.done()) return std::nullopt;
  return row;
}

Result<Transaction> Codec::Decode(const std::string& gid, std::string_view spec_bytes,
                                  std::string_view state_bytes) {
  if (const auto row = DecodeOutOfService(state_bytes))
    return DataLoss(row->actor.who + " took it out of service: " + row->actor.reason);
  Result<TransactionSpec> spec = ReadSpec(gid, spec_bytes);
  if (!spec.ok()) return spec.status();
  Transaction t(std::move(spec).value());
  ByteReader in(state_bytes);
  const std::uint64_t version = in.U64();
  if (in.ok() && (version == 0 || version > kInitiatorStateVersion))
    return UnknownVersion(gid, "state", version, kInitiatorStateVersion);
  const std::uint64_t phase = in.From1To(static_cast<std::uint64_t>(Phase::kFinished));
  t.phase_ = static_cast<Phase>(phase);
  t.decision_ = static_cast<Decision>(in.Bounded(static_cast<std::uint64_t>(Decision::kAbort)));
  const bool plain = version == kPlainStateVersion;
  const std::uint64_t flags = in.Bounded(plain ? 3 : 7);
  t.sealed_ = (flags & 1) != 0;
  t.suspended_ = (flags & 2) != 0;
  t.held_ = (flags & 4) != 0;
  t.generation_ = plain ? kFirstStoreGeneration : in.U64();
  bool traced = version == kTraceStateVersion;
  if (version == kInitiatorStateVersion) {
    // Empty: of those who are not known, which is not the same as of nobody in particular.
    t.spec_.initiator = std::make_shared<const std::string>(in.Text(limits::kMaxIdentityBytes));
    traced = in.Bounded(1) == 1;
  }
  if (traced) t.spec_.trace = ReadTrace(in);
  t.abort_reason_ = in.Text(kMaxErrorBytes);
  t.began_at_ = WallTime(Millis(in.I64()));
  t.deadline_at_ = WallTime(Millis(in.I64()));
  t.decided_at_ = WallTime(Millis(in.I64()));
  t.finished_at_ = WallTime(Millis(in.I64()));
  t.began_epoch_ = in.U64();
  t.recoveries_ = static_cast<std::uint32_t>(in.Bounded(UINT32_MAX));
  const std::uint64_t added = in.Bounded(limits::kMaxBranchesCount - t.initial_branches_);
  for (std::uint64_t i = 0; in.ok() && i < added; ++i)
    t.spec_.branches.push_back(ReadBranchSpec(in));
  t.branches_.clear();
  t.branches_.reserve(t.spec_.branches.size());
  for (std::size_t i = 0; in.ok() && i < t.spec_.branches.size(); ++i)
    t.branches_.push_back(ReadBranch(in));
  const std::uint64_t interventions = in.Bounded(limits::kMaxInterventionsKeptCount);
  for (std::uint64_t i = 0; in.ok() && i < interventions; ++i)
    t.interventions_.push_back(ReadIntervention(in));

  const bool lost_trace = traced && t.spec_.trace == nullptr;
  if (!in.done() || StateVersionOf(t) != version || lost_trace)
    return DataLoss("transaction " + gid + ": its state cannot be decoded");
  const std::string_view broken = BrokenRule(t);
  if (!broken.empty())
    return DataLoss("transaction " + gid + ": its state makes no sense: " + std::string(broken));
  return t;
}

}  // namespace assent::core
