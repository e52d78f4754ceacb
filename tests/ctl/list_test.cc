// list, show, participants, stats, health: what is asked of the coordinator, what is said where.

#include <string>

#include <gtest/gtest.h>

#include "tests/ctl/fakes.h"
#include "tools/assentctl/commands.h"

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

}  // namespace
}  // namespace assent::ctl
