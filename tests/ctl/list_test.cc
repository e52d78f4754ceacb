// list, show, participants, stats, health: what is asked of the coordinator, what is said where.

#include <string>

#include <gtest/gtest.h>

#include "tests/ctl/fakes.h"
#include "tools/assentctl/commands.h"
#include "tools/assentctl/list_view.h"

namespace assent::ctl {
namespace {

class ListTest : public CommandTest {
 protected:
  static v1::ListReply Page(std::initializer_list<const char*> gids, const std::string& next) {
    v1::ListReply page;
    for (const char* gid : gids) *page.add_transactions() = Active(gid);
    page.set_next_page_token(next);
    return page;
  }
};

TEST_F(ListTest, OnePageAndAHintAtMore) {
  session.options.output = Output::kId;
  service.list.push_back(Page({"a", "b"}, "two"));
  EXPECT_EQ(Exit::kDone, RunList({}, session));
  EXPECT_EQ("a\nb\n", console.out);
  EXPECT_EQ("there are more: add --page-token two or --all-pages\n", console.err);
}

// Its deadline sleeps.
TEST(Attention, WhatIsHeldIsNotOverdue) {
  v1::Transaction transaction;
  transaction.set_state(v1::ACTIVE);
  transaction.set_deadline_unix_ms(1);
  EXPECT_EQ("overdue", Attention(transaction, 2));
  transaction.set_suspended(true);
  transaction.set_held(true);
  transaction.set_needs_operator(true);
  EXPECT_EQ("needs a human, held", Attention(transaction, 2));
}

TEST_F(ListTest, AnEmptyPageWithASuccessorIsNotTheEnd) {
  session.options.output = Output::kId;
  service.list.push_back(Page({}, "two"));
  service.list.push_back(Page({}, "three"));
  service.list.push_back(Page({"a"}, ""));
  EXPECT_EQ(Exit::kDone, RunList({}, session));
  EXPECT_EQ("a\n", console.out);
  EXPECT_EQ("", console.err);
  EXPECT_EQ("three", service.listed[2].page_token());
}

TEST_F(ListTest, AllPagesMakeOneDocument) {
  session.options.output = Output::kJson;
  ListCommand command;
  command.all_pages = true;
  command.request.set_page_size(2);
  service.list.push_back(Page({"a", "b"}, "two"));
  service.list.push_back(Page({"c"}, ""));
  EXPECT_EQ(Exit::kDone, RunList(command, session));
  EXPECT_EQ("two", service.listed[1].page_token());
  EXPECT_EQ(2U, service.listed[1].page_size());
  EXPECT_EQ(1U, console.out.find("\n  \"transactions\": ["));
  EXPECT_NE(std::string::npos, console.out.find("\"gid\": \"c\""));
  EXPECT_NE(std::string::npos, console.out.find("\"next_page_token\": \"\""));
}

TEST_F(ListTest, LinesAreStreamedAlsoWhenALaterPageFails) {
  session.options.output = Output::kId;
  ListCommand command;
  command.all_pages = true;
  service.list.push_back(Page({"a"}, "two"));
  service.list.push_back(Unavailable("the connection was lost"));
  EXPECT_EQ(Exit::kCannotConnect, RunList(command, session));
  EXPECT_EQ("a\n", console.out);
  EXPECT_EQ("assentctl: the connection was lost\n", console.err);
}

TEST_F(ListTest, ATokenThatComesBackDoesNotLoop) {
  ListCommand command;
  command.all_pages = true;
  service.list.push_back(Page({"a"}, "two"));
  service.list.push_back(Page({"b"}, "two"));
  EXPECT_EQ(Exit::kOther, RunList(command, session));
  service.list.push_back(Page({}, "two"));
  service.list.push_back(Page({}, "two"));
  EXPECT_EQ(Exit::kOther, RunList({}, session));
}

TEST_F(ListTest, SaysWhyItIsEmptyOnStderr) {
  service.list.push_back(Page({}, ""));
  EXPECT_EQ(Exit::kDone, RunList({}, session));
  ListCommand filtered;
  filtered.request.set_service("x");
  service.list.push_back(Page({}, ""));
  EXPECT_EQ(Exit::kDone, RunList(filtered, session));
  ListCommand all;
  all.request.set_all(true);
  service.list.push_back(Page({}, ""));
  EXPECT_EQ(Exit::kDone, RunList(all, session));
  EXPECT_EQ("", console.out);
  EXPECT_EQ(
      "nothing unfinished (--all shows finished ones too)\n"
      "no transaction matches\n"
      "no transactions\n",
      console.err);
}

TEST_F(ListTest, CausesAreCountedByTheCoordinator) {
  ListCommand command;
  command.group_by = GroupBy::kService;
  command.request.set_service("payment");
  v1::ListCausesReply reply;
  v1::Cause& cause = *reply.add_causes();
  cause.set_key("s0123456789");
  cause.set_sentence("payment: not connected");
  cause.set_count(1001);
  cause.set_oldest_unix_ms(1'799'999'990'000);
  reply.set_total(1001);
  service.causes.push_back(reply);
  EXPECT_EQ(Exit::kDone, RunList(command, session));
  EXPECT_TRUE(service.counted[0].by_service());
  EXPECT_EQ(service.counted[0].service(), "payment");
  EXPECT_EQ("COUNT  OLDEST  KEY          WHY\n1,001  10 s    s0123456789  payment: not connected\n",
            console.out);
  EXPECT_EQ("1,001 unfinished, 1 row; a row opens with: assentctl list --cause KEY\n", console.err);
  service.causes.push_back(v1::ListCausesReply());
  EXPECT_EQ(Exit::kDone, RunList(command, session));
  EXPECT_NE(std::string::npos, console.err.find("no transaction matches\n"));
}

TEST_F(ListTest, WatchRidesOverAnOutageAndEndsWhenTold) {
  session.options.output = Output::kId;
  ListCommand command;
  command.watch = true;
  console.sleeps_left = 2;
  service.list.push_back(Page({"a"}, ""));
  service.list.push_back(Unavailable("restarting"));
  service.list.push_back(Page({"b"}, ""));
  EXPECT_EQ(Exit::kDone, RunList(command, session));
  EXPECT_EQ("a\nb\n", console.out);
  EXPECT_EQ(std::chrono::seconds(6), console.uptime);
}

TEST_F(ListTest, WatchDoesNotWaitForACoordinatorThatWasNeverThere) {
  ListCommand command;
  command.watch = true;
  service.list.push_back(Unavailable("cannot connect"));
  EXPECT_EQ(Exit::kCannotConnect, RunList(command, session));
}

TEST_F(ListTest, WatchEndsOnAMistake) {
  ListCommand command;
  command.watch = true;
  service.list.push_back(InvalidArgument("page_token is stale"));
  EXPECT_EQ(Exit::kUsage, RunList(command, session));
}

TEST_F(CommandTest, ExitCodesOfFailures) {
  const std::pair<Code, Exit> all[] = {
      {Code::kInvalidArgument, Exit::kUsage},    {Code::kUnavailable, Exit::kCannotConnect},
      {Code::kNotFound, Exit::kNotFound},        {Code::kFailedPrecondition, Exit::kWrongState},
      {Code::kAlreadyExists, Exit::kWrongState}, {Code::kPermissionDenied, Exit::kNotPermitted},
      {Code::kDeadlineExceeded, Exit::kOther},   {Code::kResourceExhausted, Exit::kOther},
      {Code::kInternal, Exit::kOther},           {Code::kUnimplemented, Exit::kOther}};
  for (const auto& [code, exit] : all) {
    service.get.push_back(Status(code, "what happened"));
    // Asked again, without results.
    if (code == Code::kPermissionDenied) service.get.push_back(Status(code, "what happened"));
    EXPECT_EQ(exit, RunShow({"g", false, false, {}}, session)) << CodeName(code);
    EXPECT_EQ(0U, console.err.find("assentctl: what happened")) << console.err;
    console.err.clear();
  }
  EXPECT_EQ("", console.out);
}

TEST_F(CommandTest, ShowAsksForTheGid) {
  session.options.output = Output::kId;
  service.get.push_back(Active("order-17"));
  EXPECT_EQ(Exit::kDone, RunShow({"order-17", false, false, {}}, session));
  EXPECT_EQ("order-17", service.got[0]);
  EXPECT_EQ("order-17\n", console.out);
}

TEST_F(CommandTest, ColoursOnlyOnAWelcomingTerminal) {
  const auto colored = [&](bool terminal, bool welcome, bool no_color) {
    session.surroundings.out_is_terminal = terminal;
    session.surroundings.colors_welcome = welcome;
    session.options.no_color = no_color;
    return session.MakeStyle().color;
  };
  EXPECT_TRUE(colored(true, true, false));
  EXPECT_FALSE(colored(false, true, false));
  EXPECT_FALSE(colored(true, false, false));
  EXPECT_FALSE(colored(true, true, true));
}

TEST_F(CommandTest, HealthTellsARefusingCoordinatorFromATakingOne) {
  v1::ServerInfo info;
  info.set_version("0.1.0");
  service.info.push_back(info);
  EXPECT_EQ(Exit::kDone, RunHealth(session));
  info.set_refusing("disk full");
  service.info.push_back(info);
  EXPECT_EQ(Exit::kOther, RunHealth(session));
  service.info.push_back(Unavailable("nobody"));
  EXPECT_EQ(Exit::kCannotConnect, RunHealth(session));
}

TEST_F(CommandTest, ParticipantsMayBeNone) {
  service.participants.push_back(v1::ListParticipantsReply());
  EXPECT_EQ(Exit::kDone, RunParticipants({}, session));
  EXPECT_EQ("", console.out);
  EXPECT_EQ("no participant is known\n", console.err);
}

TEST_F(CommandTest, CompletionAndVersionNeedNoCoordinator) {
  EXPECT_EQ(Exit::kDone, ctl::Run(VersionCommand(), session));
  EXPECT_EQ(0U, console.out.find("assentctl "));
  for (const Shell shell : {Shell::kBash, Shell::kZsh, Shell::kFish}) {
    console.out.clear();
    EXPECT_EQ(Exit::kDone, ctl::Run(CompletionCommand{shell}, session));
    EXPECT_NE(std::string::npos, console.out.find("__complete"));
  }
}

// At 80 columns the end of WHY is cut; the cause is what is left.
TEST_F(ListTest, ANarrowTerminalShowsTheCause) {
  v1::ListReply page;
  const auto add = [&](const char* gid, v1::TransactionState state, const char* why) {
    v1::Transaction& transaction = *page.add_transactions();
    transaction = Transaction(gid, state);
    if (state == v1::FINISHED) {
      transaction.set_outcome(v1::ABORTED);
      transaction.set_abort_reason(why);
    } else {
      transaction.set_why_not_finished(why);
    }
    v1::BranchSpec& spec = *transaction.add_branches()->mutable_spec();
    spec.set_branch_id("2");
    spec.set_service("inventroy");
    spec.set_action("reserve");
  };
  add("late", v1::FINISHED,
      "deadline of 2000 ms passed: branch 2 inventroy/reserve: no participant inventroy is "
      "connected (14 attempts)");
  add("refused", v1::FINISHED, "branch 2 inventroy/reserve refused: out of stock");
  add("stuck", v1::COMMITTING,
      "decided commit, carrying it out: branch 2 inventroy/reserve: CONFIRM, 14 attempts, last: "
      "disk is full; next try in 8 s");
  add("other", v1::FINISHED, "aborted by ann");
  Style style;
  style.columns = 80;
  style.now_unix_ms = console.now_unix_ms;
  const std::string text = RenderList(page, style);
  for (const char* cause : {"no participant inventroy is c", "out of stock: branch 2",
                            "disk is full; next try", "aborted by ann"})
    EXPECT_NE(std::string::npos, text.find(cause)) << text;
  style.columns = 0;
  EXPECT_NE(std::string::npos,
            RenderList(page, style).find("branch 2 inventroy/reserve refused: out of stock"));
}

// What one message had no room for is asked for, branch by branch.
TEST_F(ListTest, ShowAsksForWhatWasLeftOut) {
  v1::Transaction large = Active("g");
  for (const char* id : {"1", "2", "3"}) large.add_branches()->mutable_spec()->set_branch_id(id);
  large.mutable_branches(1)->set_attempts_left_out(3);
  large.mutable_branches(2)->mutable_spec()->set_payload_bytes(5);
  v1::Transaction second = Active("g");
  *second.add_branches() = large.branches(1);
  second.mutable_branches(0)->set_attempts_left_out(0);
  second.mutable_branches(0)->add_attempts()->set_error("from the second answer");
  service.get.push_back(large);
  service.get.push_back(second);
  EXPECT_EQ(Exit::kDone, RunShow({"g", false, false, {}}, session));
  EXPECT_NE(std::string::npos, console.out.find("from the second answer"));
  ASSERT_EQ(2U, service.asked.size()) << "payloads were not asked for, so none is missing";
  EXPECT_TRUE(service.asked[0].results());
  EXPECT_FALSE(service.asked[0].payloads());
  EXPECT_EQ("", service.asked[0].branch_id());
  EXPECT_EQ("2", service.asked[1].branch_id());
}

}  // namespace
}  // namespace assent::ctl
