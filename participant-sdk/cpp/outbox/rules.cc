#include "participant-sdk/cpp/outbox/rules.h"

#include <algorithm>
#include <string>
#include <utility>

#include <assent/limits.h>

#include "participant-sdk/cpp/src/text.h"

namespace assent::internal::outbox {
namespace {

using What = Settled::What;

constexpr int kMaxDoublings = 20;

Settled Of(const Taken& row, What what) {
  Settled settled;
  settled.id = row.id;
  settled.gid = row.gid;
  settled.attempts = row.attempts;
  settled.what = what;
  return settled;
}

Settled Parked(const Taken& row, const std::string& why) {
  Settled settled = Of(row, What::kParked);
  settled.words = OneLine(why, limits::kMaxReasonBytes);
  return settled;
}

Settled Later(const Taken& row, milliseconds due_in, const std::string& why) {
  Settled settled = Of(row, What::kLater);
  settled.due_in = due_in;
  settled.words = OneLine(why, limits::kMaxReasonBytes);
  return settled;
}

// This call has begun nothing, and the client knows it of its own.
bool WasNeverSent(const Status& status) {
  return status.code() == Code::kUnavailable || status.code() == Code::kResourceExhausted;
}

}  // namespace

milliseconds BackoffOf(std::int64_t attempts, SplitMix64& jitter) {
  const auto doublings = std::clamp<std::int64_t>(attempts - 1, 0, kMaxDoublings);
  const milliseconds whole = std::min(kMaxBackoff, kFirstBackoff * (std::int64_t{1} << doublings));
  const auto half = static_cast<std::uint64_t>(whole.count() / 2);
  return milliseconds(static_cast<std::int64_t>(half + jitter.Below(half + 1)));
}

Step FirstStep(const Taken& row, milliseconds retention_guard) {
  if (row.too_large) return Step::kPark;
  const bool is_old = row.first_attempt_ago && *row.first_attempt_ago >= retention_guard;
  return is_old ? Step::kAsk : Step::kSubmit;
}

Settled TooLarge(const Taken& row) {
  return Parked(row, "its request has more than " + std::to_string(limits::kMaxOutboxRequestBytes) +
                         " bytes, which no coordinator takes");
}

std::optional<Settled> AfterSubmit(const Taken& row, const Result<Report>& answer,
                                   SplitMix64& jitter) {
  const bool keyed = !row.ordering_key.empty();
  if (answer.ok()) {
    if (!keyed || answer->state == TransactionState::kFinished) return Of(row, What::kAnswered);
    return Later(row, BackoffOf(1, jitter), kNotComplete);
  }
  const Status& status = answer.status();
  if (status.code() == Code::kInvalidArgument || status.code() == Code::kAlreadyExists)
    return Parked(row, status.ToString());
  if (keyed && status.code() == Code::kUnknownOutcome) return std::nullopt;
  Settled later = Later(row, BackoffOf(row.attempts, jitter), status.ToString());
  later.never_handed_over = WasNeverSent(status) && !row.first_attempt_ago;
  return later;
}

std::optional<Settled> AfterGet(const Taken& row, Asked asked,
                                const Result<TransactionInfo>& answer, SplitMix64& jitter) {
  const bool keyed = !row.ordering_key.empty();
  if (answer.ok()) {
    if (!keyed || answer->state == TransactionState::kFinished) return Of(row, What::kAnswered);
    if (asked == Asked::kBeforeSubmit) return std::nullopt;
    return Later(row, milliseconds(0), kNotComplete);
  }
  if (asked == Asked::kBeforeSubmit && answer.status().code() == Code::kNotFound) {
    return Parked(row,
                  "may have run and been forgotten: it was first handed over longer ago than "
                  "retention_guard, and the coordinator does not know its gid");
  }
  return Later(row, BackoffOf(row.attempts, jitter), answer.status().ToString());
}

}  // namespace assent::internal::outbox
