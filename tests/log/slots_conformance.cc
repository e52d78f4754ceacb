// What a log that several may own says of gids and slots.

#include <future>
#include <string>
#include <utility>
#include <vector>

#include <gmock/gmock.h>

#include "tests/log/conformance.h"

namespace assent::log {

using testing::ElementsAre;

// Absent is a word on which somebody rolls back: it is said of what is in no row, live or finished.
TEST_P(LogConformance, AGidIsLiveFinishedOrAbsent) {
  using What = Found::What;
  const auto what = [](LogClient& log, const std::string& gid) {
    return log.Look(gid).value().what;
  };
  {
    auto log = Start();
    EXPECT_OK(log->Append(Batch(Begin(1, "a"), Begin(2, "ab"), Begin(3, "b"), End(3, 2, "b"))));
    EXPECT_EQ(what(*log, "a"), What::kLive);
    EXPECT_EQ(what(*log, "b"), What::kFinished);
    EXPECT_EQ(log->Append(Batch(Begin(4, "b"))).refused.size(), 1u);
    EXPECT_EQ(what(*log, "b"), What::kFinished);
  }
  auto log = Start();
  const Result<Found> live = log->Look("a");
  EXPECT_EQ(live.value().what, What::kLive);
  EXPECT_EQ(live.value().owner, log->recovered().epoch);
  const Result<Found> absent = log->Look("c");
  EXPECT_EQ(absent.value().what, What::kAbsent);
  EXPECT_EQ(*absent.value().epochs, *log->recovered().epochs);
  EXPECT_OK(log->Append(Batch(Update(1, 2, "a", "x"))));
  EXPECT_EQ(what(*log, "a"), What::kLive);
  EXPECT_OK(log->Append(Batch(End(1, 3, "a"))));
  EXPECT_EQ(what(*log, "a"), What::kFinished);
  EXPECT_OK(log->Append(Batch(Forget("a"))));
  EXPECT_EQ(what(*log, "a"), What::kAbsent);
  EXPECT_EQ(what(*log, "ab"), What::kLive);
  EXPECT_EQ(what(*log, ""), What::kAbsent);
}

TEST_P(LogConformance, ALogOfOneSlotHasOneOwner) {
  auto log = Start();
  EXPECT_EQ(log->recovered().slots_count, 1u);
  ASSERT_EQ(log->recovered().slots.size(), 1u);
  EXPECT_EQ(log->recovered().slots[0].slot, SlotOf("anything", 1));
  // Where there may be others it is not below the time.
  EXPECT_EQ(log->recovered().slots[0].slot_epoch > 0, rig_->shared());
  std::promise<Status> released;
  log->log().Release(0, [&](Status status) { released.set_value(std::move(status)); });
  EXPECT_EQ(log->Wait(released.get_future()).code(), Code::kFailedPrecondition);
}

TEST_P(LogConformance, DrainComesBehindAllThatWasAppended) {
  auto log = Start();
  std::vector<std::string> order;
  std::promise<void> drained;
  log->log().Append(Batch(Begin(1, "a")), [&](const AppendResult& result) {
    EXPECT_OK(result);
    order.emplace_back("appended");
  });
  log->log().Drain([&](const Status& status) {
    EXPECT_TRUE(status.ok());
    order.emplace_back("drained");
    drained.set_value();
  });
  log->Wait(drained.get_future());
  EXPECT_THAT(order, ElementsAre("appended", "drained"));
}

TEST_P(LogConformance, SerialsAreNeverGivenTwice) {
  std::uint64_t last = 0;
  for (std::uint64_t next : {1u, 3u}) {
    auto log = Start();
    ExpectNextSerial(*log, next);
    for (const char* gid : {"a", "b"}) {
      const std::uint64_t serial = log->log().NextSerial(0);
      EXPECT_GT(serial, last);
      last = serial;
      if (!rig_->shared()) {
        EXPECT_EQ(serial, next++);
      }
      EXPECT_OK(log->Append(Batch(Begin(serial, gid + std::to_string(serial)))));
    }
  }
}

}  // namespace assent::log
