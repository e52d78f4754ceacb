#pragma once

// Waiting for the end, whoever asks for it: a signal or another thread.

#include <atomic>
#include <csignal>
#include <utility>

#include <assent/status.h>

namespace assent::internal {

// An event that may be raised from a signal handler. Once raised it stays so.
class Termination {
 public:
  Termination();
  ~Termination();
  Termination(const Termination&) = delete;
  Termination& operator=(const Termination&) = delete;
  // Async-signal-safe.
  void Notify();
  void Wait();

 private:
  int event_fd_;
};

// While it lives, the first SIGTERM or SIGINT raises `termination`, and the second does what it did
// before (ends the process, usually). kFailedPrecondition if another guard lives in this process.
class SignalGuard {
 public:
  static Result<SignalGuard> Take(Termination& termination);
  SignalGuard(SignalGuard&& other) noexcept;
  SignalGuard& operator=(SignalGuard&&) = delete;
  ~SignalGuard();

 private:
  SignalGuard() = default;
  bool owner_ = false;
};

}  // namespace assent::internal
