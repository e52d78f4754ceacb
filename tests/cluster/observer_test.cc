// Members that observe each other through a store in memory, on days of all kinds.

#include "coordinator/cluster/observer.h"

#include <algorithm>
#include <chrono>
#include <functional>
#include <map>
#include <memory>
#include <optional>
#include <random>
#include <set>
#include <string>
#include <vector>

#include <gmock/gmock.h>
#include <gtest/gtest.h>

#include "tests/cluster/shared_memory.h"

namespace assent::cluster {
namespace {

using std::chrono::microseconds;
using std::chrono::milliseconds;

constexpr milliseconds kLease{3000};
constexpr milliseconds kTick{10};

// One coordinator: an observer, and instead of an engine what it serves.
class Node final : public ObserverEvents {
 public:
  Node(SharedMemory& shared, std::string name, const MonoTime& now)
      : shared_(shared), name_(std::move(name)), now_(now) {}

  void Start() {
    store_.emplace(shared_);
    const Result<Joined> joined = store_->Join({.node = name_});
    if (!joined.ok()) return store_.reset();
    serves_.clear();
    releases_.clear();
    for (const Grant& grant : joined->slots) serves_.insert(grant.slot);
    observer_.emplace(*store_, *joined,
                      Observer::Options{.lease = kLease, .now = [this] { return now_; }}, *this);
  }
  void Kill() {
    observer_.reset();
    store_.reset();
    killed_ = now_;
  }
  void Run(microseconds release_takes) {
    if (!observer_ || now_ < paused_until_) return;
    store_->cut = now_ < cut_until_;
    release_takes_ = release_takes;
    observer_->Step();
    while (!releases_.empty() && releases_.begin()->first <= now_ && !observer_->out() &&
           !store_->cut && !shared_.down && shared_.Has(epoch())) {
      const Slot slot = releases_.begin()->second;
      releases_.erase(releases_.begin());
      if (!shared_.Release(slot)) observer_->OnKept(slot);
    }
    if (observer_->out()) {
      EXPECT_EQ(observer_->NextDue(), MonoTime::max());
      ++outs;
      Kill();
    }
  }
  void PauseUntil(MonoTime until) { paused_until_ = std::max(paused_until_, until); }
  void CutUntil(MonoTime until) { cut_until_ = std::max(cut_until_, until); }

  bool Runs() const { return observer_.has_value(); }
  std::uint64_t epoch() const { return store_ ? store_->epoch() : 0; }
  Observer& observer() { return *observer_; }
  SharedMemoryStore& store() { return *store_; }
  const std::set<Slot>& serves() const { return serves_; }
  // Whether others had reason to miss it: until a lease has passed since.
  bool WasTroubled() const {
    return !Runs() || now_ <= std::max({killed_, paused_until_, cut_until_}) + kLease;
  }

  int outs = 0;
  std::vector<Status> told_out;
  std::vector<FenceReport> fenced;
  ViewPtr view;

 private:
  void OnView(ViewPtr seen) override { view = std::move(seen); }
  void OnAssigned(const std::vector<Grant>& grants) override {
    for (const Grant& grant : grants) serves_.insert(grant.slot);
  }
  void OnWanted(const std::vector<Slot>& slots) override {
    for (const Slot slot : slots) {
      EXPECT_EQ(serves_.erase(slot), 1u);
      releases_.emplace(now_ + release_takes_, slot);
    }
  }
  void OnFence(const FenceReport& report) override { fenced.push_back(report); }
  void OnOut(const Status& why) override { told_out.push_back(why); }

  SharedMemory& shared_;
  const std::string name_;
  const MonoTime& now_;
  std::optional<SharedMemoryStore> store_;
  std::optional<Observer> observer_;
  std::set<Slot> serves_;
  std::multimap<MonoTime, Slot> releases_;
  microseconds release_takes_{0};
  MonoTime paused_until_{};
  MonoTime cut_until_{};
  MonoTime killed_{};
};

class Cluster {
 public:
  Cluster(int nodes, Slot slots) : shared(slots) {
    for (int i = 0; i < nodes; ++i)
      nodes_.push_back(std::make_unique<Node>(shared, "node-" + std::to_string(i), now));
  }

