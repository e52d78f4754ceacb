#include "participant-sdk/cpp/src/timer.h"

#include <chrono>
#include <memory>
#include <mutex>
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
  std::unique_lock lock(shared.mutex);
  while (true) {
    const auto ready = [&] { return shared.stopped || shared.woken; };
    if (due == SteadyTime::max()) {
      shared.changed.wait(lock, ready);
    } else {
      shared.changed.wait_until(lock, due, ready);
    }
    if (shared.stopped) return;
    shared.woken = false;
    lock.unlock();
    due = shared.tick(std::chrono::steady_clock::now());
    lock.lock();
  }
}

void Timer::Wake() {
  {
    const std::lock_guard lock(shared_->mutex);
    shared_->woken = true;
  }
  shared_->changed.notify_one();
}

void Timer::Stop() {
  {
    const std::lock_guard lock(shared_->mutex);
    shared_->stopped = true;
  }
  shared_->changed.notify_one();
  thread_.Join();
}

}  // namespace assent::internal
