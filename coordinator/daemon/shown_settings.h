#pragma once

#include <assent/thread_safety.h>

#include "coordinator/daemon/config.h"
#include "coordinator/grpc/backup_service.h"

namespace assent::daemon {

// The settings of this moment, for who asks on another thread.
class ShownSettings {
 public:
  explicit ShownSettings(const Config& config) { Set(config); }
  void Set(const Config& config) ASSENT_EXCLUDES(mutex_);
  door::Settings Get() const ASSENT_EXCLUDES(mutex_);

 private:
  mutable Mutex mutex_;
  door::Settings settings_ ASSENT_GUARDED_BY(mutex_);
};

}  // namespace assent::daemon
