#pragma once

// One schedule: a coordinator with its disk, participants with theirs, a network, people, and
// misfortunes; run until everything has come to rest, with every invariant checked on the way.

#include <cstdint>
#include <deque>
#include <functional>
#include <map>
#include <memory>
#include <string>
#include <utility>
#include <vector>

#include "tools/assent-sim/coordinator.h"
#include "tools/assent-sim/ledger.h"
#include "tools/assent-sim/network.h"
#include "tools/assent-sim/participant.h"
#include "tools/assent-sim/people.h"
#include "tools/assent-sim/shared_store.h"
#include "tools/assent-sim/sim.h"

namespace assent::sim {

class World {
 public:
  // `plans` empty: drawn from the options.
  World(const Options& options, bool tracing, bool fixed_pace = false,
        std::vector<TransactionPlan> plans = {});

  // Draws the misfortunes and runs the schedule to its end: unrest, then healing, then rest.
  void Run();

  // Pieces of Run, for the explorer.
  void Open();
  // Executes the next event. False: nothing is left to happen, or a violation was found, or the end
  // was reached.
  bool Step();
  void Heal();
  bool AtRest() const;
  void Finish();

  Sim& sim() { return sim_; }
  const Sim& sim() const { return sim_; }
  Network& network() { return network_; }
  const Event& next() const { return event_; }
  Coordinator& coordinator() { return *coordinators_.front(); }
  Participant& participant(std::size_t i) { return *participants_[i]; }
  std::size_t participants() const { return participants_.size(); }
  std::uint64_t events() const { return events_; }
  bool SomebodyIsDown() const;

  void KillCoordinator(bool power, std::size_t kept, bool torn = false);
  void KillParticipant(std::size_t service, bool power);

 private:
  enum class Misfortune : std::uint8_t {
    kCoordinatorDies,
    kParticipantDies,
    kSessionCut,
    kPartition,
    kPause,
    kWallJump,
    kLogFull,
    kLogFree,
    kSyncFails,
    kParticipantFull,
    kParticipantFree,
    kOperator,
    kParticipantStops,
    kLogCopied,
    kLogRestored,
    kWallLeaps,
    kWalLost,
    kGidTaken,
    kStoreCut,  // from here on: of several coordinators
    kStoreBlocked,
    kStoreDown,
    kFailOver,
    kWaitsCancelled,
    kPeersBlocked,
    kDrain,
    kMove,
    kStandbyGone,
    kSeparated,
    kSlotDamaged,
    kStoreCopied,
    kStoreRestored,
    kAllDie,
  };

  void DrawMisfortunes();
  void Add(Misfortune what, std::uint32_t count);
  void Suffer(Misfortune what, std::uint64_t service);
  // Whose life this is, or whose number.
  Coordinator& Of(std::uint64_t life) { return *coordinators_[life % coordinators_.size()]; }
  // Of several coordinators (world_cluster.cc).
  std::uint64_t AnyIndex();
  std::uint64_t Count() const { return sim_.options.coordinators; }
  void OpenStore();
  void SufferTogether(Misfortune what, std::uint32_t service);
  void TellStore(Misfortune what, std::uint64_t epoch);
  void DamageSlot();
  void KillAll();
  void Kill(std::uint64_t coordinator, bool power, std::size_t kept, bool torn);
  void DispatchTogether(const Event& event);
  void Forward(std::uint64_t from, std::uint64_t to, const std::string& gid,
               engine::Request request);
  void NoteDurable(const GroupName& group);
  void NoteLost(const StoreImage& before);
  void CheckFence(std::uint64_t victim);
  bool IsServed(Slot slot) const;
  bool IsWhereItWasMoved(Slot slot) const;
  bool Settled() const;
  bool OldRowsGone() const;
  void CheckServed();
  void PauseCoordinator(Time until);
  void StopParticipant(std::uint32_t service);
  void Partition(std::uint32_t service);
  void Dispatch(const Event& event);
  bool Waits(const Event& event);
  void OnLocalCommit(std::size_t txn);
  void StartParticipant(std::size_t service);
  bool Excused(std::size_t txn) const;
  bool AnyRestored() const;
  Time Bound() const;
  void CheckBound();
  void CheckRest();
  std::string WhyNotAtRest() const;

  Sim sim_;
  Ledger ledger_;
  Network network_;
  std::unique_ptr<SharedStore> store_;  // of several coordinators
  std::vector<std::unique_ptr<Coordinator>> coordinators_;
  struct Forwarded {
    std::uint64_t to = 0;
    std::string gid;
    engine::Request request;
  };
  std::deque<Forwarded> forwarded_;
  std::map<std::pair<std::uint64_t, std::uint64_t>, Time> peers_blocked_;
  std::vector<Time> stood_until_;  // coordinators that were stopped
  std::map<Slot, int> unserved_;   // since the world has healed: so many looks
  std::map<Slot, int> elsewhere_;  // than a person has moved it: likewise
  std::vector<std::unique_ptr<Participant>> participants_;
  std::unique_ptr<People> people_;
  std::vector<std::pair<Misfortune, std::uint64_t>> misfortunes_;
  std::int64_t dead_service_ = -1;
  Time healed_at_ = 0;
  Event event_;
  std::uint64_t events_ = 0;
};

}  // namespace assent::sim
