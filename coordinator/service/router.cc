#include "coordinator/service/router.h"

#include <algorithm>
#include <iterator>
#include <utility>

#include "coordinator/base/clock.h"

namespace assent::service {

void Router::SetView(cluster::ViewPtr view, std::uint64_t self) {
  const auto now = std::chrono::steady_clock::now();
  std::vector<std::weak_ptr<RouterWatcher>> watchers;
  {
    const MutexLock lock(mutex_);
    std::map<std::uint64_t, Beat> beats;
    for (const cluster::Member& member : view->members) {
      const auto known = beats_.find(member.epoch);
      const bool moved = known == beats_.end() || known->second.beat != member.beat;
      beats[member.epoch] = moved ? Beat{member.beat, now} : known->second;
    }
    beats_ = std::move(beats);
    tenures_.resize(view->slots.size());
    for (std::size_t slot = 0; slot < view->slots.size(); ++slot) {
      Tenure& tenure = tenures_[slot];
      const std::uint64_t owner = view->slots[slot].owner;
      if (tenure.owner != owner || tenure.since_unix_ms == 0) tenure = {owner, base::UnixNowMs()};
    }
    const cluster::ViewPtr before = std::atomic_load(&view_);
    if (before == nullptr || before->version != view->version) watchers = watchers_;
    self_.store(self, std::memory_order_relaxed);
    std::atomic_store(&view_, std::move(view));
    alone_.store(false, std::memory_order_release);
  }
  for (const auto& watcher : watchers) {
    if (const auto there = watcher.lock()) there->ViewChanged();
  }
}

Route Router::Find(std::string_view gid) const {
  const cluster::ViewPtr seen = view();
  if (seen == nullptr) return {};
  const cluster::Member* owner = seen->OwnerOf(gid);
  if (owner == nullptr) return {.where = Route::Where::kNobody, .version = seen->version};
  return {.where = owner->epoch == self() ? Route::Where::kHere : Route::Where::kThere,
          .epoch = owner->epoch,
          .address = owner->address,
          .version = seen->version};
}

std::vector<cluster::Member> Router::Others() const {
  std::vector<cluster::Member> others;
  const cluster::ViewPtr seen = view();
  if (seen == nullptr) return others;
  std::copy_if(seen->members.begin(), seen->members.end(), std::back_inserter(others),
               [&](const cluster::Member& member) { return member.epoch != self(); });
  return others;
}

std::chrono::milliseconds Router::SilentFor(std::uint64_t epoch) const {
  const MutexLock lock(mutex_);
  const auto known = beats_.find(epoch);
  if (known == beats_.end()) return {};
  return std::chrono::duration_cast<std::chrono::milliseconds>(std::chrono::steady_clock::now() -
                                                               known->second.moved_at);
}

std::int64_t Router::HeldSince(Slot slot) const {
  const MutexLock lock(mutex_);
  return slot < tenures_.size() ? tenures_[slot].since_unix_ms : 0;
}

void Router::Close() {
  std::vector<std::weak_ptr<RouterWatcher>> watchers;
  {
    const MutexLock lock(mutex_);
    closed_ = true;
    watchers.swap(watchers_);
  }
  for (const auto& watcher : watchers) {
    if (const auto there = watcher.lock()) there->Closed();
  }
}

void Router::Tell(const std::weak_ptr<RouterWatcher>& watcher) {
  MutexLock lock(mutex_);
  if (closed_) {
    lock.Unlock();
    if (const auto there = watcher.lock()) there->Closed();
    return;
  }
  if (watchers_.size() >= prune_at_) {
    std::erase_if(watchers_, [](const auto& one) { return one.expired(); });
    prune_at_ = std::max<std::size_t>(64, 2 * watchers_.size());
  }
  watchers_.push_back(watcher);
}

}  // namespace assent::service
