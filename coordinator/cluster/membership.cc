#include "coordinator/cluster/membership.h"

#include <algorithm>

#include <assent/status.h>

#include "coordinator/cluster/shares.h"

namespace assent::cluster {
namespace {

// What no member has, as far as it falls to `self`.
std::vector<Heir> ClaimOf(const View& view, const std::vector<std::uint64_t>& takers,
                          std::uint64_t self) {
  std::vector<Slot> orphans;
  for (std::size_t slot = 0; slot < view.slots.size(); ++slot) {
    if (view.Find(view.slots[slot].owner) == nullptr) orphans.push_back(static_cast<Slot>(slot));
  }
  std::vector<Heir> claim = Spread(view, takers, orphans);
  std::erase_if(claim, [self](const Heir& heir) { return heir.epoch != self; });
  return claim;
}

std::vector<Wanting> WantingsOf(const View& view, const std::vector<std::uint64_t>& living,
                                std::uint64_t self) {
  std::map<std::uint64_t, Wanting> by_owner;
  for (const Move& move : Rebalance(view, living)) {
    if (move.to != self) continue;
    Wanting& wanting = by_owner[move.from];
    wanting.owner = move.from;
    wanting.slots.push_back(move.slot);
  }
  std::vector<Wanting> wantings;
  wantings.reserve(by_owner.size());
  for (auto& [owner, wanting] : by_owner) wantings.push_back(std::move(wanting));
  return wantings;
}

}  // namespace

Membership::Membership(std::uint64_t self, std::chrono::microseconds lease,
                       const std::vector<Grant>& held)
    : self_(self), lease_(lease) {
  for (const Grant& grant : held) told_assigned_[grant.slot] = grant.slot_epoch;
}

std::chrono::microseconds Membership::LeaseOf(std::uint64_t epoch) const {
  return broken_.count(epoch) > 0 ? std::min(lease_, kBrokenLease) : lease_;
}

std::chrono::microseconds Membership::LookEvery() const {
  return (broken_.empty() ? lease_ : std::min(lease_, kBrokenLease)) / kLooksPerLease;
}

MonoTime Membership::NextLook(MonoTime asked) const {
  MonoTime next = asked + LookEvery();
  for (const auto& [epoch, seen] : seen_) {
    const MonoTime end = seen.since + LeaseOf(epoch);
    if (epoch != self_ && seen.looks + 1 >= kSilentLooks && end > asked) next = std::min(next, end);
  }
  return next;
}

// Who did not look himself has not seen anybody being silent: the store was away for all of them,
// or he was stopped while they were not. How long it took him to come back it may take them too.
void Membership::Observe(const View& view, MonoTime answered) {
  const auto not_there = [&view](std::uint64_t epoch) { return view.Find(epoch) == nullptr; };
  std::erase_if(seen_, [&](const auto& seen) { return not_there(seen.first); });
  std::erase_if(broken_, not_there);
  const auto gap = answered - last_answered_.value_or(answered);
  for (const Member& member : view.members) {
    const auto [at, is_new] = seen_.try_emplace(member.epoch);
    Seen& seen = at->second;
    const bool blind = gap > LeaseOf(member.epoch) / 2;
    if (is_new || blind || seen.beat != member.beat) {
      const auto grace = gap > lease_ / 2 ? std::min(gap, lease_) : std::chrono::microseconds(0);
      seen = {.beat = member.beat, .since = answered + grace, .looks = 0};
    } else {
      ++seen.looks;
    }
  }
  last_answered_ = answered;
}

bool Membership::IsSilent(std::uint64_t epoch, MonoTime asked) const {
  if (epoch == self_) return false;
  const Seen& seen = seen_.at(epoch);
  return seen.looks >= kSilentLooks && asked - seen.since >= LeaseOf(epoch);
}

Decision Membership::OnView(const View& view, MonoTime asked, MonoTime answered) {
  Decision decision;
  const Member* self = view.Find(self_);
  decision.over = self == nullptr;
  if (decision.over) return decision;
  Observe(view, answered);
  DecideOnOwn(view, decision);

  std::vector<std::uint64_t> living;
  for (const Member& member : view.members) {
    if (!IsSilent(member.epoch, asked)) living.push_back(member.epoch);
  }
  const std::vector<std::uint64_t> takers = TakersOf(view, living);
  for (const Member& member : view.members) {
    if (!IsSilent(member.epoch, asked)) continue;
    decision.fencings.push_back({.victim = member.epoch,
                                 .seen_beat = member.beat,
                                 .heirs = Spread(view, takers, view.SlotsOf(member.epoch))});
  }
  decision.claim = ClaimOf(view, takers, self_);
  decision.wantings = WantingsOf(view, living, self_);
  const auto concerns_self = [this](const SlotRow& slot) {
    return slot.owner == self_ || slot.wanted == self_;
  };
  decision.leave = self->draining && decision.claim.empty() &&
                   std::none_of(view.slots.begin(), view.slots.end(), concerns_self);
  return decision;
}

void Membership::DecideOnOwn(const View& view, Decision& decision) {
  for (std::size_t i = 0; i < view.slots.size(); ++i) {
    const SlotRow& row = view.slots[i];
    if (row.owner != self_) continue;
    const auto slot = static_cast<Slot>(i);
    const auto assigned = told_assigned_.find(slot);
    if (assigned == told_assigned_.end() || assigned->second < row.slot_epoch) {
      told_assigned_[slot] = row.slot_epoch;
      decision.assigned.push_back(
          {.slot = slot, .slot_epoch = row.slot_epoch, .serial_floor_ms = row.serial_floor_ms});
    }
    if (row.wanted == self_ || view.Find(row.wanted) == nullptr) continue;
    const auto wanted = told_wanted_.find(slot);
    if (wanted != told_wanted_.end() && wanted->second == row.slot_epoch) continue;
    told_wanted_[slot] = row.slot_epoch;
    decision.wanted.push_back(slot);
  }
}

void Membership::OnKept(Slot slot) {
  told_assigned_.erase(slot);
  told_wanted_.erase(slot);
}

}  // namespace assent::cluster
