#pragma once

// What queues for the executor.

#include <chrono>
#include <cstdint>
#include <optional>
#include <string>
#include <string_view>
#include <utility>

#include <assent/status.h>

namespace assent::sqlite::internal {

class Runner;

// One queued operation. Run may be called again (the group it was part of was lost, or it waited
// for a claim); exactly one of the other three follows the last Run, or comes without any.
class Task {
 public:
  virtual ~Task() = default;
  virtual void Run(Runner& runner) = 0;
  virtual void Answer() = 0;                    // what Run came to is durable
  virtual void NotDone(const Status& why) = 0;  // certainly nothing happened
  virtual void Unknown(const Status& why) = 0;  // perhaps it happened
  // COMMIT of prepared work goes first in a group: it frees claims that others wait for.
  virtual bool goes_first() const { return false; }
  // The gid whose claim stood in the way of the last Run; empty: none did. `tells`: its coordinator
  // should hear of it soon.
  virtual std::string_view blocked_by() const { return {}; }
  virtual bool tells() const { return false; }
  // Who waits, and since when it has been running: the oldest goes first.
  virtual std::pair<std::int64_t, std::string_view> age() const { return {0, {}}; }

  // The waiting room's: since when it must be answered even if blocked, when it speaks up about
  // whom, and whether whom it waits for has ended.
  std::optional<std::chrono::steady_clock::time_point> patience_ends;
  std::optional<std::chrono::steady_clock::time_point> speaks_at;
  std::string speaks_of;
  bool has_spoken = false;  // it is answered, and keeps its place for whoever asks again
  bool is_freed = false;
};

}  // namespace assent::sqlite::internal
