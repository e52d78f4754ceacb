#pragma once

// Many threads put, one thread takes everything at once. The taker pays one lock per turn, not one
// per item, and is woken only when it sleeps.

#include <chrono>
#include <cstddef>
#include <utility>
#include <vector>

#include <assent/thread_safety.h>

namespace assent::base {

template <typename T>
class Mailbox {
 public:
  // Never blocks and never refuses: what must not be lost goes in here (answers, completions).
  void Put(T item) {
    bool wake = false;
    {
      const MutexLock lock(mutex_);
      items_.push_back(std::move(item));
      wake = std::exchange(sleeping_, false);
    }
    if (wake) ready_.NotifyOne();
  }

  // Refuses (false) when `limit` items wait already, or `bytes` more would make it more than
  // `limit_bytes`: for new work, which can be asked for again.
  bool TryPut(T& item, std::size_t limit, std::size_t bytes, std::size_t limit_bytes) {
    bool wake = false;
    {
      const MutexLock lock(mutex_);
      if (items_.size() >= limit || bytes_ + bytes > limit_bytes) return false;
      bytes_ += bytes;
      items_.push_back(std::move(item));
      wake = std::exchange(sleeping_, false);
    }
    if (wake) ready_.NotifyOne();
    return true;
  }

  // Everything that waits, in order; sleeps for at most `patience` if there is nothing. `into` is
  // emptied first and its memory is used again.
  void TakeAll(std::vector<T>& into, std::chrono::microseconds patience) {
    into.clear();
    const MutexLock lock(mutex_);
    if (items_.empty() && patience.count() > 0) {
      sleeping_ = true;
      const auto until = std::chrono::steady_clock::now() + patience;
      while (items_.empty() && ready_.WaitUntil(mutex_, until)) {
      }
      sleeping_ = false;
    }
    std::swap(into, items_);
    bytes_ = 0;
  }

  std::size_t size() const {
    const MutexLock lock(mutex_);
    return items_.size();
  }

 private:
  mutable Mutex mutex_;
  CondVar ready_;
  std::vector<T> items_ ASSENT_GUARDED_BY(mutex_);
  std::size_t bytes_ ASSENT_GUARDED_BY(mutex_) = 0;  // of those of items_ that came by TryPut
  bool sleeping_ ASSENT_GUARDED_BY(mutex_) = false;
};

}  // namespace assent::base
