#pragma once

// The one thread that writes. It takes what has queued, runs it inside one local transaction,
// commits once, and only then answers all of it: the more is waiting, the more share one fsync.
//
//   queue --> BEGIN IMMEDIATE --> each operation in its savepoint --> COMMIT (durable) --> answers
//
// COMMIT fails: certainly not done (busy, full): everybody is told so. Anything else: the outcome
// is unknown, nobody of the group is answered, and the executor is poisoned: it does nothing more
// until the database has been opened anew.

#include <chrono>
#include <cstdint>
#include <deque>
#include <functional>
#include <memory>
#include <string_view>
#include <thread>
#include <vector>

#include <assent/status.h>
#include <assent/thread_safety.h>

#include "participant-sdk/cpp/sqlite/runner.h"
#include "participant-sdk/cpp/sqlite/task.h"
#include "participant-sdk/cpp/sqlite/waiting_room.h"

namespace assent::sqlite::internal {

class Executor {
 public:
  struct Settings {
    std::size_t max_queued = 0;
    std::size_t max_group = 0;
    std::chrono::milliseconds max_group_time{0};
    std::chrono::milliseconds claim_wait{0};
    std::chrono::milliseconds claim_grace{0};
    std::function<void(const Status&)> on_poisoned;
    std::function<void(std::string_view)> at_point;
  };
  // What the executor works with; built anew by Reopen.
  struct Bench {
    std::unique_ptr<Connection> connection;
    std::unique_ptr<Runner> runner;
  };
  using Opener = std::function<Result<Bench>()>;

  Executor(Settings settings, Opener open, Bench bench);
  // Runs and answers what is queued, then stops.
  ~Executor();
  Executor(const Executor&) = delete;
  Executor& operator=(const Executor&) = delete;

  // False, and the task is untouched, when the queue is full.
  bool Submit(std::unique_ptr<Task>& task);
  // Opens the database anew; blocks until done.
  Status Reopen();
  Status Health() const;
  bool on_own_thread() const { return std::this_thread::get_id() == thread_.get_id(); }

  struct Counts {
    std::uint64_t operations = 0;
    std::uint64_t groups = 0;
    std::uint64_t releases = 0;  // groups in which claims were dropped
  };
  Counts counts() const;
  // Until `releases` is no longer `seen`, or the deadline.
  void WaitForRelease(std::uint64_t seen, std::chrono::steady_clock::time_point deadline);

 private:
  using Tasks = std::vector<std::unique_ptr<Task>>;
  void Loop();
  // Waits for something to do and takes it; false when it is time to stop.
  bool Take(Tasks& tasks);
  void OpenAnew();
  void RunAll(Tasks tasks);
  void RunFreed();
  // Runs one group from the front of `tasks`, which it shortens.
  void RunGroup(Tasks& tasks);
  // After the group's COMMIT: answers its tasks, but for those that a claim blocks, which wait.
  void AnswerGroup(Tasks::iterator begin, Tasks::iterator end);
  // Ends the group's transaction. A failure with a healthy executor: certainly not done, and rolled
  // back.
  Status Commit();
  void Poison(const Status& why);
  void Reach(std::string_view point) {
    if (settings_.at_point) settings_.at_point(point);
  }

  const Settings settings_;
  const Opener open_;
  // Of the executor's thread:
  Bench bench_;
  WaitingRoom waiting_;
  // Gids whose claims were dropped and whom nobody has been told of.
  std::vector<std::string> released_;

  mutable Mutex mutex_;
  CondVar wake_;     // work or stop, for the thread
  CondVar changed_;  // a release or a reopening, for others
  std::deque<std::unique_ptr<Task>> queue_ ASSENT_GUARDED_BY(mutex_);
  std::size_t waiting_count_ ASSENT_GUARDED_BY(mutex_) = 0;  // of waiting_, for the bound
  bool stop_ ASSENT_GUARDED_BY(mutex_) = false;
  bool reopen_wanted_ ASSENT_GUARDED_BY(mutex_) = false;
  Status reopened_ ASSENT_GUARDED_BY(mutex_);
  Status health_ ASSENT_GUARDED_BY(mutex_);
  Counts counts_ ASSENT_GUARDED_BY(mutex_);

  std::thread thread_;  // last: starts when the rest is there
};

}  // namespace assent::sqlite::internal
