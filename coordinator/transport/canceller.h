#pragma once

// Ends a call of gRPC without waiting for its reader, as long as it is there. May outlive it.
//
// Thread-safety: from any thread.

#include <grpcpp/grpcpp.h>

#include <assent/thread_safety.h>

namespace assent::transport {

// Who may not stay any more is told so, and asked again about once a second, at odd moments: so
// often until one who has not gone, because he does not read what he is told, is cancelled.
inline constexpr int kLooksUntilCancelledCount = 3;

class Canceller {
 public:
  explicit Canceller(grpc::CallbackServerContext* context) : context_(context) {}
  // False: the call is over.
  bool Cancel() {
    const MutexLock lock(mutex_);
    if (context_ != nullptr) context_->TryCancel();
    return context_ != nullptr;
  }
  // The call is over: its OnDone.
  void Forget() {
    const MutexLock lock(mutex_);
    context_ = nullptr;
  }

 private:
  Mutex mutex_;
  grpc::CallbackServerContext* context_ ASSENT_GUARDED_BY(mutex_);
};

}  // namespace assent::transport
