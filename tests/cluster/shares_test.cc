// Who gets which slots.

#include "coordinator/cluster/shares.h"

#include <algorithm>
#include <map>
#include <vector>

#include <gmock/gmock.h>
#include <gtest/gtest.h>

namespace assent::cluster {
namespace {

using testing::ElementsAre;
using testing::IsEmpty;
using testing::SizeIs;

// Members 1, 2, ... and the owner of each slot.
View Of(std::uint64_t members, const std::vector<std::uint64_t>& owners) {
  View view;
  for (std::uint64_t epoch = 1; epoch <= members; ++epoch)
    view.members.push_back({.epoch = epoch, .node = std::to_string(epoch)});
  for (const std::uint64_t owner : owners) view.slots.push_back({.owner = owner, .slot_epoch = 1});
  return view;
}

std::map<std::uint64_t, std::size_t> After(View view, const std::vector<Move>& moves) {
  for (const Move& move : moves) {
    EXPECT_EQ(view.slots[move.slot].owner, move.from);
    view.slots[move.slot].owner = move.to;
  }
  std::map<std::uint64_t, std::size_t> counts;
  for (const SlotRow& row : view.slots) ++counts[row.owner];
  return counts;
}

TEST(Shares, WhatADeadOneHadIsSpreadEvenly) {
  const View view = Of(3, {1, 1, 1, 1, 2, 2, 3, 3});
  const std::vector<Heir> heirs = Spread(view, {2, 3}, {0, 1, 2, 3});
  ASSERT_THAT(heirs, SizeIs(4));
  for (std::size_t i = 0; i < 4; ++i) {
    EXPECT_EQ(heirs[i].slot, i);
    EXPECT_EQ(heirs[i].epoch, i % 2 == 0 ? 2u : 3u);
  }
}

TEST(Shares, WhoHasLessGetsMore) {
  const View view = Of(3, {1, 1, 1, 2, 2, 2, 3});
  std::map<std::uint64_t, int> got;
  for (const Heir& heir : Spread(view, {2, 3}, {0, 1, 2})) ++got[heir.epoch];
  EXPECT_EQ(got[2], 1);
  EXPECT_EQ(got[3], 2);
  EXPECT_THAT(Spread(view, {}, {0, 1, 2}), IsEmpty());
}

TEST(Shares, ANewcomerGetsItsShareOfThoseWhoHaveMost) {
  const View view = Of(3, {1, 1, 1, 1, 1, 1, 2, 2, 2, 2, 2, 2});
  const std::vector<Move> moves = Rebalance(view, {1, 2, 3});
  for (const Move& move : moves) EXPECT_EQ(move.to, 3u);
  EXPECT_THAT(After(view, moves),
              ElementsAre(testing::Pair(1, 4), testing::Pair(2, 4), testing::Pair(3, 4)));
}

TEST(Shares, WhatHasBeenAskedForCounts) {
  View view = Of(2, std::vector<std::uint64_t>(8, 1));
  for (Slot slot = 0; slot < 4; ++slot) view.slots[slot].wanted = 2;
  EXPECT_THAT(Rebalance(view, {1, 2}), IsEmpty());
  view.slots[0].wanted = 99;  // who asked has ended
  view.slots[1].wanted = 0;
  const std::vector<Move> moves = Rebalance(view, {1, 2});
  EXPECT_EQ(After(view, moves)[2], 2u);
}

TEST(Shares, SmallDifferencesStay) {
  std::vector<std::uint64_t> owners(32, 1);
  std::fill(owners.begin() + 20, owners.end(), 2);
  EXPECT_THAT(Rebalance(Of(2, owners), {1, 2}), IsEmpty());
  owners[20] = 1;
  EXPECT_THAT(After(Of(2, owners), Rebalance(Of(2, owners), {1, 2})),
              ElementsAre(testing::Pair(1, 16), testing::Pair(2, 16)));
}

TEST(Shares, ADrainingOneGivesAllAndTakesNothing) {
  View view = Of(3, {1, 1, 1, 2, 3, 3});
  view.members[0].draining = true;
  const std::vector<Move> moves = Rebalance(view, {1, 2, 3});
  EXPECT_THAT(After(view, moves), ElementsAre(testing::Pair(2, 3), testing::Pair(3, 3)));
  EXPECT_THAT(TakersOf(view, {1, 2, 3}), ElementsAre(2, 3));
  // Each is asked for once, unless who asked has ended.
  view.slots[0].wanted = 2;
  view.slots[1].wanted = 99;
  view.slots[2].wanted = 3;
  const std::vector<Move> rest = Rebalance(view, {1, 2, 3});
  ASSERT_THAT(rest, SizeIs(1));
  EXPECT_EQ(rest[0].slot, 1);
}

TEST(Shares, TheLastOneKeepsWhatItHas) {
  View view = Of(2, {1, 1, 2, 2});
  view.members[0].draining = true;
  view.members[1].draining = true;
  EXPECT_THAT(Rebalance(view, {1, 2}), IsEmpty());
  // And if the other dies, somebody has to carry its transactions on.
  EXPECT_THAT(TakersOf(view, {1}), ElementsAre(1));
}

// Of a silent one nothing is asked: its slots come with the fence.
TEST(Shares, NothingIsAskedOfWhoIsSilent) {
  View view = Of(3, {1, 1, 1, 1, 2, 2, 2, 2});
  for (const Move& move : Rebalance(view, {2, 3})) EXPECT_EQ(move.from, 2u);
  view.members[0].draining = true;
  for (const Move& move : Rebalance(view, {2, 3})) EXPECT_EQ(move.from, 2u);
}

// A move of many slots was undone within seconds.
TEST(Shares, WhatAPersonHasMovedStays) {
  std::vector<std::uint64_t> owners(32, 1);
  std::fill(owners.begin() + 4, owners.end(), 2);
  View view = Of(2, owners);
  Pin pin{.node = "2"};
  for (Slot slot = 4; slot < 28; ++slot) pin.slots.push_back(slot);
  view.pins = {pin};
  // What nobody has moved makes up for it.
  EXPECT_THAT(After(view, Rebalance(view, {1, 2})),
              ElementsAre(testing::Pair(1, 8), testing::Pair(2, 24)));
  for (const Move& move : Rebalance(view, {1, 2})) EXPECT_GE(move.slot, 28);
  for (Slot slot = 28; slot < 32; ++slot) view.slots[slot].owner = 1;
  EXPECT_THAT(Rebalance(view, {1, 2}), IsEmpty()) << "there is nothing left to even out";
}

TEST(Shares, WhatWasMovedGoesHomeWhereverItIs) {
  View view = Of(3, {1, 1, 1, 1, 2, 2, 2, 2, 3, 3, 3, 3});
  view.pins = {
      {.node = "3", .slots = {0}}, {.node = "2", .slots = {5}}, {.node = "9", .slots = {8}}};
  const Move home = {.slot = 0, .from = 1, .to = 3};
  EXPECT_TRUE(Rebalance(view, {1, 2, 3}) == std::vector<Move>{home});
  view.slots[0].wanted = 2;
  EXPECT_THAT(Rebalance(view, {1, 2, 3}), IsEmpty()) << "who asked first has it first";
  view.slots[0].wanted = 0;
  // Whose node is away or draining is shared by the others, as all is.
  EXPECT_THAT(Rebalance(view, {1, 2}), IsEmpty());
  view.members[2].draining = true;
  for (const Move& move : Rebalance(view, {1, 2, 3})) EXPECT_EQ(move.from, 3u);
  // Who drains gives it home, and the rest is shared.
  view.members[2].draining = false;
  view.members[0].draining = true;
  const std::vector<Move> moves = Rebalance(view, {1, 2, 3});
  EXPECT_EQ(std::count(moves.begin(), moves.end(), home), 1);
  EXPECT_THAT(After(view, moves), ElementsAre(testing::Pair(2, 6), testing::Pair(3, 6)));
}

TEST(Shares, ADeadOnesSlotsGoToWhomTheyWereMoved) {
  View view = Of(3, {1, 1, 1, 1, 2, 3});
  view.pins = {{.node = "3", .slots = {0, 1, 3}}, {.node = "1", .slots = {2}}};
  const std::vector<Heir> heirs = Spread(view, {2, 3}, {0, 1, 2, 3});
  ASSERT_THAT(heirs, SizeIs(4));
  EXPECT_EQ(heirs[0].epoch, 3u);
  EXPECT_EQ(heirs[1].epoch, 3u);
  EXPECT_EQ(heirs[2].epoch, 2u) << "3 is going to have more";
  EXPECT_EQ(heirs[3].epoch, 3u);
}

TEST(Shares, MoreMembersThanSlots) {
  const View view = Of(5, {1, 1, 1});
  EXPECT_THAT(Rebalance(view, {1, 2, 3, 4, 5}), IsEmpty());
  EXPECT_THAT(Spread(view, {2, 3, 4, 5}, {0, 1, 2}), SizeIs(3));
}

}  // namespace
}  // namespace assent::cluster
