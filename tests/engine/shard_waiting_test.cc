// A participant that is away, and a hundred thousand who wait for it: what waits costs nothing, and
// who is well notices nothing. Sizes here are small, and what is counted is writes, sends and steps
// of a turn, not time.

#include <algorithm>
#include <map>
#include <string>
#include <utility>

#include <gtest/gtest.h>

#include "tests/engine/shard_rig.h"

namespace assent::engine {
namespace {

using core::AttemptResult;

core::TransactionSpec Patient(const std::string& gid,
                              core::Millis deadline = core::Millis(3600'000)) {
  core::TransactionSpec spec = ShardRig::Spec(gid, core::Protocol::kTcc, 1);
  spec.deadline = deadline;
  return spec;
}

void BeginMany(ShardRig& rig, int count, ShardRig::Told& told,
               core::Millis deadline = core::Millis(3600'000)) {
  for (int i = 0; i < count; ++i)
    rig.Do(ShardRig::Begin(Patient("g" + std::to_string(i), deadline), WaitFor::kAccepted, told));
  rig.CompleteAll();
}

// Once it was a record for each try of each of them: a million in 35 seconds, for nothing but "not
// sent".
TEST(Waiting, WhatCannotBeSentIsNotTriedAndNotWrittenAgainAndAgain) {
  ShardRig rig;
  ShardRig::Told told;
  BeginMany(rig, 2000, told);
  rig.NobodyThere();
  const std::size_t written = rig.written.size();
  rig.Pass(core::Millis(600'000));
  EXPECT_TRUE(rig.appends.empty());
  EXPECT_EQ(rig.written.size(), written);
  EXPECT_EQ(rig.Sent(), "");
  EXPECT_EQ(rig.waiting["s1"], 2000);
  EXPECT_GT(rig.shard.Wakeup(), rig.mono + core::Millis(2'000'000)) << "something ticks";
}

// A full queue is worth another try: with its backoff, and without a record.
TEST(Waiting, WhatHadNoRoomIsTriedAgainAndNotWritten) {
  ShardRig rig;
  ShardRig::Told told;
  BeginMany(rig, 3, told);
  for (int i = 0; i < 5; ++i) {
    EXPECT_EQ(rig.sent.size(), 3U);
    rig.AnswerAll(AttemptResult::kNotSent, "participant s1 is overloaded");
    rig.Pass(core::Millis(30'000));
  }
  EXPECT_TRUE(rig.appends.empty());
  EXPECT_EQ(rig.waiting["s1"], 0) << "it is there";
}

// The transport looks, finds nobody, and somebody comes before it has told of it.
TEST(Waiting, WhoeverComesWhileTheAnswerIsOnItsWayIsNotMissed) {
  ShardRig rig;
  ShardRig::Told told;
  BeginMany(rig, 1, told);
  rig.Pass(core::Millis(1));
  rig.Do(ServiceAppearedRequest{"s1"});
  rig.NobodyThere();
  EXPECT_EQ(rig.waiting["s1"], 0);
  rig.Pass(core::Millis(200));
  EXPECT_EQ(rig.Sent(), "1:TRY") << "it would have waited for ever";
  rig.NobodyThere();
  EXPECT_EQ(rig.waiting["s1"], 1);
}

TEST(Waiting, IsCountedByServiceAndEndsWithWhateverEndsIt) {
  ShardRig rig;
  ShardRig::Told told;
  core::TransactionSpec spec = ShardRig::Spec("two", core::Protocol::kTcc, 2);
  spec.deadline = core::Millis(3600'000);
  rig.Do(ShardRig::Begin(spec, WaitFor::kAccepted, told));
  BeginMany(rig, 4, told);
  rig.NobodyThere();
  EXPECT_EQ(rig.waiting["s1"], 5);
  EXPECT_EQ(rig.waiting["s2"], 1);
  rig.Do(OperatorRequest{"two", OperatorVerb::kAbort, {}, {}, {}, false, told.Callback()});
  rig.CompleteAll();
  rig.NobodyThere();  // nothing ever reached them
  EXPECT_EQ(rig.waiting["s1"], 4);
  EXPECT_EQ(rig.waiting["s2"], 0);
  rig.Do(ServiceAppearedRequest{"s1"});
  EXPECT_EQ(rig.sent.size(), 4U);
  EXPECT_EQ(rig.waiting["s1"], 0);
  rig.Pass(core::Millis(1));
  rig.AnswerAll(AttemptResult::kDone);
  rig.CompleteAll();
  rig.NobodyThere();  // gone again: they are committed, and somebody will have to carry it out
  EXPECT_EQ(rig.waiting["s1"], 4);
  rig.Do(OperatorRequest{
      "g0", OperatorVerb::kResolve, {}, "1", core::Decision::kCommit, false, told.Callback()});
  EXPECT_EQ(rig.waiting["s1"], 3);
  rig.CompleteAll();
  EXPECT_EQ(rig.shard.Stats().needs_operator, 0U);
  rig.Pass(core::Millis(3600'000));
  EXPECT_EQ(rig.shard.Stats().needs_operator, 3U) << "nobody was called";
  EXPECT_TRUE(rig.appends.empty());
}

// A participant that comes back after a night is not buried under all of them at once, and the
// answers of others do not queue up behind theirs; one that hangs does not hold up those after it
// for long.
TEST(Waiting, ThoseWhoseServiceIsBackGoOnWaveByWave) {
  ShardOptions options;
  options.slice_count = 8;
  options.wave_count = 20;
  ShardRig rig(options);
  ShardRig::Told told;
  BeginMany(rig, 100, told);
  rig.NobodyThere();
  rig.Do(ServiceAppearedRequest{"s1"});
  EXPECT_EQ(rig.sent.size(), 8U);
  EXPECT_EQ(rig.shard.Wakeup(), rig.mono);
  for (int turn = 0; turn < 5; ++turn) rig.Pass(core::Millis(0));
  EXPECT_EQ(rig.sent.size(), 20U);
  EXPECT_EQ(rig.shard.Wakeup(), rig.mono + options.wave_time) << "it spins, or sleeps";
  const std::vector<transport::Command> first(rig.sent.begin(), rig.sent.begin() + 5);
  std::vector<transport::Reply> replies;
  for (const transport::Command& c : first) {
    replies.push_back(
        {c.gid, c.branch, c.operation, c.attempt, AttemptResult::kDone, {}, {}, core::Millis(0)});
  }
  rig.Do(RepliesRequest{std::move(replies)});
  EXPECT_EQ(rig.sent.size(), 25U) << "as many as were answered";
  rig.Pass(options.wave_time);
  for (int turn = 0; turn < 5; ++turn) rig.Pass(core::Millis(0));
  EXPECT_EQ(rig.sent.size(), 45U) << "those who are not answered hold up the others";
  std::map<std::string, int> times;
  for (int round = 0; round < 20; ++round) {
    for (const transport::Command& command : rig.sent) ++times[command.gid];
    rig.AnswerAll(AttemptResult::kRetryLater, "not yet");
    for (int turn = 0; turn < 5; ++turn) rig.Pass(core::Millis(0));
  }
  EXPECT_EQ(times.size(), 100U);
  for (const auto& [gid, n] : times) EXPECT_EQ(n, 1) << gid;
  EXPECT_EQ(rig.waiting["s1"], 0);
}

// The deadlines of all of them are the same moment, and somebody else comes in it.
TEST(Waiting, DeadlinesThatPassTogetherArePassedSliceBySlice) {
  ShardOptions options;
  options.slice_count = 8;
  ShardRig rig(options);
  ShardRig::Told told;
  ShardRig::Told well;
  BeginMany(rig, 100, told, core::Millis(10'000));
  rig.NobodyThere();
  rig.Pass(core::Millis(11'000));
  ASSERT_EQ(rig.appends.size(), 1U);
  EXPECT_LE(rig.appends[0].entries.size(), 9U) << "all in one write";
  EXPECT_LE(rig.shard.Wakeup(), rig.mono);
  rig.Do(ShardRig::Begin(ShardRig::Spec("well"), WaitFor::kDecided, well));
  ASSERT_EQ(rig.appends.size(), 2U);
  rig.Complete();
  rig.Complete();
  const auto is_well = [](const transport::Command& c) { return c.gid == "well"; };
  EXPECT_EQ(std::count_if(rig.sent.begin(), rig.sent.end(), is_well), 2)
      << "it has to wait for them";
  for (int turn = 0; turn < 200; ++turn) {
    rig.CompleteAll();
    rig.NobodyThere();
    rig.Pass(core::Millis(0));
  }
  rig.Pass(core::Millis(100));
  rig.CompleteAll();
  EXPECT_EQ(rig.shard.Stats().aborted, 100U);
}

// ... but a log that is slow does not stop time.
TEST(Waiting, WhileTheLogIsBehindDeadlinesStillPass) {
  ShardOptions options;
  options.slice_count = 32;
  ShardRig rig(options);
  ShardRig::Told told;
  BeginMany(rig, 400, told, core::Millis(10'000));
  rig.NobodyThere();
  rig.Pass(core::Millis(11'000));
  for (int turn = 0; turn < 10; ++turn) rig.Pass(core::Millis(0));
  std::size_t entries = 0;
  for (const auto& append : rig.appends) entries += append.entries.size();
  EXPECT_LT(entries, 200U) << "everything queues up behind a log that is behind";
  EXPECT_GT(entries, 4U * 33U) << "time stands still";
}

// Once it was counted: `participants` and `top` showed people a backlog that nobody's return would
// have lowered.
TEST(Waiting, WhatIsSuspendedWaitsForAPersonAndForNoService) {
  ShardRig rig;
  ShardRig::Told told;
  BeginMany(rig, 2, told);
  rig.NobodyThere();
  ASSERT_EQ(rig.waiting["s1"], 2);
  rig.Do(OperatorRequest{.gid = "g0",
                         .verb = OperatorVerb::kSuspend,
                         .actor = {.who = "ann", .reason = "looks"},
                         .branch_id = "",
                         .done = told.Callback()});
  rig.CompleteAll();
  EXPECT_EQ(rig.waiting["s1"], 1);
  rig.Do(OperatorRequest{.gid = "g0",
                         .verb = OperatorVerb::kResume,
                         .actor = {.who = "ann", .reason = "has looked"},
                         .branch_id = "",
                         .done = told.Callback()});
  rig.CompleteAll();
  EXPECT_EQ(rig.waiting["s1"], 2);
  rig.Do(ServiceAppearedRequest{"s1"});
  EXPECT_EQ(rig.sent.size(), 2U) << "it is still told of the service's return";
  EXPECT_EQ(rig.waiting["s1"], 0);
}

}  // namespace
}  // namespace assent::engine
