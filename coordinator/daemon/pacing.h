#pragma once

// The policies of services, from the file of --service-policies, and the thread that looks at the
// board when one of them says that it is time.

#include <memory>
#include <thread>

#include <assent/status.h>
#include <assent/thread_safety.h>

#include "coordinator/daemon/config.h"
#include "coordinator/traffic/policy.h"
#include "coordinator/transport/switchboard.h"

namespace assent::daemon {

// Without a file, all services are treated as usual.
Result<std::shared_ptr<const traffic::Policies>> ReadServicePolicies(const Config& config);

class Pacing {
 public:
  // `board` and `clock` outlive it; nothing was sent on the board yet.
  Pacing(transport::Switchboard& board, const transport::Clock& clock,
         std::shared_ptr<const traffic::Policies> policies);
  ~Pacing();

  // Reads the file again: what is wrong with it changes nothing.
  Status Reload(const Config& config);

 private:
  // The board may call it as long as there is a board.
  struct Alarm {
    Mutex mutex;
    CondVar rings;
    core::MonoTime at ASSENT_GUARDED_BY(mutex) = core::kNever;
    bool stopped ASSENT_GUARDED_BY(mutex) = false;
  };
  void Run();

  transport::Switchboard& board_;
  const transport::Clock& clock_;
  const std::shared_ptr<Alarm> alarm_;
  std::thread thread_;
};

}  // namespace assent::daemon
