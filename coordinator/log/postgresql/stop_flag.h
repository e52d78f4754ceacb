#pragma once

// Told once to stop: whoever waits for a database that does not answer waits no more.

#include <atomic>
#include <chrono>

#include <assent/thread_safety.h>

namespace assent::log {

class StopFlag {
 public:
  void Raise() {
    const MutexLock lock(mutex_);
    raised_ = true;
    changed_.NotifyAll();
  }
  bool raised() const { return raised_.load(std::memory_order_relaxed); }
  const std::atomic<bool>* flag() const { return &raised_; }
  // False: it was raised before the time was over.
  bool Sleep(std::chrono::milliseconds time) {
    const auto end = std::chrono::steady_clock::now() + time;
    const MutexLock lock(mutex_);
    while (!raised_ && changed_.WaitUntil(mutex_, end)) {
    }
    return !raised_;
  }

 private:
  Mutex mutex_;
  CondVar changed_;
  std::atomic<bool> raised_ = false;
};

}  // namespace assent::log
