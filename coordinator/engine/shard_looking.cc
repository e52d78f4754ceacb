// Looking at what is unfinished: figures that are kept as things happen, and slices of the rest.
// Nothing here walks everything.

#include <algorithm>
#include <utility>

#include "coordinator/core/codec.h"
#include "coordinator/engine/shard.h"

namespace assent::engine {
namespace {

// Of one that comes and goes again and again the oldest changes give way; a look that is older than
// these may see it twice.
constexpr std::size_t kMaxStuckChangesCount = 64;

}  // namespace

// ---- Figures ------------------------------------------------------------------------------------

ShardStats Shard::Stats() const {
  ShardStats stats;
  stats_.AddTo(stats);
  return stats;
}

void Shard::Count(Live& live) {
  // Nobody is shown a decision that is not durable.
  const core::Phase phase = live.decided ? live.txn.phase() : core::Phase::kActive;
  if (phase != live.counted) {
    if (Figure* was = stats_.Of(live.counted)) --*was;
    if (Figure* is = stats_.Of(phase)) ++*is;
    live.counted = phase;
  }
  const bool stuck = live.txn.needs_operator();
  if (stuck == live.counted_stuck) return;
  live.counted_stuck = stuck;
  stuck ? ++stats_.needs_operator : --stats_.needs_operator;
  std::vector<std::uint64_t>& changes = live.AddRare().stuck_changes;
  if (changes.empty()) stuck_.emplace(live.serial, &live);
  if (changes.size() == kMaxStuckChangesCount) changes.erase(changes.begin(), changes.begin() + 2);
  changes.push_back(look_);
}

// What happened since that look began does not count, whether or not the look has been here yet: so
// each of its slices, early or late, gives the same answer.
bool Shard::WasStuck(const Live& live, std::uint64_t look) {
  if (!live.rare) return false;
  const auto& changes = live.rare->stuck_changes;
  const auto before = std::lower_bound(changes.begin(), changes.end(), look) - changes.begin();
  return before % 2 == 1;
}

// ---- Slices -------------------------------------------------------------------------------------

void Shard::On(SliceRequest request) {
  look_ = std::max(look_, request.look);
  SliceEnd end;
  switch (request.part) {
    case Part::kStuck: end = VisitStuck(request); break;
    case Part::kOthers: end = VisitOthers(request); break;
    case Part::kNewestFirst: end = VisitNewestFirst(request); break;
  }
  request.done(end);
}

void Shard::Show(const SliceRequest& request, const Live& live) const {
  if (!live.accepted) return;
  request.visit(live.serial, live.txn, Visible(live), core::Now{mono_, wall_, 0});
}

void Shard::Show(const SliceRequest& request, const Adopted::Row& row) const {
  const auto txn = core::Codec::Decode(std::string(row.gid()), row.spec(), row.state());
  if (txn.ok()) request.visit(row.serial(), *txn, true, core::Now{mono_, wall_, 0});
}

SliceEnd Shard::VisitStuck(const SliceRequest& request) const {
  SliceEnd end{request.after, false};
  std::size_t left = request.max_rows;
  for (auto at = stuck_.upper_bound(request.after); at != stuck_.end(); ++at) {
    if (left-- == 0) return {end.serial, true};
    end.serial = at->first;
    if (WasStuck(*at->second, request.look)) Show(request, *at->second);
  }
  return end;
}

SliceEnd Shard::VisitOthers(const SliceRequest& request) const {
  SliceEnd end{request.after, false};
  auto live = by_serial_.upper_bound(request.after);
  const Adopted::Row* row = adopted_.After(request.after);
  for (std::size_t left = request.max_rows; live != by_serial_.end() || row != nullptr;) {
    if (left-- == 0) return {end.serial, true};
    if (row == nullptr || (live != by_serial_.end() && live->first < row->serial())) {
      end.serial = live->first;
      if (!WasStuck(*live->second, request.look)) Show(request, *live->second);
      ++live;
    } else {
      end.serial = row->serial();
      Show(request, *row);
      row = adopted_.After(end.serial);
    }
  }
  return end;
}

SliceEnd Shard::VisitNewestFirst(const SliceRequest& request) const {
  SliceEnd end{request.after, false};
  auto live = request.after == 0 ? by_serial_.end() : by_serial_.lower_bound(request.after);
  const Adopted::Row* row = adopted_.Before(request.after);
  for (std::size_t left = request.max_rows; live != by_serial_.begin() || row != nullptr;) {
    if (left-- == 0) return {end.serial, true};
    const auto previous = live == by_serial_.begin() ? live : std::prev(live);
    if (row == nullptr || (previous != live && previous->first > row->serial())) {
      end.serial = previous->first;
      Show(request, *previous->second);
      live = previous;
    } else {
      end.serial = row->serial();
      Show(request, *row);
      row = adopted_.Before(end.serial);
    }
  }
  return end;
}

}  // namespace assent::engine
