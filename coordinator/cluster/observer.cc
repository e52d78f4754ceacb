#include "coordinator/cluster/observer.h"

#include <algorithm>
#include <utility>

namespace assent::cluster {

Observer::Observer(MemberStore& store, const Joined& joined, Options options,
                   ObserverEvents& events)
    : store_(store),
      options_(std::move(options)),
      events_(events),
      membership_(joined.epoch, options_.lease, joined.slots) {}

MonoTime Observer::NextDue() const {
  if (out_) return MonoTime::max();
  if (!decided_.empty()) return MonoTime::min();
  return away_ ? next_beat_ : std::min(next_beat_, next_look_);
}

void Observer::Step() {
  const MonoTime now = options_.now();
  if (out_ || NextDue() > now) return;
  // First of all: who does not show himself loses what he has.
  if (next_beat_ <= now) return Beat();
  if (decided_.empty()) return Look();
  const std::function<void()> call = std::move(decided_.front());
  decided_.pop_front();
  call();
}

// Whether the store did it. If it is away, nothing that was decided stands: it is looked at again
// when it is back.
bool Observer::Took(const Status& status) {
  away_ = !status.ok() && status.code() == Code::kUnavailable;
  if (away_) decided_.clear();
  if (!status.ok() && !away_) GoOut(status);
  return status.ok();
}

void Observer::GoOut(const Status& why) {
  out_ = true;
  decided_.clear();
  events_.OnOut(why);
}

void Observer::Beat() {
  const MonoTime began = options_.now();
  const bool took = Took(store_.Beat());
  next_beat_ = (took ? began : options_.now()) + membership_.BeatEvery();
}

void Observer::Look() {
  const MonoTime asked = options_.now();
  Result<View> view = store_.Look();
  next_look_ = asked + membership_.LookEvery();
  if (!Took(view.status())) return;
  auto shared = std::make_shared<View>(*std::move(view));
  Decision decision = membership_.OnView(*shared, asked, options_.now());
  if (decision.over) return GoOut(FailedPrecondition("this member is not in the cluster any more"));
  events_.OnView(shared);
  if (!decision.assigned.empty()) events_.OnAssigned(decision.assigned);
  if (!decision.wanted.empty()) events_.OnWanted(decision.wanted);
  Plan(std::move(decision));
}

void Observer::Plan(Decision decision) {
  if (!decision.fencings.empty()) {
    // One, and then the world is another. It may also have waited for long.
    decided_.push_back([this, fencing = std::move(decision.fencings.front())] {
      const Result<MemberStore::Fenced> fenced =
          store_.Fence(fencing.victim, fencing.seen_beat, fencing.heirs);
      LookNow();
      if (Took(fenced.status()))
        events_.OnFence({.victim = fencing.victim, .result = fenced.value()});
    });
    return;
  }
  if (!decision.claim.empty()) {
    decided_.push_back([this, heirs = std::move(decision.claim)] {
      LookNow();
      (void)Took(store_.Claim(heirs));
    });
  }
  for (Wanting& wanting : decision.wantings) {
    decided_.push_back([this, wanting = std::move(wanting), self = membership_.self()] {
      (void)Took(store_.Want(wanting.owner, wanting.slots, self));
    });
  }
  if (decision.leave) {
    decided_.push_back([this] {
      if (Took(store_.Leave())) GoOut(OkStatus());
    });
  }
}

void Observer::OnLine(std::uint64_t epoch, bool broken) {
  if (!broken) return membership_.OnLineMended(epoch);
  membership_.OnLineBroken(epoch);
  LookNow();
}

void Observer::OnKept(Slot slot) {
  membership_.OnKept(slot);
  LookNow();
}

}  // namespace assent::cluster
