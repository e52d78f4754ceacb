#pragma once

// The threads of a store over a database's server, each with a connection of its own, and what
// waits for them.
//
//   settling   COMMIT and ROLLBACK of prepared work: first, they free rows that others wait for
//   groups     what shares a local transaction: all that wait, up to a bound
//   waiters    what may wait for locks (PREPARE, and what met a lock in a group), one at a time.
//              One thread is always free of them, so that what they wait for can end
//
// Two operations of one branch never run beside each other: the second one stands behind the first.

#include <algorithm>
#include <cstddef>
#include <cstdint>
#include <deque>
#include <functional>
#include <memory>
#include <string>
#include <thread>
#include <unordered_map>
#include <utility>
#include <vector>

#include <assent/status.h>
#include <assent/thread_safety.h>

#include "participant-sdk/cpp/server/task.h"
#include "participant-sdk/cpp/src/crew.h"

namespace assent::server {

// A handler runs on a thread that others wait for, inside a local transaction: what it waits for
// may stand behind it.
class NobodyWaits final : public assent::internal::Crew {
 public:
  explicit NobodyWaits(const char* database) : database_(database) {}
  Status BeginWait() override {
    return FailedPrecondition("not begun: a handler of a " + std::string(database_) +
                              " store cannot wait for a transaction, which may need the thread "
                              "that it runs on; use WaitFor::kAccepted or SubmitAsync, or do it "
                              "outside of the handler");
  }
  void EndWait() override {}

 private:
  const char* const database_;
};

template <typename Connection, typename Task>
class Executor {
 public:
  using TaskPtr = std::unique_ptr<Task>;
  using Tasks = std::vector<TaskPtr>;
  using End = RunEnd<Task>;
  struct Options {
    const char* database = "";  // for people
    std::size_t connections = 0;
    std::size_t max_queued = 0;
    std::size_t max_group = 0;
    std::function<Result<std::unique_ptr<Connection>>()> open{};
    std::function<bool(const Connection&)> is_usable{};  // or another is opened
    // On a thread of ours.
    std::function<End(Connection&, Tasks)> run{};
  };
  struct Counts {
    std::uint64_t operations = 0;
    std::uint64_t groups = 0;
    std::uint64_t undone = 0;
    std::uint64_t unknown = 0;
  };

  // `first` is the connection that the store has opened; the others come when they are needed.
  Executor(Options options, std::unique_ptr<Connection> first) : options_(std::move(options)) {
    for (std::size_t i = 0; i < options_.connections; ++i) {
      threads_.emplace_back(
          [this, connection = std::move(first)]() mutable { Loop(std::move(connection)); });
    }
  }
  // Runs and answers what is queued, then stops.
  ~Executor() {
    {
      const MutexLock lock(mutex_);
      stop_ = true;
    }
    wake_.NotifyAll();
    for (std::thread& thread : threads_) thread.join();
  }
  Executor(const Executor&) = delete;
  Executor& operator=(const Executor&) = delete;

  // False, and the task is untouched, when the queue is full.
  bool Submit(TaskPtr& task) {
    {
      const MutexLock lock(mutex_);
      if (count_ >= options_.max_queued) return false;
      ++count_;
      if (task->has_branch()) {
        const auto [behind, is_free] = behind_.try_emplace(KeyOf(*task));
        if (!is_free) {
          behind->second.push_back(std::move(task));
          return true;
        }
      }
      Put(std::move(task), false);
    }
    wake_.NotifyOne();
    return true;
  }
  Status Health() const {
    const MutexLock lock(mutex_);
    return health_;
  }
  // The current thread is one of a store's over this kind of database.
  static bool OnOwnThread() { return on_own_thread_; }
  Counts counts() const {
    const MutexLock lock(mutex_);
    return counts_;
  }

 private:
  enum class Work : std::uint8_t { kStop, kSettle, kGroup, kWaiter };
  using Lane = std::deque<TaskPtr>;

