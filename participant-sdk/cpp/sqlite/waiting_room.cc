#include "participant-sdk/cpp/sqlite/waiting_room.h"

#include <algorithm>
#include <iterator>
#include <utility>

namespace assent::sqlite::internal {
namespace {

// Beyond it everything is forgotten, and said once more. (Holders may end without a word here: in
// another process.)
constexpr std::size_t kMaxToldCount = 8192;

}  // namespace

bool WaitingRoom::Admit(std::unique_ptr<Task>& task, Clock::time_point now) {
  if (!task->patience_ends.has_value()) task->patience_ends = now + patience_;
  if (*task->patience_ends <= now) return false;
  if (!task->tells() || task->has_spoken) {
    task->speaks_at.reset();
  } else if (!task->speaks_at.has_value() || task->speaks_of != task->blocked_by()) {
    task->speaks_at = now + GraceOf(*task);
    task->speaks_of = task->blocked_by();
  }
  task->is_freed = false;
  waiting_.push_back(std::move(task));
  return true;
}

std::chrono::milliseconds WaitingRoom::GraceOf(const Task& task) const {
  const auto holder = told_.find(task.blocked_by());
  if (holder == told_.end()) return grace_;
  const auto waiter = holder->second.find(task.age().second);
  if (waiter == holder->second.end()) return grace_;
  std::chrono::milliseconds grace = grace_;
  for (int i = 0; i < waiter->second && grace < patience_; ++i) grace *= 2;
  return grace;
}

void WaitingRoom::Free(const std::vector<std::string>& holders) {
  for (const std::string& holder : holders) {
    const auto told = told_.find(holder);
    if (told == told_.end()) continue;
    told_count_ -= told->second.size();
    told_.erase(told);
  }
  for (auto& task : waiting_) {
    if (std::find(holders.begin(), holders.end(), task->blocked_by()) != holders.end())
      task->is_freed = true;
  }
}

std::vector<std::unique_ptr<Task>> WaitingRoom::TakeFreed(std::size_t limit) {
  const auto rest = std::stable_partition(waiting_.begin(), waiting_.end(),
                                          [](const auto& task) { return task->is_freed; });
  std::stable_sort(waiting_.begin(), rest,
                   [](const auto& a, const auto& b) { return a->age() < b->age(); });
  const auto count =
      std::min(limit, static_cast<std::size_t>(std::distance(waiting_.begin(), rest)));
  const auto end = waiting_.begin() + static_cast<std::ptrdiff_t>(count);
  std::vector<std::unique_ptr<Task>> freed(std::make_move_iterator(waiting_.begin()),
                                           std::make_move_iterator(end));
  waiting_.erase(waiting_.begin(), end);
  return freed;
}

WaitingRoom::Clock::time_point WaitingRoom::LeavesAt(const Task& task) {
  return std::min(*task.patience_ends, task.speaks_at.value_or(*task.patience_ends));
}

void WaitingRoom::DismissExpired(Clock::time_point now) {
  for (auto task = waiting_.begin(); task != waiting_.end();) {
    if (LeavesAt(**task) > now) {
      ++task;
      continue;
    }
    const bool leaves = *(*task)->patience_ends <= now;
    if ((*task)->tells() && !(*task)->has_spoken) {
      if (told_count_ >= kMaxToldCount) {
        told_.clear();
        told_count_ = 0;
      }
      auto& waiters = told_[std::string((*task)->blocked_by())];
      const auto [waiter, is_new] = waiters.try_emplace(std::string((*task)->age().second), 0);
      ++waiter->second;
      told_count_ += is_new ? 1 : 0;
    }
    (*task)->Answer();
    (*task)->has_spoken = true;
    (*task)->speaks_at.reset();
    task = leaves ? waiting_.erase(task) : std::next(task);
  }
}

void WaitingRoom::DismissAll() {
  for (auto& task : waiting_) task->Answer();
  waiting_.clear();
}

std::optional<WaitingRoom::Clock::time_point> WaitingRoom::next_expiry() const {
  std::optional<Clock::time_point> next;
  for (const auto& task : waiting_) {
    if (!next.has_value() || LeavesAt(*task) < *next) next = LeavesAt(*task);
  }
  return next;
}

}  // namespace assent::sqlite::internal
