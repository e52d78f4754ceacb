#include "coordinator/cluster/shares.h"

#include <algorithm>
#include <map>

namespace assent::cluster {
namespace {

// How many slots each taker has, or is going to have.
using Counts = std::map<std::uint64_t, std::size_t>;

// Slots that a person has given to one of the takers, and to which.
using Homes = std::map<Slot, std::uint64_t>;

Homes HomesOf(const View& view, const std::vector<std::uint64_t>& takers) {
  Homes homes;
  for (const Pin& pin : view.pins) {
    for (const std::uint64_t taker : takers) {
      if (view.Find(taker)->node != pin.node) continue;
      for (const Slot slot : pin.slots) homes[slot] = taker;
    }
  }
  return homes;
}

// Whose it will be when all that has been asked for is done.
std::uint64_t DestinationOf(const View& view, const SlotRow& slot) {
  return view.Find(slot.wanted) != nullptr ? slot.wanted : slot.owner;
}

Counts CountsOf(const View& view, const std::vector<std::uint64_t>& takers, const Homes& homes) {
  Counts counts;
  for (const std::uint64_t taker : takers) counts[taker] = 0;
  for (std::size_t slot = 0; slot < view.slots.size(); ++slot) {
    const auto home = homes.find(static_cast<Slot>(slot));
    const auto found =
        counts.find(home != homes.end() ? home->second : DestinationOf(view, view.slots[slot]));
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

void MakeEqual(const View& view, const Homes& homes, Counts& counts, std::vector<Move>& moves) {
  std::map<std::uint64_t, std::vector<Slot>> movable;
  for (std::size_t slot = view.slots.size(); slot-- > 0;) {
    const std::uint64_t owner = view.slots[slot].owner;
    if (homes.contains(static_cast<Slot>(slot))) continue;
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
  const Homes homes = HomesOf(view, takers);
  Counts counts = CountsOf(view, takers, homes);
  heirs.reserve(slots.size());
  for (const Slot slot : slots) {
    const auto home = homes.find(slot);
    heirs.push_back(
        {.slot = slot, .epoch = home != homes.end() ? home->second : GiveToPoorest(counts)});
  }
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
  const Homes homes = HomesOf(view, takers);
  Counts counts = CountsOf(view, takers, homes);
  for (std::size_t i = 0; i < view.slots.size(); ++i) {
    const SlotRow& row = view.slots[i];
    // Who has asked gets it first.
    if (!std::binary_search(living.begin(), living.end(), row.owner) ||
        view.Find(row.wanted) != nullptr)
      continue;
    const auto slot = static_cast<Slot>(i);
    if (const auto home = homes.find(slot); home != homes.end()) {
      if (home->second != row.owner)
        moves.push_back({.slot = slot, .from = row.owner, .to = home->second});
    } else if (view.Find(row.owner)->draining) {
      moves.push_back({.slot = slot, .from = row.owner, .to = GiveToPoorest(counts)});
    }
  }
  const std::size_t share = view.slots.size() / takers.size();
  if (Poorest(counts)->second * 4 < share * 3) MakeEqual(view, homes, counts, moves);
  return moves;
}

}  // namespace assent::cluster
