#pragma once

// Code that waits, in a world of events: production code that calls a database and comes back when
// the answer is there runs on a stack of its own, which stands still meanwhile. There is no thread
// and no clock in it: who resumes it, and when, is the schedule's.

#include <cstddef>
#include <functional>
#include <memory>
#include <ucontext.h>

namespace assent::sim {

class Fiber {
 public:
  // Begins with the first Resume. `body` must not swallow what Wait throws.
  explicit Fiber(std::function<void()> body);
  // Unwinds it from where it stands, if it has not ended. Never from within.
  ~Fiber();
  Fiber(const Fiber&) = delete;
  Fiber& operator=(const Fiber&) = delete;

  // Runs it until it waits again, or ends. Never from within.
  void Resume();
  // From within: until the next Resume.
  void Wait();
  bool done() const { return done_; }
  bool running() const { return running_; }

 private:
  struct Unwind {};
  struct Stack;
  static void Enter(unsigned high, unsigned low);
  void Run();
  void SwitchIn();
  void SwitchOut();

  std::function<void()> body_;
  std::unique_ptr<Stack> stack_;
  ucontext_t inside_{};
  ucontext_t outside_{};
  bool begun_ = false;
  bool running_ = false;
  bool done_ = false;
  bool unwinding_ = false;
  // What the sanitizers are told of the stacks.
  void* fake_inside_ = nullptr;
  void* fake_outside_ = nullptr;
  const void* outside_bottom_ = nullptr;
  std::size_t outside_size_ = 0;
  void* tsan_inside_ = nullptr;
  void* tsan_outside_ = nullptr;
};

}  // namespace assent::sim
