#pragma once

// One member's eye and hand in the store: shows that it is there, looks at the others, and does
// what Membership decides, one call of the store after the other. It has no thread: whoever has one
// calls Step at NextDue, and a simulator lets anything happen between two steps.

#include <chrono>
#include <cstdint>
#include <deque>
#include <functional>
#include <memory>
#include <vector>

#include <assent/slot.h>
#include <assent/status.h>

#include "coordinator/cluster/member_store.h"
#include "coordinator/cluster/membership.h"
#include "coordinator/cluster/view.h"

namespace assent::cluster {

// What the world did about a member.
struct FenceReport {
  std::uint64_t victim = 0;
  MemberStore::Fenced result = MemberStore::Fenced::kDone;
};

// Called within Step.
class ObserverEvents {
 public:
  virtual ~ObserverEvents() = default;
  // After each look.
  virtual void OnView(ViewPtr view) = 0;
  virtual void OnAssigned(const std::vector<Grant>& grants) = 0;
  virtual void OnWanted(const std::vector<Slot>& slots) = 0;
  virtual void OnFence(const FenceReport& report) = 0;
  // This member is out, and takes no more steps: fenced, or kDataLoss: the store has lost what it
  // had acknowledged; or OK: it was draining and has left.
  virtual void OnOut(const Status& why_or_ok) = 0;
};

class Observer {
 public:
  struct Options {
    std::chrono::microseconds lease = std::chrono::seconds(3);
    std::function<MonoTime()> now{};
    // A member that has drained leaves by itself; else it stays, without slots, until it is ended.
    bool leaves_when_drained = true;
  };

  // `store` and `events` outlive it. `joined` is what Join of that store has returned.
  Observer(MemberStore& store, const Joined& joined, Options options, ObserverEvents& events);

  // Makes one call of the store, if one is due.
  void Step();
  // MonoTime::max(): never again.
  MonoTime NextDue() const;
  // The store did not answer the last call.
  bool away() const { return away_; }
  // What it said then.
  const Status& away_why() const { return away_why_; }
  bool out() const { return out_; }

  // Not waiting for the next step. Whoever hears OnAssigned may have to be able to do more than the
  // last beat lets him.
  void BeatNow();
  // Likewise: what has become of the others, for one who asks and cannot wait for the next look.
  // kUnavailable: the store does not answer.
  Status LookAtOnce();

  // Likewise: what people ask for. kFailedPrecondition and kNotFound say what
  // is in the way.
  Status SetDraining(std::uint64_t epoch, bool draining, const Asked& asked);
  Status Move(const std::vector<Slot>& slots, std::uint64_t to, const Asked& asked);
  Status Unpin(const std::vector<Slot>& slots);
  // Ends a member, this one included, and gives what it has to the others. Whoever has no more to
  // write ends himself so, asked or not.
  Status End(std::uint64_t victim, const Asked& asked);

  void OnLine(std::uint64_t epoch, bool broken);
  // See Membership. At once.
  void OnKept(Slot slot);

 private:
  bool Took(const Status& status);
  Result<View> LookForPeople();
  void GoOut(const Status& why);
  void Beat();
  void Look();
  void Plan(Decision decision);
  void LookNow() { next_look_ = kAtOnce; }

  MemberStore& store_;
  const Options options_;
  ObserverEvents& events_;
  Membership membership_;
  MonoTime next_beat_ = kAtOnce;
  MonoTime next_look_ = kAtOnce;
  std::deque<std::function<void()>> decided_;  // calls of the store, since the last look
  bool away_ = false;
  Status away_why_;
  bool out_ = false;
};

}  // namespace assent::cluster
