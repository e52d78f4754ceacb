#pragma once

// The time as this machine has it.

#include "coordinator/base/clock.h"
#include "coordinator/transport/transport.h"

namespace assent::daemon {

class SystemClock final : public transport::Clock {
 public:
  core::MonoTime Mono() const override { return base::MonoNow(); }
  core::WallTime Wall() const override { return base::WallNow(); }
};

}  // namespace assent::daemon
