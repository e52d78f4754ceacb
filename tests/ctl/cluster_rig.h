#pragma once

// A cluster of three, as a scripted coordinator shows it.

#include <string>
#include <vector>

#include "assent/v1/cluster.pb.h"
#include "tests/ctl/fakes.h"

namespace assent::ctl {

using Owners = std::vector<int>;

class ClusterTest : public CommandTest {
 protected:
  // Members a, b and c with the epochs 1, 2 and 3; `owners` by slot, 0: nobody.
  static v1::ClusterView View(const Owners& owners) {
    v1::ClusterView view;
    view.set_version(42);
    view.set_lease_ms(3'000);
    for (int at = 0; at < 3; ++at) {
      v1::ClusterMember& member = *view.add_members();
      member.set_epoch(static_cast<std::uint64_t>(at + 1));
      member.set_node(std::string(1, static_cast<char>('a' + at)));
      member.set_address("host:740" + std::to_string(at));
      member.set_silent_ms(200);
    }
    for (const int owner : owners) {
      view.mutable_slots()->push_back(static_cast<char>(owner));
      view.mutable_slots()->push_back(0);
      if (owner == 0) continue;
      v1::ClusterMember& member = *view.mutable_members(owner - 1);
      member.set_slots(member.slots() + 1);
    }
    return view;
  }
  static v1::ClusterView Draining(v1::ClusterView view, int place) {
    view.mutable_members(place - 1)->set_draining(true);
    return view;
  }
  static v1::PinnedSlots Pin(const std::string& node, const std::vector<std::uint32_t>& slots) {
    v1::PinnedSlots pin;
    pin.set_node(node);
    pin.mutable_slots()->Add(slots.begin(), slots.end());
    return pin;
  }
  static v1::ClusterReply Reply(const v1::ClusterView& view) {
    v1::ClusterReply reply;
    *reply.mutable_view() = view;
    return reply;
  }
  static Intent Why(bool yes = false) { return {"why", "", false, yes}; }
  static Intent DryRun() { return {"", "", true, false}; }
};

}  // namespace assent::ctl
