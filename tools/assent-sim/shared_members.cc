#include "tools/assent-sim/shared_members.h"

#include <memory>
#include <utility>

#include "coordinator/log/epoch.h"
#include "tools/assent-sim/planted.h"
#include "tools/assent-sim/shared_rows.h"

namespace assent::sim {
namespace {

std::vector<LockName> LocksOf(const StoreImage& image, std::uint64_t victim) {
  std::vector<LockName> locks = {kSlotsLock, MemberLock(victim)};
  for (auto at = image.lanes.lower_bound({victim, 0});
       at != image.lanes.end() && at->first.first == victim; ++at)
    locks.push_back(LaneLock(at->first));
  return locks;
}

// The newest of this node that has not ended; 0: there is none.
std::uint64_t OfNode(const StoreImage& image, const std::string& node) {
  std::uint64_t found = 0;
  for (const auto& [epoch, member] : image.members) {
    if (!member.ended && member.node == node) found = epoch;
  }
  return found;
}

// Above what its owner may have given out.
std::int64_t FloorBehind(const StoreImage& image, const cluster::SlotRow& row) {
  const auto owner = image.members.find(row.owner);
  return owner == image.members.end() ? row.serial_floor_ms
                                      : std::max(row.serial_floor_ms, owner->second.serial_limit);
}

void GiveSlot(StoreImage& image, Slot slot, std::uint64_t to) {
  cluster::SlotRow& row = image.slots[slot];
  row.serial_floor_ms = FloorBehind(image, row);
  row.owner = to;
  row.wanted = 0;
  ++row.slot_epoch;
  ++image.version;
}

// Its groups are refused from now on.
void EndMember(StoreImage& image, std::uint64_t epoch) {
  image.members[epoch].ended = true;
  for (auto at = image.lanes.lower_bound({epoch, 0});
       at != image.lanes.end() && at->first.first == epoch; ++at)
    at->second.fenced = true;
  ++image.version;
}

}  // namespace

// The clocks of those who had our slots may have been ahead of ours; and their limits do not pass
// within a schedule, as they do in production.
std::int64_t SharedMembers::SerialNow() const {
  const std::int64_t now = TickNow(sim_, clock_);
  const std::int64_t highest = slots_ ? slots_->HighestMs() : now;
  return std::max(highest, now);
}

Result<cluster::Joined> SharedMembers::Join(const cluster::MemberCard& card) {
  const auto last = std::make_shared<std::uint64_t>(0);
  StoreRequest look;
  look.name = "starts";
  look.run = [last](const StoreImage& image, Change&) {
    *last = image.last_epoch;
    return OkStatus();
  };
  if (const Status status = client_.Ask(std::move(look)); !status.ok()) return status;
  const auto joined = std::make_shared<cluster::Joined>();
  StoreRequest request;
  request.name = "join";
  request.lock_timeout = sim_.options.lock_timeout;
  request.locks = [node = card.node](const StoreImage& image) {
    const std::uint64_t before = OfNode(image, node);
    return before == 0 ? std::vector<LockName>{kSlotsLock} : LocksOf(image, before);
  };
  // The server may run it long after whoever sent it is gone.
  const auto drawn = static_cast<std::uint32_t>(sim_.dice.Next());
  const std::int64_t limit = SerialNow() + 1;
  request.run = [&store = store_, joined, card, drawn, limit, seen = *last](
                    const StoreImage& image, Change& change) -> Status {
    // One that comes late would fence a later start of its own node.
    if (image.last_epoch != seen) return Unavailable("others were faster");
    joined->epoch = log::NextEpoch(image.last_epoch, drawn);
    joined->log_id = image.rows.coordinator_id;
    joined->generation = image.generation;
    joined->epochs = image.Epochs();
    joined->epochs.push_back(joined->epoch);
    joined->slots_count = static_cast<Slot>(image.slots.size());
    joined->slots.clear();
    const std::uint64_t before = OfNode(image, card.node);
    for (std::size_t slot = 0; slot < image.slots.size(); ++slot) {
      const cluster::SlotRow& row = image.slots[slot];
      if (row.owner == before || image.Ended(row.owner)) {
        joined->slots.push_back({.slot = static_cast<Slot>(slot),
                                 .slot_epoch = row.slot_epoch + 1,
                                 .serial_floor_ms = FloorBehind(image, row)});
      }
    }
    store.audit().OnFence(before);
    change = [joined, card, before, limit](StoreImage& changed) {
      changed.last_epoch = joined->epoch;
      changed.members[joined->epoch] = {
          .node = card.node, .generation = joined->generation, .serial_limit = limit};
      for (std::uint32_t lane = 0; lane < card.lanes_count; ++lane)
        changed.lanes[{joined->epoch, lane}] = {};
      if (before != 0) EndMember(changed, before);
      for (const cluster::Grant& grant : joined->slots)
        GiveSlot(changed, grant.slot, joined->epoch);
    };
    return OkStatus();
  };
  const Status status = client_.Ask(std::move(request));
  if (!status.ok()) return status;
  epoch_ = joined->epoch;
  slots_ = std::make_shared<log::SlotTable>(
      joined->slots_count, [this] { return log::kSerialsBeginUnixMs + TickNow(sim_, clock_); });
  serial_limit_ = limit;
  slots_->SetLimit(limit);
  return *joined;
}

Status SharedMembers::Beat() {
  const std::int64_t limit = std::max(serial_limit_, SerialNow() + 1);
  StoreRequest request;
  request.name = "beat";
  request.locks = [epoch = epoch_](const StoreImage&) {
    return std::vector<LockName>{MemberLock(epoch)};
  };
  request.run = [limit, epoch = epoch_](const StoreImage& image, Change& change) -> Status {
    if (image.Ended(epoch)) return FailedPrecondition("this epoch is over");
    change = [epoch, limit](StoreImage& changed) {
      MemberRow& member = changed.members[epoch];
      ++member.beat;
      member.serial_limit = std::max(member.serial_limit, limit);
    };
    return OkStatus();
  };
  const Status status = client_.Ask(std::move(request));
  if (status.ok()) {
    serial_limit_ = limit;
    slots_->SetLimit(limit);
  }
  return status;
}

Result<cluster::View> SharedMembers::Look() {
  const auto view = std::make_shared<cluster::View>();
  StoreRequest request;
  request.name = "look";
  request.run = [view](const StoreImage& image, Change&) {
    view->version = image.version;
    view->generation = image.generation;
    for (const auto& [epoch, member] : image.members) {
      if (member.ended) continue;
      view->members.push_back({.epoch = epoch,
                               .node = member.node,
                               .address = member.node,
                               .version = "1",
                               .beat = member.beat,
                               .draining = member.draining});
    }
    view->slots.assign(image.slots.begin(), image.slots.end());
    for (const auto& [slot, node] : image.pins)
      view->pins.push_back({.node = node, .slots = {slot}});
    return OkStatus();
  };
  const Status status = client_.Ask(std::move(request));
  if (!status.ok()) return status;
  return *view;
}

Result<cluster::MemberStore::Fenced> SharedMembers::Fence(std::uint64_t victim,
                                                          std::uint64_t seen_beat,
                                                          const std::vector<cluster::Heir>& heirs,
                                                          const cluster::Asked&) {
  if (Mutant(Planted::kLoadBeforeFenceCommits)) {
    (void)ChangeSlots("early", [victim, heirs](StoreImage& image) {
      for (const cluster::Heir& heir : heirs) {
        if (image.slots[heir.slot].owner == victim) GiveSlot(image, heir.slot, heir.epoch);
      }
    });
  }
  const auto moved = std::make_shared<bool>(false);
  StoreRequest request;
  request.name = "fence";
  request.lock_timeout = sim_.options.lock_timeout;
  request.locks = [victim](const StoreImage& image) { return LocksOf(image, victim); };
  request.run = [&store = store_, victim, seen_beat, heirs, moved](const StoreImage& image,
                                                                   Change& change) {
    const auto found = image.members.find(victim);
    *moved = found == image.members.end() || found->second.ended || found->second.beat != seen_beat;
    if (*moved) return OkStatus();
    store.audit().OnFence(victim);
    change = [victim, heirs](StoreImage& changed) {
      for (const cluster::Heir& heir : heirs) {
        if (changed.slots[heir.slot].owner == victim) GiveSlot(changed, heir.slot, heir.epoch);
      }
      if (!Mutant(Planted::kFenceByLeaseClock)) EndMember(changed, victim);
    };
    return OkStatus();
  };
  if (!client_.connected()) client_.Connect();
  const std::uint64_t n = client_.Send(std::move(request));
  if (!client_.Await(n, /*committed=*/true)) return Unavailable("the store does not answer");
  if (store_.Answer(n).locked) return Fenced::kHeld;
  if (store_.Answer(n).warned) return Unavailable("fenced, perhaps not everywhere");
  return *moved ? Fenced::kMoved : Fenced::kDone;
}

Status SharedMembers::ChangeSlots(const char* name, Change change) {
  StoreRequest request;
  request.name = name;
  request.locks = [](const StoreImage&) { return std::vector<LockName>{kSlotsLock}; };
  request.run = [what = std::move(change)](const StoreImage&, Change& changed) {
    changed = what;
    return OkStatus();
  };
  return client_.Ask(std::move(request));
}

Status SharedMembers::Claim(const std::vector<cluster::Heir>& heirs) {
  return ChangeSlots("claim", [heirs](StoreImage& image) {
    for (const cluster::Heir& heir : heirs) {
      if (image.Ended(image.slots[heir.slot].owner)) GiveSlot(image, heir.slot, heir.epoch);
    }
  });
}

Status SharedMembers::Want(std::uint64_t owner, const std::vector<Slot>& slots, std::uint64_t to) {
  return ChangeSlots("want", [owner, slots, to](StoreImage& image) {
    for (const Slot slot : slots) {
      cluster::SlotRow& row = image.slots[slot];
      if (row.owner != owner || !image.Ended(row.wanted)) continue;
      row.wanted = to;
      ++image.version;
    }
  });
}

Status SharedMembers::SetDraining(std::uint64_t epoch, bool draining, const cluster::Asked&) {
  return ChangeSlots("drain", [epoch, draining](StoreImage& image) {
    const auto found = image.members.find(epoch);
    if (found == image.members.end()) return;
    found->second.draining = draining;
    ++image.version;
  });
}

Status SharedMembers::SetPin(const std::vector<Slot>& slots, const std::string& node,
                             const cluster::Asked&) {
  return ChangeSlots("pin", [slots, node](StoreImage& image) {
    for (const Slot slot : slots) image.pins[slot] = node;
  });
}

Status SharedMembers::Leave() {
  StoreRequest request;
  request.name = "leave";
  request.lock_timeout = sim_.options.lock_timeout;
  request.locks = [epoch = epoch_](const StoreImage& image) { return LocksOf(image, epoch); };
  request.run = [epoch = epoch_](const StoreImage& image, Change& change) -> Status {
    for (const cluster::SlotRow& row : image.slots) {
      if (row.owner == epoch) return Unavailable("it has slots");
    }
    change = [epoch](StoreImage& changed) { EndMember(changed, epoch); };
    return OkStatus();
  };
  return client_.Ask(std::move(request));
}

}  // namespace assent::sim
