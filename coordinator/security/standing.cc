#include "coordinator/security/standing.h"

#include <algorithm>
#include <iterator>
#include <utility>

namespace assent::security {

void Standing::Join(Ask ask) {
  const MutexLock lock(mutex_);
  if (closed_) return;
  all_.push_back(std::move(ask));
  if (!thread_.joinable()) thread_ = std::thread([this] { Run(); });
}

void Standing::Changed() {
  const MutexLock lock(mutex_);
  changed_ = true;
  rung_.NotifyAll();
}

void Standing::Close() {
  std::thread ended;
  {
    const MutexLock lock(mutex_);
    closed_ = true;
    ended.swap(thread_);
    rung_.NotifyAll();
  }
  if (ended.joinable()) ended.join();
}

std::size_t Standing::count() const {
  const MutexLock lock(mutex_);
  return all_.size();
}

void Standing::Run() {
  MutexLock lock(mutex_);
  while (!closed_) {
    const auto next = std::chrono::steady_clock::now() + kAskAgainEvery;
    while (!closed_ && !changed_ && rung_.WaitUntil(mutex_, next)) {
    }
    if (closed_) return;
    changed_ = false;
    // Who joins meanwhile is asked in the next round.
    std::vector<Ask> asked = std::exchange(all_, {});
    lock.Unlock();
    asked.erase(
        std::remove_if(asked.begin(), asked.end(), [](const Ask& still) { return !still(); }),
        asked.end());
    lock.Lock();
    std::move(asked.begin(), asked.end(), std::back_inserter(all_));
  }
}

}  // namespace assent::security
