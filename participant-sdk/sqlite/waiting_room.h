#pragma once

// Operations that a claim stood in the way of. They hold nothing: what they did is undone, and they run again from the
// start when the holder's claims are dropped. Whoever has waited long enough gets the answer he would have got at once,
// "retry later". Saves a hot row the coordinator's backoff. Belongs to the executor's thread.

#include <chrono>
#include <deque>
#include <memory>
#include <optional>
#include <string>
#include <vector>

#include "participant-sdk/sqlite/task.h"

namespace assent::sqlite::internal {

class WaitingRoom {
 public:
  using Clock = std::chrono::steady_clock;
  explicit WaitingRoom(std::chrono::milliseconds patience) : patience_(patience) {}

  // Takes the task in and returns true, or, when its patience has ended (counted from its first time here), leaves it.
  bool Admit(std::unique_ptr<Task>& task, Clock::time_point now);
  // These gids hold nothing any more: frees who waits for them.
  void Free(const std::vector<std::string>& holders);
  // The freed ones in order of arrival, at most `limit`: a crowd that waits for one row must not run in full each time one
  // of them gets it. Who is left stays freed.
  std::vector<std::unique_ptr<Task>> TakeFreed(std::size_t limit);
  // Answers those whose patience has ended; all of them.
  void DismissExpired(Clock::time_point now);
  void DismissAll();

  std::size_t size() const { return waiting_.size(); }
  // When DismissExpired has something to do.
  std::optional<Clock::time_point> next_expiry() const;

 private:
  const std::chrono::milliseconds patience_;
  std::deque<std::unique_ptr<Task>> waiting_;
};

}  // namespace assent::sqlite::internal
