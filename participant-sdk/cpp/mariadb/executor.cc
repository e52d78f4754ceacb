#include "participant-sdk/cpp/mariadb/executor.h"

#include <algorithm>
#include <utility>

#include "participant-sdk/cpp/mariadb/group.h"
#include "participant-sdk/cpp/mariadb/two_phase.h"
#include "participant-sdk/cpp/src/crew.h"

namespace assent::mariadb::internal {
namespace {

// A handler runs on a thread that others wait for, inside a local transaction: what it waits for
// may stand behind it.
class NobodyWaits final : public assent::internal::Crew {
 public:
  Status BeginWait() override {
    return FailedPrecondition(
        "not begun: a handler of a MariaDB store cannot wait for a transaction, which may need "
        "the thread that it runs on; use WaitFor::kAccepted or SubmitAsync, or do it outside of "
        "the "
        "handler");
  }
  void EndWait() override {}
};

thread_local bool on_own_thread = false;

std::string KeyOf(const Task& task) { return task.call.gid + "/" + task.call.branch_id; }

}  // namespace

Executor::Executor(const Options& options, const Registry& registry, ConnectionSettings settings,
                   std::unique_ptr<Connection> first)
    : options_(options),
      context_{options, registry},
      settings_(std::move(settings)),
      sessions_(settings_) {
  for (std::size_t i = 0; i < options_.connections; ++i) {
    threads_.emplace_back(
        [this, connection = std::move(first)]() mutable { Loop(std::move(connection)); });
  }
}

Executor::~Executor() {
  {
    const MutexLock lock(mutex_);
    stop_ = true;
  }
  wake_.NotifyAll();
  for (std::thread& thread : threads_) thread.join();
}

bool Executor::OnOwnThread() { return on_own_thread; }

Status Executor::Health() const {
  const MutexLock lock(mutex_);
  return health_;
}

Executor::Counts Executor::counts() const {
  const MutexLock lock(mutex_);
  return counts_;
}

bool Executor::Submit(TaskPtr& task) {
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

Executor::Lane& Executor::LaneOf(const Task& task) {
  if (task.Settles()) return settling_;
  return task.alone || task.Prepares() ? waiters_ : groups_;
}

void Executor::Put(TaskPtr task, bool in_front) {
  Lane& lane = LaneOf(*task);
  if (in_front) {
    lane.push_front(std::move(task));
  } else {
    lane.push_back(std::move(task));
  }
}

void Executor::Free(const Task& task) {
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

Executor::Work Executor::Take(Tasks& tasks) {
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

void Executor::Loop(std::unique_ptr<Connection> first) {
  on_own_thread = true;
  NobodyWaits crew;
  const assent::internal::CrewMember member(crew);
  std::unique_ptr<Connection> connection = std::move(first);
  for (;;) {
    Tasks tasks;
    const Work work = Take(tasks);
    if (work == Work::kStop) return;
    if (Connect(connection, tasks, work)) Finish(RunTasks(*connection, std::move(tasks)), work);
  }
}

bool Executor::Connect(std::unique_ptr<Connection>& connection, Tasks& tasks, Work work) {
  if (connection != nullptr && !connection->broken() && !connection->IsStale()) return true;
  connection.reset();
  Result<std::unique_ptr<Connection>> opened = Connection::Open(settings_);
  {
    const MutexLock lock(mutex_);
    health_ = opened.status();
  }
  if (opened.ok()) {
    connection = std::move(*opened);
    return true;
  }
  DismissAll(std::move(tasks), work, opened.status());
  return false;
}

RunEnd Executor::RunTasks(Connection& connection, Tasks tasks) {
  const Task& first = *tasks.front();
  if (first.Settles() || first.Prepares())
    return TwoPhase(connection, sessions_, context_, std::move(tasks.front())).Run();
  return Group(connection, context_, std::move(tasks)).Run();
}

void Executor::Finish(RunEnd end, Work work) {
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

void Executor::DismissAll(Tasks tasks, Work work, const Status& why) {
  {
    const MutexLock lock(mutex_);
    for (Lane* lane : {&settling_, &groups_, &waiters_}) {
      for (TaskPtr& task : *lane) tasks.push_back(std::move(task));
      lane->clear();
    }
  }
  for (const TaskPtr& task : tasks) task->NotDone(why);
  RunEnd end;
  end.done = std::move(tasks);
  Finish(std::move(end), work);
}

}  // namespace assent::mariadb::internal
