#include "coordinator/engine/census.h"

#include <algorithm>
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

void Census::Count(Live& live) {
  // Nobody is shown a decision that is not durable.
  const core::Phase phase = live.audience.decided() ? live.txn.phase() : core::Phase::kActive;
  if (phase != live.counted) {
    if (Figure* was = figures.Of(live.counted)) --*was;
    if (Figure* is = figures.Of(phase)) ++*is;
    live.counted = phase;
  }
  const bool stuck = live.txn.needs_operator();
  if (stuck == NeedsPerson(live)) return;
  stuck ? ++figures.needs_operator : --figures.needs_operator;
  std::vector<std::uint64_t>& changes = live.AddRare().stuck_changes;
  if (changes.empty()) stuck_.emplace(live.serial, &live);
  if (changes.size() == kMaxStuckChangesCount) changes.erase(changes.begin(), changes.begin() + 2);
  changes.push_back(look_);
}

void Census::Remove(Live& live) {
  if (Figure* count = figures.Of(live.counted)) --*count;
  if (NeedsPerson(live)) --figures.needs_operator;
  if (live.rare && !live.rare->stuck_changes.empty()) stuck_.erase(live.serial);
  by_serial_.erase(live.serial);
}

void Census::Visit(const SliceRequest& request, const std::vector<Holding*>& recovering,
                   const core::Now& now) {
  look_ = std::max(look_, request.look);
  const bool back = request.part == Part::kNewestFirst;
  const bool stuck = request.part == Part::kStuck;
  SliceEnd end{request.after, false};
  for (std::size_t left = request.max_rows;; --left) {
    const Live* live = Next(stuck ? stuck_ : by_serial_, end.serial, back);
    const Adopted::Row* row = stuck ? nullptr : Next(recovering, end.serial, back);
    end.more = left == 0 && (live != nullptr || row != nullptr);
    if (end.more || (live == nullptr && row == nullptr)) break;
    if (row == nullptr || (live != nullptr && (live->serial < row->serial()) != back)) {
      end.serial = live->serial;
      if (back || WasStuck(*live, request.look) == stuck) Show(request, *live, now);
    } else {
      end.serial = row->serial();
      Show(request, *row, now);
    }
  }
  request.done(end);
}

}  // namespace assent::engine
