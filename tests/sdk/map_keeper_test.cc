// Who keeps the map of a cluster up to date: what it dials, what it believes, when it is silent.

#include "participant-sdk/cpp/src/map_keeper.h"

#include <chrono>
#include <cstdint>
#include <optional>
#include <string>
#include <variant>
#include <vector>

#include <gmock/gmock.h>
#include <gtest/gtest.h>

#include "tests/sdk/views.h"

namespace assent::internal {
namespace {

using std::chrono::milliseconds;
using std::chrono::seconds;
using ::testing::ElementsAre;
using ::testing::IsEmpty;
using testing::ViewOf;

class MapKeeperTest : public ::testing::Test {
 protected:
  static MapKeeper::Options OptionsOf(std::vector<std::string> seeds) {
    MapKeeper::Options options;
    options.seeds = std::move(seeds);
    options.seed = 4;
    return options;
  }
  void Make(std::vector<std::string> seeds) {
    keeper_.emplace(OptionsOf(std::move(seeds)));
    Do([&](MapKeeper::Actions* out) { keeper_->Start(now_, out); });
  }
  template <typename Feed>
  void Do(const Feed& feed) {
    MapKeeper::Actions actions;
    feed(&actions);
    for (MapKeeper::Action& action : actions) {
      if (auto* dial = std::get_if<MapKeeper::Dial>(&action)) dials_.push_back(*dial);
      if (auto* cancel = std::get_if<MapKeeper::Cancel>(&action))
        cancelled_.push_back(cancel->connection);
      if (std::holds_alternative<MapKeeper::Ask>(action)) ++asks_;
      if (std::holds_alternative<MapKeeper::HalfClose>(action)) ++half_closes_;
      if (auto* changed = std::get_if<MapKeeper::Changed>(&action)) {
        ++changes_;
        gone_ = changed->gone;
      }
    }
  }
  void View(std::uint64_t connection, v1::ClusterView view) {
    Do([&](MapKeeper::Actions* out) { keeper_->OnFrame(connection, &view, now_, out); });
  }
  void Closed(std::uint64_t connection, Status why = Unavailable("reset")) {
    Do([&](MapKeeper::Actions* out) { keeper_->OnClosed(connection, why, now_, out); });
  }
  void TickWhenDue() {
    now_ = keeper_->Due();
    ASSERT_NE(now_, SteadyTime::max());
    Do([&](MapKeeper::Actions* out) { keeper_->OnTick(now_, out); });
  }
  std::vector<std::string> Endpoints() const {
    std::vector<std::string> all;
    for (const MapKeeper::Dial& dial : dials_) all.push_back(dial.endpoint);
    return all;
  }

