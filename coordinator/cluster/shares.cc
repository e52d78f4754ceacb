#include "coordinator/cluster/shares.h"

#include <algorithm>
#include <map>

namespace assent::cluster {
namespace {

// How many slots each taker has, or is going to have.
using Counts = std::map<std::uint64_t, std::size_t>;

// Whose it will be when all that has been asked for is done.
std::uint64_t DestinationOf(const View& view, const SlotRow& slot) {
  return view.Find(slot.wanted) != nullptr ? slot.wanted : slot.owner;
}

Counts CountsOf(const View& view, const std::vector<std::uint64_t>& takers) {
  Counts counts;
  for (const std::uint64_t taker : takers) counts[taker] = 0;
  for (const SlotRow& slot : view.slots) {
    const auto found = counts.find(DestinationOf(view, slot));
    if (found != counts.end()) ++found->second;
  }
  return counts;
}

bool Fewer(const Counts::value_type& a, const Counts::value_type& b) { return a.second < b.second; }
Counts::iterator Poorest(Counts& counts) {
  return std::min_element(counts.begin(), counts.end(), Fewer);
}

std::uint64_t GiveToPoorest(Counts& counts) {
  const auto poorest = Poorest(counts);
  ++poorest->second;
  return poorest->first;
}

void MakeEqual(const View& view, Counts& counts, std::vector<Move>& moves) {
  std::map<std::uint64_t, std::vector<Slot>> movable;
  for (std::size_t slot = view.slots.size(); slot-- > 0;) {
    const std::uint64_t owner = view.slots[slot].owner;
    if (DestinationOf(view, view.slots[slot]) == owner)
      movable[owner].push_back(static_cast<Slot>(slot));
  }
  Counts givers = counts;
  while (!givers.empty()) {
    const auto richest = std::max_element(givers.begin(), givers.end(), Fewer);
    const auto poorest = Poorest(counts);
    if (richest->second < poorest->second + 2) return;
    std::vector<Slot>& slots = movable[richest->first];
    if (slots.empty()) {
      givers.erase(richest);
      continue;
    }
    moves.push_back({.slot = slots.back(), .from = richest->first, .to = poorest->first});
    slots.pop_back();
    counts[richest->first] = --richest->second;
    ++poorest->second;
    if (const auto giver = givers.find(poorest->first); giver != givers.end()) ++giver->second;
  }
}

}  // namespace

std::vector<Heir> Spread(const View& view, const std::vector<std::uint64_t>& takers,
                         const std::vector<Slot>& slots) {
  std::vector<Heir> heirs;
  if (takers.empty()) return heirs;
  Counts counts = CountsOf(view, takers);
  heirs.reserve(slots.size());
  for (const Slot slot : slots) heirs.push_back({.slot = slot, .epoch = GiveToPoorest(counts)});
  return heirs;
}

std::vector<std::uint64_t> TakersOf(const View& view, const std::vector<std::uint64_t>& living) {
  std::vector<std::uint64_t> takers;
  std::copy_if(living.begin(), living.end(), std::back_inserter(takers),
               [&](std::uint64_t epoch) { return !view.Find(epoch)->draining; });
  return takers.empty() ? living : takers;
}

std::vector<Move> Rebalance(const View& view, const std::vector<std::uint64_t>& living) {
  std::vector<Move> moves;
  const std::vector<std::uint64_t> takers = TakersOf(view, living);
  if (takers.empty() || view.Find(takers.front())->draining) return moves;
  Counts counts = CountsOf(view, takers);
  for (std::size_t slot = 0; slot < view.slots.size(); ++slot) {
    const SlotRow& row = view.slots[slot];
    const Member* owner = view.Find(row.owner);
    const bool leaves = owner != nullptr && owner->draining && view.Find(row.wanted) == nullptr &&
                        std::binary_search(living.begin(), living.end(), row.owner);
    if (leaves)
      moves.push_back(
          {.slot = static_cast<Slot>(slot), .from = row.owner, .to = GiveToPoorest(counts)});
  }
  const std::size_t share = view.slots.size() / takers.size();
  if (Poorest(counts)->second * 4 < share * 3) MakeEqual(view, counts, moves);
  return moves;
}

}  // namespace assent::cluster
