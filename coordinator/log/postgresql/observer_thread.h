#pragma once

// A member's observer on a thread of its own, with a connection of its own: it beats also while
// the lanes are busy. It begins before the lanes are open, so that the others do not take a member
// that starts for a dead one; what it has to say of slots waits until somebody can hear it.

#include <atomic>
#include <chrono>
#include <cstdint>
#include <functional>
#include <memory>
#include <optional>
#include <string>
#include <thread>
#include <vector>

#include <assent/status.h>
#include <assent/thread_safety.h>

#include "coordinator/cluster/control.h"
#include "coordinator/cluster/observer.h"
#include "coordinator/log/postgresql/member_store.h"

namespace assent::log {

class ObserverThread final : public cluster::ClusterControl, private cluster::ObserverEvents {
 public:
  // All on the thread, but for the first OnStep, which is within Start.
  class Listener {
   public:
    virtual ~Listener() = default;
    // A call of the store was made. How far serials may go, and how long the cluster has run.
    virtual void OnStep(std::int64_t serial_limit_ms, std::int64_t ran_ms) = 0;
    virtual void OnView(cluster::ViewPtr view) = 0;
    // At once: they are this member's.
    virtual void OnGranted(const std::vector<cluster::Grant>& grants) = 0;
    // From Tell on.
    virtual void OnAssigned(const std::vector<cluster::Grant>& grants) = 0;
    virtual void OnWanted(const std::vector<Slot>& slots) = 0;
    // `asked_by`: who wanted it, and why; empty: it was silent.
    virtual void OnFence(const std::string& node, cluster::MemberStore::Fenced result,
                         const std::string& asked_by) = 0;
    // kDataLoss: the store has lost what it had acknowledged. Else others have this member's slots.
    virtual void OnFenced(const Status& why) = 0;
    // The store does not answer any more, and does again.
    virtual void OnAway(const Status& why) = 0;
    virtual void OnBack() = 0;
  };

  // `listener` outlives it.
  ObserverThread(PostgresMemberOptions options, std::chrono::microseconds lease,
                 Listener& listener);
  // Ends the thread; the member stays, unless Leave was called, until the others miss it.
  ~ObserverThread() override;

  // See PostgresMemberStore.
  Result<cluster::Joined> Join(const cluster::MemberCard& card);
  // From now on it beats.
  void Start();
  // The listener is told of slots from now on, and of what has happened to them by now.
  void Tell();
  // Tells of slots no more, but goes on beating. Does not wait for the store.
  void BeQuiet() ASSENT_EXCLUDES(telling_);
  // Ends this member in order, when it writes no more: what it has goes to the others. Waits for
  // the store.
  Status Leave();

  // From any thread.
  void OnLine(std::uint64_t epoch, bool broken);
  void OnKept(Slot slot);
  bool away() const;
  // A clause for people; empty: it is not known why.
  std::string away_why() const ASSENT_EXCLUDES(mutex_);
  // When the store last took a beat, by CLOCK_BOOTTIME.
  std::int64_t answered_boot_ms() const { return answered_boot_ms_; }
  std::uint64_t epoch() const { return epoch_; }

  void SetDraining(const std::string& node, bool draining, const cluster::Asked& asked,
                   Done done) override;
  void Move(const std::vector<Slot>& slots, const std::string& node, const cluster::Asked& asked,
            Done done) override;
  void Unpin(const std::vector<Slot>& slots, Done done) override;
  void Fence(const std::string& node, const cluster::Asked& asked, Done done) override;
  void Look(Done done) override;

 private:
  void Run();
  void Post(std::function<void()> command) ASSENT_EXCLUDES(mutex_);
  std::vector<std::function<void()>> WaitForWork() ASSENT_EXCLUDES(mutex_);
  void Step();
  void NoteAway() ASSENT_EXCLUDES(mutex_);
  // Runs it with the epoch of the node that has it now.
  void PostForNode(const std::string& node, Done done,
                   std::function<Status(std::uint64_t epoch)> act);

  void TellSome() ASSENT_EXCLUDES(telling_);
  void OnView(cluster::ViewPtr view) override;
  void OnAssigned(const std::vector<cluster::Grant>& grants) override;
  void OnWanted(const std::vector<Slot>& slots) override;
  void OnFence(const cluster::FenceReport& report) override;
  void OnOut(const Status& why_or_ok) override;

  Listener& listener_;
  const std::chrono::microseconds lease_;
  PostgresMemberStore store_;

  // The thread's.
  std::optional<cluster::Observer> observer_;
  cluster::ViewPtr view_;
  bool leaving_ = false;  // and does nothing else any more
  std::string asked_by_;  // while somebody's Fence runs

  // Held while the listener is told of slots.
  Mutex telling_;
  bool tells_ ASSENT_GUARDED_BY(telling_) = false;
  bool quiet_ ASSENT_GUARDED_BY(telling_) = false;
  std::vector<cluster::Grant> untold_assigned_ ASSENT_GUARDED_BY(telling_);
  std::vector<Slot> untold_wanted_ ASSENT_GUARDED_BY(telling_);

  std::atomic<std::uint64_t> epoch_ = 0;
  std::atomic<bool> away_ = false;
  std::atomic<std::int64_t> answered_boot_ms_ = 0;

  mutable Mutex mutex_;
  std::string away_why_ ASSENT_GUARDED_BY(mutex_);
  CondVar work_;
  std::vector<std::function<void()>> commands_ ASSENT_GUARDED_BY(mutex_);
  cluster::MonoTime due_ ASSENT_GUARDED_BY(mutex_){};
  bool stopping_ ASSENT_GUARDED_BY(mutex_) = false;
  std::thread thread_;
};

}  // namespace assent::log
