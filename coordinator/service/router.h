#pragma once

// Who has which transaction, as far as this coordinator knows: the latest view of the cluster. A
// coordinator that is alone has none, and everything is here.

#include <atomic>
#include <chrono>
#include <cstddef>
#include <cstdint>
#include <map>
#include <memory>
#include <string>
#include <string_view>
#include <vector>

#include <assent/thread_safety.h>

#include "coordinator/cluster/view.h"

namespace assent::service {

struct Route {
  enum class Where : std::uint8_t {
    kHere,
    kThere,   // with the member of this epoch
    kNobody,  // until somebody takes the slot over
  };
  Where where = Where::kHere;
  std::uint64_t epoch = 0;
  std::string address{};
  std::uint64_t version = 0;  // of the view that says so
};

// Called on the observer's thread; must be quick.
class RouterWatcher {
 public:
  virtual ~RouterWatcher() = default;
  virtual void ViewChanged() = 0;
  // This coordinator stops; the last call.
  virtual void Closed() = 0;
};

// Thread-safety: all of it, from any thread.
class Router {
 public:
  // What the observer sees, with each look: beats are taken note of. `self` is this coordinator's
  // epoch.
  void SetView(cluster::ViewPtr view, std::uint64_t self) ASSENT_EXCLUDES(mutex_);

  bool alone() const { return alone_.load(std::memory_order_acquire); }
  // nullptr: alone.
  cluster::ViewPtr view() const { return std::atomic_load(&view_); }
  std::uint64_t self() const { return self_.load(std::memory_order_relaxed); }
  // A view that is behind names a member that has the slot no more: it says so itself.
  Route Find(std::string_view gid) const;
  // The other members, in the order of their epochs.
  std::vector<cluster::Member> Others() const;
  // Since it was last seen to move on.
  std::chrono::milliseconds SilentFor(std::uint64_t epoch) const ASSENT_EXCLUDES(mutex_);

  // When its owner was first seen to have it, in Unix milliseconds. 0: there is no such slot.
  std::int64_t HeldSince(Slot slot) const ASSENT_EXCLUDES(mutex_);

  // Told, as long as it is there, after each change of the version.
  void Tell(const std::weak_ptr<RouterWatcher>& watcher) ASSENT_EXCLUDES(mutex_);
  void Close() ASSENT_EXCLUDES(mutex_);

 private:
  struct Beat {
    std::uint64_t beat = 0;
    std::chrono::steady_clock::time_point moved_at{};
  };

  std::atomic<bool> alone_ = true;
  std::atomic<std::uint64_t> self_ = 0;
  cluster::ViewPtr view_;  // atomically
  mutable Mutex mutex_;
  std::map<std::uint64_t, Beat> beats_ ASSENT_GUARDED_BY(mutex_);  // by epoch
  struct Tenure {
    std::uint64_t owner = 0;
    std::int64_t since_unix_ms = 0;
  };
  std::vector<Tenure> tenures_ ASSENT_GUARDED_BY(mutex_);  // by slot
  std::vector<std::weak_ptr<RouterWatcher>> watchers_ ASSENT_GUARDED_BY(mutex_);
  bool closed_ ASSENT_GUARDED_BY(mutex_) = false;
  std::size_t prune_at_ ASSENT_GUARDED_BY(mutex_) = 64;  // so many of them
};

}  // namespace assent::service
