#include "participant-sdk/cpp/src/retry.h"

#include <algorithm>
#include <chrono>
#include <functional>
#include <optional>
#include <string>

namespace assent::internal {

// What a gRPC library or a proxy can make up by itself says nothing about what became of the
// request, whatever its words: UNAVAILABLE is said of a lost answer, RESOURCE_EXHAUSTED of an
// answer that is too large, UNIMPLEMENTED of a 404.
Meaning MeaningOf(const Attempt& attempt) {
  if (!attempt.contacted)
    return attempt.status.code() == Code::kDeadlineExceeded ? Meaning::kOutOfTime
                                                            : Meaning::kNotDone;
  switch (attempt.status.code()) {
    case Code::kOk:
    case Code::kInvalidArgument:
    case Code::kNotFound:
    case Code::kAlreadyExists:
    case Code::kFailedPrecondition:
    case Code::kAborted:
    case Code::kDataLoss: return Meaning::kAnswer;
    case Code::kDeadlineExceeded: return Meaning::kOutOfTime;
    case Code::kPermissionDenied:
    case Code::kUnauthenticated:
    case Code::kUnimplemented: return Meaning::kNotServed;
    case Code::kResourceExhausted:
    case Code::kUnavailable:
    case Code::kCancelled:
    case Code::kOutOfRange:
    case Code::kInternal:
    case Code::kUnknownOutcome:
    case Code::kElsewhere: return Meaning::kMaybeDone;
  }
  return Meaning::kMaybeDone;
}

Status GiveUp(const std::string& what, bool maybe_done, const Status& last) {
  if (maybe_done) {
    return UnknownOutcome(
        what + " may or may not have been done; ask again with the same gid. Last error: " +
        last.ToString());
  }
  if (last.code() == Code::kResourceExhausted)
    return ResourceExhausted(what + " was not done: " + last.message());
  return Unavailable(what + " was not done: " + last.ToString());
}

Status Retry(const RetryParams& params, const std::function<Attempt()>& attempt) {
  Backoff backoff(params.policy.initial_backoff, params.policy.max_backoff, params.seed);
  bool maybe_done = false;
  std::optional<SteadyTime> failing_since;
  while (true) {
    const Attempt last = attempt();
    const Meaning meaning = MeaningOf(last);
    if (meaning == Meaning::kAnswer) return last.status;
    if (meaning == Meaning::kNotServed)
      return params.read_only ? last.status : GiveUp(params.what, true, last.status);
    maybe_done = maybe_done || meaning == Meaning::kMaybeDone ||
                 (meaning == Meaning::kOutOfTime && last.contacted);

    const SteadyTime now = params.now();
    if (!failing_since) failing_since = now;
    const auto wait = last.next_at_once ? std::chrono::milliseconds(0)
                                        : std::max(backoff.Next(), last.retry_after);
    const SteadyTime end = std::min(params.deadline, *failing_since + params.policy.give_up_after);
    if (meaning != Meaning::kOutOfTime && now + wait < end) {
      if (!last.next_at_once) params.sleep(wait);
      continue;
    }
    if (params.read_only && (meaning == Meaning::kOutOfTime || maybe_done)) {
      return {Code::kDeadlineExceeded,
              params.what + " got no answer in time: " + last.status.ToString()};
    }
    return GiveUp(params.what, maybe_done, last.status);
  }
}

}  // namespace assent::internal
