#pragma once

// What a coordinator is besides, when it shares its store with others: a lane for each shard, an
// observer, and the slots that it has. The queue of each lane and the observer are production, each
// on a fiber; what ties them together follows log/postgresql and engine.cc, line by line.

#include <cstdint>
#include <deque>
#include <map>
#include <memory>
#include <string>
#include <vector>

#include "coordinator/cluster/observer.h"
#include "coordinator/log/queued_log.h"
#include "tools/assent-sim/coordinator.h"
#include "tools/assent-sim/shared_members.h"
#include "tools/assent-sim/shared_rows.h"

namespace assent::sim {

// The queue of one lane; its turns are taken on a fiber.
class LaneLog final : public log::QueuedLog {
 public:
  LaneLog(Sim& sim, StoreClient& client, std::unique_ptr<SharedRows> rows,
          log::QueuedLogOptions options)
      : QueuedLog(std::move(rows), std::move(options)),
        sim_(sim),
        client_(client),
        rows_(static_cast<SharedRows&>(store())) {}

  // Never returns.
  void Run();
  bool idle() const { return sleeping_ && !queued_; }
  // The observer has looked: a lane at rest may have to as well.
  void Looked(std::uint64_t generation) {
    if (rows_.Looked(generation)) OnQueued();
  }
  std::uint64_t Generation() const override { return rows_.seen_generation(); }

 private:
  void OnQueued() override;

  Sim& sim_;
  StoreClient& client_;
  SharedRows& rows_;
  bool queued_ = false;
  bool sleeping_ = false;
};

class Coordinator::Cluster final : public cluster::ObserverEvents, public log::SlotEvents {
 public:
  Cluster(Coordinator& owner, std::uint64_t life);
  ~Cluster() override;

  void Wake(std::uint64_t number);
  void Stop(const Status& why);
  log::Log& lane(std::size_t shard) { return *lanes_[shard]->log; }
  bool joined() const { return joined_; }
  bool idle() const;
  bool Serves(Slot slot) const;
  // ... or is loading it, or parts with it.
  bool Has(Slot slot) const { return slots_.contains(slot); }
  bool has_set_aside() const { return has_set_aside_; }
  std::uint64_t epoch() const { return epoch_; }
  std::uint64_t SlotEpochOf(Slot slot) const;
  // Which coordinator has this slot, as far as this one knows; -1: none, or itself.
  std::int64_t OwnerOf(Slot slot) const;

  // Of the observer.
  void OnView(cluster::ViewPtr view) override;
  void OnAssigned(const std::vector<cluster::Grant>& grants) override;
  void OnWanted(const std::vector<Slot>& slots) override;
  void OnFence(const cluster::FenceReport& report) override;
  void OnOut(const Status& status) override;
  // Of a lane; of slots nothing comes from there.
  void OnAssigned(const std::vector<log::SlotGrant>&) override {}
  void OnFenced(const Status& why) override;

 private:
  enum class Hold : std::uint8_t { kLoading, kWanted, kServing, kParting };
  struct Held {
    Hold hold = Hold::kLoading;
    std::uint64_t slot_epoch = 0;
  };
  struct Lane {
    std::unique_ptr<StoreClient> client;
    std::unique_ptr<LaneLog> log;
  };

  void Observe();
  void OpenLanes(const cluster::Joined& joined);
  void TakeUp(const std::vector<cluster::Grant>& grants);
  void TakeUpLoaded(const cluster::Grant& grant, std::unique_ptr<engine::Adopted> rows,
                    const std::string& damage, std::uint64_t generation);
  void NoteOut();
  void Raise(const cluster::Grant& grant);
  void Assign(const cluster::Grant& grant);
  void GiveUp(Slot slot);
  std::size_t ShardOf(Slot slot) const;

  Coordinator& owner_;
  const std::uint64_t life_;
  StoreClient observing_;
  SharedMembers members_;
  std::unique_ptr<cluster::Observer> observer_;
  bool joined_ = false;
  std::uint64_t epoch_ = 0;
  std::uint64_t slots_count_ = 1;
  std::uint64_t generation_ = 0;
  bool has_set_aside_ = false;
  cluster::ViewPtr view_;
  std::map<Slot, Held> slots_;
  std::vector<std::unique_ptr<Lane>> lanes_;
};

}  // namespace assent::sim
