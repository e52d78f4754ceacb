#pragma once

// Many threads put, one thread takes everything at once. The taker pays one lock per turn, not one
// per item, and is woken only when it sleeps.

#include <chrono>
#include <condition_variable>
#include <cstddef>
#include <mutex>
#include <utility>
#include <vector>

namespace assent::base {

template <typename T>
class Mailbox {
 public:
  // Never blocks and never refuses: what must not be lost goes in here (answers, completions).
  void Put(T item) {
    bool wake = false;
    {
      const std::lock_guard lock(mutex_);
      items_.push_back(std::move(item));
      wake = std::exchange(sleeping_, false);
    }
    if (wake) ready_.notify_one();
  }

  // Refuses (false) when `limit` items wait already, or `bytes` more would make it more than
  // `limit_bytes`: for new work, which can be asked for again.
  bool TryPut(T& item, std::size_t limit, std::size_t bytes, std::size_t limit_bytes) {
    bool wake = false;
    {
      const std::lock_guard lock(mutex_);
      if (items_.size() >= limit || bytes_ + bytes > limit_bytes) return false;
      bytes_ += bytes;
      items_.push_back(std::move(item));
      wake = std::exchange(sleeping_, false);
    }
    if (wake) ready_.notify_one();
    return true;
  }

  // Everything that waits, in order; sleeps for at most `patience` if there is nothing. `into` is
  // emptied first and its memory is used again.
  void TakeAll(std::vector<T>& into, std::chrono::microseconds patience) {
    into.clear();
    std::unique_lock lock(mutex_);
    if (items_.empty() && patience.count() > 0) {
      sleeping_ = true;
      ready_.wait_for(lock, patience, [&] { return !items_.empty(); });
      sleeping_ = false;
    }
    std::swap(into, items_);
    bytes_ = 0;
  }

  std::size_t size() const {
    const std::lock_guard lock(mutex_);
    return items_.size();
  }

 private:
  mutable std::mutex mutex_;
  std::condition_variable ready_;
  std::vector<T> items_;   // guarded by mutex_
  std::size_t bytes_ = 0;  // guarded by mutex_: of those of items_ that came by TryPut
  bool sleeping_ = false;  // guarded by mutex_
};

}  // namespace assent::base
