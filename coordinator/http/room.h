#pragma once

#include <memory>
#include <utility>

#include <assent/status.h>
#include <assent/thread_safety.h>

#include "coordinator/http/exchange.h"
#include "coordinator/service/holdings.h"

namespace assent::http {

// The room that a call or stream takes, until it is over. Any thread.
class Room {
 public:
  Status Enter(service::Holdings& holdings, service::Held what, const service::Caller& caller) {
    auto place = holdings.Enter(what, caller);
    if (!place.ok()) return place.status();
    const MutexLock lock(mutex_);
    place_ = std::move(place).value();
    return OkStatus();
  }
  Status Hold(std::size_t bytes, const std::shared_ptr<Exchange>& exchange) {
    const MutexLock lock(mutex_);
    if (place_ == nullptr) return OkStatus();
    const std::weak_ptr<Exchange> weak = exchange;
    return place_->HoldAnswer(bytes, [weak] {
      if (const auto there = weak.lock()) there->Abort();
    });
  }
  void Taken() {
    const MutexLock lock(mutex_);
    if (place_ != nullptr) place_->AnswerTaken();
  }
  void Leave() {
    std::unique_ptr<service::Holdings::Place> last;
    const MutexLock lock(mutex_);
    last = std::move(place_);
  }

 private:
  Mutex mutex_;
  std::unique_ptr<service::Holdings::Place> place_ ASSENT_GUARDED_BY(mutex_);
};

}  // namespace assent::http
