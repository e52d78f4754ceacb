#include "coordinator/engine/audience.h"

#include <algorithm>
#include <iterator>
#include <utility>
#include <variant>

#include "coordinator/core/describe.h"

namespace assent::engine {

void Audience::Recover(const core::Transaction& txn) {
  known_ = txn.decision() == core::Decision::kNone ? Known::kBegun : Known::kDecided;
  for (std::size_t i = 0; i < txn.branches().size(); ++i) {
    const core::BranchState state = txn.branches()[i].state;
    answered_.set(i,
                  state != core::BranchState::kWaiting && state != core::BranchState::kExecuting);
  }
}

void Audience::Expect(const core::Effect& effect) {
  const auto* announce = std::get_if<core::Announce>(&effect);
  if (announce != nullptr && announce->milestone == core::Milestone::kIntervened) ++undisclosed_;
}

void Audience::Announce(const core::Announce& announce) {
  switch (announce.milestone) {
    case core::Milestone::kAccepted: known_ = std::max(known_, Known::kBegun); return;
    case core::Milestone::kDecided: known_ = std::max(known_, Known::kDecided); return;
    case core::Milestone::kCompleted: known_ = Known::kCompleted; return;
    case core::Milestone::kBranchAnswered: answered_.set(announce.branch); return;
    case core::Milestone::kIntervened: --undisclosed_; return;
  }
}

bool Audience::Visible(const core::Transaction& txn) const {
  return begun() && undisclosed_ == 0 && (decided() || txn.decision() == core::Decision::kNone);
}

bool Audience::Reached(const Waiter& waiter) const {
  switch (waiter.milestone) {
    case core::Milestone::kAccepted:
    case core::Milestone::kIntervened: return true;  // what it takes to be seen is enough
    case core::Milestone::kDecided: return decided();
    case core::Milestone::kCompleted: return known_ == Known::kCompleted;
    case core::Milestone::kBranchAnswered: return answered_.test(waiter.branch) || decided();
  }
  return false;
}

void Audience::Add(Waiter waiter, const core::Transaction& txn, const core::Now& now) {
  if (Visible(txn) && Reached(waiter)) return waiter.done(OkStatus(), &txn, now);
  if (txn.held() && waiter.milestone != core::Milestone::kAccepted)
    return waiter.done(core::HeldStatus(txn.gid()), nullptr, now);
  waiters_.push_back(std::move(waiter));
  // A caller that asks again and again, each time giving up, must not pile up for as long as the
  // transaction lives.
  if (waiters_.size() < kFirstPruneCount || waiters_.size() < rare().prune_at) return;
  std::erase_if(waiters_, [](const Waiter& w) { return w.abandoned && w.abandoned(); });
  rare().prune_at = std::max(kFirstPruneCount, 2 * waiters_.size());
}

void Audience::Serve(const core::Transaction& txn, const core::Now& now) {
  if (waiters_.empty() || !Visible(txn)) return;
  const auto reached = std::stable_partition(waiters_.begin(), waiters_.end(),
                                             [this](const Waiter& w) { return !Reached(w); });
  if (reached == waiters_.end()) return;
  const std::vector<Waiter> told(std::make_move_iterator(reached),
                                 std::make_move_iterator(waiters_.end()));
  waiters_.erase(reached, waiters_.end());
  for (const Waiter& waiter : told) waiter.done(OkStatus(), &txn, now);
}

void Audience::ServeWatchers(const core::Transaction& txn, const core::Now& now) {
  if (!watched() || !Visible(txn)) return;  // what makes it visible is a change as well
  std::erase_if(rare_->watchers, [&](const WatchCallback& watcher) {
    return !watcher(OkStatus(), &txn, now) || known_ == Known::kCompleted;
  });
}

void Audience::Dismiss(const Status& status, const core::Transaction* txn, const core::Now& now) {
  for (const ViewCallback& done : TakeWaiters()) done(status, txn, now);
  for (const WatchCallback& watcher : TakeWatchers()) (void)watcher(status, txn, now);
}

std::vector<Request> Audience::TakeDeferred() {
  return rare_ ? std::exchange(rare_->deferred, {}) : std::vector<Request>();
}

std::vector<ViewCallback> Audience::TakeWaiters() {
  std::vector<ViewCallback> taken;
  for (Waiter& waiter : std::exchange(waiters_, {})) taken.push_back(std::move(waiter.done));
  return taken;
}

std::vector<WatchCallback> Audience::TakeWatchers() {
  return rare_ ? std::exchange(rare_->watchers, {}) : std::vector<WatchCallback>();
}

}  // namespace assent::engine
