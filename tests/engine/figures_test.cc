// What a shard counts as things happen, and how old the oldest are.

#include <numeric>

#include <gtest/gtest.h>

#include "tests/engine/shard_rig.h"

namespace assent::engine {
namespace {

constexpr std::uint64_t kStartS = 1'700'000'000;

std::uint64_t Oldest(const ShardRig& rig, Aged aged) {
  const std::uint64_t began = rig.shard.Stats().oldest_unix_s[static_cast<std::size_t>(aged)];
  return began == 0 ? 0 : began - kStartS + 1;  // from 1 on
}

std::uint64_t Finished(const ShardRig& rig, core::Protocol protocol, core::Outcome outcome) {
  return rig.shard.Stats()
      .finished[static_cast<std::size_t>(protocol)][static_cast<std::size_t>(outcome)];
}

void Settle(ShardRig& rig, core::AttemptResult result) {
  rig.CompleteAll();
  rig.AnswerAll(result);
  rig.CompleteAll();
}

TEST(Figures, TheOldestOfEachStateIsKnown) {
  ShardRig rig;
  ShardRig::Told told;
  EXPECT_EQ(Oldest(rig, Aged::kActive), 0U);
  for (const char* gid : {"a", "b", "c"}) {
    core::TransactionSpec spec = ShardRig::Spec(gid);
    spec.deadline = core::Millis(3600'000);
    rig.Do(ShardRig::Begin(spec, WaitFor::kAccepted, told));
    rig.Pass(core::Millis(2000));
  }
  rig.CompleteAll();
  EXPECT_EQ(Oldest(rig, Aged::kActive), 1U);
  EXPECT_EQ(Oldest(rig, Aged::kAborting), 0U);

  // The one in the middle aborts: it is the oldest of those, and the first is still that of these.
  rig.Do(OperatorRequest{"b", OperatorVerb::kAbort, {}, {}, {}, false, told.Callback()});
  EXPECT_EQ(Oldest(rig, Aged::kAborting), 0U) << "a decision that is not durable";
  rig.CompleteAll();
  EXPECT_EQ(Oldest(rig, Aged::kAborting), 3U);
  EXPECT_EQ(Oldest(rig, Aged::kActive), 1U);
  rig.Do(OperatorRequest{"a", OperatorVerb::kAbort, {}, {}, {}, false, told.Callback()});
  rig.CompleteAll();
  EXPECT_EQ(Oldest(rig, Aged::kAborting), 1U);
  EXPECT_EQ(Oldest(rig, Aged::kActive), 5U);
  while (rig.shard.live_count() > 1) Settle(rig, core::AttemptResult::kDone);
  EXPECT_EQ(Oldest(rig, Aged::kAborting), 0U);
}

TEST(Figures, WhoNeedsAPersonHasAnAgeUntilHeDoesNot) {
  ShardRig rig;
  ShardRig::Told told;
  rig.Pass(core::Millis(1000));
  rig.Do(ShardRig::Begin(ShardRig::Spec("a"), WaitFor::kAccepted, told));
  Settle(rig, core::AttemptResult::kDone);
  rig.AnswerAll(core::AttemptResult::kUnknown, "no answer");
  for (int i = 0; i < 100 && rig.shard.Stats().needs_operator == 0; ++i) {
    rig.Pass(core::Millis(3600'000));
    rig.AnswerAll(core::AttemptResult::kUnknown, "no answer");
    rig.CompleteAll();
  }
  ASSERT_EQ(rig.shard.Stats().needs_operator, 1U);
  EXPECT_EQ(Oldest(rig, Aged::kNeedsOperator), 2U);
  EXPECT_EQ(Oldest(rig, Aged::kCommitting), 2U);
  while (rig.shard.live_count() > 0) {
    rig.Pass(core::Millis(3600'000));
    Settle(rig, core::AttemptResult::kDone);
  }
  EXPECT_EQ(Oldest(rig, Aged::kNeedsOperator), 0U);
  EXPECT_EQ(Oldest(rig, Aged::kCommitting), 0U);
}

TEST(Figures, EndsAreCountedByProtocolAndOutcomeAndTimed) {
  ShardRig rig;
  ShardRig::Told told;
  rig.Do(ShardRig::Begin(ShardRig::Spec("a"), WaitFor::kCompleted, told));
  rig.CompleteAll();
  rig.Pass(core::Millis(3));
  Settle(rig, core::AttemptResult::kDone);
  EXPECT_EQ(rig.shard.Stats().decided_after.sum, 3000U);
  EXPECT_EQ(rig.shard.Stats().finished_after.sum, 0U) << "not yet";
  rig.Pass(core::Millis(4));
  rig.AnswerAll(core::AttemptResult::kDone);
  while (rig.shard.live_count() > 0) {
    rig.Pass(core::Millis(20));
    rig.CompleteAll();
  }
  EXPECT_EQ(Finished(rig, core::Protocol::kTcc, core::Outcome::kCommitted), 1U);
  const ShardStats stats = rig.shard.Stats();
  EXPECT_GE(stats.finished_after.sum, 7000U);
  EXPECT_EQ(stats.decided_after.counts[5], 1U) << "above 2.5 ms, at most 5";

  core::TransactionSpec both = ShardRig::Spec("b");
  both.branches[1].protocol = core::Protocol::kSaga;
  rig.Do(ShardRig::Begin(both, WaitFor::kCompleted, told));
  rig.CompleteAll();
  rig.AnswerAll(core::AttemptResult::kRefused, "no");
  while (rig.shard.live_count() > 0) {
    rig.Pass(core::Millis(20));
    Settle(rig, core::AttemptResult::kDone);
  }
  EXPECT_EQ(rig.shard.Stats().finished[0][static_cast<std::size_t>(core::Outcome::kAborted)], 1U);
  const auto decided = rig.shard.Stats().decided_after.counts;
  EXPECT_EQ(std::accumulate(decided.begin(), decided.end(), std::uint64_t{0}), 2U);
}

TEST(Figures, WhatFindsNoRoomIsCounted) {
  ShardOptions options;
  options.max_live_count = 1;
  ShardRig rig(options);
  ShardRig::Told told;
  rig.Do(ShardRig::Begin(ShardRig::Spec("a"), WaitFor::kAccepted, told));
  rig.Do(ShardRig::Begin(ShardRig::Spec("b"), WaitFor::kAccepted, told));
  EXPECT_EQ(rig.shard.Stats().refused, 1U);
  rig.Complete(ResourceExhausted("disk full"));
  EXPECT_EQ(rig.shard.Stats().refused, 2U);
  EXPECT_EQ(rig.shard.Stats().begun, 0U);
}

TEST(Figures, ATimerThatIsLateIsTimed) {
  ShardRig rig;
  ShardRig::Told told;
  core::TransactionSpec spec = ShardRig::Spec("a");
  spec.deadline = core::Millis(1000);
  rig.Do(ShardRig::Begin(spec, WaitFor::kAccepted, told));
  rig.CompleteAll();
  rig.Pass(core::Millis(1250));
  const ShardStats stats = rig.shard.Stats();
  EXPECT_EQ(stats.timers_late.sum, 250'000U);
}

TEST(Figures, OfSeveralShardsTheOldestIsTheOldest) {
  Figures<std::uint64_t> sum;
  for (const std::uint64_t began : {std::uint64_t{0}, std::uint64_t{9}, std::uint64_t{4}}) {
    Figures<Figure> one;
    one.oldest_unix_s[0] = began;
    one.decided_after.Observe(core::Millis(1));
    one.AddTo(sum);
  }
  EXPECT_EQ(sum.oldest_unix_s[0], 4U);
  EXPECT_EQ(sum.oldest_unix_s[1], 0U);
  EXPECT_EQ(sum.decided_after.sum, 3000U);
}

}  // namespace
}  // namespace assent::engine
