// Two prepared transactions that want each other's rows: the younger gives way. And nobody else
// does.

#include <gtest/gtest.h>

#include "tests/engine/shard_rig.h"

namespace assent::engine {
namespace {

using core::AttemptResult;

class GiveWayTest : public ::testing::Test {
 protected:
  // Two-phase branches b1 at s1 and b2 at s2, begun a moment after the one before.
  void Begin(const std::string& gid, core::Protocol protocol = core::Protocol::kTwoPhase) {
    rig_.Pass(core::Millis(5));
    rig_.Do(ShardRig::Begin(ShardRig::Spec(gid, protocol), WaitFor::kCompleted, told_));
    rig_.CompleteAll();
  }
  // Answers what was last sent of that branch.
  void Answer(const std::string& gid, const std::string& branch_id, AttemptResult result,
              const std::string& blocked_by = {}) {
    for (auto command = rig_.sent.rbegin(); command != rig_.sent.rend(); ++command) {
      if (command->gid != gid || command->branch_id != branch_id) continue;
      transport::Reply reply{gid, command->branch, command->operation, command->attempt, result,
                             {},  "it says so",    core::Millis(5)};
      reply.blocked_by = blocked_by;
      return rig_.Do(RepliesRequest{{reply}});
    }
    FAIL() << "nothing was sent to " << branch_id << " of " << gid;
  }
  // What was asked of other transactions reaches them.
  void Deliver() {
    while (!rig_.give_way.empty()) {
      GiveWayRequest request = std::move(rig_.give_way.front());
      rig_.give_way.pop_front();
      rig_.Do(std::move(request));
    }
    rig_.CompleteAll();
  }
  std::string Reason(const std::string& gid) {
    std::string reason = "?";
    rig_.Do(GetRequest{gid, [&](const Status&, const core::Transaction* txn, const core::Now&) {
                         if (txn != nullptr) reason = txn->abort_reason();
                       }});
    return reason;
  }
  // "old" has prepared at s1 and waits at s2 for "young", which has prepared there and waits at s1.
  void BeginBoth() {
    Begin("old");
    Begin("young");
    Answer("old", "1", AttemptResult::kDone);
    Answer("young", "2", AttemptResult::kDone);
    rig_.Pass(core::Millis(20));
  }

  ShardRig::Told told_;
  ShardRig rig_;
};

TEST_F(GiveWayTest, TheYoungerOneOfACircleIsAbortedWithASentence) {
  BeginBoth();
  EXPECT_GT(rig_.sent.back().began_at, rig_.sent.front().began_at) << "the command tells the age";
  Answer("old", "2", AttemptResult::kRetryLater, "young");
  ASSERT_EQ(rig_.give_way.size(), 1U);
  Deliver();
  EXPECT_EQ(Reason("young"),
            "aborted so that the older transaction old, which waits for its rows at s2, can go on");
  EXPECT_EQ(Reason("old"), "");
  rig_.sent.clear();
  rig_.Pass(
      core::Millis(10));  // the row is asked for again at once, not after the branch's own backoff
  EXPECT_EQ(rig_.Sent(), "2:PREPARE");
  Answer("old", "2", AttemptResult::kDone);
  rig_.CompleteAll();
  EXPECT_EQ(rig_.Sent(), "2:PREPARE 1:COMMIT 2:COMMIT");
}

TEST_F(GiveWayTest, TheOlderOneIsLeftAlone) {
  BeginBoth();
  Answer("young", "1", AttemptResult::kRetryLater, "old");
  Deliver();
  EXPECT_EQ(Reason("old"), "");
  EXPECT_EQ(Reason("young"), "");
}

TEST_F(GiveWayTest, ADecidedOneGoesOn) {
  BeginBoth();
  Answer("young", "1", AttemptResult::kDone);  // its commit is on the way to the log
  Answer("old", "2", AttemptResult::kRetryLater, "young");
  Deliver();
  EXPECT_EQ(Reason("young"), "");
}

TEST_F(GiveWayTest, NobodyIsAbortedWhoHoldsNothingAtThatService) {
  BeginBoth();
  Begin("bystander");
  Answer("bystander", "1", AttemptResult::kDone);
  rig_.Pass(core::Millis(20));
  Answer("old", "2", AttemptResult::kRetryLater, "bystander");  // prepared at s1, not at s2
  Deliver();
  EXPECT_EQ(Reason("bystander"), "");
}

TEST_F(GiveWayTest, NobodyIsAbortedOverWhatIsNotPrepared) {
  BeginBoth();
  Begin("tried", core::Protocol::kTcc);
  Answer("tried", "2", AttemptResult::kDone);
  rig_.Pass(core::Millis(20));
  Answer("old", "2", AttemptResult::kRetryLater, "tried");
  Deliver();
  EXPECT_EQ(Reason("tried"), "");
}

TEST_F(GiveWayTest, WhoHoldsNothingDoesNotMakeOthersGiveWay) {
  Begin("old");
  Begin("young");
  Answer("young", "2", AttemptResult::kDone);
  rig_.Pass(core::Millis(20));
  Answer("old", "2", AttemptResult::kRetryLater, "young");
  EXPECT_TRUE(rig_.give_way.empty()) << "it cannot be part of a circle";
}

TEST_F(GiveWayTest, AnUnknownAFinishedAndAnOwnGidAreIgnored) {
  BeginBoth();
  Answer("old", "2", AttemptResult::kRetryLater, "nobody");
  Deliver();
  rig_.Pass(core::Millis(10));
  Answer("old", "2", AttemptResult::kRetryLater, "old");
  Deliver();
  EXPECT_EQ(Reason("old"), "");
  EXPECT_EQ(Reason("young"), "");
  rig_.Pass(core::Millis(50));
  Answer("old", "2", AttemptResult::kDone, "young");  // only "retry later" says who is in the way
  EXPECT_TRUE(rig_.give_way.empty());
}

}  // namespace
}  // namespace assent::engine
