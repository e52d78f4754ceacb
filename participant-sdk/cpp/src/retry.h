#pragma once

// What a failed attempt means, and the loop that repeats it. Pure but for the injected sleep and
// clock.

#include <chrono>
#include <functional>
#include <string>

#include <assent/client.h>
#include <assent/status.h>

#include "participant-sdk/cpp/src/backoff.h"
#include "participant-sdk/cpp/src/call_table.h"

namespace assent::internal {

// How one attempt ended.
struct Attempt {
  Status status;
  // Its bytes may have reached a coordinator: it was handed to a connection. Only our own side's
  // knowledge sets it to false, never what a status says.
  bool contacted = true;
  // The coordinator's hint; 0: none.
  std::chrono::milliseconds retry_after{0};
  // There is another coordinator that has not been tried since the last wait.
  bool next_at_once = false;
};

enum class Meaning : std::uint8_t {
  kAnswer,     // final: it is what the coordinator says
  kNotDone,    // it never left: try again
  kMaybeDone,  // nobody can say: try again, with the same identity
  kNotServed,  // nobody can say, and trying again will not help
  kOutOfTime,  // our own deadline
};
Meaning MeaningOf(const Attempt& attempt);

struct RetryParams {
  ClientRetry policy;
  SteadyTime deadline;
  // The call changes nothing: running out of time is then just that, never an unknown outcome.
  bool read_only = false;
  // For messages: "Submit of transaction 018f…".
  std::string what;
  std::uint64_t seed = 0;
  std::function<void(std::chrono::milliseconds)> sleep;
  std::function<SteadyTime()> now;
};
// Repeats `attempt` until it answers, the deadline comes, or it has been failing for
// policy.give_up_after.
Status Retry(const RetryParams& params, const std::function<Attempt()>& attempt);

// The failure that ends it, for a call that has or has not possibly been done.
Status GiveUp(const std::string& what, bool maybe_done, const Status& last);

}  // namespace assent::internal
