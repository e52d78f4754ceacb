// retry, abort, suspend, resume, forget with --all: a filter, a count, a sample, a question, and
// exactly those that were counted.

#include <string>

#include <gtest/gtest.h>
#include <nlohmann/json.hpp>

#include "tests/ctl/fakes.h"
#include "tools/assentctl/commands.h"

namespace assent::ctl {
namespace {

class BatchAllTest : public CommandTest {
 protected:
  static OperateCommand All(Verb verb, Intent intent = {}) {
    OperateCommand command;
    command.verb = verb;
    command.all = true;
    command.intent = std::move(intent);
    return command;
  }
  static Intent Yes() { return {"payment is back", "", false, true}; }
  static v1::ListReply Page(std::initializer_list<const char*> gids, const std::string& next = "") {
    v1::ListReply page;
    for (const char* gid : gids) *page.add_transactions() = Active(gid);
    page.set_next_page_token(next);
    return page;
  }
};

TEST_F(BatchAllTest, ExactlyThoseThatWereCounted) {
  OperateCommand command = All(Verb::kRetry, Yes());
  command.which.set_service("payment");
  service.list.push_back(Page({"a", "b"}, "two"));
  service.list.push_back(Page({}, "three"));
  service.list.push_back(Page({"c"}));
  for (int i = 0; i < 3; ++i) service.operate.push_back(Effect("tried"));
  EXPECT_EQ(Exit::kDone, RunOperate(command, session));
  EXPECT_EQ("retry: 3 done, 0 failed\n", console.out);
  EXPECT_EQ("payment", service.listed[0].service());
  EXPECT_EQ(1000U, service.listed[0].page_size());
  EXPECT_EQ("three", service.listed[2].page_token());
  ASSERT_EQ(3U, service.operated.size());
  const auto& action = std::get<v1::RetryNowRequest>(service.operated[2]).action();
  EXPECT_EQ("c", action.gid());
  EXPECT_EQ("ann@desk", action.who());
  EXPECT_EQ("payment is back", action.reason());
}

// Its participant came back while the question stood.
TEST_F(BatchAllTest, WhatHasEndedByItselfIsNoFailureButOfAnAbort) {
  const Status over = FailedPrecondition("transaction a is finished: there is nothing left to do");
  v1::OperatorReply ended = Effect("it has ended by itself: ABORTED");
  ended.set_had_ended(true);
  service.list.push_back(Page({"a"}));
  service.operate.push_back(ended);
  EXPECT_EQ(Exit::kDone, RunOperate(All(Verb::kRetry, Yes()), session));
  EXPECT_EQ("retry: 0 done, 0 failed, 1 had ended by themselves\n", console.out);
  console.out.clear();
  service.list.push_back(Page({"a"}));
  service.operate.push_back(over);
  EXPECT_EQ(Exit::kSomeFailed, RunOperate(All(Verb::kAbort, Yes()), session));
  EXPECT_EQ(0U, console.out.find("abort: 0 done, 1 failed\n"));
}

// "Done" was said of what went on waiting for a service that would never come.
TEST_F(BatchAllTest, WhatIsNotUndoneYetIsSaid) {
  v1::OperatorReply undoing = Effect("the transaction is aborted; not undone yet: branch 1");
  undoing.mutable_transaction()->set_state(v1::ABORTING);
  service.list.push_back(Page({"a", "b"}));
  service.operate.push_back(undoing);
  service.operate.push_back(Effect("the transaction is aborted"));
  EXPECT_EQ(Exit::kDone, RunOperate(All(Verb::kAbort, Yes()), session));
  EXPECT_EQ("abort: 2 done, 0 failed\n", console.out);
  EXPECT_EQ("1 is not undone yet: assentctl list --state aborting --group-by why\n", console.err);
}

TEST_F(BatchAllTest, ADryRunCountsShowsAndDoesNothing) {
  service.list.push_back(Page({"a", "b", "c", "d", "e", "f", "g"}));
  EXPECT_EQ(Exit::kDone, RunOperate(All(Verb::kAbort, {"", "", true, false}), session));
  EXPECT_TRUE(service.operated.empty());
  EXPECT_EQ("abort: (dry run) 7 match\n", console.out);
  EXPECT_EQ(0U, console.err.find("7 transactions: 7 ACTIVE; the oldest began 10 s ago\nGID"));
  EXPECT_NE(std::string::npos, console.err.find("\ne    ACTIVE"));
  EXPECT_EQ(std::string::npos, console.err.find("\nf    ACTIVE"));
  EXPECT_NE(std::string::npos, console.err.find("... and 2 more\n"));
}

TEST_F(BatchAllTest, WithoutATerminalItDoesNotGuess) {
  for (const Verb verb : {Verb::kRetry, Verb::kAbort}) {
    service.list.push_back(Page({"a", "b"}));
    EXPECT_EQ(Exit::kUsage, RunOperate(All(verb), session));
  }
  EXPECT_TRUE(service.operated.empty());
  EXPECT_EQ(0U, console.err.find("assentctl: retry --all would act on 2 of them and there is no "
                                 "terminal to ask at; add --yes, or look first with --dry-run\n"));
}

TEST_F(BatchAllTest, AtATerminalTheCountAndASampleComeBeforeTheQuestion) {
  session.surroundings.in_is_terminal = true;
  console.lines = {"y"};
  service.list.push_back(Page({"a"}));
  service.operate.push_back(Effect("tried"));
  EXPECT_EQ(Exit::kDone, RunOperate(All(Verb::kRetry), session));
  EXPECT_EQ(0U, console.err.find("1 transaction: 1 ACTIVE; the oldest began 10 s ago\n"));
  EXPECT_NE(std::string::npos, console.err.find("Go on? [y/N] "));
  console.lines = {"n"};
  service.list.push_back(Page({"a"}));
  EXPECT_EQ(Exit::kOther, RunOperate(All(Verb::kRetry), session));
  EXPECT_EQ(1U, service.operated.size());
}

TEST_F(BatchAllTest, SomeThatFailAreSevenAndWhatIsSaidOfManyIsOneLine) {
  service.list.push_back(Page({"a", "b", "c"}));
  service.operate.push_back(FailedPrecondition("transaction a is already decided: commit"));
  service.operate.push_back(Effect("aborted"));
  service.operate.push_back(FailedPrecondition("transaction c is already decided: commit"));
  EXPECT_EQ(Exit::kSomeFailed, RunOperate(All(Verb::kAbort, Yes()), session));
  EXPECT_EQ("abort: 1 done, 2 failed\n  2 failed: transaction # is already decided: commit\n",
            console.out);
  EXPECT_NE(std::string::npos, console.err.find("c: transaction c is already decided"));
  session.options.output = Output::kJson;
  console.out.clear();
  service.list.push_back(Page({"a", "b"}));
  service.operate.push_back(NotFound("no transaction a"));
  service.operate.push_back(Effect("tried"));
  EXPECT_EQ(Exit::kSomeFailed, RunOperate(All(Verb::kRetry, Yes()), session));
  const auto json = nlohmann::json::parse(console.out);
  EXPECT_EQ(json["matched"], 2);
  EXPECT_EQ(json["done"], 1);
  EXPECT_EQ(json["failed"], 1);
  EXPECT_EQ(json["not_tried"], 0);
  EXPECT_EQ(json["failures"][0]["gid"], "a");
  EXPECT_EQ(json["failures"][0]["code"], "NOT_FOUND");
}

TEST_F(BatchAllTest, OfManyFailuresTheFirstAreTold) {
  v1::ListReply page;
  for (int i = 0; i < 50; ++i) *page.add_transactions() = Active("g" + std::to_string(i));
  service.list.push_back(page);
  for (int i = 0; i < 50; ++i) service.operate.push_back(NotFound("no transaction"));
  EXPECT_EQ(Exit::kSomeFailed, RunOperate(All(Verb::kRetry, Yes()), session));
  EXPECT_NE(std::string::npos, console.err.find("g19: "));
  EXPECT_EQ(std::string::npos, console.err.find("g20: "));
  EXPECT_EQ("retry: 0 done, 50 failed\n  50 failed: no transaction\n", console.out);
}

TEST_F(BatchAllTest, WithoutTheCoordinatorNothingIsTried) {
  service.list.push_back(Unavailable("cannot connect"));
  EXPECT_EQ(Exit::kCannotConnect, RunOperate(All(Verb::kRetry, Yes()), session));
  service.list.push_back(Page({"a", "b", "c"}));
  service.operate.push_back(Effect("tried"));
  service.operate.push_back(Unavailable("cannot connect"));
  EXPECT_EQ(Exit::kSomeFailed, RunOperate(All(Verb::kRetry, Yes()), session));
  EXPECT_EQ("retry: 1 done, 0 failed, 2 not tried\n", console.out);
}

// Of those it would only be told that they are in the wrong state.
TEST_F(BatchAllTest, WhatIsNoneOfItsBusinessIsLeftOut) {
  v1::ListReply page = Page({"a", "b"});
  page.mutable_transactions(1)->set_suspended(true);
  service.list.push_back(page);
  service.operate.push_back(Effect("tried"));
  EXPECT_EQ(Exit::kDone, RunOperate(All(Verb::kRetry, Yes()), session));
  EXPECT_EQ("1 more are suspended, and left out: resume has them go on\n", console.err);
  service.list.push_back(page);
  service.operate.push_back(Effect("goes on"));
  EXPECT_EQ(Exit::kDone, RunOperate(All(Verb::kResume, Yes()), session));
  EXPECT_EQ("b", std::get<v1::ResumeRequest>(service.operated[1]).action().gid());
  service.list.push_back(page);
  service.operate.push_back(Effect("held"));
  EXPECT_EQ(Exit::kDone, RunOperate(All(Verb::kSuspend, Yes()), session));
  EXPECT_EQ("a", std::get<v1::SuspendRequest>(service.operated[2]).action().gid());
  for (const auto& [verb, state] :
       {std::pair(Verb::kAbort, v1::ACTIVE), std::pair(Verb::kForget, v1::FINISHED)}) {
    service.list.push_back(Page({}));
    EXPECT_EQ(Exit::kDone, RunOperate(All(verb, Yes()), session));
    ASSERT_EQ(service.listed.back().states_size(), 1);
    EXPECT_EQ(service.listed.back().states(0), state);
  }
}

// A list of those with an outcome has them, and each of them was only told that it is over.
TEST_F(BatchAllTest, WhatIsOverIsLeftOutButByForget) {
  for (const Verb verb : {Verb::kRetry, Verb::kSuspend, Verb::kForget}) {
    OperateCommand command = All(verb, Yes());
    command.which.set_outcome(v1::COMMITTED);
    v1::ListReply page = Page({"a", "b"});
    page.mutable_transactions(1)->set_state(v1::FINISHED);
    service.list.push_back(page);
    const int wanted = verb == Verb::kForget ? 2 : 1;
    for (int i = 0; i < wanted; ++i) service.operate.push_back(Effect("done"));
    service.operated.clear();
    EXPECT_EQ(Exit::kDone, RunOperate(command, session));
    EXPECT_EQ(static_cast<std::size_t>(wanted), service.operated.size());
  }
}

TEST_F(BatchAllTest, OfSeveralCoordinatorsTheSilentOnesAreNamed) {
  v1::ListReply page = Page({"a"});
  page.add_silent()->set_node("b");
  page.set_slots_left_out(2);
  service.list.push_back(page);
  service.operate.push_back(Effect("tried"));
  EXPECT_EQ(Exit::kDone, RunOperate(All(Verb::kRetry, Yes()), session));
  EXPECT_NE(std::string::npos, console.err.find("its unfinished transactions are left out"));
  EXPECT_NE(std::string::npos, console.err.find("2 slots had no owner"));
}

// A restored log's people once aborted with all others what may have been committed.
TEST_F(BatchAllTest, WhatIsHeldIsCountedApartAndTheVerbSaysWhatItMeans) {
  const auto page = [] {
    v1::ListReply held = Page({"a", "b", "c"});
    for (const int i : {0, 2}) {
      held.mutable_transactions(i)->set_suspended(true);
      held.mutable_transactions(i)->set_held(true);
    }
    return held;
  };
  service.list.push_back(page());
  EXPECT_EQ(Exit::kDone, RunOperate(All(Verb::kAbort, {"", "", true, false}), session));
  const std::string said =
      "2 of them are held: the log may lack what became of them; abort undoes every branch, also "
      "of one that had been committed: look at the participants first (assentctl show GID)\n";
  EXPECT_NE(std::string::npos, console.err.find(said)) << console.err;

  // Before the question, behind the sample.
  console.err.clear();
  session.surroundings.in_is_terminal = true;
  console.lines = {"n"};
  service.list.push_back(page());
  EXPECT_EQ(Exit::kOther, RunOperate(All(Verb::kAbort, {"why", "", false, false}), session));
  EXPECT_NE(std::string::npos, console.err.find(said + "Go on? [y/N] ")) << console.err;

  // Nobody is asked: it is said all the same.
  console.err.clear();
  v1::ListReply one = page();
  one.mutable_transactions()->DeleteSubrange(1, 2);
  service.list.push_back(one);
  service.operate.push_back(Effect("goes on"));
  EXPECT_EQ(Exit::kDone, RunOperate(All(Verb::kResume, Yes()), session));
  EXPECT_EQ(
      "1 of them is held: the log may lack what became of it; resume goes on as if nothing had "
      "been decided, with a new deadline, and is refused where a branch is two-phase: look at the "
      "participants first (assentctl show GID)\n",
      console.err);

  console.out.clear();
  session.options.output = Output::kJson;
  service.list.push_back(page());
  EXPECT_EQ(Exit::kDone, RunOperate(All(Verb::kAbort, {"", "", true, false}), session));
  EXPECT_EQ(nlohmann::json::parse(console.out)["held"], 2);
}

}  // namespace
}  // namespace assent::ctl
