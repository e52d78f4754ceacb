// The rules by which a member judges the others, one by one.

#include "coordinator/cluster/membership.h"

#include <chrono>
#include <vector>

#include <gmock/gmock.h>
#include <gtest/gtest.h>

namespace assent::cluster {
namespace {

using std::chrono::milliseconds;
using testing::ElementsAre;
using testing::IsEmpty;
using testing::SizeIs;

constexpr auto kLease = std::chrono::seconds(3);

// Member 1 looks at 2 and 3, of which 3 always beats.
class MembershipTest : public testing::Test {
 protected:
  MembershipTest() {
    for (std::uint64_t epoch = 1; epoch <= 3; ++epoch)
      view_.members.push_back({.epoch = epoch, .node = std::to_string(epoch)});
    for (std::uint64_t slot = 0; slot < 6; ++slot)
      view_.slots.push_back({.owner = slot / 2 + 1, .slot_epoch = 1});
  }

  Decision LookAfter(milliseconds passed, milliseconds takes = milliseconds(0)) {
    now_ += passed;
    const MonoTime asked = now_;
    now_ += takes;
    if (view_.Find(3) != nullptr) ++MemberOf(3).beat;
    return rules_.OnView(view_, asked, now_);
  }
  Member& MemberOf(std::uint64_t epoch) {
    for (Member& member : view_.members) {
      if (member.epoch == epoch) return member;
    }
    ADD_FAILURE();
    return view_.members.front();
  }
  void Remove(std::uint64_t epoch) {
    std::erase_if(view_.members, [&](const Member& member) { return member.epoch == epoch; });
  }

