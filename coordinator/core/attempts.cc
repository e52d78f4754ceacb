#include "coordinator/core/attempts.h"

#include <algorithm>
#include <utility>

#include <assent/limits.h>

namespace assent::core {

void AttemptHistory::Open(Operation operation, std::uint32_t number, WallTime started) {
  const bool replaces = !kept_.empty() && kept_.back().operation == operation &&
                        kept_.back().result == AttemptResult::kNotSent;
  if (replaces) {
    kept_.pop_back();
  } else if (kept_.size() ==
             limits::kMaxFirstAttemptsKeptCount + limits::kMaxLastAttemptsKeptCount) {
    kept_.erase(kept_.begin() + static_cast<std::ptrdiff_t>(limits::kMaxFirstAttemptsKeptCount));
    ++dropped_;
  }
  kept_.push_back(Attempt{operation, number, started, Micros(0), AttemptResult::kInFlight, {}});
}

void AttemptHistory::Close(AttemptResult result, Micros latency, std::string error) {
  if (kept_.empty() || kept_.back().result != AttemptResult::kInFlight) return;
  Attempt& last = kept_.back();
  last.result = result;
  last.latency = latency;
  last.error = std::move(error);
}

void AttemptHistory::CloseLate(Operation operation, std::uint32_t number, AttemptResult result,
                               std::string error, WallTime now) {
  for (auto attempt = kept_.rbegin(); attempt != kept_.rend(); ++attempt) {
    if (attempt->operation != operation || attempt->number != number) continue;
    attempt->result = result;
    attempt->latency = std::max<Micros>(now - attempt->started, Micros(0));
    attempt->error = std::move(error);
    return;
  }
}

void AttemptHistory::Restart(WallTime started) {
  if (kept_.empty() || kept_.back().result != AttemptResult::kInFlight) return;
  kept_.back().started = started;
}

void AttemptHistory::Restore(std::vector<Attempt> kept, std::uint32_t dropped) {
  kept_ = std::move(kept);
  dropped_ = dropped;
}

}  // namespace assent::core
