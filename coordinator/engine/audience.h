#pragma once

// Those who want to know of one transaction: who may be told what, and when.
//
// Invariant: nobody sees a transaction that is not durable, or a decision that is not; nor what a
// person has declared of a branch and the log has not: a power cut would take it back, and whoever
// was told would have acted on it.

#include <bitset>
#include <cstddef>
#include <cstdint>
#include <memory>
#include <vector>

#include <assent/limits.h>
#include <assent/status.h>

#include "coordinator/core/transaction.h"
#include "coordinator/engine/requests.h"

namespace assent::engine {

struct Waiter {
  // kAccepted: until it can be seen as it stands.
  core::Milestone milestone = core::Milestone::kAccepted;
  core::BranchIndex branch = 0;  // kBranchAnswered
  ViewCallback done;
  Abandoned abandoned = {};
};

class Audience {
 public:
  // What of it is durable.
  //
  //   kNothing ──► kBegun ──► kDecided ──► kCompleted
  enum class Known : std::uint8_t { kNothing, kBegun, kDecided, kCompleted };

  // It comes from the log: so it stands there.
  void Recover(const core::Transaction& txn);
  // A step has this effect, which is not durable yet.
  void Expect(const core::Effect& effect);
  // What is announced is durable.
  void Announce(const core::Announce& announce);

  Known known() const { return known_; }
  bool begun() const { return known_ != Known::kNothing; }
  bool decided() const { return known_ >= Known::kDecided; }
  bool Visible(const core::Transaction& txn) const;
  // So many of the latest interventions are not durable yet.
  std::size_t undisclosed() const { return undisclosed_; }

  // Told at once, or when it is so. Who waits for one that is held is told that, and not kept.
  void Add(Waiter waiter, const core::Transaction& txn, const core::Now& now);
  void Watch(WatchCallback watcher) { rare().watchers.push_back(std::move(watcher)); }
  bool watched() const { return rare_ && !rare_->watchers.empty(); }
  // Until BEGIN is durable nobody knows whether the gid belongs to this transaction or to a
  // finished one, and until the end is, it cannot be forgotten: what is asked then waits.
  void Defer(Request request) { rare().deferred.push_back(std::move(request)); }
  std::vector<Request> TakeDeferred();

  // Tells those whose time has come; and those who watch, of a change.
  void Serve(const core::Transaction& txn, const core::Now& now);
  void ServeWatchers(const core::Transaction& txn, const core::Now& now);
  // Everybody who is left, for good.
  void Dismiss(const Status& status, const core::Transaction* txn, const core::Now& now);
  std::vector<ViewCallback> TakeWaiters();
  std::vector<WatchCallback> TakeWatchers();

 private:
  struct Rare {  // what few transactions have
    std::vector<WatchCallback> watchers;
    std::vector<Request> deferred;
    std::size_t prune_at = kFirstPruneCount;
  };
  static constexpr std::size_t kFirstPruneCount = 16;

  Rare& rare() {
    if (!rare_) rare_ = std::make_unique<Rare>();
    return *rare_;
  }
  bool Reached(const Waiter& waiter) const;

  Known known_ = Known::kNothing;
  std::uint32_t undisclosed_ = 0;  // interventions that are not durable yet
  std::bitset<limits::kMaxBranchesCount> answered_;
  std::vector<Waiter> waiters_;
  std::unique_ptr<Rare> rare_;
};

}  // namespace assent::engine
