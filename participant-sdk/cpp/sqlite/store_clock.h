#pragma once

// The store's own clock: for how long processes that have it open have been seen running. Ages of
// rows are counted by it, since deleting cannot be taken back, and wall time may jump by days,
// either way, in one life or between two.
//
// It goes on with the steady clock of each process, and is kept in the file (assent_meta.clock_ms),
// where several processes agree on the highest. What it misses (the time while nobody ran, the last
// moment before a kill) only makes rows older than they look.

#include <atomic>
#include <cstdint>
#include <functional>
#include <utility>

#include <assent/status.h>

#include "participant-sdk/cpp/sqlite/connection.h"

namespace assent::sqlite::internal {

class StoreClock {
 public:
  // Empty: the machine's.
  explicit StoreClock(std::function<std::int64_t()> steady_ms);

  // From any thread. Never goes back within a process.
  std::int64_t Now() const { return steady_ms_() + offset_.load(std::memory_order_relaxed); }

  // Inside a local transaction: goes on from what is in the file, if that is further; and writes it
  // there, now and then.
  Status Tick(Connection& connection);

 private:
  const std::function<std::int64_t()> steady_ms_;
  std::atomic<std::int64_t> offset_;
  std::int64_t kept_ = -1;  // what is in the file, as far as we know; negative: not read yet
};

}  // namespace assent::sqlite::internal
