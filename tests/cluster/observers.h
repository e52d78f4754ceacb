#pragma once

// Members that observe each other through a store in memory.

#include <algorithm>
#include <chrono>
#include <map>
#include <memory>
#include <optional>
#include <set>
#include <string>
#include <utility>
#include <vector>

#include <gtest/gtest.h>

#include "coordinator/cluster/observer.h"
#include "tests/cluster/shared_memory.h"

namespace assent::cluster {

using std::chrono::microseconds;
using std::chrono::milliseconds;

inline constexpr milliseconds kLease{3000};
inline constexpr milliseconds kTick{10};

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

}  // namespace assent::cluster
