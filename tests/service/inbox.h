#pragma once

#include <chrono>
#include <cstddef>
#include <stdexcept>
#include <utility>
#include <vector>

#include <assent/thread_safety.h>

#include "coordinator/service/asker.h"

namespace assent::service {

// What has come, until the test takes it.
template <typename Thing>
class Inbox {
 public:
  void Put(Thing thing) {
    const MutexLock lock(mutex_);
    things_.push_back(std::move(thing));
    came_.NotifyAll();
  }
  Thing Take() {
    const MutexLock lock(mutex_);
    // Only a failure waits for so long.
    const auto until = std::chrono::steady_clock::now() + std::chrono::seconds(30);
    while (things_.empty() && came_.WaitUntil(mutex_, until)) {
    }
    if (things_.empty()) throw std::runtime_error("nothing came");
    Thing first = std::move(things_.front());
    things_.erase(things_.begin());
    return first;
  }
  std::size_t size() {
    const MutexLock lock(mutex_);
    return things_.size();
  }

 private:
  Mutex mutex_;
  CondVar came_;
  std::vector<Thing> things_ ASSENT_GUARDED_BY(mutex_);
};

template <typename Reply>
class Waiting final : public Asker<Reply> {
 public:
  void Answer(const Status& status, absl::FunctionRef<void(Reply&)> fill) override {
    Reply reply;
    if (status.ok()) fill(reply);
    answers.Put({status, std::move(reply)});
  }
  bool Over() override { return false; }

  Inbox<std::pair<Status, Reply>> answers;
};

}  // namespace assent::service
