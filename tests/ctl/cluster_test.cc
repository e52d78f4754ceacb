// cluster status, locate, drain, move and fence against a scripted coordinator.

#include <string>
#include <vector>

#include <gtest/gtest.h>

#include "tests/ctl/fakes.h"
#include "tests/ctl/golden.h"
#include "tools/assentctl/cluster_view.h"
#include "tools/assentctl/command_line.h"
#include "tools/assentctl/commands.h"

namespace assent::ctl {
namespace {

using Owners = std::vector<int>;

class ClusterTest : public CommandTest {
 protected:
  // Members a, b and c with the epochs 1, 2 and 3; `owners` by slot, 0: nobody.
  static v1::ClusterView View(const Owners& owners) {
    v1::ClusterView view;
    view.set_version(42);
    view.set_lease_ms(3'000);
    for (int at = 0; at < 3; ++at) {
      v1::ClusterMember& member = *view.add_members();
      member.set_epoch(static_cast<std::uint64_t>(at + 1));
      member.set_node(std::string(1, static_cast<char>('a' + at)));
      member.set_address("host:740" + std::to_string(at));
      member.set_silent_ms(200);
    }
    for (const int owner : owners) {
      view.mutable_slots()->push_back(static_cast<char>(owner));
      view.mutable_slots()->push_back(0);
      if (owner == 0) continue;
      v1::ClusterMember& member = *view.mutable_members(owner - 1);
      member.set_slots(member.slots() + 1);
    }
    return view;
  }
  static v1::ClusterView Draining(v1::ClusterView view, int place) {
    view.mutable_members(place - 1)->set_draining(true);
    return view;
  }
  static v1::ClusterReply Reply(const v1::ClusterView& view) {
    v1::ClusterReply reply;
    *reply.mutable_view() = view;
    return reply;
  }
  static Intent Why(bool yes = false) { return {"why", "", false, yes}; }
  static Intent DryRun() { return {"", "", true, false}; }
};

TEST_F(ClusterTest, TheSummarySaysInWordsWhatIsWrong) {
  v1::ClusterView view = View({1, 2, 3, 1});
  EXPECT_EQ("3 coordinators, all slots have an owner", ClusterSummary(view));
  view.mutable_members(1)->set_silent_ms(2'100);
  EXPECT_EQ(
      "3 coordinators, all slots have an owner; node b is silent for 2.10 s: taken over at 3.00 s",
      ClusterSummary(view));
  // It does not even see itself: no word of others, and none that somebody takes them over.
  v1::ClusterView blind = view;
  blind.set_answered_by(2);
  for (auto& member : *blind.mutable_members()) member.set_silent_ms(4'000);
  EXPECT_EQ(
      "3 coordinators, all slots have an owner as of the last look: this one does not reach the "
      "log (assentctl health says why). While nobody does, nobody is taken over",
      ClusterSummary(blind));
  // A coordinator that does not say how long its members may be silent.
  view.clear_lease_ms();
  EXPECT_EQ("3 coordinators, all slots have an owner; node b is silent for 2.10 s",
            ClusterSummary(view));
  EXPECT_EQ("3 coordinators, 2 slots have no owner at this moment",
            ClusterSummary(View({1, 0, 0, 3})));
  EXPECT_EQ("3 coordinators, 1 slot has no owner at this moment", ClusterSummary(View({1, 0, 3})));
  EXPECT_EQ("3 coordinators, all slots have an owner; node c is draining: 2 slots to go",
            ClusterSummary(Draining(View({3, 3, 1}), 3)));
  EXPECT_EQ("3 coordinators, all slots have an owner; node c is drained: it can be stopped",
            ClusterSummary(Draining(View({2, 2, 1}), 3)));
}

// Stopped last, it has all slots back and waits for somebody to give them to.
TEST_F(ClusterTest, ADrainedOneThatIsTheLastSaysWhatEndsThat) {
  v1::ClusterView view = Draining(View({1, 1, 1}), 1);
  view.mutable_members()->DeleteSubrange(1, 2);
  EXPECT_EQ(
      "1 coordinator, all slots have an owner; node a is draining: 3 slots to go, and nobody is "
      "there to take them: start another coordinator, or assentctl cluster drain a --undo",
      ClusterSummary(view));
}

TEST_F(ClusterTest, WhoIsMissedIsSpokenOf) {
  v1::ClusterView view = View({1, 2, 3});
  v1::DepartedMember& departed = *view.add_departed();
  departed.set_node("aa");
  departed.set_address("host:7409");
  departed.set_epoch(9);
  departed.set_silent_ms(40'000);
  departed.set_ended_by("b");
  EXPECT_EQ(
      "3 coordinators, all slots have an owner; node aa, last seen 40.0 s ago, was fenced by b and "
      "is not back: its slots have other owners",
      ClusterSummary(view));
  const std::string table = RenderCluster(view, session.MakeStyle());
  EXPECT_NE(std::string::npos, table.find("40.0 s ago"));
  EXPECT_NE(std::string::npos, table.find("fenced"));
  EXPECT_LT(table.find("\na "), table.find("\naa ")) << "by name\n" << table;
  EXPECT_LT(table.find("\naa "), table.find("\nb ")) << "by name\n" << table;
  departed.clear_ended_by();
  departed.set_slots(2);
  EXPECT_EQ(
      "3 coordinators, 1 slot has no owner at this moment; node aa, last seen 40.0 s ago, was "
      "fenced and is not back: 2 slots of it to be taken over",
      [&] {
        v1::ClusterView some = view;
        some.mutable_slots()->replace(0, 1, 1, '\0');
        return ClusterSummary(some);
      }());
  departed.set_in_order(true);
  EXPECT_EQ("3 coordinators, all slots have an owner", ClusterSummary(view));
  EXPECT_NE(std::string::npos, RenderCluster(view, session.MakeStyle()).find("stopped"));
}

// It took a quarter of all transactions out of service, and the first line said that all was well.
TEST_F(ClusterTest, WhoIsOutOfReachIsNamedWithItsAddress) {
  v1::ClusterView view = View({1, 2, 2});
  view.mutable_members(1)->set_unfinished(-1);
  view.mutable_members(1)->set_unreachable("connection refused");
  EXPECT_EQ(
      "3 coordinators, all slots have an owner; node b does not answer at host:7401 (connection "
      "refused): its 2 slots are out of reach; correct its --advertise, or assentctl cluster drain "
      "b",
      ClusterSummary(view));
  view.mutable_members(1)->set_silent_ms(2'100);
  EXPECT_EQ(std::string::npos, ClusterSummary(view).find("--advertise")) << "it is silent";
}

TEST_F(ClusterTest, StatusEndsWithOneWhenSomethingIsWrong) {
  const auto exit = [this](const v1::ClusterView& view) {
    service.cluster.push_back(view);
    return RunClusterStatus({}, session);
  };
  v1::ClusterView view = View({1, 2, 3});
  EXPECT_EQ(Exit::kDone, exit(view));
  EXPECT_EQ(Exit::kDone, exit(Draining(view, 2)));
  EXPECT_EQ(Exit::kOther, exit(View({1, 2, 0}))) << "a slot is nobody's";
  v1::ClusterView silent = view;
  silent.mutable_members(1)->set_silent_ms(2'100);
  EXPECT_EQ(Exit::kOther, exit(silent));
  v1::ClusterView cut_off = view;
  cut_off.mutable_members(1)->set_unreachable("refused");
  EXPECT_EQ(Exit::kOther, exit(cut_off));
  v1::ClusterView set_aside = view;
  set_aside.mutable_members(2)->add_slots_set_aside(2);
  EXPECT_EQ(Exit::kOther, exit(set_aside));
  view.add_departed()->set_in_order(true);
  EXPECT_EQ(Exit::kDone, exit(view)) << "it was stopped in order";
  view.mutable_departed(0)->set_in_order(false);
  EXPECT_EQ(Exit::kOther, exit(view));
}

TEST_F(ClusterTest, StatusAsksForTheLoad) {
  service.cluster.push_back(View({1, 2, 3}));
  EXPECT_EQ(Exit::kDone, RunClusterStatus({}, session));
  EXPECT_TRUE(service.cluster_asked[0].load());
  EXPECT_EQ(0U, console.out.find("3 coordinators, all slots have an owner\nNODE"));
}

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

TEST_F(ClusterTest, WatchingRidesOverAnOutage) {
  console.sleeps_left = 2;
  service.cluster.push_back(View({1}));
  service.cluster.push_back(Unavailable("gone"));
  service.cluster.push_back(View({2}));
  session.options.output = Output::kJson;
  EXPECT_EQ(Exit::kDone, RunClusterStatus({true, std::chrono::seconds(1)}, session));
  EXPECT_EQ(2, std::count(console.out.begin(), console.out.end(), '\n')) << console.out;
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
      "\"cluster_version\":42}\n",
      console.out);
  console.out.clear();
  session.options.output = Output::kId;
  service.cluster.push_back(View({2, 1}));
  EXPECT_EQ(Exit::kDone, RunLocate({"a"}, session));
  EXPECT_EQ("b\n", console.out);
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

TEST_F(ClusterTest, TheLastOneThatTakesSlotsIsNotDrained) {
  service.cluster.push_back(Draining(Draining(View({1, 2, 3}), 1), 3));
  EXPECT_EQ(Exit::kWrongState, RunDrain({"b", false, true, {}}, session));
  EXPECT_EQ(
      "assentctl: nobody but b takes slots: there is nobody to give them to; start another "
      "coordinator, or stop this one as it is\n",
      console.err);
  EXPECT_TRUE(service.changed.empty());
}

TEST_F(ClusterTest, AnUnknownNodeIsNotFoundAndTheKnownAreNamed) {
  for (int command = 0; command < 3; ++command) service.cluster.push_back(View({1, 2, 3}));
  EXPECT_EQ(Exit::kNotFound, RunDrain({"x", false, false, {}}, session));
  EXPECT_EQ("assentctl: no member is called x; there are a, b, c\n", console.err);
  EXPECT_EQ(Exit::kNotFound, RunMove({{0}, "", "x", {}}, session));
  EXPECT_EQ(Exit::kNotFound, RunFence({"x", Why(true)}, session));
  EXPECT_TRUE(service.changed.empty());
}

TEST_F(ClusterTest, ADryRunSendsNothing) {
  service.cluster.push_back(View({1, 2, 2}));
  service.cluster.push_back(View({1, 2, 2}));
  service.cluster.push_back(View({1, 2, 2}));
  EXPECT_EQ(Exit::kDone, RunDrain({"b", false, true, DryRun()}, session));
  EXPECT_EQ(Exit::kDone, RunMove({{1, 2}, "", "a", DryRun()}, session));
  EXPECT_EQ(Exit::kDone, RunFence({"b", DryRun()}, session));
  EXPECT_EQ(
      "b: (dry run) gives its 2 slots to a, c\n"
      "a: (dry run) is given 2 slots by b\n"
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

TEST_F(ClusterTest, MoveLeavesOutWhatIsThereAlready) {
  service.cluster.push_back(View({1, 2, 3, 3}));
  service.change.push_back(Reply(View({3, 3, 3, 3})));
  EXPECT_EQ(Exit::kDone, RunMove({{0, 1, 2}, "", "c", Why()}, session));
  EXPECT_EQ("c: is given 2 slots by a, b\n", console.out);
  const auto& request = std::get<v1::MoveSlotsRequest>(service.changed.at(0));
  ASSERT_EQ(2, request.slots_size());
  EXPECT_EQ(0U, request.slots(0));
  EXPECT_EQ(1U, request.slots(1));
  EXPECT_EQ("c", request.node());
  EXPECT_EQ("why", request.action().reason());
  service.cluster.push_back(View({3, 3}));
  EXPECT_EQ(Exit::kDone, RunMove({{}, "a", "c", {}}, session));
  EXPECT_EQ(1U, service.changed.size());
  EXPECT_NE(std::string::npos, console.out.find("c: has what is asked for already"));
}

TEST_F(ClusterTest, MoveOfTheSlotOfAGid) {
  service.cluster.push_back(View({2, 1}));
  service.change.push_back(Reply(View({3, 1})));
  EXPECT_EQ(Exit::kDone, RunMove({{}, "a", "c", {}}, session));
  EXPECT_EQ(0U, std::get<v1::MoveSlotsRequest>(service.changed.at(0)).slots(0));
}

TEST_F(ClusterTest, WhatCannotBeMovedIsRefusedHere) {
  service.cluster.push_back(View({1, 0, 3}));
  service.cluster.push_back(View({1, 0, 3}));
  service.cluster.push_back(Draining(View({1, 0, 3}), 2));
  EXPECT_EQ(Exit::kUsage, RunMove({{3}, "", "b", {}}, session));
  EXPECT_EQ("assentctl: there is no slot 3; they go from 0 to 2\n", console.err);
  EXPECT_EQ(Exit::kWrongState, RunMove({{1}, "", "b", {}}, session));
  EXPECT_EQ(Exit::kWrongState, RunMove({{0}, "", "b", {}}, session));
  EXPECT_NE(std::string::npos, console.err.find("b is draining: it takes no slots"));
  EXPECT_TRUE(service.changed.empty());
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

// A member that does not answer is named: what is missing is never passed over.
TEST_F(ClusterTest, WhatIsMissingOnAListIsSaid) {
  v1::ListReply page;
  *page.add_transactions() = Active("order-17");
  page.set_slots_left_out(3);
  v1::SilentMember& silent = *page.add_silent();
  silent.set_node("b");
  silent.set_address("host:7401");
  silent.set_why("no answer within 2 s");
  page.set_next_page_token("2");
  service.list.push_back(page);
  page.clear_next_page_token();
  service.list.push_back(page);
  ListCommand command;
  command.all_pages = true;
  session.options.output = Output::kId;
  EXPECT_EQ(Exit::kDone, RunList(command, session));
  EXPECT_EQ(
      "node b at host:7401 did not answer: its unfinished transactions are not on the list (no "
      "answer within 2 s)\n"
      "3 slots had no owner at that moment: what is unfinished there is not on the list; try "
      "again\n",
      console.err);
  EXPECT_EQ("order-17\norder-17\n", console.out);
  console.err.clear();

  v1::ListParticipantsReply participants;
  participants.add_participants()->set_service("mail");
  *participants.add_silent() = silent;
  service.participants.push_back(participants);
  EXPECT_EQ(Exit::kDone, RunParticipants({}, session));
  EXPECT_NE(std::string::npos, console.err.find("node b at host:7401 did not answer"))
      << console.err;
  console.err.clear();

  v1::ServerInfo info;
  info.add_members()->mutable_info();
  v1::MemberInfo& member = *info.add_members();
  member.set_node("b");
  member.set_silent("cut off");
  service.info.push_back(info);
  EXPECT_EQ(Exit::kDone, RunStats(session));
  EXPECT_EQ("node b at  did not answer: the figures are without its own (cut off)\n", console.err);
}

}  // namespace
}  // namespace assent::ctl
