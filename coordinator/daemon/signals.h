#pragma once

// The signals that end the daemon are blocked from before the first constructor of any library
// runs, in all threads, and are taken by whoever waits here: one that comes in the first moments
// waits until it is looked at.

#include <atomic>
#include <chrono>
#include <functional>
#include <thread>

namespace assent::daemon {

// Waits for one of the blocked signals, at most `patience`; 0 if none came.
int WaitForSignal(std::chrono::milliseconds patience);
bool IsStop(int signal);

// Looks after a phase that may take long (a start that reads a large log, a stop that waits for
// threads), while it lives. A stop signal gives the phase so long to end by itself, a second one
// ends it at once: `give_up` is called, which does not return. Nothing is lost by that: whatever
// anybody was told is durable.
class Impatience {
 public:
  // `asked`: a stop is what the phase is about; the time runs already.
  Impatience(bool asked, std::chrono::milliseconds patience, std::function<void()> give_up);
  ~Impatience();
  Impatience(const Impatience&) = delete;
  Impatience& operator=(const Impatience&) = delete;

  // A stop signal has come.
  bool stop_asked() const { return asked_; }

 private:
  void Run();

  const std::chrono::milliseconds patience_;
  const std::function<void()> give_up_;
  std::atomic<bool> asked_;
  std::atomic<bool> over_ = false;
  std::thread thread_;  // the last: it uses the others
};

}  // namespace assent::daemon