  std::optional<MapKeeper> keeper_;
  SteadyTime now_ = SteadyTime(std::chrono::hours(1));
  std::vector<MapKeeper::Dial> dials_;
  std::vector<std::uint64_t> cancelled_;
  std::vector<std::string> gone_;
  int asks_ = 0;
  int half_closes_ = 0;
  int changes_ = 0;
};

TEST_F(MapKeeperTest, AsksOnceAConnectionStands) {
  Make({"a:1"});
  EXPECT_THAT(Endpoints(), ElementsAre("a:1"));
  Do([&](MapKeeper::Actions* out) { keeper_->OnStarted(1, now_, out); });
  EXPECT_EQ(asks_, 1);
  Do([&](MapKeeper::Actions* out) { keeper_->OnWritten(1, now_, out); });
  EXPECT_EQ(half_closes_, 1);
}

TEST_F(MapKeeperTest, ACoordinatorThatIsAloneIsLeftInPeace) {
  Make({"a:1", "b:1"});
  View(1, v1::ClusterView());
  EXPECT_THAT(cancelled_, ElementsAre(1));
  Closed(1, {Code::kCancelled, "cancelled"});
  EXPECT_EQ(keeper_->alone(), "a:1");
  EXPECT_EQ(changes_, 1);
  EXPECT_EQ(keeper_->Due(), SteadyTime::max());
  EXPECT_EQ(dials_.size(), 1u);
}

TEST_F(MapKeeperTest, ADaemonWithoutWatchIsAloneUntilACallFails) {
  Make({"a:1"});
  Closed(1, {Code::kUnimplemented, "unknown service"});
  EXPECT_EQ(keeper_->alone(), "a:1");
  EXPECT_EQ(keeper_->Due(), SteadyTime::max());
  Do([&](MapKeeper::Actions* out) { keeper_->Nudge(now_, out); });
  EXPECT_EQ(dials_.size(), 1u);  // it has just said so
  now_ += seconds(3);
  Do([&](MapKeeper::Actions* out) { keeper_->Nudge(now_, out); });
  ASSERT_EQ(dials_.size(), 2u);
  View(2, ViewOf(1, {"a:1", "b:1"}, {1}));
  EXPECT_FALSE(keeper_->alone());
  EXPECT_TRUE(keeper_->map());
}

TEST_F(MapKeeperTest, TwoMembersAreWatchedWhereThereAreSeveral) {
  Make({"a:1"});
  View(1, ViewOf(1, {"a:1", "b:1", "c:1"}, {1, 2, 3}));
  EXPECT_EQ(changes_, 1);
  EXPECT_THAT(gone_, IsEmpty());
  ASSERT_EQ(dials_.size(), 2u);
  EXPECT_NE(dials_[1].endpoint, "a:1");
  // What the second one says as well is no news.
  View(2, ViewOf(1, {"a:1", "b:1", "c:1"}, {1, 2, 3}));
  EXPECT_EQ(changes_, 1);
}

// The watched member is stopped: it says nothing, its connection stands. The other one tells that
// it has left.
TEST_F(MapKeeperTest, AMemberThatHasLeftIsNotWatchedAnyMore) {
  Make({"a:1"});
  View(1, ViewOf(1, {"a:1", "b:1", "c:1"}, {1, 2, 3}));
  ASSERT_EQ(dials_.size(), 2u);
  View(2, ViewOf(2, {"b:1", "c:1"}, {2, 1, 2}));
  EXPECT_THAT(gone_, ElementsAre("a:1"));
  EXPECT_THAT(keeper_->left(), ElementsAre("a:1"));
  EXPECT_THAT(cancelled_, ElementsAre(1));
  Closed(1, {Code::kCancelled, "cancelled"});
  ASSERT_EQ(dials_.size(), 3u);  // at once
  EXPECT_NE(dials_[2].endpoint, dials_[1].endpoint);
  // And it is back.
  View(2, ViewOf(3, {"a:1", "b:1", "c:1"}, {1, 2, 3}));
  EXPECT_THAT(keeper_->left(), IsEmpty());
}

TEST_F(MapKeeperTest, AnOlderViewIsNotBelievedBesideANewerOne) {
  Make({"a:1"});
  View(1, ViewOf(5, {"a:1", "b:1"}, {1}));
  View(2, ViewOf(4, {"a:1", "b:1"}, {2}));  // it lags behind
  EXPECT_EQ(changes_, 1);
  View(2, ViewOf(6, {"a:1", "b:1"}, {2}));
  EXPECT_EQ(changes_, 2);
  EXPECT_EQ(keeper_->map()->OwnerOf("g"), 1u);
}

// A database that was restored counts from lower again. Its coordinators have all been started
// anew, so no stream is left on which the higher number came.
TEST_F(MapKeeperTest, AnOlderViewIsBelievedWhenNobodySaysOtherwise) {
  Make({"a:1"});
  View(1, ViewOf(5, {"a:1", "b:1"}, {1}));
  Closed(1);
  Closed(2);
  TickWhenDue();
  TickWhenDue();
  ASSERT_EQ(dials_.size(), 4u);
  View(3, ViewOf(2, {"a:1", "b:1"}, {2}));
  EXPECT_EQ(changes_, 2);
  EXPECT_EQ(keeper_->map()->OwnerOf("g"), 1u);
}

TEST_F(MapKeeperTest, NobodyThereIsGivenUpAndTheNextOneTried) {
  Make({"a:1", "b:1"});
  TickWhenDue();  // the end of our patience
  EXPECT_THAT(cancelled_, ElementsAre(1));
  Closed(1, {Code::kCancelled, "cancelled"});
  TickWhenDue();
  EXPECT_THAT(Endpoints(), ElementsAre("a:1", "b:1"));
  // A view that makes no sense is as good as none.
  View(2, ViewOf(1, {"b:1"}, {9}));
  EXPECT_THAT(cancelled_, ElementsAre(1, 2));
  EXPECT_FALSE(keeper_->map());
}

TEST_F(MapKeeperTest, AMemberThatSaysItIsAloneDoesNotEndTheCluster) {
  Make({"a:1"});
  View(1, ViewOf(1, {"a:1", "b:1"}, {1}));
  Closed(1);
  TickWhenDue();
  View(dials_.back().connection, v1::ClusterView());
  EXPECT_TRUE(keeper_->map());
  EXPECT_FALSE(keeper_->alone());
  Closed(dials_.back().connection, {Code::kCancelled, "cancelled"});
  EXPECT_NE(keeper_->Due(), SteadyTime::max());
}

TEST_F(MapKeeperTest, StoppedItCancelsAndDialsNoMore) {
  Make({"a:1"});
  View(1, ViewOf(1, {"a:1", "b:1"}, {1}));
  Do([&](MapKeeper::Actions* out) { keeper_->Stop(out); });
  EXPECT_THAT(cancelled_, ElementsAre(1, 2));
  Closed(1);
  Closed(2);
  EXPECT_EQ(dials_.size(), 2u);
  EXPECT_EQ(keeper_->Due(), SteadyTime::max());
}

}  // namespace
}  // namespace assent::internal
