#include "participant-sdk/sqlite/executor.h"

#include <algorithm>
#include <cstdio>
#include <iterator>
#include <utility>

namespace assent::sqlite::internal {

Executor::Executor(Settings settings, Opener open, Bench bench)
    : settings_(std::move(settings)),
      open_(std::move(open)),
      bench_(std::move(bench)),
      thread_([this] { Loop(); }) {}

Executor::~Executor() {
  {
    std::lock_guard lock(mutex_);
    stop_ = true;
  }
  wake_.notify_all();
  thread_.join();
}

bool Executor::Submit(std::unique_ptr<Task>& task) {
  {
    std::lock_guard lock(mutex_);
    if (queue_.size() >= settings_.max_queued) return false;
    queue_.push_back(std::move(task));
  }
  wake_.notify_one();
  return true;
}

Status Executor::Reopen() {
  ASSENT_CHECK(!on_own_thread());
  std::unique_lock lock(mutex_);
  reopen_wanted_ = true;
  wake_.notify_all();
  changed_.wait(lock, [this] { return !reopen_wanted_; });
  return reopened_;
}

Status Executor::Health() const {
  std::lock_guard lock(mutex_);
  return health_;
}

std::uint64_t Executor::operations() const {
  std::lock_guard lock(mutex_);
  return operations_;
}

std::uint64_t Executor::groups() const {
  std::lock_guard lock(mutex_);
  return groups_;
}

std::uint64_t Executor::releases() const {
  std::lock_guard lock(mutex_);
  return releases_;
}

void Executor::WaitForRelease(std::uint64_t seen, std::chrono::steady_clock::time_point deadline) {
  std::unique_lock lock(mutex_);
  changed_.wait_until(lock, deadline, [&] { return releases_ != seen; });
}

void Executor::Loop() {
  for (;;) {
    Tasks tasks;
    {
      std::unique_lock lock(mutex_);
      wake_.wait(lock, [this] { return stop_ || reopen_wanted_ || !queue_.empty(); });
      if (reopen_wanted_) {
        lock.unlock();
        OpenAnew();
        continue;
      }
      if (queue_.empty()) return;  // stopping
      const std::size_t count = std::min(queue_.size(), settings_.max_group);
      const auto end = queue_.begin() + static_cast<std::ptrdiff_t>(count);
      tasks.assign(std::make_move_iterator(queue_.begin()), std::make_move_iterator(end));
      queue_.erase(queue_.begin(), end);
    }
    std::stable_partition(tasks.begin(), tasks.end(),
                          [](const auto& task) { return task->goes_first(); });
    RunAll(std::move(tasks));
  }
}

void Executor::OpenAnew() {
  bench_ = {};
  Result<Bench> opened = open_();
  const Status status = opened.status();
  if (opened.ok()) bench_ = std::move(*opened);
  {
    std::lock_guard lock(mutex_);
    reopened_ = status;
    health_ = status;
    reopen_wanted_ = false;
  }
  changed_.notify_all();
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
  runner.BeginGroup();
  const auto close_at = std::chrono::steady_clock::now() + settings_.max_group_time;
  std::size_t count = 0;
  while (count < tasks.size() && (count == 0 || std::chrono::steady_clock::now() < close_at)) {
    tasks[count]->Run(runner);
    if (connection.idle()) {
      // This one took the whole transaction with it. It learns so; its neighbours run again without it.
      tasks[count]->NotDone(Unavailable("its statements rolled the whole local transaction back"));
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
  {
    std::lock_guard lock(mutex_);
    operations_ += count;
    ++groups_;
    if (runner.released()) ++releases_;
  }
  if (runner.released()) changed_.notify_all();
  for (auto task = tasks.begin(); task != end; ++task) (*task)->Answer();
  Reach("group:answered");
  tasks.erase(tasks.begin(), end);
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
    std::lock_guard lock(mutex_);
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
