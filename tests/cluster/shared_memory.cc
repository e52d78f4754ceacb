#include "tests/cluster/shared_memory.h"

#include <algorithm>

namespace assent::cluster {

std::vector<Slot> SharedMemory::SlotsOf(std::uint64_t owner) const {
  std::vector<Slot> of_owner;
  for (std::size_t slot = 0; slot < slots.size(); ++slot) {
    if (slots[slot].owner == owner) of_owner.push_back(static_cast<Slot>(slot));
  }
  return of_owner;
}

void SharedMemory::Give(Slot slot, std::uint64_t to) {
  ++changes;
  slots[slot] = {.owner = to, .slot_epoch = slots[slot].slot_epoch + 1, .wanted = 0};
}

bool SharedMemory::Release(Slot slot) {
  if (slots[slot].wanted == 0) return false;
  Give(slot, slots[slot].wanted);
  return true;
}

Status SharedMemoryStore::Reach() const {
  if (shared_.full) return ResourceExhausted("no space left");
  return cut || shared_.down ? Unavailable("the store does not answer") : OkStatus();
}

void SharedMemoryStore::End(std::uint64_t epoch, std::uint64_t by, const Asked& asked) {
  ++shared_.changes;
  const Member& member = shared_.members.at(epoch);
  const auto other = shared_.members.find(by);
  shared_.ended[epoch] = {.epoch = epoch,
                          .node = member.node,
                          .address = member.address,
                          .version = member.version,
                          .in_order = by == epoch && !asked,
                          .ended_by = (by == epoch && !asked) || other == shared_.members.end()
                                          ? ""
                                          : other->second.node,
                          .fence = asked};
  shared_.members.erase(epoch);
}

Result<Joined> SharedMemoryStore::Join(const MemberCard& card) {
  if (const Status status = Reach(); !status.ok()) return status;
  Joined joined;
  epoch_ = joined.epoch = ++shared_.starts << 24 | 7;
  joined.log_id = 1;
  joined.slots_count = static_cast<Slot>(shared_.slots.size());
  const auto members = shared_.members;
  for (const auto& [epoch, member] : members) {
    if (member.node == card.node) End(epoch, epoch_);
  }
  shared_.members[epoch_] = {
      .epoch = epoch_, .node = card.node, .address = card.address, .version = card.version};
  for (std::size_t i = 0; i < shared_.slots.size(); ++i) {
    if (shared_.Has(shared_.slots[i].owner)) continue;
    const auto slot = static_cast<Slot>(i);
    shared_.Give(slot, epoch_);
    joined.slots.push_back({.slot = slot, .slot_epoch = shared_.slots[slot].slot_epoch});
  }
  std::set<std::uint64_t> epochs;
  for (const auto& [epoch, departed] : shared_.ended) epochs.insert(epoch);
  for (const auto& [epoch, member] : shared_.members) epochs.insert(epoch);
  joined.epochs.assign(epochs.begin(), epochs.end());
  return joined;
}

Status SharedMemoryStore::Beat() {
  if (const Status status = Reach(); !status.ok()) return status;
  if (!beat_says.ok()) return beat_says;
  if (!shared_.Has(epoch_)) return FailedPrecondition("fenced");
  ++shared_.members[epoch_].beat;
  return OkStatus();
}

Result<View> SharedMemoryStore::Look() {
  if (const Status status = Reach(); !status.ok()) return status;
  View view;
  view.version = shared_.starts + shared_.changes;
  for (const auto& [epoch, member] : shared_.members) view.members.push_back(member);
  view.slots = shared_.slots;
  for (const auto& [slot, pin] : shared_.pins) {
    const auto same = std::find_if(
        view.pins.begin(), view.pins.end(),
        [&pin = pin](const Pin& other) { return other.node == pin.node && other.by == pin.by; });
    if (same == view.pins.end()) {
      view.pins.push_back(pin);
    } else {
      same->slots.push_back(slot);
    }
  }
  std::map<std::string, Departed> last;  // by node
  for (const auto& [epoch, departed] : shared_.ended) last[departed.node] = departed;
  for (const auto& [epoch, member] : shared_.members) last.erase(member.node);
  for (const auto& [epoch, departed] : shared_.ended) {
    const auto found = last.find(departed.node);
    if (found != last.end() && found->second.epoch == epoch) view.departed.push_back(departed);
  }
  return view;
}

Result<MemberStore::Fenced> SharedMemoryStore::Fence(std::uint64_t victim, std::uint64_t seen_beat,
                                                     const std::vector<Heir>& heirs,
                                                     const Asked& asked) {
  if (const Status status = Reach(); !status.ok()) return status;
  const auto found = shared_.members.find(victim);
  if (found == shared_.members.end() || found->second.beat != seen_beat) return Fenced::kMoved;
  if (shared_.held.count(victim) > 0) {
    if (!shared_.held_for_good) shared_.held.erase(victim);
    return Fenced::kHeld;
  }
  End(victim, epoch_, asked);
  ++shared_.fences;
  for (const Heir& heir : heirs) {
    if (shared_.slots[heir.slot].owner == victim) shared_.Give(heir.slot, heir.epoch);
  }
  return Fenced::kDone;
}

Status SharedMemoryStore::Claim(const std::vector<Heir>& heirs) {
  if (const Status status = Reach(); !status.ok()) return status;
  for (const Heir& heir : heirs) {
    if (!shared_.Has(shared_.slots[heir.slot].owner)) shared_.Give(heir.slot, heir.epoch);
  }
  return OkStatus();
}

Status SharedMemoryStore::Want(std::uint64_t owner, const std::vector<Slot>& slots,
                               std::uint64_t to) {
  if (const Status status = Reach(); !status.ok()) return status;
  for (const Slot slot : slots) {
    SlotRow& row = shared_.slots[slot];
    if (row.owner == owner && !shared_.Has(row.wanted)) row.wanted = to;
  }
  return OkStatus();
}

Status SharedMemoryStore::SetDraining(std::uint64_t epoch, bool draining, const Asked& asked) {
  if (const Status status = Reach(); !status.ok()) return status;
  if (!shared_.Has(epoch)) return NotFound("no such member");
  ++shared_.changes;
  shared_.members[epoch].draining = draining;
  if (!draining || asked) shared_.members[epoch].drain = draining ? asked : Asked{};
  return OkStatus();
}

Status SharedMemoryStore::SetPin(const std::vector<Slot>& slots, const std::string& node,
                                 const Asked& asked) {
  if (const Status status = Reach(); !status.ok()) return status;
  for (const Slot slot : slots) {
    shared_.pins.erase(slot);
    if (!node.empty()) shared_.pins[slot] = {.node = node, .by = asked, .slots = {slot}};
  }
  return OkStatus();
}

Status SharedMemoryStore::Leave() {
  if (const Status status = Reach(); !status.ok()) return status;
  if (!shared_.SlotsOf(epoch_).empty()) return FailedPrecondition("it has slots");
  End(epoch_, epoch_);
  return OkStatus();
}

}  // namespace assent::cluster
