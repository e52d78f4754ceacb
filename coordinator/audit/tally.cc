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

Tally::Room Tally::RoomFor(const std::string& who) const {
  std::size_t alike_count = 0;
  std::size_t his_count = 0;
  for (const auto& [key, count] : counts_) {
    const std::string& other = std::get<1>(key.first);
    alike_count += other.empty() == who.empty() ? 1 : 0;
    his_count += other == who ? 1 : 0;
  }
  if (!who.empty() && his_count >= kMaxCountsOfOneCount) return Room::kWithHisOthers;
  return alike_count < kMaxVisitorsCount ? Room::kApart : Room::kWithAllOthers;
}

std::optional<Visit> Tally::Take(Visit visit, std::int64_t now_ms) {
  const bool let_in = visit.code == Code::kOk;
  const bool known = !visit.deed.who.empty();
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
  const Room room = found != counts_.end() ? Room::kApart : RoomFor(visit.deed.who);
  std::size_t& firsts = firsts_[known ? 1 : 0];
  if (room == Room::kApart && (let_in || ++firsts <= kMaxFirstRefusalsCount)) {
    counts_[std::move(key)].ends_ms = now_ms + window_ms_;
    return visit;
  }
  // Of one who is known it is said who it was, if not at once.
  if (!known || room != Room::kApart) {
    visit.deed.address = kOthers;
    if (room != Room::kWithHisOthers) {
      visit.deed.who.clear();
      visit.deed.claims.clear();
    }
    key = {{visit.kind, visit.deed.who, kOthers, let_in}, ""};
  }
  Count& count = counts_[std::move(key)];
  if (count.ends_ms == 0) count.ends_ms = now_ms + window_ms_;
  ++count.times;
  count.last = std::move(visit);
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
