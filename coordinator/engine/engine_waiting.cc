// Which services transactions wait for, of all shards together.

#include "coordinator/base/clock.h"
#include "coordinator/engine/engine.h"

namespace assent::engine {

std::vector<WaitingFor> Engine::Waiting(const std::string& prefix, std::size_t max_count) const {
  const MutexLock lock(waiting_mutex_);
  std::vector<WaitingFor> list;
  for (auto it = waiting_.lower_bound(prefix);
       it != waiting_.end() && it->first.compare(0, prefix.size(), prefix) == 0 &&
       list.size() < max_count;
       ++it)
    list.push_back({it->first, it->second.transactions});
  return list;
}

void Engine::AddWaiting(const std::string& service, std::int64_t more) {
  // Held while telling: of one service, in the order in which it happened.
  const MutexLock lock(waiting_mutex_);
  WaitingCount& waiting = waiting_[service];
  const bool first = waiting.transactions == 0;
  waiting.transactions += static_cast<std::uint64_t>(more);
  if (first && told_services_ < options_.max_told_services_count) {
    waiting.told = true;
    ++told_services_;
    TellWaits(service, true);
  }
  if (waiting.transactions > 0) return;
  if (waiting.told) {
    --told_services_;
    TellWaits(service, false);
  }
  waiting_.erase(service);
}

void Engine::TellWaits(const std::string& service, bool waits) {
  events_.Add({.at = base::WallNow(),
               .kind = waits ? EventKind::kServiceAway : EventKind::kNobodyWaits,
               .service = service});
  if (options_.on_waiting) options_.on_waiting(service, waits);
}

}  // namespace assent::engine
