#pragma once

// A thread that sleeps until something is due.

#include <functional>
#include <memory>

#include <assent/thread_safety.h>

#include "participant-sdk/cpp/src/call_table.h"
#include "participant-sdk/cpp/src/own_thread.h"

namespace assent::internal {

class Timer {
 public:
  // `tick` is called at once, whenever woken, and when the time it last returned has come; it
  // returns the next one. It is not called again once Stop has been called, but may be running when
  // Stop returns on that very thread.
  using Tick = std::function<SteadyTime(SteadyTime now)>;
  explicit Timer(Tick tick);
  ~Timer() { Stop(); }

  // Calls `tick` soon, on the timer's thread.
  void Wake();
  void Stop();

 private:
  struct Shared {
    Mutex mutex;
    CondVar changed;
    bool woken ASSENT_GUARDED_BY(mutex) = true;
    bool stopped ASSENT_GUARDED_BY(mutex) = false;
    Tick tick;  // the thread's own
  };
  static void Run(Shared& shared);

  std::shared_ptr<Shared> shared_;
  OwnThread thread_;
};

}  // namespace assent::internal
