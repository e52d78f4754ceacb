#include "coordinator/audit/tally.h"

#include <algorithm>
#include <utility>

namespace assent::audit {
namespace {

// Of whom nobody is told apart.
constexpr char kOthers[] = "others";

}  // namespace

Tally::Key Tally::KeyOf(const Visit& visit) const {
  const Key any{{visit.kind, visit.deed.who, visit.deed.address, visit.code == Code::kOk}, ""};
  if (visit.deed.who.empty()) return any;
  Key key{any.first, visit.deed.detail};
  if (counts_.count(key) > 0) return key;
  std::size_t calls_count = 0;
  for (auto at = counts_.lower_bound(any); at != counts_.end() && at->first.first == any.first;
       ++at)
    ++calls_count;
  return calls_count < kMaxCallsToldApartCount ? key : any;
}

std::optional<Visit> Tally::Take(Visit visit, std::int64_t now_ms) {
  const bool let_in = visit.code == Code::kOk;
  Key key = KeyOf(visit);
  auto found = counts_.find(key);
  if (found != counts_.end() && now_ms < found->second.ends_ms) {
    ++found->second.times;
    found->second.last = std::move(visit);
    return {};
  }
  if (now_ms >= firsts_end_ms_) {
    firsts_end_ms_ = now_ms + window_ms_;
    firsts_ = {};
  }
  const bool room = found != counts_.end() || counts_.size() < kMaxVisitorsCount;
  std::size_t& firsts = firsts_[visit.deed.who.empty() ? 0 : 1];
  if (room && (let_in || ++firsts <= kMaxFirstRefusalsCount)) {
    Count& count = counts_[std::move(key)];
    count.ends_ms = now_ms + window_ms_;
    return visit;
  }
  visit.deed.who.clear();
  visit.deed.claims.clear();
  visit.deed.address = kOthers;
  Count& others = counts_[Key{{visit.kind, "", kOthers, let_in}, ""}];
  if (others.ends_ms == 0) others.ends_ms = now_ms + window_ms_;
  ++others.times;
  others.last = std::move(visit);
  return {};
}

std::vector<Visit> Tally::TakeEnded(std::int64_t now_ms, bool all) {
  std::vector<Visit> ended;
  for (auto next = counts_.begin(); next != counts_.end();) {
    Count& count = next->second;
    if (!all && now_ms < count.ends_ms) {
      ++next;
      continue;
    }
    if (count.times == 0) {  // nothing has come since
      next = counts_.erase(next);
      continue;
    }
    ended.push_back(std::move(count.last));
    ended.back().times = std::exchange(count.times, 0);
    count.ends_ms = now_ms + window_ms_;
    ++next;
  }
  return ended;
}

std::optional<std::int64_t> Tally::next_ms() const {
  std::optional<std::int64_t> next;
  for (const auto& [key, count] : counts_)
    next = std::min(next.value_or(count.ends_ms), count.ends_ms);
  return next;
}

}  // namespace assent::audit
