#include "tools/assent-sim/coordinator_cluster.h"

#include <algorithm>
#include <utility>

#include "tools/assent-sim/coordinator_life.h"

namespace assent::sim {
namespace {

std::string NodeOf(std::uint64_t index) { return "c" + std::to_string(index); }

}  // namespace

// ---- A lane -------------------------------------------------------------------------------------

void LaneLog::OnQueued() {
  queued_ = true;
  if (sleeping_ && !client_.done()) client_.WakeAfter(sim_.Draw(sim_.options.log_write_max));
}

void LaneLog::Run() {
  for (;;) {
    queued_ = false;
    (void)Wait(/*more_to_do=*/true);
    if (Turn()) continue;
    while (!queued_) {
      sleeping_ = true;
      client_.Pause();
      sleeping_ = false;
    }
  }
}

// ---- Joining ------------------------------------------------------------------------------------

Coordinator::Cluster::Cluster(Coordinator& owner, std::uint64_t life)
    : owner_(owner),
      life_(life),
      observing_(owner.sim_, *owner.place_.store, life, 0),
      members_(owner.sim_, *owner.place_.store, observing_, owner.place_.clock) {
  observing_.Start([this] { Observe(); });
}

// Whatever waits in the store is unwound where it stands.
Coordinator::Cluster::~Cluster() {
  observing_.Stop();
  for (const auto& lane : lanes_) lane->client->Stop();
}

void Coordinator::Cluster::Observe() {
  const Time lease = owner_.sim_.options.lease;
  const cluster::MemberCard card{
      .node = NodeOf(owner_.place_.index),
      .address = NodeOf(owner_.place_.index),
      .version = "1",
      .lanes_count = static_cast<std::uint32_t>(owner_.life_->shards.size())};
  Result<cluster::Joined> joined = members_.Join(card);
  while (!joined.ok()) {
    observing_.Sleep(lease / 8);
    joined = members_.Join(card);
  }
  OpenLanes(*joined);
  const auto now = [this] {
    return cluster::MonoTime(std::chrono::microseconds(kHour + owner_.sim_.now));
  };
  observer_ = std::make_unique<cluster::Observer>(
      members_, *joined,
      cluster::Observer::Options{.lease = std::chrono::microseconds(lease), .now = now}, *this);
  while (!observer_->out()) {
    observer_->Step();
    const cluster::MonoTime due = observer_->NextDue();
    if (due > now()) observing_.Sleep((due - now()).count());
  }
}

void Coordinator::Cluster::OpenLanes(const cluster::Joined& from) {
  log::Joined joined{.log_id = from.log_id, .epoch = from.epoch, .slots_count = from.slots_count};
  joined.epochs = std::make_shared<const std::vector<std::uint64_t>>(from.epochs);
  epoch_ = from.epoch;
  slots_count_ = from.slots_count;
  generation_ = from.generation;
  log::QueuedLogOptions options;
  options.unix_now_ms = [&owner = owner_] { return owner.Wall().time_since_epoch().count(); };
  options.on_poisoned = [this](const Status& why) {
    if (why.code() == Code::kFailedPrecondition)
      owner_.sim_.Violate("S11 broken: a row is another's, says the store: " + why.message());
    Stop(why);
  };
  if (owner_.sim_.options.log_queue != 0)
    options.max_queued_entries = owner_.sim_.options.log_queue;
  for (std::uint32_t i = 0; i < owner_.life_->shards.size(); ++i) {
    auto lane = std::make_unique<Lane>();
    lane->client = std::make_unique<StoreClient>(owner_.sim_, *owner_.place_.store, life_, i + 1);
    lane->log = std::make_unique<LaneLog>(
        owner_.sim_, *lane->client,
        std::make_unique<SharedRows>(SharedRows::Of{.sim = owner_.sim_,
                                                    .store = *owner_.place_.store,
                                                    .client = *lane->client,
                                                    .slots = members_.slots()},
                                     LaneKey{epoch_, i}, joined, generation_),
        options);
    (void)lane->log->Join(*this);
    lane->client->Start([log = lane->log.get()] { log->Run(); });
    lanes_.push_back(std::move(lane));
  }
  joined_ = true;
  owner_.OpenDoors(joined);
  TakeUp(from.slots);
}

// ---- Slots, as engine.cc has them ---------------------------------------------------------------

std::size_t Coordinator::Cluster::ShardOf(Slot slot) const {
  return slot % owner_.life_->shards.size();
}

bool Coordinator::Cluster::Serves(Slot slot) const {
  const auto found = slots_.find(slot);
  return found != slots_.end() && found->second.hold == Hold::kServing;
}

std::uint64_t Coordinator::Cluster::SlotEpochOf(Slot slot) const {
  const auto found = slots_.find(slot);
  return found == slots_.end() ? 0 : found->second.slot_epoch;
}

std::int64_t Coordinator::Cluster::OwnerOf(Slot slot) const {
  if (view_ == nullptr) return -1;
  const cluster::Member* owner = view_->Find(view_->slots[slot].owner);
  if (owner == nullptr || owner->epoch == epoch_) return -1;
  return std::stoll(owner->address.substr(1));
}

void Coordinator::Cluster::OnView(cluster::ViewPtr view) {
  view_ = std::move(view);
  generation_ = view_->generation;
  for (const auto& lane : lanes_) lane->log->Looked(generation_);
}

void Coordinator::Cluster::OnAssigned(const std::vector<cluster::Grant>& grants) {
  std::vector<cluster::Grant> gained;
  for (const cluster::Grant& grant : grants) {
    if (slots_.contains(grant.slot)) {
      Raise(grant);
    } else {
      gained.push_back(grant);
    }
  }
  TakeUp(gained);
  const std::int64_t limit = members_.slots()->limit_ms();
  if (std::any_of(gained.begin(), gained.end(),
                  [limit](const cluster::Grant& grant) { return grant.serial_floor_ms >= limit; }))
    observer_->BeatNow();
}

// It goes on in a store that is another than it was. Of one that is loading the shard hears when it
// has it.
void Coordinator::Cluster::Raise(const cluster::Grant& grant) {
  Assign(grant);
  owner_.sim_.marks.Set(Mark::kEpochRaised);
  Held& held = slots_.at(grant.slot);
  held.slot_epoch = grant.slot_epoch;
  if (held.hold != Hold::kServing && held.hold != Hold::kParting) return;
  const std::size_t shard = ShardOf(grant.slot);
  owner_.life_->mailboxes[shard].push_back(engine::RaiseRequest{grant.slot, grant.slot_epoch});
  owner_.ArmTurn(shard);
}

void Coordinator::Cluster::Assign(const cluster::Grant& grant) {
  members_.slots()->Assign({.slot = grant.slot, .slot_epoch = grant.slot_epoch},
                           grant.serial_floor_ms);
  if (grant.serial_floor_ms > TickNow(owner_.sim_, owner_.place_.clock) + 1)
    owner_.sim_.marks.Set(Mark::kClockBehind);
}

void Coordinator::Cluster::TakeUp(const std::vector<cluster::Grant>& grants) {
  using Rows = std::map<Slot, std::unique_ptr<engine::Adopted>>;
  for (std::size_t shard = 0; shard < lanes_.size(); ++shard) {
    std::vector<cluster::Grant> mine;
    std::vector<Slot> slots;
    const auto rows = std::make_shared<Rows>();
    for (const cluster::Grant& grant : grants) {
      if (ShardOf(grant.slot) != shard) continue;
      mine.push_back(grant);
      slots.push_back(grant.slot);
      Assign(grant);
      slots_[grant.slot] = {.hold = Hold::kLoading, .slot_epoch = grant.slot_epoch};
      (*rows)[grant.slot] = std::make_unique<engine::Adopted>();
    }
    if (mine.empty()) continue;
    lanes_[shard]->log->Load(
        std::move(slots),
        [this, rows](const log::LiveRow& row) {
          owner_.NoteRecovered(row);
          rows->at(row.slot)->Add(row);
          return OkStatus();
        },
        [this, rows, mine](const log::Loaded& loaded) {
          if (!loaded.status.ok()) return Stop(loaded.status);
          std::map<Slot, std::string> damaged;
          for (const log::DamagedSlot& slot : loaded.damaged) damaged[slot.slot] = slot.why;
          for (const cluster::Grant& grant : mine)
            TakeUpLoaded(grant, std::move(rows->at(grant.slot)), damaged[grant.slot],
                         loaded.generation);
        });
  }
}

void Coordinator::Cluster::TakeUpLoaded(const cluster::Grant& grant,
                                        std::unique_ptr<engine::Adopted> rows,
                                        const std::string& damage, std::uint64_t generation) {
  const std::size_t shard = ShardOf(grant.slot);
  owner_.place_.store->audit().OnServes(epoch_, grant.slot, grant.slot_epoch);
  if (!damage.empty()) {
    owner_.sim_.marks.Set(Mark::kSlotSetAside);
    has_set_aside_ = true;
    rows = std::make_unique<engine::Adopted>();
  }
  owner_.sim_.Say([&] {
    return NodeOf(owner_.place_.index) + " serves slot " + std::to_string(grant.slot) +
           " (slot epoch " + std::to_string(grant.slot_epoch) + ")" +
           (damage.empty() ? "" : ": " + damage);
  });
  owner_.life_->mailboxes[shard].push_back(
      engine::TakeUpRequest{grant.slot, std::move(rows), grant.slot_epoch, damage, generation});
  owner_.ArmTurn(shard);
  Held& held = slots_[grant.slot];
  const bool wanted = std::exchange(held.hold, Hold::kServing) == Hold::kWanted;
  if (held.slot_epoch > grant.slot_epoch)
    Raise({.slot = grant.slot, .slot_epoch = held.slot_epoch});
  if (wanted) GiveUp(grant.slot);
}

void Coordinator::Cluster::OnWanted(const std::vector<Slot>& slots) {
  for (const Slot slot : slots) GiveUp(slot);
}

void Coordinator::Cluster::GiveUp(Slot slot) {
  const auto found = slots_.find(slot);
  if (found == slots_.end()) return;  // it is leaving
  if (found->second.hold != Hold::kServing) {
    if (found->second.hold == Hold::kLoading) found->second.hold = Hold::kWanted;
    return;
  }
  found->second.hold = Hold::kParting;
  const std::size_t shard = ShardOf(slot);
  owner_.life_->mailboxes[shard].push_back(
      engine::GiveUpRequest{slot, [this, slot, shard] {
                              slots_.erase(slot);
                              lanes_[shard]->log->Release(slot, [this, slot](const Status& status) {
                                if (status.ok()) owner_.sim_.marks.Set(Mark::kHandedOver);
                                if (status.code() == Code::kFailedPrecondition)
                                  observer_->OnKept(slot);
                              });
                            }});
  owner_.ArmTurn(shard);
}

void Coordinator::Cluster::OnFence(const cluster::FenceReport& report) {
  if (report.result == cluster::MemberStore::Fenced::kDone) owner_.sim_.marks.Set(Mark::kTakenOver);
  if (report.result == cluster::MemberStore::Fenced::kHeld)
    owner_.sim_.marks.Set(Mark::kFenceWaited);
  owner_.sim_.Say([&] {
    return NodeOf(owner_.place_.index) + " fences epoch " + std::to_string(report.victim >> 24) +
           (report.result == cluster::MemberStore::Fenced::kDone    ? ""
            : report.result == cluster::MemberStore::Fenced::kMoved ? ": it has moved"
                                                                    : ": a group is held");
  });
}

void Coordinator::Cluster::OnOut(const Status& status) {
  if (status.ok()) {
    owner_.sim_.marks.Set(Mark::kDrained);
  } else {
    NoteOut();
  }
  Stop(status);
}

void Coordinator::Cluster::NoteOut() {
  Marks& marks = owner_.sim_.marks;
  marks.Set(Mark::kFencedAlive);
  if (owner_.WasPaused()) marks.Set(Mark::kFencedStopped);
  if (owner_.place_.store->WasBlocked(life_)) marks.Set(Mark::kFencedCutOff);
}

void Coordinator::Cluster::OnFenced(const Status& why) {
  NoteOut();
  Stop(why);
}

// The process ends at once: nothing of it may happen any more.
void Coordinator::Cluster::Stop(const Status& why) {
  if (std::exchange(owner_.life_->fatal, true)) return;
  owner_.sim_.Say([&] { return NodeOf(owner_.place_.index) + " stops itself: " + why.ToString(); });
  owner_.sim_.After(0, EventKind::kProcessEnds, life_);
}

// ---- The rest -----------------------------------------------------------------------------------

void Coordinator::Cluster::Wake(std::uint64_t number) {
  if (number == 0) return observing_.Wake();
  if (number <= lanes_.size()) lanes_[number - 1]->client->Wake();
}

bool Coordinator::Cluster::idle() const {
  return joined_ &&
         std::all_of(lanes_.begin(), lanes_.end(), [](const auto& l) { return l->log->idle(); }) &&
         std::all_of(slots_.begin(), slots_.end(),
                     [](const auto& slot) { return slot.second.hold == Hold::kServing; });
}

}  // namespace assent::sim
