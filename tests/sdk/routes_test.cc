// Where a call goes first, and where next.

#include "participant-sdk/cpp/src/routes.h"

#include <memory>
#include <string>
#include <vector>

#include <gmock/gmock.h>
#include <gtest/gtest.h>

#include <assent/slot.h>

#include "tests/sdk/views.h"

namespace assent::internal {
namespace {

using ::testing::ElementsAre;
using testing::GidOf;
using ::testing::HasSubstr;
using testing::ViewOf;

const std::vector<std::string> kSeeds = {"a:1", "b:1"};

ClusterMapPtr MapOf(std::uint64_t version, const std::vector<std::string>& addresses,
                    const std::vector<int>& owners) {
  Result<ClusterMap> map = ClusterMap::Read(ViewOf(version, addresses, owners));
  EXPECT_TRUE(map.ok()) << map.status().ToString();
  return std::make_shared<const ClusterMap>(std::move(*map));
}

std::vector<std::string> OrderOf(const Routes& routes, const std::string& gid) {
  std::vector<std::string> order;
  for (std::size_t rank = 0; rank < routes.size(); ++rank)
    order.push_back(routes.endpoint(routes.Choice(gid, rank)));
  return order;
}

TEST(ClusterMapTest, AViewThatContradictsItselfIsNone) {
  const auto refused = [](const v1::ClusterView& view) {
    return ClusterMap::Read(view).status().message();
  };
  EXPECT_THAT(refused(ViewOf(1, {"a:1"}, {})), HasSubstr("0 bytes"));
  EXPECT_THAT(refused(ViewOf(1, {"a:1"}, {2})), HasSubstr("no member"));
  EXPECT_THAT(refused(ViewOf(1, {"http://a"}, {1})), HasSubstr("URL"));
  v1::ClusterView half = ViewOf(1, {"a:1"}, {1});
  half.mutable_slots()->push_back('\0');
  EXPECT_THAT(refused(half), HasSubstr("3 bytes"));
}

TEST(ClusterMapTest, GenerationsComeBeforeVersions) {
  v1::ClusterView restored = ViewOf(1, {"a:1"}, {1});
  restored.set_generation(2);
  const ClusterMap newer = *ClusterMap::Read(restored);
  EXPECT_TRUE(newer.NewerThan(*MapOf(5, {"a:1"}, {1})));
  EXPECT_FALSE(newer.NewerThan(newer));
}

TEST(RoutesTest, WithoutAMapTheEndpointsComeAsTheyWereGiven) {
  const Routes routes(kSeeds);
  EXPECT_FALSE(routes.shared());
  EXPECT_THAT(OrderOf(routes, "g1"), ElementsAre("a:1", "b:1"));
  EXPECT_THAT(OrderOf(routes, "g2"), ElementsAre("a:1", "b:1"));
}

TEST(RoutesTest, TheOwnerIsFirstThenTheOtherMembersThenTheSeeds) {
  const Routes routes(kSeeds, MapOf(1, {"x:1", "b:1", "y:1"}, {3, 0, 1}), {});
  EXPECT_THAT(OrderOf(routes, GidOf(0, 3)), ElementsAre("y:1", "a:1", "x:1", "b:1"));
  EXPECT_THAT(OrderOf(routes, GidOf(2, 3)), ElementsAre("x:1", "b:1", "y:1", "a:1"));
  // Nobody has it: anybody.
  EXPECT_EQ(OrderOf(routes, GidOf(1, 3)).size(), 4u);
}

TEST(RoutesTest, ASeedThatHasLeftIsNotTried) {
  const Routes routes(kSeeds, MapOf(1, {"b:1"}, {1}), {"a:1"});
  EXPECT_THAT(OrderOf(routes, "g"), ElementsAre("b:1"));
  // Unless nobody else is there.
  EXPECT_EQ(Routes(kSeeds, MapOf(2, {}, {0}), kSeeds).size(), 2u);
}

TEST(TourTest, EachOnceThenItIsTimeToWait) {
  const Routes routes(kSeeds, MapOf(1, {"a:1", "b:1"}, {2}), {});
  Tour tour("g");
  EXPECT_EQ(tour.Next(routes), "b:1");
  tour.Contacted();
  EXPECT_TRUE(tour.MoreNow(routes));
  EXPECT_EQ(tour.Next(routes), "a:1");
  EXPECT_FALSE(tour.MoreNow(routes));
  tour.Rest();
  EXPECT_EQ(tour.Next(routes), "b:1");
}

// Two coordinators whose views are of different times may each name the other.
TEST(TourTest, AHintIsFollowedOnceInEachRound) {
  const Routes routes(kSeeds, MapOf(1, {"a:1", "b:1"}, {2}), {});
  Tour tour("g");
  EXPECT_EQ(tour.Next(routes), "b:1");
  tour.Moved("c:1");
  EXPECT_TRUE(tour.MoreNow(routes));
  EXPECT_EQ(tour.Next(routes), "c:1");
  tour.Moved("b:1");
  EXPECT_EQ(tour.Next(routes), "a:1");
  tour.Moved("c:1");
  EXPECT_FALSE(tour.MoreNow(routes));
}

// Endpoints that were named together, and of which nothing is known yet, might share no log: what
// one of them may have begun must not be begun by another.
TEST(TourTest, WhatMayHaveBeenDoneStaysUntilTheLogIsKnownToBeShared) {
  const Routes unknown(kSeeds);
  Tour tour("g");
  EXPECT_EQ(tour.Next(unknown), "a:1");
  EXPECT_TRUE(tour.MoreNow(unknown));  // nobody was there
  EXPECT_EQ(tour.Next(unknown), "b:1");
  tour.Contacted();
  EXPECT_FALSE(tour.MoreNow(unknown));
  tour.Rest();
  EXPECT_EQ(tour.Next(unknown), "b:1");
  EXPECT_FALSE(tour.MoreNow(unknown));

  const Routes shared(kSeeds, MapOf(1, {"a:1", "b:1"}, {1}), {});
  EXPECT_TRUE(tour.MoreNow(shared));
  EXPECT_EQ(tour.Next(shared), "a:1");
}

// Who has it is said by a coordinator that the call has reached: it knows who shares its log.
TEST(TourTest, AHintIsFollowedWithoutAMap) {
  const Routes unknown({"a:1"});
  Tour tour("g");
  EXPECT_EQ(tour.Next(unknown), "a:1");
  tour.Contacted();
  tour.Moved("z:1");
  EXPECT_TRUE(tour.MoreNow(unknown));
  EXPECT_EQ(tour.Next(unknown), "z:1");
  tour.Contacted();
  tour.Rest();
  EXPECT_EQ(tour.Next(unknown), "z:1");
}

}  // namespace
}  // namespace assent::internal
