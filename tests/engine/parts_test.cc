// Parts of a shard, each alone.

#include <string>
#include <utility>
#include <vector>

#include <gtest/gtest.h>

#include "coordinator/engine/audience.h"
#include "coordinator/engine/live.h"
#include "tests/engine/shard_rig.h"

namespace assent::engine {
namespace {

static_assert(Changed(WriteState::kClean, false) == WriteState::kLazy);
static_assert(Changed(WriteState::kLazy, true) == WriteState::kUrgent);
static_assert(Changed(WriteState::kUrgent, false) == WriteState::kUrgent, "what waits, waits");
static_assert(Changed(WriteState::kWriting, false) == WriteState::kWritingLazy);
static_assert(Changed(WriteState::kWritingLazy, true) == WriteState::kWritingUrgent);
static_assert(Changed(WriteState::kEnding, true) == WriteState::kEnding, "nothing comes after it");
static_assert(Durable(WriteState::kWriting) == WriteState::kClean);
static_assert(Durable(WriteState::kWritingLazy) == WriteState::kLazy);
static_assert(Durable(WriteState::kWritingUrgent) == WriteState::kUrgent);
static_assert(IsListed(WriteState::kLazy) && IsListed(WriteState::kUrgent));
static_assert(!IsListed(WriteState::kWritingUrgent), "one write at a time is outstanding");

using Words = std::vector<std::string>;

TEST(AudienceAlone, EachIsToldWhenItIsSoAndNobodyBefore) {
  const core::Now now{};
  core::Transaction txn(ShardRig::Spec("a"));
  (void)txn.Apply(core::Begin{ShardRig::kEpochs.back()}, now);
  Audience audience;
  ShardRig::Told seen;
  ShardRig::Told answered;
  ShardRig::Told decided;
  audience.Add({.done = seen.Callback()}, txn, now);
  audience.Add(
      {.milestone = core::Milestone::kBranchAnswered, .branch = 1, .done = answered.Callback()},
      txn, now);
  audience.Add({.milestone = core::Milestone::kDecided, .done = decided.Callback()}, txn, now);
  audience.Serve(txn, now);
  EXPECT_TRUE(seen.words.empty());
  audience.Announce({core::Milestone::kAccepted});
  audience.Serve(txn, now);
  EXPECT_EQ(seen.words, Words{"OK UNDECIDED"});
  audience.Announce({core::Milestone::kBranchAnswered, 1});
  audience.Expect(core::Announce{core::Milestone::kIntervened});
  audience.Serve(txn, now);
  EXPECT_TRUE(answered.words.empty()) << "shown with what a person did and the log has not";
  audience.Announce({core::Milestone::kIntervened});
  audience.Serve(txn, now);
  EXPECT_EQ(answered.words, Words{"OK UNDECIDED"});
  EXPECT_TRUE(decided.words.empty());
  audience.Dismiss(UnknownOutcome("elsewhere"), nullptr, now);
  EXPECT_EQ(decided.words, Words{"UNKNOWN_OUTCOME"});
}

// Suspended while its last answers were on their way, it ended. In the moment until the end was
// written a resume was taken by the state machine, recorded nowhere, and answered by nobody.
TEST(Shard, AResumeBetweenTheEndAndItsRecordIsAnswered) {
  ShardRig rig;
  ShardRig::Told told;
  ShardRig::Told resumed;
  rig.Do(ShardRig::Begin(ShardRig::Spec("a"), WaitFor::kDecided, told));
  rig.Complete();
  rig.AnswerAll(core::AttemptResult::kDone);
  rig.Complete();
  rig.Do(OperatorRequest{"a",
                         OperatorVerb::kSuspend,
                         {"ann", "a look"},
                         {},
                         core::Decision::kNone,
                         false,
                         told.Callback()});
  rig.Complete();
  rig.AnswerAll(core::AttemptResult::kDone);
  rig.Pass(core::Millis(20));  // the end is with the log
  rig.Do(OperatorRequest{"a",
                         OperatorVerb::kResume,
                         {"ann", ""},
                         {},
                         core::Decision::kNone,
                         false,
                         resumed.Callback()});
  rig.CompleteAll();
  ASSERT_EQ(rig.finds.size(), 1U) << "the history has it";
  rig.Do(FoundRequest{rig.finds[0].second, ShardRig::Absent()});
  EXPECT_EQ(resumed.words, Words{"NOT_FOUND"});
}

}  // namespace
}  // namespace assent::engine
