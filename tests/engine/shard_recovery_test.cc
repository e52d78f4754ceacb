// What goes on after a restart, and when a participant is back.

#include <algorithm>
#include <string>
#include <utility>

#include <gtest/gtest.h>

#include "tests/engine/shard_rig.h"

namespace assent::engine {
namespace {

using core::AttemptResult;

TEST(Shard, AServiceThatAppearsIsTriedAtOnce) {
  ShardRig rig;
  ShardRig::Told told;
  rig.Do(ShardRig::Begin(ShardRig::Spec("a", core::Protocol::kTcc, 1), WaitFor::kAccepted, told));
  rig.Complete();
  rig.AnswerAll(AttemptResult::kNotSent, "no participant s1 is connected");
  EXPECT_EQ(rig.Sent(), "");
  rig.Do(ServiceAppearedRequest{"s2"});
  EXPECT_EQ(rig.Sent(), "");
  rig.Do(ServiceAppearedRequest{"s1"});
  EXPECT_EQ(rig.Sent(), "1:TRY");
}

TEST(Shard, AServiceThatAppearsIsTriedSliceBySliceAndByEachOnce) {
  ShardOptions options;
  options.slice_count = 2;
  ShardRig rig(options);
  ShardRig::Told told;
  for (const char* gid : {"a", "b", "c"})
    rig.Do(ShardRig::Begin(ShardRig::Spec(gid, core::Protocol::kTcc, 1), WaitFor::kAccepted, told));
  rig.CompleteAll();
  rig.AnswerAll(AttemptResult::kNotSent, "no participant s1 is connected");
  rig.Do(ServiceAppearedRequest{"s1"});
  EXPECT_EQ(rig.Sent(), "1:TRY 1:TRY");
  EXPECT_EQ(rig.shard.Wakeup(), rig.mono);
  rig.AnswerAll(AttemptResult::kNotSent, "overloaded");  // they wait for the next time
  EXPECT_EQ(rig.Sent(), "1:TRY");
  EXPECT_EQ(rig.sent[0].gid, "c");
  EXPECT_GT(rig.shard.Wakeup(), rig.mono);
}

TEST(Shard, RecoveryAbortsUndecidedTwoPhaseWorkAndResumesTcc) {
  for (const auto protocol : {core::Protocol::kTwoPhase, core::Protocol::kTcc}) {
    ShardRig before;
    ShardRig::Told told;
    before.Do(ShardRig::Begin(ShardRig::Spec("a", protocol), WaitFor::kAccepted, told));
    const log::Entry begun = before.appends[0].entries[0];
    ShardRig reborn;  // only its ports are used
    Shard shard({}, reborn);
    shard.Adopt({begun.serial, begun.version, begun.gid, begun.spec, begun.state});
    std::vector<std::uint64_t> lives = ShardRig::kLives;
    lives.push_back(log::NextEpoch(lives.back(), 0xD4));
    shard.Start(ShardRig::Recovered(lives), reborn.mono, reborn.wall);
    if (protocol == core::Protocol::kTcc) {
      EXPECT_EQ(reborn.Sent(), "1:TRY 2:TRY");
      continue;
    }
    EXPECT_EQ(reborn.Sent(), "");
    ASSERT_EQ(reborn.appends.size(), 1U);
    shard.Handle(AppendedRequest{reborn.appends[0].batch, {{}, 1, 0, {}}}, reborn.mono,
                 reborn.wall);
    shard.EndTurn(reborn.mono, reborn.wall);
    EXPECT_EQ(reborn.Sent(), "2:ROLLBACK 1:ROLLBACK");
  }
}

// A million at once would be one huge write, and nobody else would be served before it.
TEST(Shard, RecoveryGoesOnSliceBySliceAndAWaitingOneIsServedAtOnce) {
  ShardRig before;
  ShardRig::Told told;
  ShardRig reborn;
  ShardOptions options;
  options.slice_count = 2;
  Shard shard(options, reborn);
  for (const char* gid : {"a", "b", "c", "d", "e"}) {
    before.Do(
        ShardRig::Begin(ShardRig::Spec(gid, core::Protocol::kTcc, 1), WaitFor::kAccepted, told));
    const log::Entry begun = before.appends.back().entries[0];
    shard.Adopt({begun.serial, begun.version, begun.gid, begun.spec, begun.state});
  }
  const auto sent = [&] {
    std::string gids;
    for (const transport::Command& command : std::exchange(reborn.sent, {})) gids += command.gid;
    return gids;
  };
  shard.Start(ShardRig::Recovered(ShardRig::kLives), reborn.mono, reborn.wall);
  EXPECT_EQ(sent(), "ab");
  EXPECT_EQ(shard.Wakeup(), reborn.mono);  // there is more to do
  shard.Handle(OperatorRequest{"e", OperatorVerb::kSuspend, {}, {}, {}, false, told.Callback()},
               reborn.mono, reborn.wall);
  shard.EndTurn(reborn.mono, reborn.wall);
  EXPECT_EQ(sent(), "ecd");  // e has not waited for its turn
  EXPECT_GT(shard.Wakeup(), reborn.mono);
}

TEST(Shard, ARowThatMakesNoSenseEndsEverything) {
  ShardRig rig;
  Shard shard({}, rig);
  shard.Adopt({17, 1, "a", "garbage", "garbage"});
  shard.Start(ShardRig::Recovered(ShardRig::kLives), rig.mono, rig.wall);
  EXPECT_EQ(rig.fatal.code(), Code::kDataLoss);
  EXPECT_NE(rig.fatal.message().find("live row 17"), std::string::npos) << rig.fatal.message();
  EXPECT_EQ(shard.Wakeup(), core::kNever);
}

TEST(Shard, AGidThatIsThereTwiceEndsEverything) {
  ShardRig rig;
  ShardRig::Told told;
  rig.Do(ShardRig::Begin(ShardRig::Spec("a"), WaitFor::kAccepted, told));
  const log::Entry begun = rig.appends[0].entries[0];
  Shard shard({}, rig);
  for (const std::uint64_t serial : {17U, 18U})
    shard.Adopt({serial, 1, begun.gid, begun.spec, begun.state});
  shard.Start(ShardRig::Recovered(ShardRig::kLives), rig.mono, rig.wall);
  EXPECT_EQ(rig.fatal.code(), Code::kDataLoss);
}

// Whoever lists them must not miss one that nobody has taken up yet.
TEST(Shard, WhatHasNotBeenTakenUpIsListedAndCounted) {
  ShardRig before;
  ShardRig::Told told;
  ShardRig reborn;
  ShardOptions options;
  options.slice_count = 1;
  Shard shard(options, reborn);
  for (const char* gid : {"a", "b", "c"}) {
    before.Do(ShardRig::Begin(ShardRig::Spec(gid), WaitFor::kAccepted, told));
    const log::Entry begun = before.appends.back().entries[0];
    shard.Adopt({begun.serial, begun.version, begun.gid, begun.spec, begun.state});
  }
  shard.Start(ShardRig::Recovered(ShardRig::kLives), reborn.mono, reborn.wall);
  EXPECT_EQ(reborn.sent.size(), 2U);  // a's
  std::string gids;
  shard.Handle(VisitRequest{[&](std::uint64_t, const core::Transaction& txn, bool visible,
                                const core::Now&) { gids += visible ? txn.gid() : "?"; },
                            [] {}},
               reborn.mono, reborn.wall);
  std::sort(gids.begin(), gids.end());
  EXPECT_EQ(gids, "abc");
  EXPECT_EQ(shard.live_count(), 3U);
  EXPECT_EQ(shard.Stats().active, 3U);
}

}  // namespace
}  // namespace assent::engine
