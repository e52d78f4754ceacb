// cluster locate, drain, move, unpin and fence against a scripted coordinator.

#include <string>
#include <vector>

#include <gtest/gtest.h>

#include "tests/ctl/cluster_rig.h"
#include "tests/ctl/golden.h"
#include "tools/assentctl/cluster_view.h"
#include "tools/assentctl/command_line.h"
#include "tools/assentctl/commands.h"
#include "tools/assentctl/server_view.h"
#include "tools/assentctl/show_view.h"

namespace assent::ctl {
namespace {

TEST_F(ClusterTest, ACoordinatorThatIsAloneSaysSo) {
  service.cluster.push_back(v1::ClusterView());
  EXPECT_EQ(Exit::kDone, RunClusterStatus({}, session));
  EXPECT_EQ("this coordinator is alone with its log: it is in no cluster\n", console.out);
  console.out.clear();
  service.cluster.push_back(v1::ClusterView());
  EXPECT_EQ(Exit::kDone, RunLocate({"order-17"}, session));
  EXPECT_EQ("order-17 is here: this coordinator is alone with its log: it is in no cluster\n",
            console.out);
  service.cluster.push_back(v1::ClusterView());
  EXPECT_EQ(Exit::kWrongState, RunDrain({"a", false, false, {}}, session));
  EXPECT_EQ("assentctl: this coordinator is alone with its log: it is in no cluster\n",
            console.err);
}

TEST_F(ClusterTest, LocateSaysWhoHasIt) {
  // FNV-1a of "a" is 0xaf63dc4c8601ec8c: slot 0 of 2, slot 4 of 8.
  service.cluster.push_back(View({2, 1}));
  EXPECT_EQ(Exit::kDone, RunLocate({"a"}, session));
  EXPECT_EQ("a is in slot 0, which node b at host:7401 has (epoch 2)\n", console.out);
  console.out.clear();
  session.options.output = Output::kJsonl;
  service.cluster.push_back(View({1, 1, 1, 1, 3, 1, 1, 1}));
  EXPECT_EQ(Exit::kDone, RunLocate({"a"}, session));
  EXPECT_EQ(
      "{\"gid\":\"a\",\"slot\":4,\"node\":\"c\",\"address\":\"host:7402\",\"epoch\":3,"
      "\"cluster_version\":42,\"pinned_to\":\"\"}\n",
      console.out);
  console.out.clear();
  session.options.output = Output::kId;
  service.cluster.push_back(View({2, 1}));
  EXPECT_EQ(Exit::kDone, RunLocate({"a"}, session));
  EXPECT_EQ("b\n", console.out);
}

TEST_F(ClusterTest, LocateSaysWhetherItStays) {
  v1::ClusterView view = View({2, 1});
  *view.add_pinned() = Pin("c", {0});
  service.cluster.push_back(view);
  EXPECT_EQ(Exit::kDone, RunLocate({"a"}, session));
  EXPECT_EQ("a is in slot 0, which node b at host:7401 has (epoch 2); it stays with node c\n",
            console.out);
}

TEST_F(ClusterTest, LocateOfWhatNobodyHasIsOne) {
  service.cluster.push_back(View({0, 1}));
  EXPECT_EQ(Exit::kOther, RunLocate({"a"}, session));
  EXPECT_EQ(
      "a is in slot 0, which nobody has at this moment: somebody takes it over within about 3.00 "
      "s\n",
      console.out);
}

TEST_F(ClusterTest, DrainIsAskedForUnderAName) {
  service.cluster.push_back(View({1, 2, 2}));
  service.change.push_back(Reply(Draining(View({1, 2, 2}), 2)));
  EXPECT_EQ(Exit::kDone, RunDrain({"b", false, false, Why()}, session));
  EXPECT_EQ("b: gives its 2 slots to a, c\n", console.out);
  const auto& request = std::get<v1::DrainMemberRequest>(service.changed.at(0));
  EXPECT_EQ("b", request.node());
  EXPECT_FALSE(request.undo());
  EXPECT_EQ("ann@desk", request.action().who());
  EXPECT_EQ("why", request.action().reason());
  EXPECT_FALSE(request.action().dry_run());
}

TEST_F(ClusterTest, DrainCanBeUndone) {
  service.cluster.push_back(Draining(View({1, 2, 2}), 2));
  service.change.push_back(Reply(View({1, 2, 2})));
  EXPECT_EQ(Exit::kDone, RunDrain({"b", true, false, {}}, session));
  EXPECT_EQ("b: takes slots again\n", console.out);
  EXPECT_TRUE(std::get<v1::DrainMemberRequest>(service.changed.at(0)).undo());
}

// What is refused was wanted by somebody: it goes on record where it is refused.
TEST_F(ClusterTest, TheLastOneThatTakesSlotsIsNotDrained) {
  const std::string refused =
      "assentctl: nobody but b takes slots: there is nobody to give them to; start another "
      "coordinator, or stop this one as it is\n";
  service.cluster.push_back(Draining(Draining(View({1, 2, 3}), 1), 3));
  service.change.push_back(FailedPrecondition("nobody else is there"));
  EXPECT_EQ(Exit::kWrongState, RunDrain({"b", false, true, Why()}, session));
  EXPECT_EQ(refused, console.err);
  ASSERT_EQ(1U, service.changed.size());
  EXPECT_EQ("why", std::get<v1::DrainMemberRequest>(service.changed[0]).action().reason());
  console.err.clear();
  service.cluster.push_back(Draining(Draining(View({1, 2, 3}), 1), 3));
  EXPECT_EQ(Exit::kWrongState, RunDrain({"b", false, true, DryRun()}, session));
  EXPECT_EQ(refused, console.err);
  EXPECT_EQ(1U, service.changed.size());
}

TEST_F(ClusterTest, AnUnknownNodeIsNotFoundAndTheKnownAreNamed) {
  for (int command = 0; command < 3; ++command) {
    service.cluster.push_back(View({1, 2, 3}));
    service.change.push_back(NotFound("no member has the name x"));
  }
  EXPECT_EQ(Exit::kNotFound, RunDrain({"x", false, false, {}}, session));
  EXPECT_EQ("assentctl: no member is called x; there are a, b, c\n", console.err);
  EXPECT_EQ(Exit::kNotFound, RunMove({{0}, "", "x", {}}, session));
  EXPECT_EQ(Exit::kNotFound, RunFence({"x", Why(true)}, session));
  EXPECT_EQ(3U, service.changed.size());
  EXPECT_EQ("", console.out);
  // One that came meanwhile is what the coordinator says it is.
  service.cluster.push_back(View({1, 2, 3}));
  service.change.push_back(Reply(View({1, 2, 3})));
  EXPECT_EQ(Exit::kDone, RunMove({{0}, "", "x", {}}, session));
  service.cluster.push_back(View({1, 2, 3}));
  service.change.push_back(Unavailable("it went away"));
  console.err.clear();
  EXPECT_EQ(Exit::kCannotConnect, RunMove({{0}, "", "x", {}}, session));
  EXPECT_NE(std::string::npos, console.err.find("it went away")) << console.err;
}

// Who would still have been asked has not asked for anything.
TEST_F(ClusterTest, AnUnknownNodeIsFencedByNobodyWhoHasNotAgreed) {
  session.surroundings.in_is_terminal = true;
  service.cluster.push_back(View({1, 2, 3}));
  EXPECT_EQ(Exit::kNotFound, RunFence({"x", Why()}, session));
  service.cluster.push_back(View({1, 2, 3}));
  EXPECT_EQ(Exit::kNotFound, RunFence({"x", DryRun()}, session));
  EXPECT_TRUE(service.changed.empty());
}

TEST_F(ClusterTest, ADryRunSendsNothing) {
  service.cluster.push_back(View({1, 2, 2}));
  service.cluster.push_back(View({1, 2, 2}));
  service.cluster.push_back(View({1, 2, 2}));
  // Slot 1 of 3: FNV-1a of "a" modulo 3 is.
  const auto slot_of_a = static_cast<std::uint32_t>(SlotOf("a", 3));
  ASSERT_EQ(1U, slot_of_a);
  v1::ListReply page;
  *page.add_transactions() = Active("a");
  *page.add_transactions() = Active("a");
  page.mutable_transactions(1)->set_held(true);  // nobody aborts that
  page.set_next_page_token("2");
  service.list.push_back(page);
  page.clear_next_page_token();
  service.list.push_back(page);
  service.list.push_back(v1::ListReply());
  EXPECT_EQ(Exit::kDone, RunDrain({"b", false, true, DryRun()}, session));
  EXPECT_EQ(v1::ACTIVE, service.listed.at(0).states(0));
  EXPECT_EQ(v1::TWO_PHASE, service.listed.at(0).protocol());
  EXPECT_EQ("2", service.listed.at(1).page_token());
  EXPECT_EQ(Exit::kDone, RunMove({{1, 2}, "", "a", DryRun()}, session));
  EXPECT_EQ(Exit::kDone, RunFence({"b", DryRun()}, session));
  EXPECT_EQ(
      "b: (dry run) gives its 2 slots to a, c; 2 undecided two-phase transactions are in them now: "
      "what has not ended two seconds after its slot was asked for is aborted\n"
      "a: (dry run) is given 2 slots by b; they stay there until moved again or assentctl cluster "
      "unpin. While a is away or draining others have them; no undecided two-phase transaction is "
      "in them now\n"
      "b: (dry run) ended (epoch 2)\n",
      console.out);
  EXPECT_TRUE(service.changed.empty());
}

TEST_F(ClusterTest, DrainWaitsUntilThereAreNoSlotsThroughAnOutage) {
  service.cluster.push_back(View({1, 2, 2}));
  service.change.push_back(Reply(View({1, 2, 2})));
  // The first sighting is of before: nobody has undone anything.
  service.cluster_watch.push_back(
      {{View({1, 2, 2}), Draining(View({1, 2, 2}), 2), Draining(View({1, 2, 1}), 2)},
       Unavailable("went away")});
  service.cluster_watch.push_back({{}, Unavailable("cannot connect")});
  service.cluster_watch.push_back({{Draining(View({1, 3, 1}), 2)}, OkStatus()});
  EXPECT_EQ(Exit::kDone, RunDrain({"b", false, true, {}}, session));
  EXPECT_EQ(
      "b: 2 slots to go\n"
      "b: 1 slot to go\n"
      "b has no slots any more: it can be stopped\n",
      console.err);
}

// A draining alone is no change of the cluster's version: a watch that began before it is told
// nothing of a member that never had slots.
TEST_F(ClusterTest, WaitingForADrainLooksAgain) {
  service.cluster.push_back(View({1, 1, 3}));
  service.change.push_back(Reply(View({1, 1, 3})));
  service.cluster_watch.push_back({{View({1, 1, 3})}, Status(Code::kDeadlineExceeded, "its time")});
  service.cluster_watch.push_back({{Draining(View({1, 1, 3}), 2)}, OkStatus()});
  EXPECT_EQ(Exit::kDone, RunDrain({"b", false, true, {}}, session));
  EXPECT_EQ("b: 0 slots to go\nb has no slots any more: it can be stopped\n", console.err);
}

TEST_F(ClusterTest, WaitingForADrainEndsInOtherWaysToo) {
  const auto wait = [this](const v1::ClusterView& seen) {
    console.err.clear();
    service.cluster.push_back(View({1, 2, 2}));
    service.change.push_back(Reply(View({1, 2, 2})));
    service.cluster_watch.push_back({{Draining(View({1, 2, 2}), 2), seen}, OkStatus()});
    return RunDrain({"b", false, true, {}}, session);
  };
  v1::ClusterView without = View({1, 3, 3});
  without.mutable_members()->DeleteSubrange(1, 1);
  EXPECT_EQ(Exit::kDone, wait(without));
  EXPECT_EQ("b: 2 slots to go\nb has left\n", console.err);
  EXPECT_EQ(Exit::kOther, wait(View({1, 2, 2})));
  EXPECT_NE(std::string::npos, console.err.find("b takes slots again: somebody has undone this"));
  v1::ClusterView anew = View({1, 2, 2});
  anew.mutable_members(1)->set_epoch(9);
  EXPECT_EQ(Exit::kOther, wait(anew));
  EXPECT_NE(std::string::npos, console.err.find("b was started anew meanwhile (epoch 9)"));
}

TEST_F(ClusterTest, WaitingForADrainHasATimeLimit) {
  session.options.wait_timeout = std::chrono::milliseconds(1'500);
  service.on_watched = [this](std::chrono::milliseconds time) { console.uptime += time; };
  service.cluster.push_back(View({1, 2, 2}));
  service.change.push_back(Reply(View({1, 2, 2})));
  const v1::ClusterView nobody_else = Draining(Draining(Draining(View({1, 2, 2}), 1), 2), 3);
  for (int look = 0; look < 2; ++look)
    service.cluster_watch.push_back({{nobody_else}, Status(Code::kDeadlineExceeded, "its time")});
  EXPECT_EQ(Exit::kStillRunning, RunDrain({"b", false, true, {}}, session));
  EXPECT_EQ(
      "b: 2 slots to go; there is nobody to give them to at this moment\n"
      "assentctl: b still has slots after --timeout; it goes on draining\n",
      console.err);
}

TEST_F(ClusterTest, WhatIsThereAlreadyIsKeptThere) {
  v1::ClusterView view = View({1, 2, 3, 3});
  *view.add_pinned() = Pin("c", {3});
  service.cluster.push_back(view);
  service.change.push_back(Reply(View({3, 3, 3, 3})));
  EXPECT_EQ(Exit::kDone, RunMove({{0, 1, 2, 3}, "", "c", Why()}, session));
  EXPECT_EQ(
      "c: is given 2 slots by a, b and keeps 1 slot that it has; they stay there until moved again "
      "or assentctl cluster unpin. While c is away or draining others have them\n",
      console.out);
  const auto& request = std::get<v1::MoveSlotsRequest>(service.changed.at(0));
  ASSERT_EQ(3, request.slots_size());
  EXPECT_EQ(0U, request.slots(0));
  EXPECT_EQ(1U, request.slots(1));
  EXPECT_EQ(2U, request.slots(2));
  EXPECT_FALSE(request.unpin());
  EXPECT_EQ("c", request.node());
  EXPECT_EQ("why", request.action().reason());
  view = View({3, 3});
  *view.add_pinned() = Pin("c", {0});
  service.cluster.push_back(view);
  EXPECT_EQ(Exit::kDone, RunMove({{}, "a", "c", {}}, session));
  EXPECT_EQ(1U, service.changed.size());
  EXPECT_NE(std::string::npos, console.out.find("c: has what is asked for already"));
  // Of another's that it happens to have it is told.
  view.mutable_pinned(0)->set_node("a");
  service.cluster.push_back(view);
  service.change.push_back(Reply(view));
  console.out.clear();
  EXPECT_EQ(Exit::kDone, RunMove({{}, "a", "c", {}}, session));
  EXPECT_EQ(0U, console.out.find("c: keeps 1 slot that it has; it stays there until"))
      << console.out;
}

TEST_F(ClusterTest, UnpinOfSomeOfOneNodeOrOfAll) {
  v1::ClusterView view = View({1, 2, 3, 3});
  *view.add_pinned() = Pin("c", {1, 3});
  *view.add_pinned() = Pin("b", {2});
  const auto unpin = [&](const UnpinCommand& command) {
    std::vector<std::uint32_t> slots;
    service.cluster.push_back(view);
    service.change.push_back(Reply(view));
    EXPECT_EQ(Exit::kDone, RunUnpin(command, session));
    const auto& request = std::get<v1::MoveSlotsRequest>(service.changed.back());
    EXPECT_TRUE(request.unpin());
    EXPECT_EQ("", request.node());
    EXPECT_EQ("ann@desk", request.action().who());
    return std::vector<std::uint32_t>(request.slots().begin(), request.slots().end());
  };
  EXPECT_EQ((std::vector<std::uint32_t>{1, 2}), unpin({{0, 1, 2}, "", "", false, {}}));
  EXPECT_EQ((std::vector<std::uint32_t>{1, 3}), unpin({{}, "", "c", false, {}}));
  EXPECT_EQ((std::vector<std::uint32_t>{1, 3, 2}), unpin({{}, "", "", true, {}}));
  EXPECT_EQ(0U, console.out.find("2 slots: may be balanced again")) << console.out;
  service.changed.clear();
  service.cluster.push_back(view);
  EXPECT_EQ(Exit::kDone, RunUnpin({{0}, "", "", false, {}}, session));
  service.cluster.push_back(view);
  EXPECT_EQ(Exit::kUsage, RunUnpin({{4}, "", "", false, {}}, session));
  service.cluster.push_back(view);
  EXPECT_EQ(Exit::kDone, RunUnpin({{}, "", "", true, DryRun()}, session));
  EXPECT_TRUE(service.changed.empty());
}

// Nothing was said of those among others that were not moved.
TEST_F(ClusterTest, UnpinOfWhatIsNotPinnedSaysSo) {
  v1::ClusterView view = View({1, 2, 3, 3});
  *view.add_pinned() = Pin("c", {1, 3});
  const auto unpin = [&](const UnpinCommand& command) {
    console.err.clear();
    service.cluster.push_back(view);
    EXPECT_EQ(Exit::kDone, RunUnpin(command, session));
    return console.err;
  };
  service.change.push_back(Reply(view));
  EXPECT_EQ("slots 0, 2 were not moved by anybody: there is nothing to unpin\n",
            unpin({{0, 1, 2}, "", "", false, {}}));
  EXPECT_EQ(1U, service.changed.size());
  EXPECT_EQ("slot 2 was not moved by anybody: there is nothing to unpin\n",
            unpin({{2}, "", "", false, {}}));
  // FNV-1a of "a" is 0xaf63dc4c8601ec8c: slot 0 of 4.
  EXPECT_EQ("slot 0, which a is in, was not moved by anybody: there is nothing to unpin\n",
            unpin({{}, "a", "", false, {}}));
  EXPECT_EQ("nothing was moved to b: there is nothing to unpin\n", unpin({{}, "", "b", false, {}}));
  view.clear_pinned();
  EXPECT_EQ("nothing was moved by anybody: there is nothing to unpin\n",
            unpin({{}, "", "", true, {}}));
  EXPECT_EQ(1U, service.changed.size());
}

TEST_F(ClusterTest, MoveOfTheSlotOfAGid) {
  service.cluster.push_back(View({2, 1}));
  service.change.push_back(Reply(View({3, 1})));
  EXPECT_EQ(Exit::kDone, RunMove({{}, "a", "c", {}}, session));
  EXPECT_EQ(0U, console.out.find("c: is given 1 slot by b; it stays there until")) << console.out;
  // As it was asked for, so that it is on record of this transaction.
  EXPECT_EQ("a", std::get<v1::MoveSlotsRequest>(service.changed.at(0)).gid());
  EXPECT_EQ(0, std::get<v1::MoveSlotsRequest>(service.changed.at(0)).slots_size());
  v1::ClusterView pinned = View({2, 1});
  *pinned.add_pinned() = Pin("c", {0});
  service.cluster.push_back(pinned);
  service.change.push_back(Reply(pinned));
  EXPECT_EQ(Exit::kDone, RunUnpin({{}, "a", "", false, {}}, session));
  EXPECT_EQ("a", std::get<v1::MoveSlotsRequest>(service.changed.at(1)).gid());
  EXPECT_EQ(0, std::get<v1::MoveSlotsRequest>(service.changed.at(1)).slots_size());
}

TEST_F(ClusterTest, WhatCannotBeMovedIsRefused) {
  service.cluster.push_back(View({1, 0, 3}));
  EXPECT_EQ(Exit::kUsage, RunMove({{3}, "", "b", {}}, session));
  EXPECT_EQ("assentctl: there is no slot 3; they go from 0 to 2\n", console.err);
  EXPECT_TRUE(service.changed.empty());
  service.cluster.push_back(Draining(View({1, 0, 3}), 2));
  service.change.push_back(FailedPrecondition("b is draining, and takes no slots"));
  EXPECT_EQ(Exit::kWrongState, RunMove({{0}, "", "b", {}}, session));
  EXPECT_NE(std::string::npos, console.err.find("b is draining: it takes no slots"));
}

// Whoever takes it over gives it to whom it is to be with.
TEST_F(ClusterTest, WhatNobodyHasCanBeMoved) {
  service.cluster.push_back(View({1, 0, 3}));
  service.change.push_back(Reply(View({1, 0, 3})));
  EXPECT_EQ(Exit::kDone, RunMove({{1}, "", "b", {}}, session));
  EXPECT_EQ(0U, console.out.find("b: is given 1 slot by nobody; it stays there until"));
}

TEST_F(ClusterTest, FenceExplainsAsksForAReasonAndAsks) {
  session.surroundings.in_is_terminal = true;
  console.lines = {"its machine burns", "y"};
  service.cluster.push_back(View({1, 2, 2}));
  service.change.push_back(Reply(View({1, 3, 3})));
  EXPECT_EQ(Exit::kDone, RunFence({"b", {}}, session));
  ExpectGolden("cluster.fence", console.err + "\n");
  EXPECT_EQ("b: ended (epoch 2)\n", console.out);
  const auto& request = std::get<v1::FenceMemberRequest>(service.changed.at(0));
  EXPECT_EQ("b", request.node());
  EXPECT_EQ("its machine burns", request.action().reason());
}

// Before anybody is asked.
TEST_F(ClusterTest, FenceSaysAllThatItWantsAtOnce) {
  EXPECT_EQ(Exit::kUsage, RunFence({"b", {}}, session));
  EXPECT_NE(std::string::npos, console.err.find("fence wants --reason: why"));
  EXPECT_NE(std::string::npos, console.err.find("; and --yes: it cannot be taken back"));
  EXPECT_TRUE(service.cluster_asked.empty());
}

TEST_F(ClusterTest, FenceIsNotDoneWithoutConsent) {
  service.cluster.push_back(View({1, 2, 2}));
  EXPECT_EQ(Exit::kUsage, RunFence({"b", Why()}, session));
  EXPECT_NE(std::string::npos, console.err.find("fence wants --yes"));
  session.surroundings.in_is_terminal = true;
  console.lines = {"n"};
  EXPECT_EQ(Exit::kOther, RunFence({"b", Why()}, session));
  session.surroundings.in_is_terminal = false;
  EXPECT_EQ(Exit::kUsage, RunFence({"b", {"", "", false, true}}, session));
  EXPECT_NE(std::string::npos, console.err.find("fence wants --reason"));
  EXPECT_TRUE(service.changed.empty());
}

TEST_F(ClusterTest, ALostAnswerIsToldAsUnknown) {
  service.cluster.push_back(View({1, 2, 2}));
  service.change.push_back(UnknownOutcome("went away; it may or may not have been done"));
  EXPECT_EQ(Exit::kOther, RunFence({"b", Why(true)}, session));
  EXPECT_EQ("", console.out);
  EXPECT_NE(std::string::npos, console.err.find("look with assentctl cluster status"));
}

TEST_F(ClusterTest, ProgramsAreGivenTheClusterAsItIsNow) {
  session.options.output = Output::kJsonl;
  service.cluster.push_back(View({1, 2, 2}));
  service.change.push_back(Reply(Draining(View({1, 3, 3}), 2)));
  EXPECT_EQ(Exit::kDone, RunDrain({"b", false, false, {}}, session));
  EXPECT_EQ(0U, console.out.find("{\"version\":42,")) << console.out;
  EXPECT_NE(std::string::npos, console.out.find("\"draining\":true"));
}

}  // namespace
}  // namespace assent::ctl
