#pragma once

// What turns the pure SubmitQueue into a running stream. Free of gRPC: the dialer is given.

#include <memory>
#include <vector>

#include <assent/connection.h>
#include <assent/thread_safety.h>

#include "assent/v1/transaction.pb.h"
#include "participant-sdk/cpp/src/call_table.h"
#include "participant-sdk/cpp/src/stream.h"
#include "participant-sdk/cpp/src/submit_queue.h"
#include "participant-sdk/cpp/src/timer.h"

namespace assent::internal {

// Shared with its stream's listener and its timer. Callbacks run on their threads, or on the
// caller's of Submit when it is refused at once; never under the mutex.
class Submitter : public std::enable_shared_from_this<Submitter> {
 public:
  Submitter(SubmitQueue::Options options, std::unique_ptr<Dialer> dialer);
  ~Submitter();

  void Start();
  void Submit(v1::SubmitRequest request, Connection::ReportCallback done, SteadyTime deadline);
  // Completes everything. May be called from a callback.
  void Shutdown();

 private:
  struct Todo {
    std::shared_ptr<Stream> stream;  // for Dial, Send and Cancel
    SubmitQueue::Action action;
  };
  using Todos = std::vector<Todo>;
  template <typename Event>
  void Feed(const Event& event);
  SteadyTime Tick(SteadyTime now);
  Todos Collect(SubmitQueue::Actions actions) ASSENT_REQUIRES(mutex_);
  static void Do(Todos todos);

  Mutex mutex_;
  SubmitQueue queue_ ASSENT_GUARDED_BY(mutex_);
  std::shared_ptr<Stream> stream_ ASSENT_GUARDED_BY(mutex_);
  SteadyTime timer_due_ ASSENT_GUARDED_BY(mutex_) = SteadyTime::min();

  std::unique_ptr<Dialer> dialer_;
  std::unique_ptr<Timer> timer_;  // set by Start, under the mutex
};

}  // namespace assent::internal
