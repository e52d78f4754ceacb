// What a person is told of: once while it is so, and nothing that is not durable.

#include "coordinator/engine/alarm.h"

#include <string>
#include <vector>

#include <gtest/gtest.h>

#include "tests/engine/shard_rig.h"

namespace assent::engine {
namespace {

using core::AttemptResult;
using core::Millis;

struct Heard {
  std::vector<Alarm> alarms;
  ShardOptions Options() {
    ShardOptions options;
    options.on_alarm = [this](Alarm alarm, const core::Transaction& txn, const core::Now&) {
      EXPECT_EQ(AlarmOf(txn), alarm);
      alarms.push_back(alarm);
    };
    return options;
  }
};

TEST(Alarm, HazardIsToldOnceAndItsBadEndWhenItIsDurable) {
  Heard heard;
  ShardRig rig(heard.Options());
  ShardRig::Told told;
  (void)rig.MakeHazard(told);
  EXPECT_EQ(heard.alarms, std::vector{Alarm::kHazard});
  for (int i = 0; i < 3; ++i) {  // tried again, refused again
    rig.Pass(Millis(120'000));
    rig.CompleteAll();
    rig.AnswerAll(AttemptResult::kRefused, "still cannot");
    rig.CompleteAll();
  }
  EXPECT_EQ(heard.alarms, std::vector{Alarm::kHazard});
  rig.Do(OperatorRequest{.gid = "a",
                         .verb = OperatorVerb::kResolve,
                         .actor = {.who = "ann", .reason = "counted"},
                         .branch_id = "1",
                         .resolution = core::Decision::kAbort,
                         .done = told.Callback()});
  rig.Pass(Millis(1000));
  EXPECT_EQ(heard.alarms, std::vector{Alarm::kHazard});
  rig.CompleteAll();
  EXPECT_EQ(heard.alarms, (std::vector{Alarm::kHazard, Alarm::kEndedMixed}));
}

TEST(Alarm, WhatStillNeedsAPersonIsToldByEachStart) {
  Heard heard;
  ShardRig rig(heard.Options());
  ShardRig::Told told;
  const std::string spec = rig.MakeHazard(told);
  rig.Pass(Millis(1000));
  log::LiveRow row = ShardRig::RowOf(rig.appends.back().entries.back());
  row.spec = spec;
  rig.CompleteAll();
  Heard later;
  Shard next(later.Options(), rig);
  rig.Start(next, {row}, ShardRig::Recovered(ShardRig::kEpochs));
  EXPECT_EQ(later.alarms, std::vector{Alarm::kHazard});
}

TEST(Alarm, WhatWasMendedAndBreaksAgainIsNews) {
  Heard heard;
  ShardRig rig(heard.Options());
  ShardRig::Told told;
  rig.Do(ShardRig::Begin(ShardRig::Spec("a", core::Protocol::kTcc, 2), WaitFor::kAccepted, told));
  rig.CompleteAll();
  rig.AnswerAll(AttemptResult::kDone);
  rig.CompleteAll();
  ASSERT_EQ(rig.Sent(), "1:CONFIRM 2:CONFIRM");
  const transport::Command second = rig.sent.back();
  rig.sent.pop_back();
  rig.AnswerAll(AttemptResult::kRefused, "no");
  rig.Pass(Millis(120'000));
  rig.CompleteAll();
  ASSERT_EQ(rig.sent.front().branch, 0U);
  rig.sent.resize(1);
  rig.AnswerAll(AttemptResult::kDone);
  EXPECT_EQ(heard.alarms, std::vector{Alarm::kHazard});
  rig.sent.push_back(second);
  rig.AnswerAll(AttemptResult::kRefused, "no");
  EXPECT_EQ(heard.alarms, (std::vector{Alarm::kHazard, Alarm::kHazard}));
}

TEST(Alarm, NothingOfWhatEndsWell) {
  Heard heard;
  ShardRig rig(heard.Options());
  ShardRig::Told told;
  rig.Do(ShardRig::Begin(ShardRig::Spec("a"), WaitFor::kCompleted, told));
  rig.CompleteAll();
  for (int i = 0; i < 2; ++i) {
    rig.AnswerAll(AttemptResult::kDone);
    rig.Pass(Millis(1000));
    rig.CompleteAll();
  }
  EXPECT_EQ(told.words, std::vector<std::string>{"OK COMMITTED"});
  EXPECT_TRUE(heard.alarms.empty());
}

}  // namespace
}  // namespace assent::engine
