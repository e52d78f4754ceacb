#pragma once

// Which slots should be whose. Whoever computes it from the same view finds the same, so that
// several who act at once do not get into each other's way.

#include <cstdint>
#include <vector>

#include <assent/slot.h>

#include "coordinator/cluster/member_store.h"
#include "coordinator/cluster/view.h"

namespace assent::cluster {

struct Move {
  Slot slot = 0;
  std::uint64_t from = 0;
  std::uint64_t to = 0;
  friend bool operator==(const Move&, const Move&) = default;
};

// `slots`, in their order, each to whom a person has given it, if that is one of `takers`, else to
// that of them who has the fewest by then. `takers` rises; if there are none, nobody gets them.
std::vector<Heir> Spread(const View& view, const std::vector<std::uint64_t>& takers,
                         const std::vector<Slot>& slots);

// What is to change hands among those who answer (`living`, rising): all that a draining member
// has; what a person has given to somebody who has it not (View::pins); and when somebody has less
// than three quarters of its share, as much of what nobody has moved by hand as makes all equal.
// Less is left as it is: each move costs the transactions that are under way in a slot a new start.
std::vector<Move> Rebalance(const View& view, const std::vector<std::uint64_t>& living);

// Of `living` those that take slots: who is not draining, or all if nobody else is there.
std::vector<std::uint64_t> TakersOf(const View& view, const std::vector<std::uint64_t>& living);

}  // namespace assent::cluster
