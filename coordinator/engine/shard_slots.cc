// Slots come and go. What was in one when it came goes on, a slice at a time, because it may be a
// million; after a start everything comes in this way.

#include <algorithm>
#include <utility>
#include <vector>

#include "coordinator/core/codec.h"
#include "coordinator/engine/shard.h"

namespace assent::engine {

Holding* Shard::HoldingOf(std::string_view gid) {
  Holding* holding = holdings_[SlotOf(gid, slots_count_)].get();
  return holding == nullptr || holding->closed() ? nullptr : holding;
}

Live* Shard::FindLive(std::string_view gid) {
  Holding* holding = HoldingOf(gid);
  return holding == nullptr ? nullptr : FindLive(*holding, gid);
}

Live* Shard::FindLive(Holding& holding, std::string_view gid) {
  const auto found = holding.live.find(gid);
  if (found != holding.live.end()) return found->second.get();
  Adopted::Row* row = holding.adopted.Find(gid);
  return row == nullptr ? nullptr : TakeUp(holding, *row);
}

Live& Shard::AddLive(Holding& holding, core::Transaction txn, std::uint64_t serial) {
  auto owned = std::make_unique<Live>(std::move(txn), serial, holding);
  Live& live = *owned;
  Attach(live, AttachedBytes(live.txn.spec()), /*transactions=*/1);
  holding.live.emplace(live.txn.gid(), std::move(owned));
  census_.Add(live);
  return live;
}

void Shard::Remove(Live& live) {
  timers_.Cancel(live.timer);
  waiting_.LeaveAll(live);
  census_.Remove(live);
  changed_.erase(live.serial);
  live_bytes_ -= live.attached_bytes;
  if (options_.initiators != nullptr)
    options_.initiators->Remove(live.txn.spec().initiator, 1, live.attached_bytes);
  auto& among = live.holding.live;
  among.erase(among.find(live.txn.gid()));
}

std::size_t Shard::live_count() const {
  std::size_t count = census_.size();
  for (const Holding* holding : recovering_) count += holding->adopted.left();
  return count;
}

// ---- Taking up ----------------------------------------------------------------------------------

void Shard::On(TakeUpRequest&& request) {
  ASSENT_CHECK(holdings_[request.slot] == nullptr);
  holdings_[request.slot] =
      std::make_unique<Holding>(request.slot, request.slot_epoch, std::move(request.damage));
  holdings_[request.slot]->generation = request.generation;
  Holding& holding = *holdings_[request.slot];
  holding.adopted = std::move(*request.rows);
  census_.figures.active += holding.adopted.left();  // or on its way to an end: nobody has looked
  if (holding.adopted.left() > 0) recovering_.push_back(&holding);
  std::vector<Adopted::Row*> twice;
  holding.adopted.Index([&](Adopted::Row& row) { twice.push_back(&row); });
  for (Adopted::Row* row : twice) {
    SetAside(holding, row->serial(), row->gid(),
             "an older unfinished transaction has the same gid");
    Take(holding, *row);
  }
  holding.live.reserve(holding.adopted.left());
}

void Shard::RecoverSome() {
  for (std::size_t n = 0; n < options_.slice_count && MayRecoverSome(); ++n)
    (void)TakeUp(*recovering_.front(), *recovering_.front()->adopted.Oldest());
}

void Shard::SetAside(Holding& holding, std::uint64_t serial, std::string_view gid,
                     const std::string& why) {
  std::string sentence = "transaction " + std::string(gid) + " (table live, row " +
                         std::to_string(serial) + ") is set aside: " + why +
                         "; its row stays in the log as it is, and nobody works on it";
  if (options_.on_set_aside) options_.on_set_aside(sentence);
  holding.aside.emplace(gid, std::move(sentence));
  ++census_.figures.set_aside;
}

void Shard::Take(Holding& holding, Adopted::Row& row) {
  holding.adopted.Take(row);
  --census_.figures.active;
  if (holding.adopted.left() == 0) std::erase(recovering_, &holding);
}

// Recover is the first that happens to it.
Live* Shard::TakeUp(Holding& holding, Adopted::Row& row) {
  Result<core::Transaction> txn =
      core::Codec::Decode(std::string(row.gid()), row.spec(), row.state());
  if (!txn.ok()) {
    SetAside(holding, row.serial(), row.gid(), "it cannot be read: " + txn.status().message());
    Take(holding, row);
    return nullptr;
  }
  Live& live = AddLive(holding, std::move(txn).value(), row.serial());
  live.version = row.version();
  live.audience.Recover(live.txn);
  for (const core::Branch& branch : live.txn.branches()) Attach(live, branch.result.size());
  Take(holding, row);
  if (live.txn.finished()) {
    // Began and ended in one breath, and the end was not written.
    writes_.Note(live, true, mono_);
    census_.Count(live);
  } else {
    (void)Apply(live, core::Recover{holding.generation});
  }
  return &live;
}

// Unless it has left meanwhile: then it is loaded under this epoch, or is another coordinator's.
void Shard::On(RaiseRequest&& request) {
  Holding* holding = holdings_[request.slot].get();
  if (holding != nullptr) holding->slot_epoch = std::max(holding->slot_epoch, request.slot_epoch);
}

// ---- Giving up ----------------------------------------------------------------------------------

void Shard::On(GiveUpRequest&& request) {
  Holding* holding = holdings_[request.slot].get();
  ASSENT_CHECK(holding != nullptr && holding->state == Holding::State::kServing);
  holding->state = Holding::State::kParting;
  holding->until = mono_ + options_.farewell_time;
  holding->left = std::move(request.left);
  parting_.push_back(holding);
}

// Behind all that a turn writes and sends: what has left is not sent for any more.
void Shard::PartSome() {
  std::size_t left = options_.slice_count;
  for (std::size_t i = 0; i < parting_.size();) {
    Holding& holding = *parting_[i];
    const bool over = holding.live.empty() && holding.adopted.left() == 0;
    if (!holding.closed() && (over || mono_ >= holding.until)) Close(holding);
    if (holding.closed()) left -= ForsakeSome(holding, left);
    if (!holding.closed() || !holding.live.empty() || holding.unanswered > 0) {
      ++i;
      continue;
    }
    const std::function<void()> gone = std::move(holding.left);
    parting_.erase(parting_.begin() + static_cast<std::ptrdiff_t>(i));
    census_.figures.set_aside -= holding.aside.size();  // the last ones came with the last answers
    holdings_[holding.slot].reset();
    gone();
  }
}

// The oldest first: not in the order of a hash, or no course could be taken again.
std::size_t Shard::ForsakeSome(Holding& holding, std::size_t most) {
  std::vector<Live*> leaving;
  for (const auto& [gid, live] : holding.live) {
    if (!IsWriting(live->write)) leaving.push_back(live.get());  // what is durable is still told
  }
  const std::size_t count = std::min(most, leaving.size());
  const auto end = leaving.begin() + static_cast<std::ptrdiff_t>(count);
  std::partial_sort(leaving.begin(), end, leaving.end(),
                    [](const Live* a, const Live* b) { return a->serial < b->serial; });
  std::for_each(leaving.begin(), end, [this](Live* live) { Forsake(*live); });
  return count;
}

void Shard::Close(Holding& holding) {
  holding.state = Holding::State::kClosed;
  writes_.Drop(holding);
  census_.figures.active -= holding.adopted.left();
  holding.adopted = Adopted();
  std::erase(recovering_, &holding);
}

// Whoever takes it up carries it on, and knows what becomes of it; here nobody does. What those who
// wait have asked for may have been done.
void Shard::Forsake(Live& live) {
  const std::string& gid = live.txn.gid();
  for (Request& request : live.audience.TakeDeferred()) Refuse(request, Elsewhere(gid));
  live.audience.Dismiss(
      UnknownOutcome("transaction " + gid + " is another coordinator's from now on: ask again"),
      nullptr, Now());
  Remove(live);
}

core::MonoTime Shard::NextParting() const {
  core::MonoTime next = core::kNever;
  for (const Holding* holding : parting_) {
    if (!holding->closed()) {
      next = std::min(next, holding->until);
    } else if (holding->live.size() > holding->unanswered) {
      return mono_;
    }
  }
  return next;
}

}  // namespace assent::engine
