#include <thread>

#include "coordinator/base/thread_name.h"
#include "coordinator/log/queued_log.h"

namespace assent::log {

Result<Joined> ThreadedLog::Join(SlotEvents& events) {
  Result<Joined> joined = QueuedLog::Join(events);
  if (!joined.ok()) return joined;
  thread_ = std::thread([this] {
    base::NameThisThread("assent-log");
    bool more_to_do = false;
    while (Wait(more_to_do)) more_to_do = Turn();
    Close();
  });
  return joined;
}

ThreadedLog::~ThreadedLog() {
  if (!thread_.joinable()) return;
  Stop();
  thread_.join();
}

}  // namespace assent::log
