// Several coordinators: their store, the roads between them, what befalls them together, and the
// rules that look at all of them.

#include <algorithm>
#include <iterator>
#include <utility>
#include <variant>

#include "tools/assent-sim/shared_rows.h"
#include "tools/assent-sim/world.h"

namespace assent::sim {
namespace {

// The line breaks behind the request: it is carried out, and whoever handed it on cannot say so.
void LoseAnswer(Sim& sim, engine::Request& request) {
  std::visit(
      [&sim](auto& asked) {
        if constexpr (
            requires { asked.done(Status(), nullptr, core::Now{}); } ||
            requires { asked.done(Status(), nullptr, core::BranchIndex{}); }) {
          asked.done = [&sim, done = std::move(asked.done)](const Status& status, const auto*,
                                                            const auto& last) {
            if (status.ok()) sim.marks.Set(Mark::kForwardAnswerLost);
            done(UnknownOutcome("the line to its coordinator was lost"), nullptr, last);
          };
        }
      },
      request);
}

}  // namespace

std::uint64_t World::AnyIndex() {
  return coordinators_.size() == 1 ? 0 : sim_.dice.Below(coordinators_.size());
}

void World::OpenStore() {
  stood_until_.assign(Count(), -1);
  store_ = std::make_unique<SharedStore>(sim_, static_cast<Slot>(sim_.options.slots),
                                         !sim_.options.asynchronous);
  store_->on_durable = [this](const GroupName& group) { NoteDurable(group); };
  store_->on_lost = [this](const StoreImage& before) { NoteLost(before); };
  for (std::uint32_t i = 0; i < sim_.options.old_rows; ++i) {
    const auto slot = static_cast<Slot>(sim_.dice.Below(sim_.options.slots));
    // Some come of age while things go wrong, some never.
    store_->AddOldRow(
        i + 1,
        {.slot = slot, .finished_at = sim_.Draw(2 * sim_.options.window) - KeptFor(sim_.options)});
  }
  store_->audit().on_fence = [this](std::uint64_t victim) { CheckFence(victim); };
}

// ---- The books ----------------------------------------------------------------------------------

void World::NoteDurable(const GroupName& group) {
  const log::MemoryImage& rows = store_->durable().rows;
  for (const std::string& gid : group.gids) {
    const std::size_t t = ledger_.Find(gid);
    if (t != ledger_.size()) ledger_.ReadDurable(rows, t);
  }
  for (const std::uint64_t serial : group.serials) {
    const auto live = rows.live.find(serial);
    const auto finished = rows.finished.find(serial);
    if (live == rows.live.end() && finished == rows.finished.end()) continue;  // refused
    const std::size_t t =
        ledger_.Find(live != rows.live.end() ? live->second.gid : finished->second.gid);
    if (t == ledger_.size()) continue;
    ledger_.Touch(t).serial = serial;
    ledger_.ReadDurable(rows, t);
  }
}

void World::NoteLost(const StoreImage& before) {
  for (std::size_t t = 0; t < ledger_.size(); ++t) {
    if (!ledger_.Restored(before.rows, store_->durable().rows, t)) continue;
    sim_.marks.Set(Mark::kRestoredMissed);
    ledger_.NoteMissed(t);
  }
}

// ---- Events -------------------------------------------------------------------------------------

void World::Forward(std::uint64_t from, std::uint64_t to, const std::string& gid,
                    engine::Request request) {
  const auto blocked = peers_blocked_.find({std::min(from, to), std::max(from, to)});
  if (blocked != peers_blocked_.end() && sim_.now < blocked->second)
    return sim_.marks.Set(Mark::kPeersCut);
  if (sim_.Chance(sim_.options.forward_cut)) LoseAnswer(sim_, request);
  forwarded_.push_back({to, gid, std::move(request)});
  sim_.After(sim_.Draw(sim_.options.net_max), EventKind::kForwarded, forwarded_.size() - 1);
}

void World::DispatchTogether(const Event& e) {
  SharedStore& store = *store_;
  // Whose process is stopped hears nothing until it is continued.
  const bool to_client = e.kind == EventKind::kStoreAnswer || e.kind == EventKind::kStoreBroken;
  if (to_client) {
    const std::uint64_t link = e.kind == EventKind::kStoreAnswer ? store.LinkOf(e.a) : e.a;
    const Coordinator& c = Of(store.LifeOf(link));
    if (c.process() == store.LifeOf(link) && sim_.now < c.paused_until())
      return sim_.At(c.paused_until(), e.kind, e.a, e.b);
  }
  switch (e.kind) {
    case EventKind::kForwarded: {
      Forwarded& letter = forwarded_[e.a];
      Coordinator& to = *coordinators_[letter.to];
      if (sim_.now < to.paused_until()) return sim_.At(to.paused_until(), e.kind, e.a, e.b);
      sim_.marks.Set(Mark::kForwarded);
      return to.Take(letter.gid, std::move(letter.request));
    }
    case EventKind::kStoreArrives: return store.OnArrives(e.a);
    case EventKind::kStoreCommits: return store.OnCommits(e.a);
    case EventKind::kStoreReplicates: return store.OnReplicates(e.a);
    case EventKind::kStoreLockTimeout: return store.OnLockTimeout(e.a);
    case EventKind::kStoreAnswer: return store.OnAnswer(e.a, e.b);
    case EventKind::kStoreBroken: return store.OnBroken(e.a);
    case EventKind::kStoreUp: return store.OnUp();
    case EventKind::kRelease:
      CheckServed();
      // What it had read before the row was mended.
      for (std::uint64_t i = 0; i < Count(); ++i) {
        if (coordinators_[i]->HasSetAside()) Kill(i, false, 0, false);
      }
      for (std::size_t t = 0; t < ledger_.size(); ++t) {
        const auto& durable = ledger_.books(t).durable;
        if (!durable || !durable->suspended()) continue;
        people_->ReleaseHolds();
        break;
      }
      return sim_.After(2 * sim_.options.lease, EventKind::kRelease);
    default: return;  // tidy: the others are World::Dispatch's
  }
}

// Of a person's word in the store itself.
void World::TellStore(Misfortune what, std::uint64_t epoch) {
  if (what == Misfortune::kDrain) {
    return store_->Tell("drain", [epoch](StoreImage& image) {
      if (!image.Ended(epoch)) image.members[epoch].draining = true;
      ++image.version;
    });
  }
  store_->Tell("move", [epoch, slot = sim_.dice.Below(sim_.options.slots)](StoreImage& image) {
    cluster::SlotRow& row = image.slots[slot];
    if (image.Ended(epoch)) return;
    image.pins[slot] = image.members[epoch].node;
    ++image.version;
    if (row.owner != epoch && !image.Ended(row.owner)) row.wanted = epoch;
  });
}

// Of an unfinished transaction, if there is one; whoever has the slot dies of it, so that another
// one meets it.
void World::DamageSlot() {
  const auto& live = store_->seen().rows.live;
  if (live.empty()) return;
  const Slot slot =
      std::next(live.begin(), static_cast<std::ptrdiff_t>(sim_.dice.Below(live.size())))
          ->second.slot;
  store_->Damage(slot);
  for (std::uint64_t i = 0; i < Count(); ++i) {
    if (coordinators_[i]->Serves(slot)) Kill(i, false, 0, false);
  }
}

void World::KillAll() {
  sim_.marks.Set(Mark::kAllDown);
  const bool power = sim_.dice.Chance(sim_.options.power_loss);
  for (std::uint64_t i = 0; i < Count(); ++i) Kill(i, power, 0, false);
}

void World::SufferTogether(Misfortune what, std::uint32_t service) {
  Coordinator& c = *coordinators_[AnyIndex()];
  const Time until = sim_.now + sim_.Draw(2 * sim_.options.lease);
  switch (what) {
    case Misfortune::kStoreCut: return store_->Cut(c.process());
    case Misfortune::kStoreBlocked: return store_->Block(c.process(), until);
    case Misfortune::kStoreDown: return store_->GoDown(until);
    case Misfortune::kFailOver: return store_->FailOver();
    case Misfortune::kWaitsCancelled: return store_->CancelWaits();
    case Misfortune::kPeersBlocked: {
      const std::uint64_t a = AnyIndex();
      const std::uint64_t b = AnyIndex();
      peers_blocked_[{std::min(a, b), std::max(a, b)}] = until;
      return;
    }
    case Misfortune::kDrain:
    case Misfortune::kMove: return TellStore(what, c.epoch());
    case Misfortune::kStandbyGone: return store_->LoseStandby(until);
    case Misfortune::kSeparated:
      return network_.Separate(service, static_cast<std::uint32_t>(AnyIndex()), until);
    case Misfortune::kSlotDamaged: return DamageSlot();
    case Misfortune::kStoreCopied: return store_->Copy();
    case Misfortune::kStoreRestored: return store_->Restore();
    case Misfortune::kAllDie: return KillAll();
    default: return;
  }
}

// ---- Rules --------------------------------------------------------------------------------------

// L7: only who died, stood still or was cut off is fenced; a store that was away for all is no
// reason.
void World::CheckFence(std::uint64_t victim) {
  for (const auto& c : coordinators_) {
    if (c->epoch() != victim) continue;
    const Time trouble =
        std::max(store_->TroubleOf(c->process()), stood_until_[c->process() % Count()]);
    if (trouble >= 0 && sim_.now <= trouble + 3 * sim_.options.lease) return;
    return sim_.Violate("L7 broken: " + c->name() +
                        " is fenced, and it runs and reaches the store");
  }
}

bool World::IsServed(Slot slot) const {
  return std::any_of(coordinators_.begin(), coordinators_.end(),
                     [slot](const auto& c) { return c->Serves(slot); });
}

// Who has a slot removes what has been kept in it for its time, whoever had it before.
bool World::OldRowsGone() const {
  const auto& rows = store_->seen().old_rows;
  return std::none_of(rows.begin(), rows.end(), [this](const auto& row) {
    return row.second.finished_at + KeptFor(sim_.options) <= healed_at_;
  });
}

bool World::Settled() const {
  for (std::uint32_t slot = 0; store_ && slot < sim_.options.slots; ++slot) {
    if (!IsServed(static_cast<Slot>(slot)) || !IsWhereItWasMoved(static_cast<Slot>(slot)))
      return false;
  }
  return !store_ || OldRowsGone();
}

// Whose a slot is that a person has moved: that node's, whenever it is there and takes slots.
bool World::IsWhereItWasMoved(Slot slot) const {
  const StoreImage& image = store_->seen();
  const auto pin = image.pins.find(slot);
  if (pin == image.pins.end()) return true;
  return std::none_of(image.members.begin(), image.members.end(), [&](const auto& member) {
    return !member.second.ended && !member.second.draining && member.second.node == pin->second &&
           image.slots[slot].owner != member.first;
  });
}

// L6 and L8, looked at every second lease once the world has healed.
void World::CheckServed() {
  constexpr int kMaxLooks = 6;
  for (const auto& c : coordinators_) {
    if (c->up() && sim_.now >= c->paused_until()) continue;
    elsewhere_.clear();
    return unserved_.clear();
  }
  for (std::uint32_t i = 0; i < sim_.options.slots; ++i) {
    const auto slot = static_cast<Slot>(i);
    int& looks = unserved_[slot];
    looks = IsServed(slot) ? 0 : looks + 1;
    if (looks == kMaxLooks)
      return sim_.Violate("L6 broken: nobody serves slot " + std::to_string(i) +
                          ", long after the world healed");
    int& elsewhere = elsewhere_[slot];
    elsewhere = IsWhereItWasMoved(slot) ? 0 : elsewhere + 1;
    if (elsewhere == kMaxLooks)
      return sim_.Violate("L8 broken: slot " + std::to_string(i) + " was moved to " +
                          store_->seen().pins.at(slot) + ", which is there and has it not");
  }
}

}  // namespace assent::sim
