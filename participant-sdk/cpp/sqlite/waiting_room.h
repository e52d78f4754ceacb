#pragma once

// Operations that a claim stood in the way of. They hold nothing: what they did is undone, and they
// run again from the start when the holder's claims are dropped, the oldest transaction first.
// Whoever has waited long enough gets the answer he would have got at once, "retry later". Saves a
// hot row the coordinator's backoff. Belongs to the executor's thread.
//
// Who waits for a younger transaction is answered sooner: the answer names the holder, which the
// coordinator may abort. It keeps its place (or a younger one would take the row before it has
// asked again). Asked again while the same one is still in the way, it waits twice as long each
// time, until it waits like everybody.

#include <chrono>
#include <cstddef>
#include <deque>
#include <map>
#include <memory>
#include <optional>
#include <string>
#include <vector>

#include "participant-sdk/cpp/sqlite/task.h"

namespace assent::sqlite::internal {

class WaitingRoom {
 public:
  using Clock = std::chrono::steady_clock;
  WaitingRoom(std::chrono::milliseconds patience, std::chrono::milliseconds grace)
      : patience_(patience), grace_(grace) {}

  // Takes the task in and returns true, or, when its patience has ended (counted from its first
  // time here), leaves it.
  bool Admit(std::unique_ptr<Task>& task, Clock::time_point now);
  // These gids hold nothing any more: frees who waits for them.
  void Free(const std::vector<std::string>& holders);
  // The oldest of the freed ones, at most `limit`: a crowd that waits for one row must not run in
  // full each time one of them gets it. Who is left stays freed.
  std::vector<std::unique_ptr<Task>> TakeFreed(std::size_t limit);
  // Answers those whose time has come; all of them.
  void DismissExpired(Clock::time_point now);
  void DismissAll();

  std::size_t size() const { return waiting_.size(); }
  // When DismissExpired has something to do.
  std::optional<Clock::time_point> next_expiry() const;

 private:
  static Clock::time_point LeavesAt(const Task& task);
  // How long this one waits before it names its holder.
  std::chrono::milliseconds GraceOf(const Task& task) const;

  const std::chrono::milliseconds patience_;
  const std::chrono::milliseconds grace_;
  std::deque<std::unique_ptr<Task>> waiting_;
  // By holder and waiter: how often the one was named to the other's coordinator.
  std::map<std::string, std::map<std::string, int, std::less<>>, std::less<>> told_;
  std::size_t told_count_ = 0;
};

}  // namespace assent::sqlite::internal
