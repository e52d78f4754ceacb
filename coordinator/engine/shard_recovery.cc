// After a restart everything goes on, a slice at a time, because it may be a million.

#include <algorithm>
#include <utility>

#include "coordinator/core/codec.h"
#include "coordinator/engine/shard.h"

namespace assent::engine {

void Shard::Start(const log::Recovered& recovered, core::MonoTime mono, core::WallTime wall) {
  coordinator_id_ = recovered.log_id;
  epoch_ = recovered.epoch;
  lives_ = *recovered.epochs;
  std::vector<Adopted::Row*> twice;
  adopted_.Index([&](Adopted::Row& row) { twice.push_back(&row); });
  for (Adopted::Row* row : twice) {
    SetAside(row->serial(), row->gid(), "an older unfinished transaction has the same gid");
    Take(*row);
  }
  live_.reserve(adopted_.left());
  EndTurn(mono, wall);
}

void Shard::RecoverSome() {
  for (std::size_t n = 0; n < options_.slice_count && MayRecoverSome(); ++n)
    (void)TakeUp(*adopted_.Oldest());
}

void Shard::SetAside(std::uint64_t serial, std::string_view gid, const std::string& why) {
  std::string sentence = "transaction " + std::string(gid) + " (table live, row " +
                         std::to_string(serial) + ") is set aside: " + why +
                         "; its row stays in the log as it is, and nobody works on it";
  if (options_.on_set_aside) options_.on_set_aside(sentence);
  aside_.emplace(gid, std::move(sentence));
  ++stats_.set_aside;
}

void Shard::Take(Adopted::Row& row) {
  adopted_.Take(row);
  --stats_.active;
}

// Recover is the first that happens to it.
Shard::Live* Shard::TakeUp(Adopted::Row& row) {
  Result<core::Transaction> txn =
      core::Codec::Decode(std::string(row.gid()), row.spec(), row.state());
  if (!txn.ok()) {
    SetAside(row.serial(), row.gid(), "it cannot be read: " + txn.status().message());
    Take(row);
    return nullptr;
  }
  auto owned = std::make_unique<Live>(std::move(txn).value());
  Live& live = *owned;
  live.serial = row.serial();
  live.version = live.durable_version = row.version();
  live.timer.owner = &live;
  live.accepted = true;
  live.decided = live.txn.decision() != core::Decision::kNone;
  live.attached_bytes = AttachedBytes(live.txn.spec());
  const std::vector<core::Branch>& branches = live.txn.branches();
  for (std::size_t i = 0; i < branches.size(); ++i) {
    live.attached_bytes += branches[i].result.size();
    live.branch_answered.set(i, branches[i].state != core::BranchState::kWaiting &&
                                    branches[i].state != core::BranchState::kExecuting);
  }
  live_bytes_ += live.attached_bytes;
  live_.emplace(live.txn.gid(), std::move(owned));
  by_serial_.emplace(live.serial, &live);
  Take(row);
  if (live.txn.finished()) {
    MarkDirty(live, true);  // began and ended in one breath, and the end was not written
    Count(live);
  } else {
    (void)Apply(live, core::Recover{});
  }
  return &live;
}

Shard::Live* Shard::FindLive(std::string_view gid) {
  const auto found = live_.find(gid);
  if (found != live_.end()) return found->second.get();
  Adopted::Row* row = adopted_.Find(gid);
  return row == nullptr ? nullptr : TakeUp(*row);
}

}  // namespace assent::engine
