#pragma once

// Whether this coordinator lives, and whether it is ready for work.

#include <chrono>
#include <functional>
#include <memory>
#include <string>
#include <vector>

#include <assent/status.h>
#include <assent/thread_safety.h>

#include "coordinator/http/exchange.h"

namespace assent::http {

struct Check {
  std::string name{};
  bool ok = false;
  std::string said{};
};

struct HealthOptions {
  // All checks but that of the log, as they stand. From any thread; does not wait.
  std::function<std::vector<Check>()> look{};
  // A real, small write: says when it is durable, or why it is not. From any thread, perhaps from
  // here. Empty: there is no log yet.
  std::function<void(std::function<void(const Status&)>)> write{};
};

class Health : public std::enable_shared_from_this<Health> {
 public:
  explicit Health(HealthOptions options) : options_(std::move(options)) {}

  // As soon as there is a log.
  void SetWrite(std::function<void(std::function<void(const Status&)>)> write)
      ASSENT_EXCLUDES(mutex_);
  // Of /readyz. One write is under way at a time, however many ask.
  std::shared_ptr<Pending> Ready(bool verbose, const std::shared_ptr<Exchange>& exchange)
      ASSENT_EXCLUDES(mutex_);

 private:
  using Clock = std::chrono::steady_clock;
  class Asking;

  void Written(const Status& status) ASSENT_EXCLUDES(mutex_);

  const HealthOptions options_;
  Mutex mutex_;
  std::function<void(std::function<void(const Status&)>)> write_ ASSENT_GUARDED_BY(mutex_) =
      options_.write;
  Clock::time_point asked_at_ ASSENT_GUARDED_BY(mutex_){};  // the latest write
  bool under_way_ ASSENT_GUARDED_BY(mutex_) = false;
  Check last_ ASSENT_GUARDED_BY(mutex_){};
  std::vector<std::shared_ptr<Asking>> askers_ ASSENT_GUARDED_BY(mutex_);
};

// "[+]log: written in 2 ms", a line for each check, then the verdict; without `verbose` only what
// is not so. 200 or 503.
Answer ReadyAnswer(const std::vector<Check>& checks, bool verbose);

}  // namespace assent::http
