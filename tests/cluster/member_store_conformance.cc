// One suite over every MemberStore: in PostgreSQL, and in memory, over which the rules are tested.

#include <functional>
#include <memory>
#include <string>
#include <vector>

#include <gmock/gmock.h>
#include <gtest/gtest.h>

#include "coordinator/log/postgresql/member_store.h"
#include "tests/cluster/shared_memory.h"
#include "tests/support/postgresql.h"

namespace assent::cluster {
namespace {

using testing::ElementsAre;
using testing::IsEmpty;
using testing::SizeIs;
using Fenced = MemberStore::Fenced;

constexpr Slot kSlots = 8;

// What the members share.
struct World {
  virtual ~World() = default;
  virtual std::unique_ptr<MemberStore> Store() = 0;
};

struct InMemory final : World {
  std::unique_ptr<MemberStore> Store() override {
    return std::make_unique<SharedMemoryStore>(shared);
  }
  SharedMemory shared{kSlots};
};

struct InPostgres final : World {
  std::unique_ptr<MemberStore> Store() override {
    return std::make_unique<log::PostgresMemberStore>(
        log::PostgresMemberOptions{.connection = {.url = server.Url(database)},
                                   .schema = {.slots_count = kSlots},
                                   .serial_now_ms = [] { return std::int64_t{1000}; }});
  }
  test::PostgresServer& server = test::PostgresServer::OfThisBinary();
  const std::string database = server.NewDatabase();
};

struct Kind {
  const char* name;
  std::function<std::unique_ptr<World>()> make;
};

class MemberStores : public testing::TestWithParam<Kind> {
 protected:
  struct Member {
    std::unique_ptr<MemberStore> store;
    Joined joined;
    std::uint64_t epoch() const { return joined.epoch; }
  };

  Member Join(const std::string& node) {
    Member member{.store = world_->Store(), .joined = {}};
    Result<Joined> joined = member.store->Join(
        {.node = node, .address = node + ":7400", .version = "1", .lanes_count = 2});
    EXPECT_TRUE(joined.ok()) << joined.status().ToString();
    if (joined.ok()) member.joined = *std::move(joined);
    return member;
  }
  static View Look(Member& member) {
    Result<View> view = member.store->Look();
    EXPECT_TRUE(view.ok()) << view.status().ToString();
    return view.ok() ? *std::move(view) : View{};
  }
  static Fenced Fence(Member& by, std::uint64_t victim, std::uint64_t beat,
                      const std::vector<Heir>& heirs) {
    const Result<Fenced> fenced = by.store->Fence(victim, beat, heirs, {});
    EXPECT_TRUE(fenced.ok()) << fenced.status().ToString();
    return fenced.ok() ? fenced.value() : Fenced::kHeld;
  }

