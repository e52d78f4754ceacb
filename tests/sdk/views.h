#pragma once

// What coordinators that share a log say of each other.

#include <cstdint>
#include <string>
#include <vector>

#include <assent/slot.h>

#include "assent/v1/cluster.pb.h"

namespace assent::testing {

// The members' addresses, and of each slot the place of its owner among them, from 1. Their epochs
// are 1, 2, ….
inline v1::ClusterView ViewOf(std::uint64_t version, const std::vector<std::string>& addresses,
                              const std::vector<int>& owners) {
  v1::ClusterView view;
  view.set_version(version);
  view.set_coordinator_id(7);
  view.set_generation(1);
  std::uint64_t epoch = 0;
  for (const std::string& address : addresses) {
    v1::ClusterMember* member = view.add_members();
    member->set_epoch(++epoch);
    member->set_node("node" + std::to_string(epoch));
    member->set_address(address);
  }
  for (const int owner : owners) {
    view.mutable_slots()->push_back(static_cast<char>(owner & 255));
    view.mutable_slots()->push_back(static_cast<char>(owner >> 8));
  }
  return view;
}

// A gid of that slot.
inline std::string GidOf(Slot slot, Slot slots_count, int number = 0) {
  for (int i = 0;; ++i) {
    std::string gid = "g" + std::to_string(i);
    if (SlotOf(gid, slots_count) == slot && number-- == 0) return gid;
  }
}

}  // namespace assent::testing
