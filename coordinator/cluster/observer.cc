#include "coordinator/cluster/observer.h"

#include <algorithm>
#include <map>
#include <utility>

#include "coordinator/cluster/shares.h"

namespace assent::cluster {
namespace {

// Its beat moves while we look; a group of it may have to be ended first.
constexpr int kMaxEndTries = 20;

std::vector<std::uint64_t> EpochsBut(const View& view, std::uint64_t one) {
  std::vector<std::uint64_t> epochs;
  for (const Member& member : view.members) {
    if (member.epoch != one) epochs.push_back(member.epoch);
  }
  return epochs;
}

}  // namespace

Observer::Observer(MemberStore& store, const Joined& joined, Options options,
                   ObserverEvents& events)
    : store_(store),
      options_(std::move(options)),
      events_(events),
      membership_(joined.epoch, options_.lease, joined.slots) {}

MonoTime Observer::NextDue() const {
  if (out_) return MonoTime::max();
  if (!decided_.empty()) return kAtOnce;
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

// Whether the store did it. If it is away, or has no room, nothing that was decided stands: it is
// looked at again when it is back. That this member is out is said in one way only.
bool Observer::Took(const Status& status) {
  const bool is_out =
      status.code() == Code::kFailedPrecondition || status.code() == Code::kDataLoss;
  away_ = !status.ok() && !is_out;
  if (away_) {
    decided_.clear();
    away_why_ = status;
  }
  if (is_out) GoOut(status);
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

void Observer::BeatNow() {
  if (!out_) Beat();
}

Status Observer::LookAtOnce() {
  if (!out_) Look();
  if (out_) return Unavailable("this coordinator is out of the cluster");
  return away_ ? Unavailable(away_why_.message()) : OkStatus();
}

void Observer::Look() {
  const MonoTime asked = options_.now();
  Result<View> view = store_.Look();
  next_look_ = membership_.NextLook(asked);
  if (!Took(view.status())) return;
  const auto shared = std::make_shared<const View>(*std::move(view));
  Decision decision = membership_.OnView(*shared, asked, options_.now());
  next_look_ = membership_.NextLook(asked);
  if (decision.over) return GoOut(FailedPrecondition("this member is not in the cluster any more"));
  events_.OnView(shared);
  if (!decision.assigned.empty()) events_.OnAssigned(decision.assigned);
  if (!decision.wanted.empty()) events_.OnWanted(decision.wanted);
  if (!out_ && !away_) Plan(std::move(decision));
}

void Observer::Plan(Decision decision) {
  if (!decision.fencings.empty()) {
    // One, and then the world is another. It may also have waited for long.
    decided_.push_back([this, fencing = std::move(decision.fencings.front())] {
      const Result<MemberStore::Fenced> fenced =
          store_.Fence(fencing.victim, fencing.seen_beat, fencing.heirs, {});
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
  if (decision.leave && options_.leaves_when_drained) {
    decided_.push_back([this] {
      const Status left = store_.Leave();
      LookNow();
      // A slot may have come meanwhile.
      if (left.code() != Code::kFailedPrecondition && Took(left)) GoOut(OkStatus());
    });
  }
}

// ---- What people ask for ------------------------------------------------------------------------

// Before anything is done. What the store then does not answer may have been done.
Result<View> Observer::LookForPeople() {
  Result<View> view = store_.Look();
  if (view.ok()) return view;
  return FailedPrecondition(
      "this coordinator does not reach the log, where it would be written down; nothing was done "
      "(" +
      view.status().message() +
      "): mend that, or ask a coordinator that reaches it (assentctl --endpoint)");
}

Status Observer::SetDraining(std::uint64_t epoch, bool draining, const Asked& asked) {
  Result<View> view = LookForPeople();
  if (!view.ok()) return view.status();
  const std::vector<std::uint64_t> others = EpochsBut(*view, epoch);
  const bool taker = std::any_of(others.begin(), others.end(), [&](std::uint64_t other) {
    return !view.value().Find(other)->draining;
  });
  if (draining && !taker)
    return FailedPrecondition("nobody else is there to take its slots: it keeps them");
  LookNow();
  return store_.SetDraining(epoch, draining, asked);
}

Status Observer::Move(const std::vector<Slot>& slots, std::uint64_t to, const Asked& asked) {
  Result<View> view = LookForPeople();
  if (!view.ok()) return view.status();
  const Member* taker = view.value().Find(to);
  if (taker == nullptr) return NotFound("this member has ended");
  if (taker->draining) return FailedPrecondition(taker->node + " is draining, and takes no slots");
  std::map<std::uint64_t, std::vector<Slot>> by_owner;
  for (const Slot slot : slots) {
    if (slot >= view.value().slots.size())
      return InvalidArgument("there is no slot " + std::to_string(slot));
    const std::uint64_t owner = view.value().slots[slot].owner;
    if (owner != to) by_owner[owner].push_back(slot);
  }
  LookNow();
  // First: what another has asked for meanwhile comes here after all.
  if (Status status = store_.SetPin(slots, taker->node, asked); !status.ok()) return status;
  for (const auto& [owner, theirs] : by_owner) {
    if (Status status = store_.Want(owner, theirs, to); !status.ok()) return status;
  }
  return OkStatus();
}

Status Observer::Unpin(const std::vector<Slot>& slots) {
  if (Result<View> view = LookForPeople(); !view.ok()) return view.status();
  LookNow();
  return store_.SetPin(slots, "", {});
}

Status Observer::End(std::uint64_t victim, const Asked& asked) {
  for (int attempt = 0; attempt < kMaxEndTries; ++attempt) {
    // It may take longer than others wait for us.
    if (next_beat_ <= options_.now()) Beat();
    if (out_) return Unavailable("this member is out of the cluster");
    Result<View> view = LookForPeople();
    if (!view.ok()) return view.status();
    const Member* member = view.value().Find(victim);
    if (member == nullptr) return OkStatus();
    const std::vector<Heir> heirs =
        Spread(*view, TakersOf(*view, EpochsBut(*view, victim)), view.value().SlotsOf(victim));
    LookNow();
    const Result<MemberStore::Fenced> fenced = store_.Fence(victim, member->beat, heirs, asked);
    if (!fenced.ok()) return fenced.status();
    events_.OnFence({.victim = victim, .result = fenced.value()});
    if (fenced.value() == MemberStore::Fenced::kDone) return OkStatus();
  }
  return Unavailable("a group of it does not end, and its connections could not be ended");
}

// ---- What others notice -------------------------------------------------------------------------

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
