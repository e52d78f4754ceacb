#include "participant-sdk/cpp/src/worker_pool.h"

#include <cstddef>
#include <functional>
#include <string>
#include <utility>

namespace assent::internal {

WorkerPool::WorkerPool(Options options, std::function<void(Ticket)> run,
                       std::function<void(const std::string&)> log)
    : options_(options), run_(std::move(run)), log_(std::move(log)) {
  const MutexLock lock(mutex_);
  threads_.reserve(options_.threads + options_.max_extra);
  for (std::size_t i = 0; i < options_.threads; ++i) threads_.emplace_back([this] { Work(); });
}

void WorkerPool::Join() {
  Close();
  // None is added any more: a handler that still runs finds the pool closed.
  std::vector<std::thread> threads;
  {
    const MutexLock lock(mutex_);
    threads.swap(threads_);
  }
  for (std::thread& thread : threads) {
    if (thread.joinable()) thread.join();
  }
}

void WorkerPool::Push(Ticket ticket) {
  bool wake = false;
  {
    const MutexLock lock(mutex_);
    if (closed_) return;
    queue_.push_back(ticket);
    wake = MayRun();
  }
  if (wake) changed_.NotifyOne();
}

void WorkerPool::Close() {
  {
    const MutexLock lock(mutex_);
    closed_ = true;
    queue_.clear();
  }
  changed_.NotifyAll();
}

Status WorkerPool::BeginWait() {
  std::string line;
  {
    const MutexLock lock(mutex_);
    if (!closed_ && active_ == 1 &&
        threads_.size() == waiting_ + 1) {  // nobody but this thread is left
      if (threads_.size() >= options_.threads + options_.max_extra) {
        return FailedPrecondition("not begun: all " + std::to_string(options_.threads) +
                                  " worker threads of this participant and " +
                                  std::to_string(options_.max_extra) +
                                  " extra ones are in handlers that wait for transactions, so "
                                  "nobody is left to execute this one if it needs this "
                                  "service: submit less deeply nested, or outside of handlers, or "
                                  "raise max_extra_workers");
      }
      threads_.emplace_back([this] { Work(); });
      line = "every worker waits for a transaction, one is added workers=" +
             std::to_string(threads_.size());
    }
    --active_;
    ++waiting_;
  }
  changed_.NotifyOne();
  if (log_ && !line.empty()) log_(line);
  return OkStatus();
}

void WorkerPool::EndWait() {
  const MutexLock lock(mutex_);
  --waiting_;
  ++active_;
}

void WorkerPool::Work() {
  const CrewMember member(*this);
  MutexLock lock(mutex_);
  while (true) {
    while (!closed_ && !MayRun()) changed_.Wait(mutex_);
    if (closed_) return;
    const Ticket ticket = queue_.front();
    queue_.pop_front();
    ++active_;
    const bool more = MayRun();
    lock.Unlock();
    if (more) changed_.NotifyOne();
    run_(ticket);
    lock.Lock();
    --active_;
  }
}

}  // namespace assent::internal
