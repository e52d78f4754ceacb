// Which coordinators a participant keeps a connection to.

#include "participant-sdk/cpp/src/roster.h"

#include <memory>
#include <string>
#include <utility>
#include <vector>

#include <gmock/gmock.h>
#include <gtest/gtest.h>

#include "tests/sdk/views.h"

namespace assent::internal {
namespace {

using ::testing::ElementsAre;
using ::testing::IsEmpty;
using testing::ViewOf;

constexpr std::uint32_t kLog = 7;  // ViewOf's

class RosterTest : public ::testing::Test {
 protected:
  void Members(std::vector<std::string> addresses, std::uint64_t version = 1) {
    roster_.SetMap(std::make_shared<const ClusterMap>(
        std::move(*ClusterMap::Read(ViewOf(version, addresses, {0})))));
  }
  // A link that is dialled; open if an epoch is given.
  void Link(const std::string& endpoint, std::uint64_t epoch = 0) {
    links_.push_back({links_.size(), endpoint, epoch != 0, {kLog, epoch}});
    if (epoch != 0) roster_.Met(endpoint, {kLog, epoch});
  }
  Roster::Plan Decide() { return roster_.Decide(links_); }

  Roster roster_{{"a:1", "b:1", "a:1"}};
  std::vector<Roster::Link> links_;
};

TEST_F(RosterTest, WithoutAClusterTheEndpointsAreDialledAsGiven) {
  EXPECT_THAT(Decide().dial, ElementsAre("a:1", "b:1"));
  Link("a:1");
  Link("b:1");
  const Roster::Plan plan = Decide();
  EXPECT_THAT(plan.dial, IsEmpty());
  EXPECT_THAT(plan.keep, ElementsAre(0, 1));
  EXPECT_EQ(roster_.CountAt("a:1"), 0u);
}

TEST_F(RosterTest, TheOthersAreLearned) {
  Link("a:1", 1);
  Link("b:1");
  Members({"a:1", "b:1", "c:1"});
  EXPECT_THAT(Decide().dial, ElementsAre("c:1"));
  EXPECT_EQ(roster_.CountAt("c:1"), 3u);
}

TEST_F(RosterTest, AMemberThatHasLeftIsNotDialledAgain) {
  Members({"a:1", "b:1", "c:1"});
  Link("a:1", 1);
  Link("b:1", 2);
  Link("c:1", 3);
  Members({"a:1", "b:1"}, 2);
  const Roster::Plan plan = Decide();
  EXPECT_THAT(plan.retire, ElementsAre(2));
  EXPECT_THAT(plan.stop, IsEmpty());
  EXPECT_THAT(plan.keep, ElementsAre(0, 1));
}

// The same of an endpoint that was given, as long as others of its log are there.
TEST_F(RosterTest, ASeedThatHasLeftIsDialledOnlyIfNobodyElseIsThere) {
  Members({"a:1", "b:1"});
  Link("a:1", 1);
  Link("b:1", 2);
  v1::ClusterView view = ViewOf(2, {"a:1"}, {0});
  roster_.SetMap(std::make_shared<const ClusterMap>(std::move(*ClusterMap::Read(view))));
  EXPECT_THAT(Decide().retire, ElementsAre(1));
  links_.pop_back();  // its session has ended
  EXPECT_THAT(Decide().dial, IsEmpty());
  links_[0].open = false;
  EXPECT_THAT(Decide().dial, ElementsAre("b:1"));
}

// The endpoints that were given are names of their own: of a load balancer, or of a network inside.
TEST_F(RosterTest, OneSessionWhateverNamesLeadThere) {
  Link("a:1", 1);
  Link("b:1", 2);
  Members({"x:1", "y:1", "z:1"});
  EXPECT_THAT(Decide().dial, ElementsAre("z:1"));  // a is x, b is y
  Link("z:1", 3);
  EXPECT_THAT(Decide().dial, IsEmpty());

  links_[0].open = false;  // lost: both of its names are tried
  EXPECT_THAT(Decide().dial, ElementsAre("x:1"));
  Link("x:1", 1);
  const Roster::Plan plan = Decide();
  EXPECT_THAT(plan.stop, ElementsAre(0));
  links_[0].open = true;  // both at once: the younger goes
  EXPECT_THAT(Decide().stop, ElementsAre(3));
}

// Nobody reaches what the members say of themselves: what was given is kept.
TEST_F(RosterTest, MembersThatAreNotReachedCostNoSession) {
  Link("a:1", 1);
  Link("b:1", 2);
  Members({"x:1", "y:1", "z:1"});
  Link("z:1");
  const Roster::Plan plan = Decide();
  EXPECT_THAT(plan.keep, ElementsAre(0, 1, 2));
  EXPECT_THAT(plan.stop, IsEmpty());
  links_[1].open = false;
  EXPECT_THAT(Decide().keep, ElementsAre(0, 1, 2));
}

// Started anew at the same address: another epoch, the same link.
TEST_F(RosterTest, ANewStartIsTheSameEndpoint) {
  Members({"a:1", "b:1"});
  Link("a:1", 1);
  Link("b:1", 2);
  v1::ClusterView view = ViewOf(2, {"a:1", "b:1"}, {0});
  view.mutable_members(1)->set_epoch(9);
  roster_.SetMap(std::make_shared<const ClusterMap>(std::move(*ClusterMap::Read(view))));
  const Roster::Plan plan = Decide();
  EXPECT_THAT(plan.keep, ElementsAre(0, 1));
  EXPECT_THAT(plan.dial, IsEmpty());
}

TEST_F(RosterTest, MoreThanSoManyAreNotDialled) {
  std::vector<std::string> many;
  for (int i = 0; i < 40; ++i) many.push_back("m" + std::to_string(i) + ":1");
  Members(many);
  EXPECT_EQ(Decide().dial.size(), 2 + Roster::kMaxMembersCount);
  EXPECT_EQ(roster_.CountAt("m0:1"), Roster::kMaxMembersCount);
}

// A participant of two logs: one shared by coordinators, one not.
TEST_F(RosterTest, WhoIsAloneWithItsLogIsNobodysDouble) {
  Members({"a:1", "c:1"});
  Link("a:1", 1);
  links_.push_back({1, "b:1", true, {4, 0}});
  roster_.Met("b:1", {4, 0});
  const Roster::Plan plan = Decide();
  EXPECT_THAT(plan.keep, ElementsAre(0, 1));
  EXPECT_THAT(plan.dial, ElementsAre("c:1"));
}

}  // namespace
}  // namespace assent::internal
