#include "participant-sdk/sqlite/waiting_room.h"

#include <algorithm>
#include <utility>

namespace assent::sqlite::internal {

bool WaitingRoom::Admit(std::unique_ptr<Task>& task, Clock::time_point now) {
  if (!task->patience_ends.has_value()) task->patience_ends = now + patience_;
  if (*task->patience_ends <= now) return false;
  task->is_freed = false;
  waiting_.push_back(std::move(task));
  return true;
}

void WaitingRoom::Free(const std::vector<std::string>& holders) {
  for (auto& task : waiting_) {
    if (std::find(holders.begin(), holders.end(), task->blocked_by()) != holders.end())
      task->is_freed = true;
  }
}

std::vector<std::unique_ptr<Task>> WaitingRoom::TakeFreed(std::size_t limit) {
  std::vector<std::unique_ptr<Task>> freed;
  std::deque<std::unique_ptr<Task>> rest;
  for (auto& task : waiting_) {
    const bool goes = task->is_freed && freed.size() < limit;
    if (goes) {
      freed.push_back(std::move(task));
    } else {
      rest.push_back(std::move(task));
    }
  }
  waiting_ = std::move(rest);
  return freed;
}

void WaitingRoom::DismissExpired(Clock::time_point now) {
  for (auto task = waiting_.begin(); task != waiting_.end();) {
    if (*(*task)->patience_ends > now) {
      ++task;
      continue;
    }
    (*task)->Answer();
    task = waiting_.erase(task);
  }
}

void WaitingRoom::DismissAll() {
  for (auto& task : waiting_) task->Answer();
  waiting_.clear();
}

std::optional<WaitingRoom::Clock::time_point> WaitingRoom::next_expiry() const {
  std::optional<Clock::time_point> next;
  for (const auto& task : waiting_) {
    if (!next.has_value() || *task->patience_ends < *next) next = task->patience_ends;
  }
  return next;
}

}  // namespace assent::sqlite::internal
