// wait, watch and show --watch: through outages, to the right exit code.

#include "tools/assentctl/follow.h"

#include <algorithm>
#include <string>

#include <gtest/gtest.h>

#include "tests/ctl/fakes.h"
#include "tools/assentctl/commands.h"

namespace assent::ctl {
namespace {

using std::chrono::milliseconds;
using std::chrono::seconds;

class WaitTest : public CommandTest {
 protected:
  WaitTest() { session.options.output = Output::kId; }

  static v1::Transaction Stuck(const std::string& gid) {
    v1::Transaction transaction =
        Transaction(gid, v1::COMMITTING, v1::DECISION_COMMIT, v1::COMMITTED);
    transaction.set_needs_operator(true);
    return transaction;
  }
  Exit Wait(v1::WaitFor wait_for = v1::WAIT_COMPLETED, bool patient = false) {
    return RunWait({"g", wait_for, patient}, session);
  }
};

TEST_F(WaitTest, CommittedIsZero) {
  service.watch.push_back(
      {{Active("g"), Transaction("g", v1::COMMITTING, v1::DECISION_COMMIT), Committed("g")}, {}});
  EXPECT_EQ(Exit::kDone, Wait());
  EXPECT_EQ("g\n", console.out);
  EXPECT_EQ("waiting: branch 1 is on its way\n", console.err);
}

TEST_F(WaitTest, AbortedIsTen) {
  service.watch.push_back({{Aborted("g")}, {}});
  EXPECT_EQ(Exit::kAborted, Wait());
}

TEST_F(WaitTest, MixedAndHazardNeedAHuman) {
  service.watch.push_back({{Transaction("g", v1::FINISHED, v1::DECISION_COMMIT, v1::MIXED)}, {}});
  EXPECT_EQ(Exit::kNeedsHuman, Wait());
  service.watch.push_back({{Transaction("g", v1::FINISHED, v1::DECISION_ABORT, v1::HAZARD)}, {}});
  EXPECT_EQ(Exit::kNeedsHuman, Wait());
}

TEST_F(WaitTest, DecidedIsEnoughWhenAskedFor) {
  service.watch.push_back(
      {{Active("g"), Transaction("g", v1::COMMITTING, v1::DECISION_COMMIT, v1::COMMITTED)}, {}});
  EXPECT_EQ(Exit::kDone, Wait(v1::WAIT_DECIDED));
  service.watch.push_back({{Transaction("g", v1::ABORTING, v1::DECISION_ABORT, v1::ABORTED)}, {}});
  EXPECT_EQ(Exit::kAborted, Wait(v1::WAIT_DECIDED));
}

TEST_F(WaitTest, TroubleEndsTheWaitUnlessPatient) {
  service.watch.push_back({{Active("g"), Stuck("g")}, {}});
  EXPECT_EQ(Exit::kNeedsHuman, Wait());
  EXPECT_NE(std::string::npos,
            console.err.find("g needs a human (assentctl show g; --patient waits on)"));
  service.watch.push_back({{Stuck("g"), Committed("g")}, {}});
  EXPECT_EQ(Exit::kDone, Wait(v1::WAIT_COMPLETED, true));
}

// Its page promises 12 for what cannot end without a human; whoever waited was told 11.
TEST_F(WaitTest, WhatIsSuspendedCannotEndWithoutAHuman) {
  v1::Transaction suspended = Active("g");
  suspended.set_suspended(true);
  service.watch.push_back({{Active("g"), suspended}, {}});
  EXPECT_EQ(Exit::kNeedsHuman, Wait());
  EXPECT_NE(std::string::npos,
            console.err.find("g is suspended by a human (assentctl show g; --patient waits on)"));
  session.options.wait_timeout = seconds(3);
  service.watch.push_back({{suspended}, Status(Code::kDeadlineExceeded, "late")});
  EXPECT_EQ(Exit::kNeedsHuman, Wait(v1::WAIT_COMPLETED, true));
}

TEST_F(WaitTest, TheDecisionCountsEvenWhenItsExecutionIsStuck) {
  service.watch.push_back({{Stuck("g")}, {}});
  EXPECT_EQ(Exit::kDone, Wait(v1::WAIT_DECIDED));
}

TEST_F(WaitTest, TimeoutIsEleven) {
  session.options.wait_timeout = seconds(3);
  service.watch.push_back({{Active("g")}, Status(Code::kDeadlineExceeded, "late")});
  EXPECT_EQ(Exit::kStillRunning, Wait());
  EXPECT_EQ("g\n", console.out);
  EXPECT_NE(std::string::npos, console.err.find("still running"));
  EXPECT_EQ(milliseconds(3000), service.watched[0].second);
}

TEST_F(WaitTest, WithoutTimeoutItWaitsForEver) {
  service.watch.push_back({{Committed("g")}, {}});
  EXPECT_EQ(Exit::kDone, Wait());
  EXPECT_FALSE(service.watched[0].second.has_value());
}

TEST_F(WaitTest, NobodyThereAtFirstIsThree) {
  service.watch.push_back({{}, Unavailable("cannot connect to x")});
  EXPECT_EQ(Exit::kCannotConnect, Wait());
  EXPECT_EQ("assentctl: cannot connect to x\n", console.err);
}

TEST_F(WaitTest, UnknownGidIsFour) {
  service.watch.push_back({{}, NotFound("no transaction g")});
  EXPECT_EQ(Exit::kNotFound, Wait());
  EXPECT_NE(std::string::npos, console.err.find("assentctl list --all"));
}

// A coordinator that is killed between decision and end comes back and finishes; whoever waits sees
// the end.
TEST_F(WaitTest, RidesOverACoordinatorsDeath) {
  session.options.wait_timeout = seconds(10);
  service.watch.push_back({{Active("g")}, Unavailable("the connection was lost")});
  service.watch.push_back({{}, Unavailable("connection refused")});
  service.watch.push_back({{}, Unavailable("connection refused")});
  service.watch.push_back({{Committed("g")}, {}});
  EXPECT_EQ(Exit::kDone, Wait());
  EXPECT_EQ(
      "waiting: branch 1 is on its way\nassentctl: the connection was lost; trying "
      "again\nassentctl: it answers again\n",
      console.err);
  // What is left of --timeout after three pauses.
  EXPECT_EQ(seconds(10) - 3 * kReconnectPause, service.watched[3].second);
}

TEST_F(WaitTest, AStreamThatEndsTooEarlyIsAnOutage) {
  service.watch.push_back({{Active("g")}, OkStatus()});
  service.watch.push_back({{Committed("g")}, {}});
  EXPECT_EQ(Exit::kDone, Wait());
}

// A coordinator that hangs had made "is still running" of a transaction that had long finished.
TEST_F(WaitTest, WhatWasNotSeenWithinTheTimeoutIsNotSaidToRun) {
  session.options.wait_timeout = seconds(3);
  service.watch.push_back({{}, Status(Code::kDeadlineExceeded, "late")});
  EXPECT_EQ(Exit::kOther, Wait());
  EXPECT_EQ("", console.out);
  EXPECT_EQ("assentctl: nothing was heard of it within --timeout (3 s)\n", console.err);
  session.options.wait_timeout = milliseconds(0);
  EXPECT_EQ(Exit::kOther, Wait());
}

TEST_F(WaitTest, GivesUpAfterALongOutage) {
  service.watch.push_back({{Active("g")}, Unavailable("lost")});
  const auto tries = static_cast<int>(kLongestOutage / kReconnectPause);
  for (int i = 0; i < tries; ++i) service.watch.push_back({{}, Unavailable("refused")});
  EXPECT_EQ(Exit::kCannotConnect, Wait());
}

TEST_F(WaitTest, TimeoutDuringAnOutageIsEleven) {
  session.options.wait_timeout = kReconnectPause;
  service.watch.push_back({{Active("g")}, Unavailable("lost")});
  EXPECT_EQ(Exit::kStillRunning, Wait());
}

TEST_F(CommandTest, WatchTellsChangesUntilTheEnd) {
  service.watch.push_back({{Active("g"), Aborted("g")}, {}});
  EXPECT_EQ(Exit::kDone, RunWatch({"g"}, session));
  EXPECT_EQ(
      "+10.000 s  g ACTIVE, -, 0/0 branches through: branch 1 is on its way\n"
      "+0.020 s  decision ABORT durable: branch 2 inventory/reserve refused: out of stock\n"
      "+0.038 s  finished ABORTED\n",
      console.out);
}

TEST_F(CommandTest, WatchInJsonIsOneLinePerSighting) {
  session.options.output = Output::kJson;
  service.watch.push_back({{Active("g"), Committed("g")}, {}});
  EXPECT_EQ(Exit::kDone, RunWatch({"g"}, session));
  EXPECT_EQ(2, std::count(console.out.begin(), console.out.end(), '\n'));
}

TEST_F(CommandTest, WatchEndsWithElevenAtItsTimeout) {
  session.options.wait_timeout = seconds(1);
  service.watch.push_back({{Active("g")}, Status(Code::kDeadlineExceeded, "late")});
  EXPECT_EQ(Exit::kStillRunning, RunWatch({"g"}, session));
}

TEST_F(CommandTest, ShowWatchRedrawsOnATerminalOnly) {
  service.watch.push_back({{Active("g"), Committed("g")}, {}});
  EXPECT_EQ(Exit::kDone, RunShow({"g", true, false, {}}, session));
  EXPECT_EQ(std::string::npos, console.out.find('\x1b'));
  session.surroundings.out_is_terminal = true;
  session.options.no_color = true;
  console.out.clear();
  service.watch.push_back({{Active("g"), Committed("g")}, {}});
  EXPECT_EQ(Exit::kDone, RunShow({"g", true, false, {}}, session));
  EXPECT_EQ(0U, console.out.find("\x1b[H\x1b[2J"));
}

}  // namespace
}  // namespace assent::ctl
