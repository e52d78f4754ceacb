#pragma once

// What must be true of the store that coordinators share, seen from inside it: checked at each
// commit, acknowledgement and fail-over. Docs/correctness.md says what each name stands for.

#include <array>
#include <cstdint>
#include <functional>
#include <map>
#include <set>
#include <string>
#include <utility>
#include <vector>

#include <assent/slot.h>

#include "tools/assent-sim/sim.h"
#include "tools/assent-sim/store_image.h"

namespace assent::sim {

// One attempt to write a group.
struct GroupName {
  LaneKey lane{};  // epoch 0: it is not a group
  std::uint64_t seq = 0;
  std::uint64_t conn = 0;
  std::uint64_t server = 0;         // behind a fail-over connections are counted from what is left
  std::vector<Slot> slots{};        // of the rows that it writes
  std::vector<std::string> gids{};  // likewise, of those that forget
  std::vector<std::uint64_t> serials{};
  std::vector<Slot> given_up{};
};

class StoreAudit {
 public:
  explicit StoreAudit(Sim& sim) : sim_(sim) {}

  // It becomes durable in `image`, which is as it was just before.
  void OnCommit(const GroupName& group, const StoreImage& image);
  // Its writer is told so.
  void OnAcknowledged(const GroupName& group);
  // A writer has concluded that this attempt did not happen, and never will.
  void OnNotCommitted(const GroupName& group);
  // A fail-over, to `image`.
  void OnFailOver(bool synchronous, const StoreImage& image);

  // The store has lost something that this lane was told.
  bool Regressed(LaneKey lane) const { return regressed_.contains(lane); }
  // What has been kept for its time goes, by this member's word, from `image`.
  void OnRemoved(std::uint64_t epoch, const OldRow& row, Time age, const StoreImage& image);

  // A member is fenced. `excuse` says whether anything has befallen it that explains it (L7).
  void OnFence(std::uint64_t victim) {
    if (victim != 0 && on_fence) on_fence(victim);
  }
  std::function<void(std::uint64_t victim)> on_fence;

  // S16: rows of the slot were read, on this connection; and what may be sent is behind a commit.
  void OnLoaded(LaneKey lane, const std::vector<Slot>& slots);
  bool MaySend(std::uint64_t epoch, Slot slot) const { return firm_.contains({epoch, slot}); }
  // S13: this epoch serves the slot, by this slot epoch.
  void OnServes(std::uint64_t epoch, Slot slot, std::uint64_t slot_epoch);

 private:
  // seq, server, conn
  using Attempt = std::pair<LaneKey, std::array<std::uint64_t, 3>>;
  static Attempt NameOf(const GroupName& group) {
    return {group.lane, {group.seq, group.server, group.conn}};
  }

  Sim& sim_;
  std::map<LaneKey, std::uint64_t> acknowledged_;  // the newest seq
  std::set<Attempt> refuted_;
  std::set<LaneKey> regressed_;
  std::map<LaneKey, std::vector<Slot>> loading_;
  std::set<std::pair<std::uint64_t, Slot>> firm_;
  std::map<std::pair<Slot, std::uint64_t>, std::uint64_t> served_by_;
};

}  // namespace assent::sim
