#pragma once

// Scripted coordinators that share what they say of each other: the test changes the view, and all
// of them tell it to whoever watches.

#include <chrono>
#include <condition_variable>
#include <functional>
#include <mutex>
#include <string>
#include <utility>
#include <vector>

#include "tests/sdk/fake_coordinator.h"
#include "tests/sdk/views.h"

namespace assent::testing {

// Until `holds` or for ten seconds, which no test needs.
inline bool Eventually(const std::function<bool()>& holds) {
  const auto end = std::chrono::steady_clock::now() + std::chrono::seconds(10);
  std::mutex mutex;
  std::condition_variable never;
  std::unique_lock lock(mutex);
  while (!holds()) {
    if (std::chrono::steady_clock::now() > end) return false;
    never.wait_for(lock, std::chrono::milliseconds(2));
  }
  return true;
}

// A call that hangs: until it is cut.
inline grpc::Status Hang(grpc::ServerContext* context) {
  Eventually([&] { return context->IsCancelled(); });
  return {grpc::StatusCode::UNAVAILABLE, "cut"};
}

class SharedView {
 public:
  void Show(v1::ClusterView view) {
    {
      const std::lock_guard lock(mutex_);
      view_ = std::move(view);
      ++changes_;
    }
    changed_.notify_all();
  }
  // The script of ClusterService.Watch.
  grpc::Status Watch(grpc::ServerContext* context, ViewStream* stream) {
    std::unique_lock lock(mutex_);
    ++watchers_;
    int seen = 0;
    while (!context->IsCancelled()) {
      if (seen != changes_) {
        seen = changes_;
        const v1::ClusterView view = view_;
        lock.unlock();
        const bool written = stream->Write(view);
        lock.lock();
        if (!written) break;
      }
      changed_.wait_for(lock, std::chrono::milliseconds(5));
    }
    --watchers_;
    return {grpc::StatusCode::UNAVAILABLE, "stopping"};
  }
  int watchers() {
    const std::lock_guard lock(mutex_);
    return watchers_;
  }

 private:
  std::mutex mutex_;
  std::condition_variable changed_;
  v1::ClusterView view_;
  int changes_ = 0;
  int watchers_ = 0;
};

}  // namespace assent::testing
