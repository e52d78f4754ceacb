#pragma once

// Between a log that others share, which is there first, and those who want to know of the others.

#include <cstddef>
#include <functional>
#include <utility>

#include <assent/thread_safety.h>

#include "coordinator/cluster/view.h"

namespace assent::daemon {

// What the log sees of the cluster, to the parts that are there later than the log.
class ViewRelay {
 public:
  using Listener = std::function<void(const cluster::ViewPtr&)>;
  void Take(cluster::ViewPtr view) {
    const MutexLock lock(mutex_);
    latest_ = std::move(view);
    if (listener_) listener_(latest_);
  }
  // Empty: from now on nobody is told.
  void SetListener(Listener listener) {
    const MutexLock lock(mutex_);
    listener_ = std::move(listener);
    if (listener_ && latest_) listener_(latest_);
  }
  std::size_t members() const {
    const MutexLock lock(mutex_);
    return latest_ ? latest_->members.size() : 0;
  }

 private:
  mutable Mutex mutex_;
  Listener listener_ ASSENT_GUARDED_BY(mutex_);
  cluster::ViewPtr latest_ ASSENT_GUARDED_BY(mutex_);
};

}  // namespace assent::daemon
