#pragma once

// One child process of the demo: the coordinator, or a service. It dies when the demo dies,
// whatever that dies of.

#include <chrono>
#include <optional>
#include <string>
#include <vector>

#include <sys/types.h>

#include <assent/status.h>

namespace demo {

class Process {
 public:
  Process() = default;
  // kill -9, if it still runs.
  ~Process();
  Process(const Process&) = delete;
  Process& operator=(const Process&) = delete;

  // stdout and stderr are appended to `log_file`.
  assent::Status Start(std::vector<std::string> argv, const std::string& log_file);
  void Signal(int signal_number);
  // kill -9; the process is gone on return.
  void Kill();
  // SIGTERM, and kill -9 if that is not enough. Returns when it is gone.
  void Stop();
  // Until it has been stopped by a SIGSTOP. False: it ended instead, or did not in time.
  bool WaitStopped(std::chrono::milliseconds timeout);
  bool Running();

 private:
  enum class State { kNone, kRunning, kStopped };
  void Look(bool wait);

  pid_t pid_ = -1;
  State state_ = State::kNone;
};

// Looks every few milliseconds until `condition` holds or the time is over; the condition's last
// value.
template <typename Condition>
bool Until(std::chrono::milliseconds timeout, const Condition& condition);

// Between two looks at a condition.
void Pause();

// Returns when a child has ended that its Process does not know of yet. There are children.
void WaitForAnyToEnd();

template <typename Condition>
bool Until(std::chrono::milliseconds timeout, const Condition& condition) {
  const auto end = std::chrono::steady_clock::now() + timeout;
  while (!condition()) {
    if (std::chrono::steady_clock::now() >= end) return condition();
    Pause();
  }
  return true;
}

// What a program printed, and its exit code (empty: it could not be run, or was killed).
struct Printed {
  std::optional<int> exit_code;
  std::string text;
};
// Runs it to its end. `columns` tells it how wide to write, as COLUMNS.
Printed Run(std::vector<std::string> argv);

// A TCP port of 127.0.0.1 on which nobody listens now.
int FreePort();

}  // namespace demo
