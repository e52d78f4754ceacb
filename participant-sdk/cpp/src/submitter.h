#pragma once

// What turns the pure SubmitQueue into running streams. Free of gRPC: the dialers are given.

#include <cstdint>
#include <map>
#include <memory>
#include <string>
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
  Submitter(SubmitQueue::Options options, DialerFactory make_dialer);
  ~Submitter();

  void Start();
  void Submit(v1::SubmitRequest request, Connection::ReportCallback done, SteadyTime deadline);
  // See SubmitQueue. Of two routes those with the higher number stay, in whatever order they come.
  void SetRoutes(std::uint64_t number, const RoutesPtr& routes,
                 const std::vector<std::string>& gone);
  // Completes everything. May be called from a callback.
  void Shutdown();

 private:
  struct Todo {
    std::shared_ptr<Stream> stream;  // for Dial, Send and Cancel
    SubmitQueue::Action action;
    Dialled ended;  // goes
  };
  using Todos = std::vector<Todo>;
  template <typename Event>
  void Feed(const Event& event);
  SteadyTime Tick(SteadyTime now);
  Todos Collect(SubmitQueue::Actions actions) ASSENT_REQUIRES(mutex_);
  void Open(const SubmitQueue::Dial& dial) ASSENT_REQUIRES(mutex_);
  Todo TodoOf(SubmitQueue::Action action) ASSENT_REQUIRES(mutex_);
  static void Do(Todos todos);

  const DialerFactory make_dialer_;

  Mutex mutex_;
  SubmitQueue queue_ ASSENT_GUARDED_BY(mutex_);
  std::uint64_t routes_number_ ASSENT_GUARDED_BY(mutex_) = 0;
  std::map<std::uint64_t, Dialled> streams_ ASSENT_GUARDED_BY(mutex_);  // by connection
  SteadyTime timer_due_ ASSENT_GUARDED_BY(mutex_) = SteadyTime::min();

  std::unique_ptr<Timer> timer_;  // set by Start, under the mutex
};

}  // namespace assent::internal
