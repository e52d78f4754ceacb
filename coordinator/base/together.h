#pragma once

// Several answers become one. Each is added from whatever thread it comes on; the last one tells
// the sum, without a lock.

#include <cstddef>
#include <functional>
#include <utility>

#include <assent/thread_safety.h>

namespace assent::base {

template <typename Sum>
class Together {
 public:
  // `done` is called once, within the Add of the last of `count` answers; there is at least one.
  Together(std::size_t count, std::function<void(Sum)> done, Sum begin = {})
      : left_(count), sum_(std::move(begin)), done_(std::move(done)) {}

  // `merge` takes one answer into the sum.
  template <typename Merge>
  void Add(const Merge& merge) {
    MutexLock lock(mutex_);
    merge(sum_);
    if (--left_ > 0) return;
    Sum sum = std::move(sum_);
    lock.Unlock();
    done_(std::move(sum));
  }

 private:
  Mutex mutex_;
  std::size_t left_ ASSENT_GUARDED_BY(mutex_);
  Sum sum_ ASSENT_GUARDED_BY(mutex_);
  const std::function<void(Sum)> done_;
};

}  // namespace assent::base
