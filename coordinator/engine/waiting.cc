#include "coordinator/engine/waiting.h"

#include <algorithm>
#include <utility>

namespace assent::engine {
namespace {

enum class Wait : std::uint8_t { kNo, kNotSent, kAbsent };

// Whether something could not be sent to this service, and nothing has come of it yet.
Wait WaitsFor(const core::Transaction& txn, const std::string& service) {
  Wait wait = Wait::kNo;
  for (std::size_t i = 0; i < txn.branches().size(); ++i) {
    const core::Branch& branch = txn.branches()[i];
    if (txn.spec().branches[i].service != service) continue;
    if (branch.absent_since != core::kNever) return Wait::kAbsent;
    if (!branch.in_flight && branch.next_attempt != core::kNever &&
        !branch.history.kept().empty() &&
        branch.history.kept().back().result == core::AttemptResult::kNotSent)
      wait = Wait::kNotSent;
  }
  return wait;
}

}  // namespace

void Waiting::Settle(Live& live, const std::string& service) {
  const Wait wait = WaitsFor(live.txn, service);
  std::size_t at = 0;
  if (live.rare) {
    const auto& parkings = live.rare->parkings;
    while (at < parkings.size() && parkings[at].room->first != service) ++at;
  }
  const bool parked = live.rare && at < live.rare->parkings.size();
  if (wait == Wait::kNo) {
    if (parked) Leave(live, at);
    return;
  }
  if (!parked) {
    const auto room = rooms_.try_emplace(service).first;
    room->second.emplace(live.serial, &live);
    live.AddRare().parkings.push_back({room});
  }
  Live::Parking& parking = live.rare->parkings[at];
  // What a person has suspended waits for him: nothing would be sent if the service were back.
  const bool absent = wait == Wait::kAbsent && !live.txn.suspended();
  if (parking.absent == absent) return;
  parking.absent = absent;
  changes_[service] += absent ? 1 : -1;
}

void Waiting::SettleAll(Live& live) {
  if (!live.rare) return;
  // From the last one: Leave moves that into the gap.
  for (std::size_t n = live.rare->parkings.size(); n > 0; --n)
    Settle(live, live.rare->parkings[n - 1].room->first);
}

void Waiting::LeaveAll(Live& live) {
  while (live.rare && !live.rare->parkings.empty()) Leave(live, live.rare->parkings.size() - 1);
}

void Waiting::Leave(Live& live, std::size_t parking) {
  std::vector<Live::Parking>& parkings = live.rare->parkings;
  const Live::Parking left = std::exchange(parkings[parking], parkings.back());
  parkings.pop_back();
  left.room->second.erase(live.serial);
  if (left.absent) --changes_[left.room->first];
  if (left.room->second.empty()) rooms_.erase(left.room);
}

void Waiting::Appeared(const std::string& service, core::MonoTime now) {
  appeared_at_ = now;
  const auto found = rooms_.find(service);
  if (found == rooms_.end()) return;
  Wave& wave = waves_[service];
  wave.from = found->second.begin()->first;
  wave.to = found->second.rbegin()->first;
}

void Waiting::Answered(const std::string& service) {
  if (waves_.empty()) return;
  const auto wave = waves_.find(service);
  if (wave != waves_.end() && wave->second.unanswered > 0) --wave->second.unanswered;
}

// Those who could not be served after all park again under the serial that has just been passed:
// each is told once. No more than a few are on their way at a time, or a participant that comes
// back after a night would be buried, and everybody's answers queue up behind those of a hundred
// thousand; but one that does not answer does not hold up the others for long.
Live* Waiting::Next(core::MonoTime now, std::string& service) {
  for (auto at = waves_.begin(); at != waves_.end();) {
    auto& [name, wave] = *at;
    if (now >= wave.since + options_.wave_time) {
      wave.since = now;
      wave.unanswered = 0;
    }
    if (wave.unanswered < options_.wave_count) {
      const auto room = rooms_.find(name);
      if (room != rooms_.end()) {
        const auto next = room->second.lower_bound(wave.from);
        if (next != room->second.end() && next->first <= wave.to) {
          wave.from = next->first + 1;
          ++wave.unanswered;
          service = name;
          return next->second;
        }
      }
      at = waves_.erase(at);
    } else {
      ++at;
    }
  }
  return nullptr;
}

core::MonoTime Waiting::Wakeup(core::MonoTime now) const {
  core::MonoTime next = core::kNever;
  for (const auto& [service, wave] : waves_) {
    if (wave.unanswered < options_.wave_count) return now;
    next = std::min<core::MonoTime>(next, wave.since + options_.wave_time);
  }
  return next;
}

}  // namespace assent::engine