  View view_;
  MonoTime now_{std::chrono::hours(5)};
  Membership rules_{1, kLease, {{.slot = 0, .slot_epoch = 1}, {.slot = 1, .slot_epoch = 1}}};
};

TEST_F(MembershipTest, WhoIsSilentForALeaseIsFenced) {
  for (int i = 0; i < 6; ++i) EXPECT_THAT(LookAfter(milliseconds(500)).fencings, IsEmpty());
  const Decision decision = LookAfter(milliseconds(500));
  ASSERT_THAT(decision.fencings, SizeIs(1));
  EXPECT_EQ(decision.fencings[0].victim, 2u);
  ASSERT_THAT(decision.fencings[0].heirs, SizeIs(2));
  EXPECT_EQ(decision.fencings[0].heirs[0].epoch, 1u);
  EXPECT_EQ(decision.fencings[0].heirs[1].epoch, 3u);
}

// So that what is silent is not silent for longer than that because of when we look.
TEST_F(MembershipTest, TheNextLookIsNotLaterThanTheEndOfALease) {
  for (int i = 0; i < 6; ++i) {
    (void)LookAfter(milliseconds(500));
    EXPECT_EQ(rules_.NextLook(now_), now_ + milliseconds(500));
  }
  (void)LookAfter(milliseconds(490));
  EXPECT_EQ(rules_.NextLook(now_), now_ + milliseconds(10));
  EXPECT_THAT(LookAfter(milliseconds(10)).fencings, SizeIs(1));
  EXPECT_EQ(rules_.NextLook(now_), now_ + milliseconds(500));
}

TEST_F(MembershipTest, ABeatBeginsTheLeaseAnew) {
  for (int i = 0; i < 6; ++i) (void)LookAfter(milliseconds(500));
  ++MemberOf(2).beat;
  for (int i = 0; i < 6; ++i) EXPECT_THAT(LookAfter(milliseconds(500)).fencings, IsEmpty());
  EXPECT_THAT(LookAfter(milliseconds(500)).fencings, SizeIs(1));
}

// Looks that are few say little, however long they span.
TEST_F(MembershipTest, ItTakesSeveralLooks) {
  (void)LookAfter(milliseconds(0));
  for (int i = 0; i < 3; ++i) EXPECT_THAT(LookAfter(milliseconds(1500)).fencings, IsEmpty());
  EXPECT_THAT(LookAfter(milliseconds(1500)).fencings, SizeIs(1));
}

// What was seen may be as old as the question, and is at least as old as the answer.
TEST_F(MembershipTest, ALookThatTakesLongDoesNotMakeTheOthersOlder) {
  (void)LookAfter(milliseconds(0));
  for (int i = 0; i < 3; ++i)
    EXPECT_THAT(LookAfter(milliseconds(100), milliseconds(800)).fencings, IsEmpty());
  // 2.7 s since the first answer; this question is asked after 2.8, and its answer is no news.
  EXPECT_THAT(LookAfter(milliseconds(100), milliseconds(800)).fencings, IsEmpty());
  EXPECT_THAT(LookAfter(milliseconds(100), milliseconds(800)).fencings, SizeIs(1));
}

// I was stopped, or the store was away for all of us: nobody is fenced because of it.
TEST_F(MembershipTest, WhoDidNotLookHasSeenNothing) {
  for (int i = 0; i < 6; ++i) (void)LookAfter(milliseconds(500));
  EXPECT_THAT(LookAfter(milliseconds(1501)).fencings, IsEmpty());
  // And they may be away for as long after that.
  for (int i = 0; i < 9; ++i) EXPECT_THAT(LookAfter(milliseconds(500)).fencings, IsEmpty());
  EXPECT_THAT(LookAfter(milliseconds(1)).fencings, SizeIs(1));
}

// A look that is late, but not so late that anything is forgotten, gives nobody more time.
TEST_F(MembershipTest, ALateLookIsNoReasonToWaitLonger) {
  (void)LookAfter(milliseconds(500));
  ++MemberOf(2).beat;
  (void)LookAfter(milliseconds(1500));
  for (int i = 0; i < 5; ++i) EXPECT_THAT(LookAfter(milliseconds(500)).fencings, IsEmpty());
  EXPECT_THAT(LookAfter(milliseconds(500)).fencings, SizeIs(1));
}

// But a minute of mine is no reason to wait a minute for the dead.
TEST_F(MembershipTest, WhatOthersAreGivenIsAtMostALeaseMore) {
  for (int i = 0; i < 6; ++i) (void)LookAfter(milliseconds(500));
  (void)LookAfter(milliseconds(60'000));
  for (int i = 0; i < 11; ++i) EXPECT_THAT(LookAfter(milliseconds(500)).fencings, IsEmpty());
  EXPECT_THAT(LookAfter(milliseconds(500)).fencings, SizeIs(1));
}

TEST_F(MembershipTest, ABrokenLineShortensTheLease) {
  (void)LookAfter(milliseconds(500));
  rules_.OnLineBroken(2);
  EXPECT_EQ(rules_.NextLook(now_), now_ + Membership::kBrokenLease / 6);
  for (int i = 0; i < 4; ++i) EXPECT_THAT(LookAfter(milliseconds(200)).fencings, IsEmpty());
  EXPECT_THAT(LookAfter(milliseconds(199)).fencings, IsEmpty());
  EXPECT_THAT(LookAfter(milliseconds(1)).fencings, SizeIs(1));
}

TEST_F(MembershipTest, WhoStillBeatsIsThereWhateverItsLineIs) {
  rules_.OnLineBroken(2);
  rules_.OnLineBroken(3);
  for (int i = 0; i < 40; ++i) {
    if (i % 2 == 0) ++MemberOf(2).beat;
    EXPECT_THAT(LookAfter(milliseconds(200)).fencings, IsEmpty());
  }
  rules_.OnLineMended(2);
  for (int i = 0; i < 12; ++i) EXPECT_THAT(LookAfter(milliseconds(200)).fencings, IsEmpty());
}

TEST_F(MembershipTest, AShortLeaseIsNotMadeLonger) {
  Membership rules(1, milliseconds(600), {});
  rules.OnLineBroken(2);
  EXPECT_EQ(rules.NextLook(now_), now_ + milliseconds(100));
  for (int i = 0; i < 6; ++i) {
    ++MemberOf(3).beat;
    EXPECT_THAT(rules.OnView(view_, now_, now_).fencings, IsEmpty());
    now_ += milliseconds(100);
  }
  ++MemberOf(3).beat;
  EXPECT_THAT(rules.OnView(view_, now_, now_).fencings, SizeIs(1));
}

TEST_F(MembershipTest, ALineOfWhoHasEndedIsForgotten) {
  rules_.OnLineBroken(2);
  Remove(2);
  (void)LookAfter(milliseconds(500));
  EXPECT_EQ(rules_.NextLook(now_), now_ + milliseconds(500));
}

TEST_F(MembershipTest, NobodyTakesFromTheSilentOrGivesToThem) {
  MemberOf(2).draining = true;
  for (int i = 0; i < 7; ++i) (void)LookAfter(milliseconds(500));
  Remove(3);
  view_.slots[4].owner = view_.slots[5].owner = 3;
  const Decision decision = LookAfter(milliseconds(500));
  ASSERT_THAT(decision.fencings, SizeIs(1));
  for (const Heir& heir : decision.fencings[0].heirs) EXPECT_EQ(heir.epoch, 1u);
  EXPECT_THAT(decision.claim, SizeIs(2));
  EXPECT_THAT(decision.wantings, IsEmpty());
}

TEST_F(MembershipTest, WhoIsNotThereIsOver) {
  Remove(1);
  EXPECT_TRUE(LookAfter(milliseconds(500)).over);
}

TEST_F(MembershipTest, SlotsAreAssignedOnceForEachEpoch) {
  EXPECT_THAT(LookAfter(milliseconds(500)).assigned, IsEmpty());  // held from the start
  view_.slots[3] = {.owner = 1, .slot_epoch = 2, .serial_floor_ms = 9};
  EXPECT_THAT(LookAfter(milliseconds(500)).assigned,
              ElementsAre(Grant{.slot = 3, .slot_epoch = 2, .serial_floor_ms = 9}));
  EXPECT_THAT(LookAfter(milliseconds(500)).assigned, IsEmpty());
  view_.slots[3] = {.owner = 2, .slot_epoch = 3};
  EXPECT_THAT(LookAfter(milliseconds(500)).assigned, IsEmpty());
  view_.slots[3] = {.owner = 1, .slot_epoch = 4};
  EXPECT_THAT(LookAfter(milliseconds(500)).assigned,
              ElementsAre(Grant{.slot = 3, .slot_epoch = 4}));
}

TEST_F(MembershipTest, WhatIsWantedIsToldOnce) {
  view_.slots[0].wanted = 2;
  view_.slots[1].wanted = 99;                                   // has ended
  view_.slots[4].wanted = 2;                                    // another's
  view_.slots[5] = {.owner = 1, .slot_epoch = 2, .wanted = 1};  // it has come
  EXPECT_THAT(LookAfter(milliseconds(500)).wanted, ElementsAre(0));
  EXPECT_THAT(LookAfter(milliseconds(500)).wanted, IsEmpty());
}

// The engine has let go of it, and the store says that nobody wants it any more.
TEST_F(MembershipTest, WhatCouldNotBeGivenUpIsAssignedAgain) {
  view_.slots[0].wanted = 2;
  (void)LookAfter(milliseconds(500));
  view_.slots[0].wanted = 0;
  EXPECT_THAT(LookAfter(milliseconds(500)).assigned, IsEmpty());
  rules_.OnKept(0);
  EXPECT_THAT(LookAfter(milliseconds(500)).assigned,
              ElementsAre(Grant{.slot = 0, .slot_epoch = 1}));
  view_.slots[0].wanted = 3;
  EXPECT_THAT(LookAfter(milliseconds(500)).wanted, ElementsAre(0));
}

TEST_F(MembershipTest, EachAsksForItsOwnShareAlone) {
  for (SlotRow& slot : view_.slots) slot.owner = 3;
  const Decision decision = LookAfter(milliseconds(500));
  ASSERT_THAT(decision.wantings, SizeIs(1));
  EXPECT_EQ(decision.wantings[0].owner, 3u);
  EXPECT_THAT(decision.wantings[0].slots, SizeIs(2));
  Membership second(2, kLease, {});
  const Decision of_second = second.OnView(view_, now_, now_);
  ASSERT_THAT(of_second.wantings, SizeIs(1));
  for (const Slot slot : of_second.wantings[0].slots)
    EXPECT_THAT(decision.wantings[0].slots, testing::Not(testing::Contains(slot)));
}

TEST_F(MembershipTest, WhoDrainsLeavesWhenItHasNothing) {
  MemberOf(1).draining = true;
  EXPECT_FALSE(LookAfter(milliseconds(500)).leave);
  view_.slots[0].owner = 2;
  view_.slots[1].owner = 3;
  view_.slots[3].wanted = 1;  // asked for before: it comes, and goes on
  EXPECT_FALSE(LookAfter(milliseconds(500)).leave);
  view_.slots[3].wanted = 0;
  EXPECT_TRUE(LookAfter(milliseconds(500)).leave);
  MemberOf(1).draining = false;
  EXPECT_FALSE(LookAfter(milliseconds(500)).leave);
}

// With nobody to give to it stays, and serves.
TEST_F(MembershipTest, TheLastOneThatDrainsStays) {
  for (Member& member : view_.members) member.draining = true;
  Remove(2);
  Remove(3);
  const Decision decision = LookAfter(milliseconds(500));
  EXPECT_FALSE(decision.leave);
  EXPECT_THAT(decision.claim, SizeIs(4));
  // And does not leave what a dead one had lying about, as long as it can take it.
  for (SlotRow& slot : view_.slots) slot.owner = 2;
  const Decision of_the_dead = LookAfter(milliseconds(500));
  EXPECT_THAT(of_the_dead.claim, SizeIs(6));
  EXPECT_FALSE(of_the_dead.leave);
}

}  // namespace
}  // namespace assent::cluster
