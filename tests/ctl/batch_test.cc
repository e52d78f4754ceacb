// retry, abort, suspend, resume, forget: who and why, consent, several at once.

#include <string>

#include <gtest/gtest.h>
#include <nlohmann/json.hpp>

#include "tests/ctl/fakes.h"
#include "tools/assentctl/commands.h"

namespace assent::ctl {
namespace {

class BatchTest : public CommandTest {
 protected:
  Exit Do(Verb verb, std::vector<std::string> gids, Intent intent = {}) {
    OperateCommand command;
    command.verb = verb;
    command.gids = std::move(gids);
    command.intent = std::move(intent);
    return RunOperate(command, session);
  }
  static Intent Yes() { return {"", "", false, true}; }
};

TEST_F(BatchTest, WhoAndWhyAreRecorded) {
  service.operate.push_back(Effect("tries 1 branch now"));
  EXPECT_EQ(Exit::kDone, Do(Verb::kRetry, {"a"}, {"inventory is back", "", false, false}));
  const auto& action = std::get<v1::RetryNowRequest>(service.operated[0]).action();
  EXPECT_EQ("a", action.gid());
  EXPECT_EQ("ann@desk", action.who());
  EXPECT_EQ("inventory is back", action.reason());
  EXPECT_FALSE(action.dry_run());
  EXPECT_EQ("a: tries 1 branch now\n", console.out);
}

TEST_F(BatchTest, EachVerbSendsItsOwnRequest) {
  for (int i = 0; i < 4; ++i) service.operate.push_back(Effect("done"));
  EXPECT_EQ(Exit::kDone, Do(Verb::kSuspend, {"a"}));
  EXPECT_EQ(Exit::kDone, Do(Verb::kResume, {"a"}));
  EXPECT_EQ(Exit::kDone, Do(Verb::kAbort, {"a"}, Yes()));
  EXPECT_EQ(Exit::kDone, Do(Verb::kForget, {"a"}, Yes()));
  EXPECT_TRUE(std::holds_alternative<v1::SuspendRequest>(service.operated[0]));
  EXPECT_TRUE(std::holds_alternative<v1::ResumeRequest>(service.operated[1]));
  EXPECT_TRUE(std::holds_alternative<v1::AbortRequest>(service.operated[2]));
  EXPECT_TRUE(std::holds_alternative<v1::ForgetRequest>(service.operated[3]));
}

TEST_F(BatchTest, DryRunIsSaidAndNeedsNoConsent) {
  service.operate.push_back(Effect("would abort"));
  EXPECT_EQ(Exit::kDone, Do(Verb::kAbort, {"a"}, {"", "bob", true, false}));
  const auto& action = std::get<v1::AbortRequest>(service.operated[0]).action();
  EXPECT_TRUE(action.dry_run());
  EXPECT_EQ("bob", action.who());
  EXPECT_EQ("a: (dry run) would abort\n", console.out);
}

TEST_F(BatchTest, WithoutATerminalNothingIrreversibleIsGuessed) {
  for (const Verb verb : {Verb::kAbort, Verb::kForget}) {
    EXPECT_EQ(Exit::kUsage, Do(verb, {"a"}));
    EXPECT_NE(std::string::npos, console.err.find("add --yes"));
  }
  EXPECT_TRUE(service.operated.empty());
}

TEST_F(BatchTest, AtATerminalTheEffectIsShownBeforeTheQuestion) {
  session.surroundings.in_is_terminal = true;
  console.lines = {"y"};
  service.operate.push_back(Effect("would abort a"));
  service.operate.push_back(Effect("aborted a"));
  EXPECT_EQ(Exit::kDone, Do(Verb::kAbort, {"a"}));
  EXPECT_EQ("a: would abort a\nGo on? [y/N] ", console.err);
  EXPECT_EQ("a: aborted a\n", console.out);
  EXPECT_TRUE(std::get<v1::AbortRequest>(service.operated[0]).action().dry_run());
  EXPECT_FALSE(std::get<v1::AbortRequest>(service.operated[1]).action().dry_run());
}

TEST_F(BatchTest, AnythingButYesIsNo) {
  session.surroundings.in_is_terminal = true;
  for (const char* answer : {"", "n", "yep", "N"}) {
    console.lines = {answer};
    service.operate.push_back(Effect("would abort a"));
    EXPECT_EQ(Exit::kOther, Do(Verb::kAbort, {"a"})) << answer;
  }
  service.operate.push_back(Effect("would abort a"));
  EXPECT_EQ(Exit::kOther, Do(Verb::kAbort, {"a"})) << "end of input";
  EXPECT_EQ(5U, service.operated.size());
  EXPECT_EQ("", console.out);
}

TEST_F(BatchTest, WhatCannotBeDoneIsNotAskedAbout) {
  session.surroundings.in_is_terminal = true;
  service.operate.push_back(FailedPrecondition("a is already committing"));
  EXPECT_EQ(Exit::kWrongState, Do(Verb::kAbort, {"a"}));
  EXPECT_EQ("assentctl: a is already committing\n", console.err);
}

TEST_F(BatchTest, OneFailureOfSeveralIsSevenAndTheRestIsDone) {
  service.operate.push_back(Effect("tried"));
  service.operate.push_back(NotFound("no transaction b"));
  service.operate.push_back(Effect("tried"));
  EXPECT_EQ(Exit::kSomeFailed, Do(Verb::kRetry, {"a", "b", "c"}));
  EXPECT_EQ("a: tried\nc: tried\n", console.out);
  EXPECT_EQ(0U, console.err.find("assentctl: b: no transaction b"));
}

TEST_F(BatchTest, AllOfSeveralDoneIsZero) {
  service.operate.push_back(Effect("tried"));
  service.operate.push_back(Effect("tried"));
  EXPECT_EQ(Exit::kDone, Do(Verb::kRetry, {"a", "b"}));
}

TEST_F(BatchTest, OneAloneHasItsOwnCode) {
  service.operate.push_back(NotFound("no transaction b"));
  EXPECT_EQ(Exit::kNotFound, Do(Verb::kRetry, {"b"}));
  service.operate.push_back(Status(Code::kPermissionDenied, "not you"));
  EXPECT_EQ(Exit::kNotPermitted, Do(Verb::kRetry, {"b"}));
}

TEST_F(BatchTest, NobodyThereEndsItAtOnce) {
  service.operate.push_back(Unavailable("cannot connect"));
  EXPECT_EQ(Exit::kCannotConnect, Do(Verb::kRetry, {"a", "b", "c"}));
  EXPECT_EQ(1U, service.operated.size());
}

TEST_F(BatchTest, LosingTheCoordinatorMidwaySaysWhatWasNotTried) {
  service.operate.push_back(Effect("tried"));
  service.operate.push_back(Unavailable("cannot connect"));
  EXPECT_EQ(Exit::kSomeFailed, Do(Verb::kRetry, {"a", "b", "c", "d"}));
  EXPECT_NE(std::string::npos, console.err.find("not tried: the remaining 2 transactions"));
}

TEST_F(BatchTest, GidsFromStdin) {
  console.lines = {"a", "", "b"};
  service.operate.push_back(Effect("tried"));
  service.operate.push_back(Effect("tried"));
  EXPECT_EQ(Exit::kDone, Do(Verb::kRetry, {"-"}));
  EXPECT_EQ("a: tried\nb: tried\n", console.out);
  EXPECT_EQ(Exit::kDone, Do(Verb::kRetry, {"-"}));
  EXPECT_EQ("nothing to retry\n", console.err);
}

TEST_F(BatchTest, GidsFromStdinLeaveNobodyToAsk) {
  session.surroundings.in_is_terminal = true;
  console.lines = {"a", "y"};
  EXPECT_EQ(Exit::kUsage, Do(Verb::kAbort, {"-"}));
  EXPECT_TRUE(service.operated.empty());
}

TEST_F(BatchTest, JsonIsOneDocumentWithFailuresInIt) {
  session.options.output = Output::kJson;
  service.operate.push_back(NotFound("no transaction a"));
  v1::OperatorReply reply = Effect("tried");
  *reply.mutable_transaction() = Active("b");
  service.operate.push_back(reply);
  EXPECT_EQ(Exit::kSomeFailed, Do(Verb::kRetry, {"a", "b"}));
  const auto json = nlohmann::json::parse(console.out);
  EXPECT_EQ("a", json["results"][0]["gid"]);
  EXPECT_EQ(false, json["results"][0]["ok"]);
  EXPECT_EQ("NOT_FOUND", json["results"][0]["code"]);
  EXPECT_EQ("no transaction a", json["results"][0]["error"]);
  EXPECT_TRUE(json["results"][0]["transaction"].is_null());
  EXPECT_EQ("tried", json["results"][1]["effect"]);
  EXPECT_EQ("ACTIVE", json["results"][1]["transaction"]["state"]);
}

TEST_F(BatchTest, IdPrintsThoseThatWorked) {
  session.options.output = Output::kId;
  service.operate.push_back(NotFound("no transaction a"));
  service.operate.push_back(Effect("tried"));
  EXPECT_EQ(Exit::kSomeFailed, Do(Verb::kRetry, {"a", "b"}));
  EXPECT_EQ("b\n", console.out);
}

}  // namespace
}  // namespace assent::ctl
