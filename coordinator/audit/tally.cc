#include "coordinator/audit/tally.h"

#include <algorithm>
#include <tuple>
#include <utility>

namespace assent::audit {
namespace {

// Of whom nobody is told apart.
constexpr char kOthers[] = "others";

}  // namespace

// What is behind the last one that is told apart is one call: "".
Tally::Key Tally::KeyOf(const Visit& visit) const {
  Key key{visit.kind, visit.deed.who, visit.deed.address, visit.code == Code::kOk, ""};
  if (visit.deed.who.empty()) return key;
  const auto first = counts_.lower_bound(key);
  std::get<4>(key) = visit.deed.detail;
  std::size_t calls_count = 0;
  for (auto at = first; at != counts_.end() && calls_count < kMaxCallsToldApartCount; ++at) {
    const Key& other = at->first;
    if (std::tie(std::get<0>(other), std::get<1>(other), std::get<2>(other), std::get<3>(other)) !=
        std::tie(std::get<0>(key), std::get<1>(key), std::get<2>(key), std::get<3>(key)))
      break;
    if (std::get<4>(other) == std::get<4>(key)) return key;
    ++calls_count;
  }
  if (calls_count == kMaxCallsToldApartCount && counts_.count(key) == 0) std::get<4>(key).clear();
  return key;
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
  Count& others = counts_[Key{visit.kind, "", kOthers, let_in, ""}];
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