  static std::string KeyOf(const Task& task) { return task.call.gid + "/" + task.call.branch_id; }

  void Loop(std::unique_ptr<Connection> first) {
    on_own_thread_ = true;
    NobodyWaits crew(options_.database);
    const assent::internal::CrewMember member(crew);
    std::unique_ptr<Connection> connection = std::move(first);
    for (;;) {
      Tasks tasks;
      const Work work = Take(tasks);
      if (work == Work::kStop) return;
      const Status there = Connect(connection);
      there.ok() ? Finish(options_.run(*connection, std::move(tasks)), work)
                 : DismissAll(std::move(tasks), work, there);
    }
  }

  Status Connect(std::unique_ptr<Connection>& connection) {
    if (connection != nullptr && options_.is_usable(*connection)) return OkStatus();
    connection.reset();
    Result<std::unique_ptr<Connection>> opened = options_.open();
    if (opened.ok()) connection = std::move(*opened);
    const MutexLock lock(mutex_);
    health_ = opened.status();
    return health_;
  }

  Work Take(Tasks& tasks) {
    const MutexLock lock(mutex_);
    for (;;) {
      const auto take = [&tasks](Lane& lane) {
        tasks.push_back(std::move(lane.front()));
        lane.pop_front();
      };
      if (!settling_.empty()) return take(settling_), Work::kSettle;
      if (!groups_.empty()) {
        while (!groups_.empty() && tasks.size() < options_.max_group) take(groups_);
        return Work::kGroup;
      }
      if (!waiters_.empty() && waiting_threads_ + 1 < options_.connections) {
        ++waiting_threads_;
        return take(waiters_), Work::kWaiter;
      }
      if (stop_ && count_ == 0) return Work::kStop;
      wake_.Wait(mutex_);
    }
  }

  void Finish(End end, Work work) {
    {
      const MutexLock lock(mutex_);
      counts_.operations += end.committed;
      counts_.groups += end.groups;
      counts_.undone += end.undone;
      counts_.unknown += end.unknown;
      if (work == Work::kWaiter) --waiting_threads_;
      // The first of them is to be the first again.
      std::reverse(end.again.begin(), end.again.end());
      for (TaskPtr& task : end.again) Put(std::move(task), true);
      for (const TaskPtr& task : end.done) Free(*task);
    }
    wake_.NotifyAll();
  }

  // Nobody answers: so is told whoever waits.
  void DismissAll(Tasks tasks, Work work, const Status& why) {
    {
      const MutexLock lock(mutex_);
      for (Lane* lane : {&settling_, &groups_, &waiters_}) {
        for (TaskPtr& task : *lane) tasks.push_back(std::move(task));
        lane->clear();
      }
    }
    for (const TaskPtr& task : tasks) task->NotDone(why);
    End end;
    end.done = std::move(tasks);
    Finish(std::move(end), work);
  }

  void Put(TaskPtr task, bool in_front) ASSENT_REQUIRES(mutex_) {
    Lane& lane = LaneOf(*task);
    if (in_front) {
      lane.push_front(std::move(task));
    } else {
      lane.push_back(std::move(task));
    }
  }
  Lane& LaneOf(const Task& task) ASSENT_REQUIRES(mutex_) {
    if (task.Settles()) return settling_;
    return task.alone || task.Prepares() ? waiters_ : groups_;
  }
  // The branch is free: who stands behind it comes next.
  void Free(const Task& task) ASSENT_REQUIRES(mutex_) {
    --count_;
    if (!task.has_branch()) return;
    const auto behind = behind_.find(KeyOf(task));
    if (behind->second.empty()) {
      behind_.erase(behind);
      return;
    }
    TaskPtr next = std::move(behind->second.front());
    behind->second.pop_front();
    Put(std::move(next), false);
  }

  static inline thread_local bool on_own_thread_ = false;

  const Options options_;

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

}  // namespace assent::server
