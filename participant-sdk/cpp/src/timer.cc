#include "participant-sdk/cpp/src/timer.h"

#include <chrono>
#include <memory>
#include <utility>

namespace assent::internal {

Timer::Timer(Tick tick)
    : shared_(std::make_shared<Shared>()),
      thread_([shared = shared_, tick = std::move(tick)]() mutable {
        shared->tick = std::move(tick);
        Run(*shared);
        shared->tick = nullptr;  // what it holds may hold the timer
      }) {}

void Timer::Run(Shared& shared) {
  SteadyTime due = SteadyTime::min();
  MutexLock lock(shared.mutex);
  while (true) {
    while (!shared.stopped && !shared.woken) {
      if (due == SteadyTime::max()) {
        shared.changed.Wait(shared.mutex);
      } else if (!shared.changed.WaitUntil(shared.mutex, due)) {
        break;
      }
    }
    if (shared.stopped) return;
    shared.woken = false;
    lock.Unlock();
    due = shared.tick(std::chrono::steady_clock::now());
    lock.Lock();
  }
}

void Timer::Wake() {
  {
    const MutexLock lock(shared_->mutex);
    shared_->woken = true;
  }
  shared_->changed.NotifyOne();
}

void Timer::Stop() {
  {
    const MutexLock lock(shared_->mutex);
    shared_->stopped = true;
  }
  shared_->changed.NotifyOne();
  thread_.Join();
}

}  // namespace assent::internal
