#pragma once

// What the tables of the store hold that coordinators share.

#include <algorithm>
#include <cstdint>
#include <map>
#include <set>
#include <string>
#include <utility>
#include <vector>

#include <assent/slot.h>

#include "coordinator/cluster/view.h"
#include "coordinator/log/memory/memory_disk.h"
#include "tools/assent-sim/options.h"

namespace assent::sim {

struct MemberRow {
  std::string node;
  std::uint64_t generation = 0;
  std::uint64_t beat = 0;
  std::int64_t serial_limit = 0;  // no serial of its own goes beyond it
  bool draining = false;
  bool ended = false;
};

struct LaneRow {
  std::uint64_t conn = 0;
  bool fenced = false;
  std::uint64_t seq = 0;  // of the newest group that was committed
};
using LaneKey = std::pair<std::uint64_t, std::uint32_t>;  // epoch, number

// A finished transaction of the time before the schedule, of which nobody asks any more.
struct OldRow {
  Slot slot = 0;
  Time finished_at = 0;
};

struct StoreImage {
  // Transactions. Its epoch is that of who wrote last.
  log::MemoryImage rows;
  std::uint64_t last_epoch = 0;
  std::uint64_t generation = 1;
  std::uint64_t version = 0;                   // of members and slots
  std::map<std::uint64_t, MemberRow> members;  // by epoch, those that have ended as well
  std::map<LaneKey, LaneRow> lanes;
  std::vector<cluster::SlotRow> slots;
  std::map<Slot, std::string> pins;          // to which node a person has moved a slot
  std::map<std::uint64_t, OldRow> old_rows;  // by serial
  std::set<Slot> damaged;                    // a row of it cannot be read

  // The store is another than it was: nobody knows how high its slot epochs have been.
  void BeginGeneration(std::uint64_t number) {
    constexpr int kMovesBits = 32;
    generation = number;
    for (cluster::SlotRow& slot : slots)
      slot.slot_epoch = std::max(slot.slot_epoch + 1, number << kMovesBits);
    ++version;
  }
  bool Ended(std::uint64_t epoch) const {
    const auto found = members.find(epoch);
    return found == members.end() || found->second.ended;
  }
  // Those of this generation: of an earlier one it is not known what was lost.
  std::vector<std::uint64_t> Epochs() const {
    std::vector<std::uint64_t> epochs;
    for (const auto& [epoch, member] : members) {
      if (member.generation == generation) epochs.push_back(epoch);
    }
    return epochs;
  }
};

}  // namespace assent::sim
