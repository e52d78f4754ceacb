// What the log says of the cluster: one line each for who comes and goes, and for slots that change
// hands, with the reason.

#include "coordinator/daemon/cluster_log.h"

#include <memory>
#include <string>
#include <vector>

#include <gmock/gmock.h>
#include <gtest/gtest.h>

namespace assent::daemon {
namespace {

using testing::ElementsAre;
using testing::HasSubstr;
using testing::IsEmpty;
using testing::StartsWith;

class ClusterLogTest : public testing::Test {
 protected:
  ClusterLogTest() {
    for (std::uint64_t epoch = 1; epoch <= 3; ++epoch) {
      view_.members.push_back({.epoch = epoch,
                               .node = std::string(1, static_cast<char>('a' + epoch - 1)),
                               .address = "h:1",
                               .version = "1"});
    }
    for (Slot slot = 0; slot < 6; ++slot) view_.slots.push_back({.owner = 1U + slot % 3});
    EXPECT_THAT(Show(), IsEmpty()) << "there is nothing to compare it with";
  }
  // What is said of the view as it is now, at a.
  std::vector<std::string> Show() {
    ++view_.version;
    log_.SetView(std::make_shared<const cluster::View>(view_), 1);
    return std::exchange(lines_, {});
  }
  std::vector<std::string> TakenUp(const std::vector<engine::TakenUp>& slots) {
    log_.TakenUp(slots, std::chrono::milliseconds(8));
    return std::exchange(lines_, {});
  }
  void End(std::size_t place, const std::string& by) {
    const cluster::Member ended = view_.members[place];
    view_.members.erase(view_.members.begin() + static_cast<std::ptrdiff_t>(place));
    view_.departed.push_back({.epoch = ended.epoch,
                              .node = ended.node,
                              .in_order = by.empty(),
                              .ended_by = by,
                              .last_beat_unix_ms = 1});
  }

  std::vector<std::string> lines_;
  ClusterLog log_{[this](const std::string& line) { lines_.push_back(line); }};
  cluster::View view_;
};

TEST_F(ClusterLogTest, WhoWasFencedIsNamedWithWhatIsTakenOver) {
  End(2, "b");
  view_.slots[2].owner = 1;
  view_.slots[5].owner = 2;
  EXPECT_THAT(Show(), ElementsAre(StartsWith("event=member_gone node=c epoch=3 slots=2 "
                                             "why=\"fenced by b, last seen ")));
  EXPECT_THAT(TakenUp({{.slot = 2, .unfinished = 7}}),
              ElementsAre(testing::AllOf(
                  StartsWith("event=slots_taken from=c why=\"fenced by b, last seen "),
                  HasSubstr(" slots=1 unfinished=7 ms=8"))));
}

TEST_F(ClusterLogTest, WhatMovesIsSaidByBoth) {
  view_.members[1].draining = true;
  view_.slots[1].owner = 1;
  view_.slots[2].owner = 1;
  view_.slots[0].owner = 3;
  view_.slots[3].owner = 3;
  EXPECT_THAT(Show(), ElementsAre("event=slots_given to=c slots=2 why=\"moved\""));
  EXPECT_THAT(
      TakenUp({{.slot = 1, .unfinished = 2}, {.slot = 2, .unfinished = 0}}),
      ElementsAre("event=slots_taken from=b why=\"it is draining\" slots=1 unfinished=2 ms=8",
                  "event=slots_taken from=c why=\"moved\" slots=1 unfinished=0 ms=8"));
  view_.slots[4].owner = 1;
  EXPECT_THAT(Show(), IsEmpty());
  EXPECT_THAT(TakenUp({{.slot = 4, .unfinished = 0}}),
              ElementsAre("event=slots_taken from=b why=\"it is draining\" slots=1 unfinished=0 "
                          "ms=8"));
  view_.members[0].draining = true;
  (void)Show();
  view_.slots[1].owner = 3;
  EXPECT_THAT(Show(), ElementsAre("event=slots_given to=c slots=1 why=\"it is draining\""));
}

TEST_F(ClusterLogTest, WhoComesAndWhoGoesInOrder) {
  End(1, "");
  view_.members.push_back({.epoch = 9, .node = "d", .address = "h:9", .version = "2"});
  EXPECT_THAT(Show(), ElementsAre("event=member_gone node=b epoch=2 slots=2 why=\"stopped in "
                                  "order\"",
                                  "event=member_came node=d address=h:9 version=2 epoch=9"));
  view_.members.back().epoch = 10;
  EXPECT_THAT(Show(), ElementsAre("event=member_gone node=d epoch=9 slots=0 why=\"started again\"",
                                  "event=member_came node=d address=h:9 version=2 epoch=10"));
}

TEST_F(ClusterLogTest, SlotsOfNobodyAndOfTheStart) {
  view_.slots[4].owner = 77;
  (void)Show();
  view_.slots[4].owner = 1;
  EXPECT_THAT(Show(), IsEmpty());
  EXPECT_THAT(TakenUp({{.slot = 4, .unfinished = 0}, {.slot = 0, .unfinished = 3}}),
              ElementsAre("event=slots_taken why=\"at the start\" slots=1 unfinished=3 ms=8",
                          "event=slots_taken why=\"it was nobody's\" slots=1 unfinished=0 ms=8"));
}

TEST_F(ClusterLogTest, WhatPeopleSayStaysWithinItsQuotes) {
  log_.Asked("drain b", "ann@desk", "the \"new\" one");
  EXPECT_THAT(lines_, ElementsAre("event=operator asked=\"drain b\" who=\"ann@desk\" "
                                  "reason=\"the 'new' one\""));
}

}  // namespace
}  // namespace assent::daemon
