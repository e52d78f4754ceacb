#include "coordinator/audit/tally.h"

#include <algorithm>
#include <utility>

namespace assent::audit {
namespace {

// Of whom nobody is told apart.
constexpr char kOthers[] = "others";

}  // namespace

std::optional<Visit> Tally::Take(Visit visit, std::int64_t now_ms) {
  const bool let_in = visit.code == Code::kOk;
  Key key{visit.kind, visit.deed.who, visit.deed.address, let_in};
  auto found = counts_.find(key);
  if (found != counts_.end() && now_ms < found->second.ends_ms) {
    ++found->second.times;
    found->second.last = std::move(visit);
    return {};
  }
  if (now_ms >= firsts_end_ms_) {
    firsts_end_ms_ = now_ms + window_ms_;
    firsts_ = 0;
  }
  const bool room = found != counts_.end() || counts_.size() < kMaxVisitorsCount;
  if (room && (let_in || ++firsts_ <= kMaxFirstRefusalsCount)) {
    Count& count = counts_[std::move(key)];
    count.ends_ms = now_ms + window_ms_;
    return visit;
  }
  visit.deed.who.clear();
  visit.deed.claims.clear();
  visit.deed.address = kOthers;
  Count& others = counts_[Key{visit.kind, "", kOthers, let_in}];
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
