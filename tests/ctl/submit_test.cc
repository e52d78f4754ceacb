#include <string>

#include <gtest/gtest.h>

#include "tests/ctl/fakes.h"
#include "tools/assentctl/commands.h"
#include "tools/assentctl/follow.h"

namespace assent::ctl {
namespace {

class SubmitTest : public CommandTest {
 protected:
  SubmitTest() {
    session.options.output = Output::kId;
    console.files["-"] = R"({"branches":[{"protocol":"saga","service":"s","action":"a"}]})";
    console.files["gid.json"] =
        R"({"gid":"mine","branches":[{"protocol":"saga","service":"s","action":"a"}]})";
  }
  static v1::SubmitReply Accepted(const std::string& gid) {
    v1::SubmitReply reply;
    reply.set_gid(gid);
    reply.set_state(v1::ACTIVE);
    return reply;
  }
  Exit Submit(const std::string& path, v1::WaitFor wait_for = v1::WAIT_COMPLETED) {
    return RunSubmit({path, "", {"", wait_for, false}, false}, session);
  }
};

TEST_F(SubmitTest, SaysTheGidAtOnceThenWaits) {
  service.submit.push_back(Accepted("issued-1"));
  service.watch.push_back({{Active("issued-1"), Committed("issued-1")}, {}});
  EXPECT_EQ(Exit::kDone, Submit("-"));
  EXPECT_EQ("issued-1\n", console.out);
  EXPECT_EQ("submitted issued-1\nwaiting: branch 1 is on its way\n", console.err);
  EXPECT_EQ(v1::WAIT_ACCEPTED, service.submitted[0].wait_for());
  EXPECT_EQ("issued-1", service.watched[0].first);
}

// Whoever may ask once a second was told of what had committed that nothing was begun.
TEST_F(SubmitTest, AWatchBeyondALimitIsAskedForAgain) {
  service.submit.push_back(Accepted("g"));
  service.watch.push_back({{}, Status(Code::kResourceExhausted, "too many")});
  service.watch.push_back({{Committed("g")}, {}});
  EXPECT_EQ(Exit::kDone, Submit("-"));
  EXPECT_EQ("g\n", console.out);
  EXPECT_EQ("submitted g\nassentctl: too many; trying again\nassentctl: it answers again\n",
            console.err);
}

TEST_F(SubmitTest, ExitCodesAreThoseOfWait) {
  service.submit.push_back(Accepted("g"));
  service.watch.push_back({{Aborted("g")}, {}});
  EXPECT_EQ(Exit::kAborted, Submit("-"));
  session.options.wait_timeout = std::chrono::seconds(1);
  service.submit.push_back(Accepted("g"));
  service.watch.push_back({{Active("g")}, Status(Code::kDeadlineExceeded, "late")});
  EXPECT_EQ(Exit::kStillRunning, Submit("-"));
}

TEST_F(SubmitTest, AcceptedIsEnoughWhenAskedFor) {
  service.submit.push_back(Accepted("g"));
  EXPECT_EQ(Exit::kDone, Submit("-", v1::WAIT_ACCEPTED));
  EXPECT_EQ("g\n", console.out);
}

TEST_F(SubmitTest, TheEnvironmentsTraceGoesAlong) {
  const std::string trace = "00-4bf92f3577b34da6a3ce929d0e0e4736-00f067aa0ba902b7-01";
  for (const std::string& said : {trace, std::string("of no form")}) {
    service.submit.push_back(Accepted("g"));
    EXPECT_EQ(Exit::kDone,
              RunSubmit({"-", "", {"", v1::WAIT_ACCEPTED, false}, false, said}, session));
  }
  EXPECT_EQ(trace, service.submitted[0].transaction().traceparent());
  EXPECT_EQ("", service.submitted[1].transaction().traceparent());
}

TEST_F(SubmitTest, AMistakeInTheFileIsUsageAndNothingIsSent) {
  console.files["bad.json"] = R"({"branches":[{"protocol":"saga"}]})";
  EXPECT_EQ(Exit::kUsage, Submit("bad.json"));
  EXPECT_EQ("assentctl: bad.json: branches[0].service is missing\n", console.err);
  EXPECT_EQ(Exit::kUsage, Submit("not-there.json"));
  EXPECT_TRUE(service.submitted.empty());
}

TEST_F(SubmitTest, DryRunSendsNothing) {
  session.options.output = Output::kTable;
  EXPECT_EQ(Exit::kDone, RunSubmit({"gid.json", "", {}, true}, session));
  EXPECT_EQ(1U, console.out.find("\n  \"gid\": \"mine\""));
}

TEST_F(SubmitTest, OtherContentUnderTheSameGidIsWrongState) {
  service.submit.push_back(AlreadyExists("gid mine is taken by other content"));
  EXPECT_EQ(Exit::kWrongState, Submit("gid.json"));
}

TEST_F(SubmitTest, ALostAnswerIsAskedForAgainWhenTheGidMakesItSafe) {
  service.submit.push_back(UnknownOutcome("the connection was lost"));
  service.submit.push_back(Unavailable("cannot connect"));
  service.submit.push_back(Accepted("mine"));
  service.watch.push_back({{Committed("mine")}, {}});
  EXPECT_EQ(Exit::kDone, Submit("gid.json"));
  EXPECT_EQ(3U, service.submitted.size());
  EXPECT_EQ(service.submitted[0].SerializeAsString(), service.submitted[2].SerializeAsString());
}

// A first attempt whose answer was lost may have begun it: that a later one could not be sent does
// not take that back.
TEST_F(SubmitTest, ALostAnswerStaysUnknownWhateverComesAfter) {
  service.submit.push_back(UnknownOutcome("lost"));
  const auto tries = static_cast<int>(kLongestOutage / kReconnectPause);
  for (int i = 0; i < tries; ++i) service.submit.push_back(Unavailable("cannot connect"));
  EXPECT_EQ(Exit::kOther, Submit("gid.json"));
  EXPECT_NE(std::string::npos, console.err.find("whether mine was begun is not known"))
      << console.err;
}

TEST_F(SubmitTest, WithoutAGidALostAnswerIsAdmitted) {
  service.submit.push_back(UnknownOutcome("the connection was lost"));
  EXPECT_EQ(Exit::kOther, Submit("-"));
  EXPECT_NE(std::string::npos, console.err.find("whether the transaction was begun is not known"));
  EXPECT_EQ(1U, service.submitted.size());
}

TEST_F(SubmitTest, NobodyThereAtFirstIsThreeAtOnce) {
  service.submit.push_back(Unavailable("cannot connect"));
  EXPECT_EQ(Exit::kCannotConnect, Submit("gid.json"));
  EXPECT_EQ(1U, service.submitted.size());
}

TEST_F(SubmitTest, GivesUpAskingAfterALongOutage) {
  const auto tries = static_cast<int>(kLongestOutage / kReconnectPause);
  for (int i = 0; i <= tries; ++i) service.submit.push_back(UnknownOutcome("lost"));
  EXPECT_EQ(Exit::kOther, Submit("gid.json"));
}

TEST_F(SubmitTest, TimeoutEndsTheAskingAsWell) {
  session.options.wait_timeout = 3 * kReconnectPause;
  for (int i = 0; i <= 3; ++i) service.submit.push_back(UnknownOutcome("lost"));
  EXPECT_EQ(Exit::kOther, Submit("gid.json"));
  EXPECT_EQ(4U, service.submitted.size());
}

}  // namespace
}  // namespace assent::ctl
