// Waiting for a participant: who waits for whom, and how they go on when it is there.

#include <algorithm>
#include <utility>

#include "coordinator/engine/shard.h"

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

void Shard::Settle(Live& live, const std::string& service) {
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
    room->second.parked.emplace(live.serial, &live);
    live.AddRare().parkings.push_back({room});
  }
  Parking& parking = live.rare->parkings[at];
  const bool absent = wait == Wait::kAbsent;
  if (parking.absent == absent) return;
  parking.absent = absent;
  absent ? ++parking.room->second.absent : --parking.room->second.absent;
  waiting_changes_[service] += absent ? 1 : -1;
}

void Shard::SettleAll(Live& live) {
  if (!live.rare) return;
  // From the last one: Leave moves that into the gap.
  for (std::size_t n = live.rare->parkings.size(); n > 0; --n)
    Settle(live, live.rare->parkings[n - 1].room->first);
}

void Shard::Leave(Live& live, std::size_t parking) {
  std::vector<Parking>& parkings = live.rare->parkings;
  const Parking left = std::exchange(parkings[parking], parkings.back());
  parkings.pop_back();
  Room& room = left.room->second;
  room.parked.erase(live.serial);
  if (left.absent) {
    --room.absent;
    --waiting_changes_[left.room->first];
  }
  if (room.parked.empty()) rooms_.erase(left.room);
}

void Shard::On(ServiceAppearedRequest request) {
  appeared_at_ = mono_;
  const auto found = rooms_.find(request.service);
  if (found == rooms_.end()) return;
  Wave& wave = waves_[request.service];
  wave.from = found->second.parked.begin()->first;
  wave.to = found->second.parked.rbegin()->first;
}

// Those who could not be served after all park again under the serial that has just been passed:
// each is told once. No more than a few are on their way at a time, or a participant that comes
// back after a night would be buried, and everybody's answers queue up behind those of a hundred
// thousand; but one that does not answer does not hold up the others for long.
void Shard::WakeSome() {
  std::size_t left = options_.slice_count;
  for (auto at = waves_.begin(); at != waves_.end() && left > 0;) {
    auto& [service, wave] = *at;
    if (mono_ >= wave.since + options_.wave_time) {
      wave.since = mono_;
      wave.unanswered = 0;
    }
    bool over = false;
    while (!over && left > 0 && MayWake(wave)) {
      const auto room = rooms_.find(service);
      over = room == rooms_.end();
      if (over) break;
      const auto next = room->second.parked.lower_bound(wave.from);
      over = next == room->second.parked.end() || next->first > wave.to;
      if (over) break;
      wave.from = next->first + 1;
      ++wave.unanswered;
      --left;
      (void)Apply(*next->second, core::ServiceAppeared{service});
    }
    at = over ? waves_.erase(at) : std::next(at);
  }
}

bool Shard::MayWake(const Wave& wave) const { return wave.unanswered < options_.wave_count; }

core::MonoTime Shard::NextWave() const {
  core::MonoTime next = core::kNever;
  for (const auto& [service, wave] : waves_) {
    if (MayWake(wave)) return mono_;
    next = std::min<core::MonoTime>(next, wave.since + options_.wave_time);
  }
  return next;
}

}  // namespace assent::engine