  void Run(microseconds time) {
    for (const MonoTime end = now + time; now < end;) Tick();
  }
  void Tick() {
    now += kTick;
    const std::uint64_t fences = shared.fences;
    for (auto& node : nodes_) node->Run(milliseconds(release_ms));
    if (shared.fences > fences) JudgeFences();
    for (const auto& node : nodes_) {
      if (!node->Runs() || !shared.Has(node->epoch())) continue;
      // Who has not been fenced serves nothing that is another's.
      for (const Slot slot : node->serves()) ASSERT_EQ(shared.slots[slot].owner, node->epoch());
    }
  }
  void JudgeFences() {
    for (const auto& fencer : nodes_) {
      for (const FenceReport& report : std::exchange(fencer->fenced, {})) {
        if (report.result != MemberStore::Fenced::kDone) continue;
        for (const auto& node : nodes_) {
          if (node->epoch() == report.victim) {
            EXPECT_TRUE(node->WasTroubled()) << "nothing was wrong with it";
          }
        }
      }
    }
  }
  void StartAll() {
    for (auto& node : nodes_) {
      if (!node->Runs()) node->Start();
    }
  }
  std::size_t Orphans() const {
    return std::count_if(shared.slots.begin(), shared.slots.end(), [this](const SlotRow& slot) {
      return std::none_of(nodes_.begin(), nodes_.end(), [&](const auto& node) {
        return node->Runs() && node->epoch() == slot.owner;
      });
    });
  }
  // Everybody has its share, and serves it.
  void ExpectInOrder() const {
    std::size_t least = shared.slots.size();
    std::size_t served = 0;
    for (const auto& node : nodes_) {
      EXPECT_TRUE(node->Runs());
      EXPECT_EQ(node->serves().size(), shared.SlotsOf(node->epoch()).size());
      least = std::min(least, node->serves().size());
      served += node->serves().size();
    }
    EXPECT_EQ(served, shared.slots.size());
    EXPECT_GE(least * 4, shared.slots.size() / nodes_.size() * 3);
  }
  Node& node(std::size_t i) { return *nodes_[i]; }
  std::size_t size() const { return nodes_.size(); }

  MonoTime now{std::chrono::hours(1)};
  int release_ms = 100;
  SharedMemory shared;

 private:
  std::vector<std::unique_ptr<Node>> nodes_;
};

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
  EXPECT_TRUE(cluster.node(0).observer().SetDraining(epoch, true).ok());
  while (!cluster.shared.SlotsOf(epoch).empty()) cluster.Tick();
  while (leaver.observer().NextDue() != MonoTime::min()) cluster.Tick();  // it is about to
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
  EXPECT_TRUE(cluster.node(1).store().SetDraining(drained, true).ok());
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
  EXPECT_TRUE(observer.Move({slot}, second).ok());
  EXPECT_EQ(observer.Move({8}, second).code(), Code::kInvalidArgument);
  EXPECT_EQ(observer.Move({slot}, 7).code(), Code::kNotFound);
  cluster.Run(std::chrono::seconds(20));
  EXPECT_EQ(cluster.node(1).serves().count(slot), 1u) << "and it stays there";
  EXPECT_EQ(cluster.node(1).serves().size(), 5u);
  EXPECT_TRUE(observer.Move({slot}, second).ok());
  EXPECT_EQ(cluster.shared.slots[slot].wanted, 0u) << "nothing is asked of who has it";
  EXPECT_TRUE(observer.SetDraining(second, true).ok());
  EXPECT_EQ(observer.SetDraining(first, true).code(), Code::kFailedPrecondition);
  EXPECT_EQ(observer.Move({slot}, second).code(), Code::kFailedPrecondition);
  EXPECT_TRUE(observer.SetDraining(second, false).ok());
  cluster.Run(std::chrono::seconds(5));
  cluster.shared.held.insert(second);
  EXPECT_TRUE(observer.End(second).ok());
  EXPECT_TRUE(observer.End(second).ok()) << "it has ended";
  cluster.Run(std::chrono::seconds(1));
  EXPECT_EQ(cluster.node(1).outs, 1);
  EXPECT_EQ(cluster.node(0).serves().size(), 8u);
  // The last one leaves what it has to whoever comes.
  EXPECT_TRUE(observer.End(first).ok());
  cluster.Run(std::chrono::seconds(1));
  cluster.node(1).Start();
  EXPECT_EQ(cluster.node(1).serves().size(), 8u);
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
  EXPECT_EQ(node.observer().End(victim).code(), Code::kUnavailable);
  EXPECT_EQ(cluster.shared.members[node.epoch()].beat, beat + 1);
  EXPECT_TRUE(cluster.shared.Has(victim));
  cluster.shared.held.clear();
  node.store().beat_says = FailedPrecondition("fenced");
  cluster.now += kLease / Membership::kLooksPerLease;
  EXPECT_EQ(node.observer().End(victim).code(), Code::kUnavailable);
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

// Whatever happens, as long as it stops some time.
class BadDays : public testing::TestWithParam<int> {
 protected:
  int Draw(int below) { return static_cast<int>(random_() % static_cast<std::uint64_t>(below)); }
  void SomethingHappens(Cluster& cluster) {
    Node& node = cluster.node(static_cast<std::size_t>(Draw(static_cast<int>(cluster.size()))));
    const auto until = cluster.now + milliseconds(Draw(12'000));
    switch (Draw(9)) {
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
      default:
        if (!node.Runs()) node.Start();
    }
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
  cluster.ExpectInOrder();
}

INSTANTIATE_TEST_SUITE_P(Seeds, BadDays, testing::Range(0, 300));

}  // namespace
}  // namespace assent::cluster
