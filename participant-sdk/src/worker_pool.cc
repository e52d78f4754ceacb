#include "participant-sdk/src/worker_pool.h"

#include <cstddef>
#include <functional>
#include <mutex>
#include <utility>

namespace assent::internal {

WorkerPool::WorkerPool(std::size_t threads, std::function<void(Ticket)> run)
    : run_(std::move(run)) {
  threads_.reserve(threads);
  for (std::size_t i = 0; i < threads; ++i) threads_.emplace_back([this] { Work(); });
}

void WorkerPool::Join() {
  Close();
  for (std::thread& thread : threads_) {
    if (thread.joinable()) thread.join();
  }
}

void WorkerPool::Push(Ticket ticket) {
  bool wake = false;
  {
    const std::lock_guard lock(mutex_);
    if (closed_) return;
    queue_.push_back(ticket);
    wake = idle_ > 0;
  }
  if (wake) changed_.notify_one();
}

void WorkerPool::Close() {
  {
    const std::lock_guard lock(mutex_);
    closed_ = true;
    queue_.clear();
  }
  changed_.notify_all();
}

void WorkerPool::Work() {
  std::unique_lock lock(mutex_);
  while (true) {
    ++idle_;
    changed_.wait(lock, [this] { return closed_ || !queue_.empty(); });
    --idle_;
    if (closed_) return;
    const Ticket ticket = queue_.front();
    queue_.pop_front();
    lock.unlock();
    run_(ticket);
    lock.lock();
  }
}

}  // namespace assent::internal
