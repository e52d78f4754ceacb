#include "participant-sdk/cpp/sqlite/executor.h"

#include <algorithm>
#include <cstdio>
#include <iterator>
#include <utility>

#include "participant-sdk/cpp/src/crew.h"

namespace assent::sqlite::internal {
namespace {

// Operations that run again when a claim they waited for is dropped.
constexpr std::size_t kMaxFreedCount = 32;

// A handler runs on the one thread that writes, inside its local transaction: whatever it waits for
// may stand behind it.
class NobodyWaits final : public assent::internal::Crew {
 public:
  Status BeginWait() override {
    return FailedPrecondition(
        "not begun: a handler of a SQLite store cannot wait for a transaction, which may need the "
        "thread that it runs on; use "
        "WaitFor::kAccepted or SubmitAsync, or do it outside of the handler");
  }
  void EndWait() override {}
};

}  // namespace

Executor::Executor(Settings settings, Opener open, Bench bench)
    : settings_(std::move(settings)),
      open_(std::move(open)),
      bench_(std::move(bench)),
      waiting_(settings_.claim_wait, settings_.claim_grace),
      thread_([this] { Loop(); }) {}

Executor::~Executor() {
  {
    const MutexLock lock(mutex_);
    stop_ = true;
  }
  wake_.NotifyAll();
  thread_.join();
}

bool Executor::Submit(std::unique_ptr<Task>& task) {
  {
    const MutexLock lock(mutex_);
    if (queue_.size() + waiting_count_ >= settings_.max_queued) return false;
    queue_.push_back(std::move(task));
  }
  wake_.NotifyOne();
  return true;
}

Status Executor::Reopen() {
  ASSENT_CHECK(!on_own_thread());
  const MutexLock lock(mutex_);
  reopen_wanted_ = true;
  wake_.NotifyAll();
  while (reopen_wanted_) changed_.Wait(mutex_);
  return reopened_;
}

Status Executor::Health() const {
  const MutexLock lock(mutex_);
  return health_;
}

Executor::Counts Executor::counts() const {
  const MutexLock lock(mutex_);
  return counts_;
}

void Executor::WaitForRelease(std::uint64_t seen, std::chrono::steady_clock::time_point deadline) {
  const MutexLock lock(mutex_);
  while (counts_.releases == seen && changed_.WaitUntil(mutex_, deadline)) {
  }
}

// A batch at a time, for as long as most of a batch find their way free: where they do not, one of
// them has got what the others wait for, and those behind it want the same.
void Executor::RunFreed() {
  bool flowing = true;
  while (flowing) {
    waiting_.Free(released_);
    released_.clear();
    Tasks freed = waiting_.TakeFreed(kMaxFreedCount);
    const std::size_t others = waiting_.size();
    const std::size_t count = freed.size();
    RunAll(std::move(freed));
    const std::size_t blocked_again = waiting_.size() - others;
    flowing = count > 0 && blocked_again < count / 2 + 1;
  }
}

bool Executor::Take(Tasks& tasks) {
  MutexLock lock(mutex_);
  waiting_count_ = waiting_.size();
  const auto expiry = waiting_.next_expiry();
  while (!stop_ && !reopen_wanted_ && queue_.empty()) {
    if (!expiry.has_value()) {
      wake_.Wait(mutex_);
    } else if (!wake_.WaitUntil(mutex_, *expiry)) {
      break;
    }
  }
  if (reopen_wanted_) {
    lock.Unlock();
    OpenAnew();
    return true;
  }
  if (queue_.empty()) return !stop_;
  const std::size_t count = std::min(queue_.size(), settings_.max_group);
  const auto end = queue_.begin() + static_cast<std::ptrdiff_t>(count);
  tasks.assign(std::make_move_iterator(queue_.begin()), std::make_move_iterator(end));
  queue_.erase(queue_.begin(), end);
  return true;
}

void Executor::Loop() {
  NobodyWaits crew;
  const assent::internal::CrewMember member(crew);
  for (Tasks tasks; Take(tasks); tasks.clear()) {
    std::stable_partition(tasks.begin(), tasks.end(),
                          [](const auto& task) { return task->goes_first(); });
    RunAll(std::move(tasks));
    if (!released_.empty()) RunFreed();
    waiting_.DismissExpired(WaitingRoom::Clock::now());
  }
  waiting_.DismissAll();
}

void Executor::OpenAnew() {
  bench_ = {};
  Result<Bench> opened = open_();
  const Status status = opened.status();
  if (opened.ok()) bench_ = std::move(*opened);
  {
    const MutexLock lock(mutex_);
    reopened_ = status;
    health_ = status;
    reopen_wanted_ = false;
  }
  changed_.NotifyAll();
}

void Executor::RunAll(Tasks tasks) {
  while (!tasks.empty()) {
    if (const Status health = Health(); !health.ok()) {
      for (auto& task : tasks) task->NotDone(health);
      return;
    }
    RunGroup(tasks);
  }
}

void Executor::RunGroup(Tasks& tasks) {
  Connection& connection = *bench_.connection;
  Runner& runner = *bench_.runner;
  if (Status began = connection.RunOne("BEGIN IMMEDIATE"); !began.ok()) {
    if (began.code() == Code::kDataLoss) return Poison(began);
    for (auto& task : tasks) task->NotDone(began);
    tasks.clear();
    return;
  }
  Reach("group:began");
  if (Status status = runner.BeginGroup(); !status.ok()) {
    if (!connection.idle() && !connection.Run("ROLLBACK").ok()) return Poison(status);
    for (auto& task : tasks) task->NotDone(status);
    tasks.clear();
    return;
  }
  const auto close_at = std::chrono::steady_clock::now() + settings_.max_group_time;
  std::size_t count = 0;
  while (count < tasks.size() && (count == 0 || std::chrono::steady_clock::now() < close_at)) {
    tasks[count]->Run(runner);
    if (connection.idle()) {
      // This one took the whole transaction with it. It learns so; its neighbours run again without
      // it.
      tasks[count]->NotDone(
          Unavailable("its statements rolled the whole local transaction back: use ABORT, not "
                      "ROLLBACK, as the conflict resolution"));
      tasks.erase(tasks.begin() + static_cast<std::ptrdiff_t>(count));
      return;
    }
    ++count;
  }
  Reach("group:before-commit");
  const auto end = tasks.begin() + static_cast<std::ptrdiff_t>(count);
  if (Status committed = Commit(); !committed.ok()) {
    // A poisoned executor does not know; any other does.
    const bool known = Health().ok();
    for (auto task = tasks.begin(); task != end; ++task) {
      known ? (*task)->NotDone(committed) : (*task)->Unknown(committed);
    }
    tasks.erase(tasks.begin(), end);
    return;
  }
  Reach("group:committed");
  AnswerGroup(tasks.begin(), end);
  tasks.erase(tasks.begin(), end);
  Reach("group:answered");
}

void Executor::AnswerGroup(Tasks::iterator begin, Tasks::iterator end) {
  const std::vector<std::string>& released = bench_.runner->released();
  {
    const MutexLock lock(mutex_);
    counts_.operations += static_cast<std::uint64_t>(end - begin);
    ++counts_.groups;
    if (!released.empty()) ++counts_.releases;
  }
  if (!released.empty()) changed_.NotifyAll();
  released_.insert(released_.end(), released.begin(), released.end());
  const auto now = WaitingRoom::Clock::now();
  for (auto task = begin; task != end; ++task) {
    const bool waits = !(*task)->blocked_by().empty() && waiting_.Admit(*task, now);
    if (!waits) (*task)->Answer();
  }
}

Status Executor::Commit() {
  Connection& connection = *bench_.connection;
  const int code = sqlite3_exec(connection.handle(), "COMMIT", nullptr, nullptr, nullptr);
  if (code == SQLITE_OK) return OkStatus();
  Status why = StatusOf(code, std::string("COMMIT: ") + sqlite3_errmsg(connection.handle()));
  const int kind = code & 0xff;
  const bool certainly_not =
      kind == SQLITE_BUSY || kind == SQLITE_FULL || kind == SQLITE_CONSTRAINT;
  const bool undone = certainly_not && (connection.idle() || connection.Run("ROLLBACK").ok());
  if (!undone) Poison(why);
  return why;
}

void Executor::Poison(const Status& why) {
  {
    const MutexLock lock(mutex_);
    health_ = why;
  }
  if (settings_.on_poisoned) {
    settings_.on_poisoned(why);
  } else {
    std::fprintf(stderr, "assent: sqlite store is poisoned until it is opened again: %s\n",
                 why.ToString().c_str());
  }
}

}  // namespace assent::sqlite::internal