  std::unique_ptr<World> world_ = GetParam().make();
};

TEST_P(MemberStores, TheFirstHasEverything) {
  Member a = Join("a");
  EXPECT_EQ(a.joined.slots_count, kSlots);
  ASSERT_THAT(a.joined.slots, SizeIs(kSlots));
  EXPECT_EQ(a.joined.slots[7].slot, 7);
  EXPECT_EQ(a.joined.slots[7].serial_floor_ms, 0);
  EXPECT_NE(a.joined.log_id, 0u);
  EXPECT_EQ(a.epoch() >> 24, 1u);
  EXPECT_THAT(a.joined.epochs, ElementsAre(a.epoch()));
  Member b = Join("b");
  EXPECT_THAT(b.joined.slots, IsEmpty());
  EXPECT_EQ(b.joined.log_id, a.joined.log_id);
  EXPECT_THAT(b.joined.epochs, ElementsAre(a.epoch(), b.epoch()));
  const View view = Look(b);
  ASSERT_THAT(view.members, SizeIs(2));
  EXPECT_EQ(view.members[0].node, "a");
  EXPECT_EQ(view.members[0].address, "a:7400");
  EXPECT_EQ(view.members[1].epoch, b.epoch());
  EXPECT_EQ(view.members[1].version, "1");
  EXPECT_THAT(view.SlotsOf(a.epoch()), SizeIs(kSlots));
}

TEST_P(MemberStores, ABeatIsSeenAndChangesNothingElse) {
  Member a = Join("a");
  const View before = Look(a);
  EXPECT_TRUE(a.store->Beat().ok());
  const View after = Look(a);
  EXPECT_EQ(after.members[0].beat, before.members[0].beat + 1);
  EXPECT_EQ(after.version, before.version);
}

TEST_P(MemberStores, TheVersionRisesWithMembersAndOwners) {
  Member a = Join("a");
  std::uint64_t version = Look(a).version;
  const auto rises = [&] {
    const std::uint64_t before = std::exchange(version, Look(a).version);
    return version > before;
  };
  Member b = Join("b");
  EXPECT_TRUE(rises());
  Member c = Join("c");
  EXPECT_TRUE(rises());
  EXPECT_TRUE(b.store->Leave().ok());
  EXPECT_TRUE(rises());
  EXPECT_EQ(Fence(a, c.epoch(), 0, {}), Fenced::kDone);
  EXPECT_TRUE(rises());
}

TEST_P(MemberStores, AFenceEndsAMemberAndGivesItsSlots) {
  Member a = Join("a");
  Member b = Join("b");
  Member c = Join("c");
  EXPECT_TRUE(a.store->Beat().ok());
  const std::vector<Heir> heirs = {{.slot = 0, .epoch = b.epoch()},
                                   {.slot = 1, .epoch = c.epoch()}};
  EXPECT_EQ(Fence(b, a.epoch(), 0, heirs), Fenced::kMoved) << "its beat has moved since";
  EXPECT_TRUE(a.store->Beat().ok());
  EXPECT_EQ(Fence(b, a.epoch(), 2, heirs), Fenced::kDone);
  EXPECT_EQ(Fence(c, a.epoch(), 2, heirs), Fenced::kMoved) << "another was faster";
  EXPECT_EQ(a.store->Beat().code(), Code::kFailedPrecondition);
  const View view = Look(b);
  EXPECT_EQ(view.Find(a.epoch()), nullptr);
  EXPECT_THAT(view.SlotsOf(b.epoch()), ElementsAre(0));
  EXPECT_THAT(view.SlotsOf(c.epoch()), ElementsAre(1));
  EXPECT_EQ(view.slots[0].slot_epoch, a.joined.slots[0].slot_epoch + 1);
  EXPECT_EQ(view.slots[2].slot_epoch, a.joined.slots[2].slot_epoch);
}

TEST_P(MemberStores, ClaimTakesOnlyWhatNoMemberHas) {
  Member a = Join("a");
  Member b = Join("b");
  EXPECT_EQ(Fence(b, a.epoch(), 0, {{.slot = 0, .epoch = b.epoch()}}), Fenced::kDone);
  Member c = Join("c");
  EXPECT_THAT(c.joined.slots, SizeIs(7)) << "what nobody has is a newcomer's";
  EXPECT_EQ(Fence(b, c.epoch(), 0, {}), Fenced::kDone);
  Member d = Join("d");
  EXPECT_EQ(Fence(b, d.epoch(), 0, {}), Fenced::kDone);
  EXPECT_TRUE(b.store->Claim({{.slot = 3, .epoch = b.epoch()}}).ok());
  EXPECT_TRUE(
      b.store->Claim({{.slot = 0, .epoch = b.epoch()}, {.slot = 4, .epoch = b.epoch()}}).ok());
  const View view = Look(b);
  EXPECT_THAT(view.SlotsOf(b.epoch()), ElementsAre(0, 3, 4));
  EXPECT_EQ(view.slots[0].slot_epoch, a.joined.slots[0].slot_epoch + 1);
}

TEST_P(MemberStores, AQuickRestartEndsTheOneBefore) {
  Member a = Join("a");
  Member b = Join("b");
  Member again = Join("a");
  EXPECT_THAT(again.joined.slots, SizeIs(kSlots));
  EXPECT_EQ(a.store->Beat().code(), Code::kFailedPrecondition);
  EXPECT_TRUE(b.store->Beat().ok());
  EXPECT_THAT(Look(b).members, SizeIs(2));
}

TEST_P(MemberStores, WhoAsksFirstIsGivenTheSlot) {
  Member a = Join("a");
  Member b = Join("b");
  Member c = Join("c");
  EXPECT_TRUE(b.store->Want(a.epoch(), {1, 2}, b.epoch()).ok());
  EXPECT_TRUE(c.store->Want(a.epoch(), {2, 3}, c.epoch()).ok());
  EXPECT_TRUE(c.store->Want(b.epoch(), {4}, c.epoch()).ok()) << "not b's";
  View view = Look(a);
  EXPECT_EQ(view.slots[1].wanted, b.epoch());
  EXPECT_EQ(view.slots[2].wanted, b.epoch());
  EXPECT_EQ(view.slots[3].wanted, c.epoch());
  EXPECT_EQ(view.slots[4].wanted, 0u);
  EXPECT_EQ(Fence(a, b.epoch(), 0, {}), Fenced::kDone);
  EXPECT_TRUE(c.store->Want(a.epoch(), {2}, c.epoch()).ok());
  EXPECT_EQ(Look(a).slots[2].wanted, c.epoch()) << "who asked first has ended";
}

TEST_P(MemberStores, DrainingIsSeenAndWhoHasNothingLeaves) {
  Member a = Join("a");
  Member b = Join("b");
  const Asked ann{.who = "ann@desk", .reason = "its 'new' disk", .unix_ms = 7};
  EXPECT_TRUE(a.store->SetDraining(b.epoch(), true, ann).ok());
  EXPECT_TRUE(Look(a).Find(b.epoch())->draining);
  EXPECT_EQ(Look(a).Find(b.epoch())->drain, ann);
  EXPECT_TRUE(a.store->SetDraining(b.epoch(), true, {}).ok());
  EXPECT_EQ(Look(a).Find(b.epoch())->drain, ann) << "it stops, and was drained for her";
  EXPECT_TRUE(a.store->SetDraining(b.epoch(), false, {}).ok());
  EXPECT_FALSE(Look(a).Find(b.epoch())->draining);
  EXPECT_FALSE(Look(a).Find(b.epoch())->drain);
  EXPECT_EQ(a.store->SetDraining(7, true, ann).code(), Code::kNotFound);
  EXPECT_EQ(a.store->Leave().code(), Code::kFailedPrecondition);
  EXPECT_TRUE(b.store->Leave().ok());
  EXPECT_EQ(b.store->Beat().code(), Code::kFailedPrecondition);
  EXPECT_THAT(Look(a).members, SizeIs(1));
}

// Who stops in order hands its slots over by the same way.
TEST_P(MemberStores, AMemberMayEndItself) {
  Member a = Join("a");
  Member b = Join("b");
  std::vector<Heir> heirs;
  for (Slot slot = 0; slot < kSlots; ++slot) heirs.push_back({.slot = slot, .epoch = b.epoch()});
  EXPECT_EQ(Fence(a, a.epoch(), 0, heirs), Fenced::kDone);
  EXPECT_THAT(Look(b).SlotsOf(b.epoch()), SizeIs(kSlots));
}

// It looked as if it had been stopped in order.
TEST_P(MemberStores, WhoIsFencedByAPersonIsSoWhoeverDoesIt) {
  Member a = Join("a");
  Member b = Join("b");
  const Asked ann{.who = "ann@desk", .reason = "it is on fire", .unix_ms = 7};
  EXPECT_TRUE(a.store->Fence(a.epoch(), 0, {}, ann).ok());
  View view = Look(b);
  ASSERT_THAT(view.departed, SizeIs(1));
  EXPECT_FALSE(view.departed[0].in_order);
  EXPECT_EQ(view.departed[0].ended_by, "a");
  EXPECT_EQ(view.departed[0].fence, ann);
  Member again = Join("a");
  EXPECT_EQ(Fence(b, again.epoch(), 0, {}), Fenced::kDone);
  view = Look(b);
  ASSERT_THAT(view.departed, SizeIs(1));
  EXPECT_FALSE(view.departed[0].fence) << "it was silent";
}

TEST_P(MemberStores, WhatPeopleHaveMovedIsKeptUntilTheySayOtherwise) {
  Member a = Join("a");
  Member b = Join("b");
  EXPECT_THAT(Look(a).pins, IsEmpty());
  const Asked ann{.who = "ann@desk", .reason = "it's slow \\ hot", .unix_ms = 7};
  const Asked bob{.who = "bob", .reason = "", .unix_ms = 9};
  EXPECT_TRUE(a.store->SetPin({5, 1, 2}, "b", ann).ok());
  EXPECT_TRUE(b.store->SetPin({2, 3}, "a", bob).ok());
  const auto find = [&](const Asked& by) {
    for (const Pin& pin : Look(a).pins) {
      if (pin.by == by) return pin;
    }
    return Pin{};
  };
  EXPECT_THAT(Look(a).pins, SizeIs(2));
  EXPECT_EQ(find(ann).node, "b");
  EXPECT_THAT(find(ann).slots, ElementsAre(1, 5));
  EXPECT_EQ(find(bob).node, "a");
  EXPECT_THAT(find(bob).slots, ElementsAre(2, 3));
  Member again = Join("b");
  EXPECT_THAT(find(ann).slots, ElementsAre(1, 5)) << "b is another";
  EXPECT_TRUE(again.store->SetPin({1, 2, 3, 7}, "", {}).ok());
  EXPECT_THAT(Look(a).pins, SizeIs(1));
  EXPECT_THAT(find(ann).slots, ElementsAre(5));
}

// Who pages for a coordinator that is missing has to see that there was one. It vanished at once.
TEST_P(MemberStores, WhoHasEndedIsMissedUntilItIsBack) {
  Member a = Join("a");
  Member b = Join("b");
  Member c = Join("c");
  EXPECT_TRUE(b.store->Beat().ok());
  EXPECT_THAT(Look(a).departed, IsEmpty());
  EXPECT_EQ(Fence(a, b.epoch(), 1, {}), Fenced::kDone);
  EXPECT_TRUE(c.store->Leave().ok());
  const View view = Look(a);
  ASSERT_THAT(view.departed, SizeIs(2));
  EXPECT_EQ(view.departed[0].epoch, b.epoch());
  EXPECT_EQ(view.departed[0].node, "b");
  EXPECT_EQ(view.departed[0].address, "b:7400");
  EXPECT_EQ(view.departed[0].version, "1");
  EXPECT_FALSE(view.departed[0].in_order);
  EXPECT_EQ(view.departed[0].ended_by, "a");
  EXPECT_EQ(view.departed[1].node, "c");
  EXPECT_TRUE(view.departed[1].in_order);
  EXPECT_EQ(view.departed[1].ended_by, "");
  Member again = Join("b");
  EXPECT_THAT(Look(a).departed, SizeIs(1)) << "b is back";
  const Member twice = Join("c");
  EXPECT_THAT(Look(a).departed, IsEmpty());
  EXPECT_EQ(Fence(a, twice.epoch(), 0, {}), Fenced::kDone);
  const View later = Look(a);
  ASSERT_THAT(later.departed, SizeIs(1)) << "each node once";
  EXPECT_EQ(later.departed[0].epoch, twice.epoch());
}

INSTANTIATE_TEST_SUITE_P(
    Kinds, MemberStores,
    testing::Values(Kind{"Memory", [] { return std::make_unique<InMemory>(); }},
                    Kind{"PostgreSQL", [] { return std::make_unique<InPostgres>(); }}),
    [](const auto& kind) { return kind.param.name; });

}  // namespace
}  // namespace assent::cluster
