#pragma once

// Threads that run plain handlers, oldest call first. The queue needs no bound of its own: the call
// table has one.
//
// Invariant: some thread is always free of waiting. Handlers that wait for a transaction which this
// very service takes part in would otherwise wait for themselves until a deadline. So when the last
// thread begins to wait another one is added, up to a bound; beyond it that handler's call is
// refused.

#include <cstddef>
#include <deque>
#include <functional>
#include <string>
#include <thread>
#include <vector>

#include <assent/thread_safety.h>

#include "participant-sdk/cpp/src/call_table.h"
#include "participant-sdk/cpp/src/crew.h"

namespace assent::internal {

class WorkerPool final : public Crew {
 public:
  struct Options {
    // Handlers that run at once, those that wait for transactions not counted.
    std::size_t threads = 1;
    std::size_t max_extra = 0;  // threads added in the place of such
  };
  // `log` may be empty.
  WorkerPool(Options options, std::function<void(Ticket)> run,
             std::function<void(const std::string&)> log);
  ~WorkerPool() override { Join(); }

  void Push(Ticket ticket);
  // Drops what is queued and takes nothing more. Does not wait for what is running.
  void Close();
  // Close, and wait for what is running. Not from a handler.
  void Join();

  Status BeginWait() override;
  void EndWait() override;

 private:
  void Work();
  bool MayRun() const ASSENT_REQUIRES(mutex_) {
    return !queue_.empty() && active_ < options_.threads;
  }

  const Options options_;
  const std::function<void(Ticket)> run_;
  const std::function<void(const std::string&)> log_;
  Mutex mutex_;
  CondVar changed_;
  std::deque<Ticket> queue_ ASSENT_GUARDED_BY(mutex_);
  std::size_t active_ ASSENT_GUARDED_BY(mutex_) = 0;   // run a handler, and do not wait in it
  std::size_t waiting_ ASSENT_GUARDED_BY(mutex_) = 0;  // in one, for a transaction
  bool closed_ ASSENT_GUARDED_BY(mutex_) = false;
  std::vector<std::thread> threads_ ASSENT_GUARDED_BY(mutex_);  // none is added once closed
};

}  // namespace assent::internal
