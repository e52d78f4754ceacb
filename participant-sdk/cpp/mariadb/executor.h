#pragma once

// The threads that execute, each with a connection of its own, and what waits for them.
//
//   settling   COMMIT and ROLLBACK of prepared work: first, they free rows that others wait for
//   groups     what shares a local transaction: all that wait, up to a bound
//   waiters    what may wait for locks (PREPARE, and what met a lock in a group), one at a time.
//              One thread is always free of them, so that what they wait for can end
//
// Two operations of one branch never run beside each other: the second one stands behind the first.

#include <cstdint>
#include <deque>
#include <memory>
#include <string>
#include <thread>
#include <unordered_map>
#include <vector>

#include <assent/thread_safety.h>

#include "participant-sdk/cpp/mariadb/sessions.h"
#include "participant-sdk/cpp/mariadb/task.h"

namespace assent::mariadb::internal {

class Executor {
 public:
  // `first` is the connection that Open has made; the others come when they are needed.
  Executor(const Options& options, const Registry& registry, ConnectionSettings settings,
           std::unique_ptr<Connection> first);
  // Runs and answers what is queued, then stops.
  ~Executor();
  Executor(const Executor&) = delete;
  Executor& operator=(const Executor&) = delete;

  // False, and the task is untouched, when the queue is full.
  bool Submit(TaskPtr& task);
  Status Health() const;
  // The current thread is one of a store's.
  static bool OnOwnThread();

  struct Counts {
    std::uint64_t operations = 0;
    std::uint64_t groups = 0;
    std::uint64_t undone = 0;
    std::uint64_t unknown = 0;
  };
  Counts counts() const;

 private:
  enum class Work : std::uint8_t { kStop, kSettle, kGroup, kWaiter };
  using Lane = std::deque<TaskPtr>;
  void Loop(std::unique_ptr<Connection> first);
  // Whether there is a connection; the tasks are dismissed where there is none.
  bool Connect(std::unique_ptr<Connection>& connection, Tasks& tasks, Work work);
  Work Take(Tasks& tasks);
  RunEnd RunTasks(Connection& connection, Tasks tasks);
  void Put(TaskPtr task, bool in_front) ASSENT_REQUIRES(mutex_);
  void Finish(RunEnd end, Work work);
  // Nobody answers: so is told whoever waits.
  void DismissAll(Tasks tasks, Work work, const Status& why);
  Lane& LaneOf(const Task& task) ASSENT_REQUIRES(mutex_);
  // The branch is free: who stands behind it comes next.
  void Free(const Task& task) ASSENT_REQUIRES(mutex_);

  const Options& options_;
  const Context context_;
  const ConnectionSettings settings_;
  Sessions sessions_;

  mutable Mutex mutex_;
  CondVar wake_;
  Lane settling_ ASSENT_GUARDED_BY(mutex_);
  Lane groups_ ASSENT_GUARDED_BY(mutex_);
  Lane waiters_ ASSENT_GUARDED_BY(mutex_);
  // By branch: somebody of it is queued or runs, and these stand behind him.
  std::unordered_map<std::string, Lane> behind_ ASSENT_GUARDED_BY(mutex_);
  std::size_t count_ ASSENT_GUARDED_BY(mutex_) = 0;  // of all that have not been answered
  std::size_t waiting_threads_ ASSENT_GUARDED_BY(mutex_) = 0;
  bool stop_ ASSENT_GUARDED_BY(mutex_) = false;
  Status health_ ASSENT_GUARDED_BY(mutex_);
  Counts counts_ ASSENT_GUARDED_BY(mutex_);

  std::vector<std::thread> threads_;  // last: start when the rest is there
};

}  // namespace assent::mariadb::internal
