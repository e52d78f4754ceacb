#include "tools/assent-sim/store_audit.h"

#include <algorithm>

namespace assent::sim {
namespace {

std::string Shown(const GroupName& group) {
  return "group " + std::to_string(group.seq) + " of lane " + std::to_string(group.lane.second) +
         " of epoch " + std::to_string(group.lane.first >> 24);
}

}  // namespace

void StoreAudit::OnCommit(const GroupName& group, const StoreImage& image) {
  if (group.lane.first == 0) return;
  if (image.Ended(group.lane.first))
    return sim_.Violate("S11 broken by " + Shown(group) +
                        ": nothing of a member is written behind its fence");
  for (const Slot slot : group.slots) {
    if (image.slots[slot].owner != group.lane.first)
      return sim_.Violate("S11 broken by " + Shown(group) +
                          ": a row is written in a slot of another member");
  }
  if (refuted_.contains(NameOf(group)))
    return sim_.Violate("S14 broken by " + Shown(group) +
                        ": it was found not to be committed, and is committed now");
  if (regressed_.contains(group.lane))
    return sim_.Violate("S15 broken by " + Shown(group) +
                        ": the store has lost what was acknowledged to it, and it goes on");
}

void StoreAudit::OnAcknowledged(const GroupName& group) {
  if (group.lane.first == 0) return;
  std::uint64_t& newest = acknowledged_[group.lane];
  newest = std::max(newest, group.seq);
  for (const Slot slot : loading_[group.lane]) firm_.insert({group.lane.first, slot});
  loading_.erase(group.lane);
  for (const Slot slot : group.given_up) firm_.erase({group.lane.first, slot});
}

void StoreAudit::OnRemoved(std::uint64_t epoch, const OldRow& row, Time age,
                           const StoreImage& image) {
  if (image.Ended(epoch) || image.slots[row.slot].owner != epoch)
    return sim_.Violate("S11 broken: retention of epoch " + std::to_string(epoch >> 24) +
                        " removes a row in slot " + std::to_string(row.slot) +
                        ", which it has not");
  if (sim_.now - row.finished_at < age)
    return sim_.Violate("R1 broken: what has finished is removed before its time");
  if (image.slots[row.slot].slot_epoch > 1) sim_.marks.Set(Mark::kOldRowGone);
}

void StoreAudit::OnNotCommitted(const GroupName& group) { refuted_.insert(NameOf(group)); }

void StoreAudit::OnFailOver(bool synchronous, const StoreImage& image) {
  for (const auto& [lane, seq] : acknowledged_) {
    const auto found = image.lanes.find(lane);
    if (found != image.lanes.end() && found->second.seq >= seq) continue;
    if (regressed_.contains(lane)) continue;  // an older state was put back before
    if (synchronous)
      return sim_.Violate("S15 broken: group " + std::to_string(seq) +
                          " was acknowledged, and is not there after a fail-over");
    regressed_.insert(lane);
  }
}

void StoreAudit::OnLoaded(LaneKey lane, const std::vector<Slot>& slots) {
  for (const Slot slot : slots) {
    firm_.erase({lane.first, slot});
    loading_[lane].push_back(slot);
  }
}

void StoreAudit::OnServes(std::uint64_t epoch, Slot slot, std::uint64_t slot_epoch) {
  const auto [found, is_new] = served_by_.try_emplace({slot, slot_epoch}, epoch);
  if (!is_new && found->second != epoch)
    sim_.Violate("S13 broken: slot " + std::to_string(slot) + " has two owners of one slot epoch");
}

}  // namespace assent::sim
