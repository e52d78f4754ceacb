#pragma once

// Threads that run plain handlers, oldest call first. The queue needs no bound of its own: the call table has one.

#include <condition_variable>
#include <cstddef>
#include <deque>
#include <functional>
#include <mutex>
#include <thread>
#include <vector>

#include "participant-sdk/src/call_table.h"

namespace assent::internal {

class WorkerPool {
 public:
  WorkerPool(std::size_t threads, std::function<void(Ticket)> run);
  ~WorkerPool() { Join(); }

  void Push(Ticket ticket);
  // Drops what is queued and takes nothing more. Does not wait for what is running.
  void Close();
  // Close, and wait for what is running. Not from a handler.
  void Join();

 private:
  void Work();

  const std::function<void(Ticket)> run_;
  mutable std::mutex mutex_;
  std::condition_variable changed_;
  std::deque<Ticket> queue_;
  std::size_t idle_ = 0;
  bool closed_ = false;
  std::vector<std::thread> threads_;
};

}  // namespace assent::internal
