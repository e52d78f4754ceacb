// What members do that observe each other, case by case.

#include <algorithm>
#include <chrono>
#include <set>
#include <vector>

#include <gmock/gmock.h>
#include <gtest/gtest.h>

#include "tests/cluster/observers.h"

namespace assent::cluster {
namespace {

TEST(Observers, AllAtOnceShareTheSlotsInAFewLooks) {
  Cluster cluster(4, 64);
  cluster.StartAll();
  EXPECT_EQ(cluster.node(0).serves().size(), 64u);
  cluster.Run(milliseconds(2500));
  for (std::size_t i = 0; i < 4; ++i) EXPECT_EQ(cluster.node(i).serves().size(), 16u);
  const std::uint64_t changes = cluster.shared.changes;
  cluster.Run(std::chrono::minutes(1));
  EXPECT_EQ(cluster.shared.changes, changes) << "slots move although all is well";
}

TEST(Observers, ADeadOnesSlotsAreTakenOver) {
  Cluster cluster(3, 60);
  cluster.StartAll();
  cluster.Run(std::chrono::seconds(10));
  cluster.node(1).Kill();
  cluster.Run(kLease + milliseconds(620));
  EXPECT_EQ(cluster.Orphans(), 0u);
  EXPECT_EQ(cluster.node(0).serves().size(), 30u);
  EXPECT_EQ(cluster.node(2).serves().size(), 30u);
}

TEST(Observers, SoonerWithABrokenLine) {
  Cluster cluster(3, 60);
  cluster.StartAll();
  cluster.Run(std::chrono::seconds(10));
  const std::uint64_t dead = cluster.node(1).epoch();
  cluster.node(1).Kill();
  cluster.node(0).observer().OnLine(dead, /*broken=*/true);
  cluster.Run(milliseconds(1300));
  EXPECT_FALSE(cluster.shared.Has(dead));
}

TEST(Observers, AQuickRestartTakesItsOwnBack) {
  Cluster cluster(3, 60);
  cluster.StartAll();
  cluster.Run(std::chrono::seconds(10));
  cluster.node(1).Kill();
  cluster.node(1).Start();
  EXPECT_EQ(cluster.node(1).serves().size(), 20u);
  const std::uint64_t changes = cluster.shared.changes;
  cluster.Run(std::chrono::seconds(30));
  EXPECT_EQ(cluster.shared.changes, changes);
}

// A group in flight that does not end, of somebody who is stopped: his connections are ended, and
// then it is tried again.
TEST(Observers, WhoIsHeldIsTriedAgain) {
  Cluster cluster(2, 8);
  cluster.StartAll();
  cluster.Run(std::chrono::seconds(10));
  cluster.shared.held.insert(cluster.node(0).epoch());
  cluster.node(0).PauseUntil(cluster.now + std::chrono::hours(1));
  cluster.Run(kLease + milliseconds(620));
  EXPECT_EQ(cluster.node(1).serves().size(), 8u);
}

TEST(Observers, AStoreThatIsAwayCostsNobodyItsSlots) {
  Cluster cluster(3, 60);
  cluster.StartAll();
  cluster.Run(std::chrono::seconds(10));
  for (const int seconds : {1, 3, 30, 300}) {
    cluster.shared.down = true;
    cluster.Run(std::chrono::seconds(seconds));
    EXPECT_TRUE(cluster.node(0).observer().away());
    cluster.shared.down = false;
    cluster.Run(std::chrono::seconds(10));
    EXPECT_FALSE(cluster.node(0).observer().away());
  }
  EXPECT_EQ(cluster.shared.fences, 0u);
  cluster.ExpectInOrder();
}

// Nobody is out because there is no room for his beat.
TEST(Observers, AStoreThatIsFullIsAway) {
  Cluster cluster(2, 8);
  cluster.StartAll();
  cluster.Run(std::chrono::seconds(10));
  cluster.shared.full = true;
  cluster.Run(std::chrono::seconds(10));
  EXPECT_TRUE(cluster.node(0).observer().away());
  cluster.shared.full = false;
  cluster.Run(std::chrono::seconds(10));
  cluster.ExpectInOrder();
  EXPECT_EQ(cluster.shared.fences, 0u);
}

// Of a store that has lost what it acknowledged nothing else is believed: a look would still show
// this member, as if all were well.
TEST(Observers, WhatTheStoreSaysOfAMembersEndIsBelievedAtOnce) {
  for (const Code code : {Code::kDataLoss, Code::kFailedPrecondition}) {
    Cluster cluster(2, 8);
    cluster.StartAll();
    cluster.Run(std::chrono::seconds(10));
    cluster.node(0).store().beat_says = {code, "out"};
    cluster.Run(kLease / Membership::kLooksPerLease + kTick);
    ASSERT_EQ(cluster.node(0).told_out.size(), 1u);
    EXPECT_EQ(cluster.node(0).told_out.front().code(), code);
  }
}

// It had nothing when it looked, and has something when it leaves: then it has to give that first.
TEST(Observers, ASlotThatComesWhileItLeavesIsGivenAway) {
  Cluster cluster(2, 8);
  cluster.StartAll();
  cluster.Run(std::chrono::seconds(10));
  Node& leaver = cluster.node(1);
  const std::uint64_t epoch = leaver.epoch();
  EXPECT_TRUE(cluster.node(0).observer().SetDraining(epoch, true, {}).ok());
  while (!cluster.shared.SlotsOf(epoch).empty()) cluster.Tick();
  while (leaver.observer().NextDue() != kAtOnce) cluster.Tick();  // it is about to
  ASSERT_TRUE(cluster.shared.Has(epoch));
  cluster.shared.slots[0].wanted = epoch;
  for (; cluster.shared.slots[0].owner != epoch; cluster.now += kTick)
    cluster.node(0).Run(microseconds(0));
  cluster.Run(std::chrono::seconds(5));
  EXPECT_FALSE(cluster.shared.Has(epoch));
  EXPECT_EQ(cluster.Orphans(), 0u);
  EXPECT_EQ(cluster.shared.fences, 0u);
}

TEST(Observers, ADrainedOneLeaves) {
  Cluster cluster(3, 60);
  cluster.StartAll();
  cluster.Run(std::chrono::seconds(10));
  const std::uint64_t drained = cluster.node(0).epoch();
  EXPECT_TRUE(cluster.node(1).store().SetDraining(drained, true, {}).ok());
  cluster.Run(std::chrono::seconds(3));
  EXPECT_EQ(cluster.node(0).outs, 1);
  EXPECT_FALSE(cluster.shared.Has(drained));
  EXPECT_EQ(cluster.Orphans(), 0u);
  EXPECT_EQ(cluster.shared.fences, 0u);
}

TEST(Observers, WhatPeopleAskFor) {
  Cluster cluster(2, 8);
  cluster.StartAll();
  cluster.Run(std::chrono::seconds(10));
  Observer& observer = cluster.node(0).observer();
  const std::uint64_t first = cluster.node(0).epoch();
  const std::uint64_t second = cluster.node(1).epoch();
  const Slot slot = *cluster.node(0).serves().begin();
  EXPECT_TRUE(observer.Move({slot}, second, {.who = "ann"}).ok());
  EXPECT_EQ(cluster.shared.pins.at(slot).by.who, "ann");
  EXPECT_EQ(observer.Move({8}, second, {}).code(), Code::kInvalidArgument);
  EXPECT_EQ(observer.Move({slot}, 7, {}).code(), Code::kNotFound);
  cluster.Run(std::chrono::seconds(20));
  EXPECT_EQ(cluster.node(1).serves().count(slot), 1u) << "and it stays there";
  EXPECT_EQ(cluster.node(1).serves().size(), 5u);
  EXPECT_TRUE(observer.Move({slot}, second, {}).ok());
  EXPECT_EQ(cluster.shared.slots[slot].wanted, 0u) << "nothing is asked of who has it";
  EXPECT_TRUE(observer.SetDraining(second, true, {}).ok());
  EXPECT_EQ(observer.SetDraining(first, true, {}).code(), Code::kFailedPrecondition);
  EXPECT_EQ(observer.Move({slot}, second, {}).code(), Code::kFailedPrecondition);
  EXPECT_TRUE(observer.SetDraining(second, false, {}).ok());
  cluster.Run(std::chrono::seconds(5));
  cluster.shared.held.insert(second);
  EXPECT_TRUE(observer.End(second, {}).ok());
  EXPECT_TRUE(observer.End(second, {}).ok()) << "it has ended";
  cluster.Run(std::chrono::seconds(1));
  EXPECT_EQ(cluster.node(1).outs, 1);
  EXPECT_EQ(cluster.node(0).serves().size(), 8u);
  // The last one leaves what it has to whoever comes.
  EXPECT_TRUE(observer.End(first, {}).ok());
  cluster.Run(std::chrono::seconds(1));
  cluster.node(1).Start();
  EXPECT_EQ(cluster.node(1).serves().size(), 8u);
}

// Balancing took most of a move back within seconds; and a restart would have, too.
TEST(Observers, WhatAPersonHasMovedStaysAndComesBack) {
  Cluster cluster(3, 60);
  cluster.StartAll();
  cluster.Run(std::chrono::seconds(10));
  std::vector<Slot> moved;
  for (const std::size_t from : {0, 1}) {
    const std::set<Slot>& theirs = cluster.node(from).serves();
    moved.insert(moved.end(), theirs.begin(), std::next(theirs.begin(), 12));
  }
  const auto has_all = [&] {
    return std::all_of(moved.begin(), moved.end(),
                       [&](Slot slot) { return cluster.node(2).serves().contains(slot); });
  };
  ASSERT_TRUE(cluster.node(0).observer().Move(moved, cluster.node(2).epoch(), {}).ok());
  cluster.Run(std::chrono::seconds(5));
  EXPECT_TRUE(has_all());
  const std::uint64_t changes = cluster.shared.changes;
  cluster.Run(std::chrono::minutes(1));
  EXPECT_TRUE(has_all());
  EXPECT_EQ(cluster.shared.changes, changes) << "slots move although all is well";
  cluster.node(2).Kill();
  cluster.Run(std::chrono::seconds(10));
  EXPECT_EQ(cluster.Orphans(), 0u);
  cluster.node(2).Start();
  cluster.Run(std::chrono::seconds(5));
  EXPECT_TRUE(has_all());
  // Until somebody says otherwise.
  ASSERT_TRUE(cluster.node(1).observer().Unpin(moved).ok());
  cluster.node(2).Kill();
  cluster.Run(std::chrono::seconds(10));
  cluster.node(2).Start();
  cluster.Run(std::chrono::seconds(5));
  EXPECT_FALSE(has_all());
  cluster.ExpectInOrder();
  cluster.shared.down = true;
  EXPECT_EQ(cluster.node(1).observer().Unpin(moved).code(), Code::kFailedPrecondition);
}

// It may take longer than others wait for a beat; and whoever is out himself ends nobody.
TEST(Observers, WhoEndsAnotherShowsThatItIsThereMeanwhile) {
  Cluster cluster(2, 8);
  cluster.StartAll();
  cluster.Run(std::chrono::seconds(10));
  Node& node = cluster.node(0);
  const std::uint64_t victim = cluster.node(1).epoch();
  cluster.shared.held.insert(victim);
  cluster.shared.held_for_good = true;
  cluster.now += kLease / Membership::kLooksPerLease;
  const std::uint64_t beat = cluster.shared.members[node.epoch()].beat;
  EXPECT_EQ(node.observer().End(victim, {}).code(), Code::kUnavailable);
  EXPECT_EQ(cluster.shared.members[node.epoch()].beat, beat + 1);
  EXPECT_TRUE(cluster.shared.Has(victim));
  cluster.shared.held.clear();
  node.store().beat_says = FailedPrecondition("fenced");
  cluster.now += kLease / Membership::kLooksPerLease;
  EXPECT_EQ(node.observer().End(victim, {}).code(), Code::kUnavailable);
  EXPECT_TRUE(cluster.shared.Has(victim));
  EXPECT_TRUE(node.observer().out());
}

// A store whose answer to a beat takes its time.
class SlowStore final : public SharedMemoryStore {
 public:
  SlowStore(SharedMemory& shared, MonoTime& now) : SharedMemoryStore(shared), now_(now) {}
  Status Beat() override {
    now_ += milliseconds(300);
    return SharedMemoryStore::Beat();
  }

 private:
  MonoTime& now_;
};

// Slow answers make a beat no rarer; but a store that is away is not asked again without a pause.
TEST(Observers, ASlowStoreIsAskedInTime) {
  SharedMemory shared(4);
  MonoTime now{std::chrono::hours(1)};
  SlowStore store(shared, now);
  const Result<Joined> joined = store.Join({.node = "one"});
  ASSERT_TRUE(joined.ok());
  Node events(shared, "one", now);
  Observer observer(store, *joined, {.lease = kLease, .now = [&now] { return now; }}, events);
  const MonoTime began = now;
  observer.Step();
  observer.Step();  // looks
  EXPECT_EQ(observer.NextDue(), began + kLease / Membership::kLooksPerLease);
  store.cut = true;
  now = observer.NextDue();
  observer.Step();
  EXPECT_TRUE(observer.away());
  EXPECT_EQ(observer.NextDue(), now + kLease / Membership::kLooksPerLease);
}

}  // namespace
}  // namespace assent::cluster
