// What is seen of several coordinators: cluster status, and what health, stats, show and lists
// say of them.

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

// A page went out for each restart: "does not answer at its address".
TEST_F(ClusterTest, WhoHasStoppedInOrderAMomentAgoIsEnding) {
  v1::ClusterView view = Draining(View({2, 2, 1}), 3);
  view.mutable_members(2)->set_unreachable("connection refused");
  EXPECT_EQ(
      "3 coordinators, all slots have an owner; node c has given its slots away and is ending",
      ClusterSummary(view));
  EXPECT_TRUE(IsWell(view));
  EXPECT_NE(std::string::npos, RenderCluster(view, session.MakeStyle()).find(" ending\n"));
  view.mutable_members(2)->set_draining(false);
  EXPECT_FALSE(IsWell(view));
  view = Draining(View({2, 2, 3}), 3);
  view.mutable_members(2)->set_unreachable("connection refused");
  EXPECT_FALSE(IsWell(view));
}

TEST_F(ClusterTest, WhoHadAMemberFencedAndWhyIsSaid) {
  v1::ClusterView view = View({2, 2, 1});
  v1::DepartedMember& gone = *view.add_departed();
  gone.set_node("x");
  gone.set_silent_ms(5'000);
  gone.set_ended_by("x");
  gone.set_fenced_by("ann@desk");
  gone.set_fence_reason("it is on fire");
  EXPECT_EQ(
      "3 coordinators, all slots have an owner; node x, last seen 5.00 s ago, was fenced by "
      "ann@desk (it is on fire) and is not back: its slots have other owners",
      ClusterSummary(view));
  EXPECT_FALSE(IsWell(view));
}

TEST_F(ClusterTest, WhoAskedForADrainAndWhyIsSaid) {
  v1::ClusterView view = Draining(View({2, 2, 1}), 3);
  view.mutable_members(2)->set_drained_by("ann@desk");
  EXPECT_EQ(
      "3 coordinators, all slots have an owner; node c is drained, asked for by ann@desk: it can "
      "be stopped",
      ClusterSummary(view));
  view.mutable_members(2)->set_drain_reason("new version");
  view.mutable_members(2)->set_slots(1);
  EXPECT_EQ(
      "3 coordinators, all slots have an owner; node c is draining, asked for by ann@desk (new "
      "version): 1 slot to go",
      ClusterSummary(view));
}

// It spoke of whoever answered first, as if that one were all.
TEST_F(ClusterTest, HealthOfOneOfSeveralSpeaksOfTheOthers) {
  v1::ServerInfo info;
  info.set_version("1");
  info.add_members()->mutable_info();
  service.info.push_back(info);
  v1::ClusterView view = Draining(View({2, 2, 1}), 3);
  view.set_answered_by(3);
  service.cluster.push_back(view);
  EXPECT_EQ(Exit::kDone, RunHealth(session));
  EXPECT_NE(std::string::npos,
            console.out.find("\nit is node c of 3 coordinators, all slots have an owner; node c is "
                             "drained: it can be stopped\n"))
      << console.out;
  session.options.output = Output::kJson;
  service.info.push_back(info);
  EXPECT_EQ(Exit::kDone, RunHealth(session)) << "nobody else is asked";
}

TEST_F(ClusterTest, StatsOfSeveralAreSumsAndEachOnesOwn) {
  v1::ServerInfo info;
  info.set_epoch(2);
  info.set_coordinator_id(7);
  info.set_active(5);
  for (int at = 0; at < 3; ++at) {
    v1::MemberInfo& member = *info.add_members();
    member.set_epoch(static_cast<std::uint64_t>(at + 1));
    member.set_node(std::string(1, static_cast<char>('c' - at)));
    if (at < 2) member.mutable_info()->set_active(static_cast<std::uint64_t>(at + 2));
  }
  const std::string text = RenderStats(info, session.MakeStyle());
  EXPECT_NE(std::string::npos, text.find("2 of 3, of which these are the sums")) << text;
  EXPECT_NE(std::string::npos, text.find("b, of coordinator 7 (epoch 2)")) << text;
  EXPECT_LT(text.find("\na "), text.find("\nb ")) << text;
  EXPECT_NE(std::string::npos, text.find("no answer")) << text;
}

// A service that reaches two of three coordinators looked as if it were there.
TEST_F(ClusterTest, WhereAParticipantIsNotIsSaid) {
  v1::ListParticipantsReply reply;
  v1::ParticipantInfo& order = *reply.add_participants();
  order.set_service("order");
  auto& instance = *order.add_instances();
  instance.set_connected_unix_ms(1);
  instance.add_not_at("f");
  EXPECT_NE(std::string::npos, RenderParticipants(reply, session.MakeStyle()).find("1; not at f"));
  order.add_instances()->set_connected_unix_ms(1);
  EXPECT_NE(std::string::npos,
            RenderParticipants(reply, session.MakeStyle()).find("2; not all at f"));
  session.options.output = Output::kWide;
  EXPECT_NE(std::string::npos, RenderParticipants(reply, session.MakeStyle()).find("(not at f)"));
}

TEST_F(ClusterTest, ShowNamesWhoHasIt) {
  v1::Transaction transaction = Active("order-17");
  transaction.set_began_unix_ms(console.now_unix_ms - 60'000);
  transaction.mutable_holder()->set_node("b");
  transaction.mutable_holder()->set_address("host:7401");
  transaction.mutable_holder()->set_since_unix_ms(console.now_unix_ms - 20'000);
  const std::string text = RenderTransaction(transaction, session.MakeStyle());
  EXPECT_NE(std::string::npos, text.find("node b at host:7401, since 20 s ago")) << text;
  EXPECT_NE(std::string::npos, text.find("taken up")) << text;
  EXPECT_NE(std::string::npos, text.find("by node b")) << text;
  transaction.set_began_unix_ms(console.now_unix_ms - 10'000);
  EXPECT_EQ(std::string::npos,
            RenderTransaction(transaction, session.MakeStyle()).find("taken up"));
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
      "refused): its 2 slots are out of reach; if it lives, correct its --advertise, or assentctl "
      "cluster drain b",
      ClusterSummary(view));
  // It has not shown itself for longer than a beat takes: it may have died just now.
  view.mutable_members(1)->set_silent_ms(800);
  EXPECT_EQ(
      "3 coordinators, all slots have an owner; node b does not answer at host:7401 (connection "
      "refused): its 2 slots are out of reach",
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

TEST_F(ClusterTest, WatchingRidesOverAnOutage) {
  console.sleeps_left = 2;
  service.cluster.push_back(View({1}));
  service.cluster.push_back(Unavailable("gone"));
  service.cluster.push_back(View({2}));
  session.options.output = Output::kJson;
  EXPECT_EQ(Exit::kDone, RunClusterStatus({true, std::chrono::seconds(1)}, session));
  EXPECT_EQ(2, std::count(console.out.begin(), console.out.end(), '\n')) << console.out;
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
