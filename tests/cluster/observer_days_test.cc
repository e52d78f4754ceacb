// Several observers on drawn days.

#include <cstdint>
#include <random>

#include "tests/cluster/observers.h"

namespace assent::cluster {
namespace {

// Whatever happens, as long as it stops some time.
class BadDays : public testing::TestWithParam<int> {
 protected:
  int Draw(int below) { return static_cast<int>(random_() % static_cast<std::uint64_t>(below)); }
  void SomethingHappens(Cluster& cluster) {
    Node& node = cluster.node(static_cast<std::size_t>(Draw(static_cast<int>(cluster.size()))));
    const auto until = cluster.now + milliseconds(Draw(12'000));
    switch (Draw(10)) {
      case 0: return node.Runs() ? node.Kill() : node.Start();
      case 1: return node.PauseUntil(until);
      case 2: return node.CutUntil(until);
      case 3:
        for (std::size_t i = 0; i < cluster.size(); ++i) cluster.node(i).CutUntil(until);
        return;
      case 4: {
        Node& other =
            cluster.node(static_cast<std::size_t>(Draw(static_cast<int>(cluster.size()))));
        if (node.Runs() && other.Runs()) node.observer().OnLine(other.epoch(), Draw(2) == 0);
        return;
      }
      case 5:
        if (node.Runs()) cluster.shared.held.insert(node.epoch());
        return;
      case 6:
        if (node.Runs() && cluster.shared.Has(node.epoch()))
          cluster.shared.members[node.epoch()].draining = Draw(2) == 0;
        return;
      case 7: cluster.release_ms = Draw(2000); return;
      case 8: return Move(cluster, node);
      default:
        if (!node.Runs()) node.Start();
    }
  }

  // A person does, until it is made undone.
  void Move(Cluster& cluster, Node& node) {
    const auto slot = static_cast<Slot>(Draw(static_cast<int>(cluster.shared.slots.size())));
    if (node.Runs()) (void)node.observer().Move({slot}, node.epoch(), {.who = "ann"});
  }

  std::mt19937_64 random_{static_cast<std::uint64_t>(GetParam())};
};

TEST_P(BadDays, EndInOrder) {
  const int nodes = 2 + Draw(4);
  Cluster cluster(nodes, static_cast<Slot>(nodes * (1 + Draw(12))));
  cluster.StartAll();
  for (int i = 0; i < 60; ++i) {
    cluster.Run(milliseconds(Draw(4000)));
    SomethingHappens(cluster);
  }
  // What has begun ends, and who is out is started again.
  cluster.Run(std::chrono::seconds(12));
  for (auto& [epoch, member] : cluster.shared.members) member.draining = false;
  cluster.StartAll();
  cluster.Run(2 * kLease + milliseconds(1100));
  EXPECT_EQ(cluster.Orphans(), 0u);
  cluster.StartAll();  // who was fenced a moment ago
  cluster.Run(std::chrono::seconds(15));
  for (const auto& [slot, pin] : cluster.shared.pins) {
    const auto& owner = cluster.shared.members.at(cluster.shared.slots[slot].owner);
    EXPECT_EQ(owner.node, pin.node) << "slot " << slot;
  }
  cluster.shared.pins.clear();
  cluster.Run(std::chrono::seconds(5));
  cluster.ExpectInOrder();
}

INSTANTIATE_TEST_SUITE_P(Seeds, BadDays, testing::Range(0, 300));

}  // namespace
}  // namespace assent::cluster
