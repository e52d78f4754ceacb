#include "coordinator/engine/census.h"

#include <algorithm>
#include <chrono>
#include <iterator>
#include <string>

#include "coordinator/core/codec.h"

namespace assent::engine {
namespace {

// Of one that comes and goes again and again the oldest changes give way; a look that is older than
// these may see it twice.
constexpr std::size_t kMaxStuckChangesCount = 64;

// An odd number of changes: it does.
bool NeedsPerson(const Live& live) {
  return live.rare != nullptr && live.rare->stuck_changes.size() % 2 == 1;
}

// What happened since that look began does not count, whether or not the look has been here yet: so
// each of its slices, early or late, gives the same answer.
bool WasStuck(const Live& live, std::uint64_t look) {
  if (!live.rare) return false;
  const auto& changes = live.rare->stuck_changes;
  const auto before = std::lower_bound(changes.begin(), changes.end(), look) - changes.begin();
  return before % 2 == 1;
}

// The one behind a serial; or, back from the end (0), the one before it. nullptr: there is none.
const Live* Next(const absl::btree_map<std::uint64_t, Live*>& among, std::uint64_t serial,
                 bool back) {
  if (!back) {
    const auto at = among.upper_bound(serial);
    return at == among.end() ? nullptr : at->second;
  }
  const auto at = serial == 0 ? among.end() : among.lower_bound(serial);
  return at == among.begin() ? nullptr : std::prev(at)->second;
}

const Adopted::Row* Next(const std::vector<Holding*>& among, std::uint64_t serial, bool back) {
  const Adopted::Row* next = nullptr;
  for (const Holding* holding : among) {
    const Adopted::Row* row =
        back ? holding->adopted.Before(serial) : holding->adopted.After(serial);
    if (row != nullptr && (next == nullptr || (row->serial() < next->serial()) != back)) next = row;
  }
  return next;
}

void Show(const SliceRequest& request, const Live& live, const core::Now& now) {
  if (live.audience.begun())
    request.visit(live.serial, live.txn, live.audience.Visible(live.txn), now);
}

void Show(const SliceRequest& request, const Adopted::Row& row, const core::Now& now) {
  const auto txn = core::Codec::Decode(std::string(row.gid()), row.spec(), row.state());
  if (txn.ok()) request.visit(row.serial(), *txn, true, now);
}

}  // namespace

// ---- Figures ------------------------------------------------------------------------------------

void Ages::Enter(core::WallTime began) {
  const auto second = std::chrono::floor<std::chrono::seconds>(began.time_since_epoch()).count();
  ++by_second_[second];
  oldest_ = static_cast<std::uint64_t>(by_second_.begin()->first);
}

void Ages::Leave(core::WallTime began) {
  const auto second = std::chrono::floor<std::chrono::seconds>(began.time_since_epoch()).count();
  const auto found = by_second_.find(second);
  if (--found->second > 0) return;
  by_second_.erase(found);
  oldest_ = by_second_.empty() ? 0 : static_cast<std::uint64_t>(by_second_.begin()->first);
}

Ages* Census::AgesOf(core::Phase phase) {
  switch (phase) {
    case core::Phase::kActive: return &active_;
    case core::Phase::kCommitting: return &committing_;
    case core::Phase::kAborting: return &aborting_;
    case core::Phase::kUnknown:
    case core::Phase::kFinished: break;
  }
  return nullptr;
}

void Census::CountEnd(const core::Transaction& txn) {
  const auto& branches = txn.spec().branches;
  std::size_t protocol = branches.empty() ? 0 : static_cast<std::size_t>(branches[0].protocol);
  for (const core::BranchSpec& branch : branches)
    protocol = branch.protocol == branches[0].protocol ? protocol : 0;
  ++figures.finished[protocol][static_cast<std::size_t>(txn.outcome())];
  figures.finished_after.Observe(txn.finished_at() - txn.began_at());
}

bool Census::Count(Live& live) {
  // Nobody is shown a decision that is not durable.
  const core::Phase phase = live.audience.decided() ? live.txn.phase() : core::Phase::kActive;
  if (phase != live.counted) {
    if (Figure* was = figures.Of(live.counted)) --*was;
    if (Figure* is = figures.Of(phase)) ++*is;
    if (Ages* was = AgesOf(live.counted)) was->Leave(live.txn.began_at());
    if (Ages* is = AgesOf(phase)) is->Enter(live.txn.began_at());
    live.counted = phase;
  }
  if (const bool rests = live.txn.Rests(); rests != live.counted_resting) {
    rests ? ++figures.resting : --figures.resting;
    live.counted_resting = rests;
  }
  const bool stuck = live.txn.needs_operator();
  if (stuck == NeedsPerson(live)) return stuck;
  stuck ? ++figures.needs_operator : --figures.needs_operator;
  stuck ? needs_operator_.Enter(live.txn.began_at()) : needs_operator_.Leave(live.txn.began_at());
  std::vector<std::uint64_t>& changes = live.AddRare().stuck_changes;
  if (changes.empty()) stuck_.emplace(live.serial, &live);
  if (changes.size() == kMaxStuckChangesCount) changes.erase(changes.begin(), changes.begin() + 2);
  changes.push_back(look_);
  live.rare->told = Alarm::kNone;
  return stuck;
}

void Census::Remove(Live& live) {
  if (Figure* count = figures.Of(live.counted)) --*count;
  if (Ages* ages = AgesOf(live.counted)) ages->Leave(live.txn.began_at());
  if (NeedsPerson(live)) {
    --figures.needs_operator;
    needs_operator_.Leave(live.txn.began_at());
  }
  if (live.counted_resting) --figures.resting;
  if (live.rare && !live.rare->stuck_changes.empty()) stuck_.erase(live.serial);
  by_serial_.erase(live.serial);
}

void Census::Visit(const SliceRequest& request, const std::vector<Holding*>& recovering,
                   const core::Now& now) {
  look_ = std::max(look_, request.look);
  const bool back = request.part == Part::kNewestFirst;
  const bool stuck = request.part == Part::kStuck;
  const bool all = back || request.part == Part::kOldestFirst;
  SliceEnd end{request.after, false};
  for (std::size_t left = request.max_rows;; --left) {
    const Live* live = Next(stuck ? stuck_ : by_serial_, end.serial, back);
    const Adopted::Row* row = stuck ? nullptr : Next(recovering, end.serial, back);
    end.more = left == 0 && (live != nullptr || row != nullptr);
    if (end.more || (live == nullptr && row == nullptr)) break;
    if (row == nullptr || (live != nullptr && (live->serial < row->serial()) != back)) {
      end.serial = live->serial;
      if (all || WasStuck(*live, request.look) == stuck) Show(request, *live, now);
    } else {
      end.serial = row->serial();
      Show(request, *row, now);
    }
  }
  request.done(end);
}

}  // namespace assent::engine
