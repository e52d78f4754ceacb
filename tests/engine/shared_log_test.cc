// A log that several coordinators may own: damage costs a slot, a database that is away costs new
// work, and one that was away for too long costs every word to a participant.

#include <chrono>
#include <future>
#include <memory>
#include <set>
#include <string>
#include <thread>
#include <utility>
#include <vector>

#include <gtest/gtest.h>

#include "coordinator/base/clock.h"
#include "coordinator/engine/engine.h"
#include "tests/engine/engine_rig.h"
#include "tests/engine/shard_rig.h"

namespace assent::engine {
namespace {

constexpr auto kPatience = std::chrono::seconds(30);  // only a failure waits for so long
constexpr Slot kSlotsCount = 8;

std::string GidIn(Slot slot, const std::string& begin = "g") {
  for (int i = 0;; ++i) {
    std::string gid = begin + std::to_string(i);
    if (SlotOf(gid, kSlotsCount) == slot) return gid;
  }
}

class SharedLogTest : public testing::Test {
 protected:
  void Start() {
    options_.shards_count = 2;
    options_.on_damaged_slot = [this](const log::DamagedSlot& slot) {
      damage_.push_back(slot.why);
    };
    engine_ = std::make_unique<Engine>(
        options_, log_, [](const Status& status) { ADD_FAILURE() << status.ToString(); });
    const Result<log::Recovered> recovered = engine_->Recover();
    ASSERT_TRUE(recovered.ok()) << recovered.status().ToString();
    engine_->Start(outbox_);
  }
  ~SharedLogTest() override {
    if (engine_) engine_->Stop();
  }
  // What whoever begins it is told.
  Status Begin(const std::string& gid) {
    std::promise<Status> told;
    const Status posted =
        engine_->Post(gid, BeginRequest{ShardRig::Spec(gid), WaitFor::kAccepted,
                                        [&](const Status& status, const core::Transaction*,
                                            const core::Now&) { told.set_value(status); }});
    return posted.ok() ? told.get_future().get() : posted;
  }
  Status Get(const std::string& gid) {
    std::promise<Status> told;
    const Status posted =
        engine_->Post(gid, GetRequest{gid, [&](const Status& status, const core::Transaction*,
                                               const core::Now&) { told.set_value(status); }});
    return posted.ok() ? told.get_future().get() : posted;
  }
  template <typename Condition>
  static bool Eventually(const Condition& condition) {
    const auto until = std::chrono::steady_clock::now() + kPatience;
    while (!condition() && std::chrono::steady_clock::now() < until) std::this_thread::yield();
    return condition();
  }

  EngineOptions options_;
  LockedLog log_{kSlotsCount};
  Outbox outbox_;
  std::vector<std::string> damage_;
  std::unique_ptr<Engine> engine_;
};

TEST_F(SharedLogTest, CommandsSayUnderWhichOwnerTheirSlotIs) {
  log_.grants_ = {{.slot = 2, .slot_epoch = 5}, {.slot = 3, .slot_epoch = 9}};
  Start();
  ASSERT_EQ(Begin(GidIn(2)), OkStatus());
  for (const transport::Command& command : outbox_.Take(2)) {
    EXPECT_EQ(command.slot, 2);
    EXPECT_EQ(command.slot_epoch, 5U);
  }
  ASSERT_EQ(Begin(GidIn(3)), OkStatus());
  for (const transport::Command& command : outbox_.Take(2)) EXPECT_EQ(command.slot_epoch, 9U);
  EXPECT_EQ(Begin(GidIn(4)).code(), Code::kElsewhere);
  EXPECT_EQ(Get(GidIn(4)).code(), Code::kElsewhere);
  EXPECT_EQ(engine_->served_slots(), 2U);
}

// The store may have lost an owner of the slot whom participants have heard.
TEST_F(SharedLogTest, ASlotThatIsHereGoesOnUnderAnEpochThatHasRisen) {
  log_.grants_ = {{.slot = 2, .slot_epoch = 5}};
  Start();
  ASSERT_EQ(Begin(GidIn(2)), OkStatus());
  for (const transport::Command& command : outbox_.Take(2)) EXPECT_EQ(command.slot_epoch, 5U);
  log_.events_->OnAssigned({{.slot = 2, .slot_epoch = 100}, {.slot = 3, .slot_epoch = 101}});
  EXPECT_TRUE(Eventually([&] { return engine_->served_slots() == 2; }));
  ASSERT_EQ(Begin(GidIn(3)), OkStatus());
  for (const transport::Command& command : outbox_.Take(2)) EXPECT_EQ(command.slot_epoch, 101U);
  ASSERT_EQ(Begin(GidIn(2, "another")), OkStatus());
  for (const transport::Command& command : outbox_.Take(2)) EXPECT_EQ(command.slot_epoch, 100U);
  EXPECT_EQ(log_.loads_.size(), 2U) << "what is here is not loaded again";
}

TEST_F(SharedLogTest, SlotsOfOneWorkerAreLoadedTogether) {
  Start();
  EXPECT_EQ(log_.loads_, (std::vector<std::vector<Slot>>{{0, 2, 4, 6}, {1, 3, 5, 7}}));
  EXPECT_EQ(engine_->served_slots(), kSlotsCount);
}

TEST_F(SharedLogTest, ADamagedSlotIsSetAsideByNameAndTheOthersServe) {
  log_.damaged_ = {{.slot = 4, .why = "row 17 fails its checksum"}};
  Start();
  EXPECT_EQ(damage_, std::vector<std::string>{"row 17 fails its checksum"});
  for (const Status& status : {Begin(GidIn(4)), Get(GidIn(4))}) {
    EXPECT_EQ(status.code(), Code::kDataLoss);
    EXPECT_NE(status.message().find("slot 4 of the log is set aside: row 17 fails its checksum"),
              std::string::npos)
        << status.message();
  }
  std::promise<transport::OutcomeAnswer> answer;
  engine_->OnQuestion({GidIn(4), "b", 1, 1},
                      [&](transport::OutcomeAnswer said) { answer.set_value(std::move(said)); });
  EXPECT_EQ(answer.get_future().get().verdict, transport::Verdict::kUndecided)
      << "nothing is presumed about what cannot be read";
  for (const Slot slot : {Slot{0}, Slot{1}, Slot{2}}) EXPECT_EQ(Begin(GidIn(slot)), OkStatus());
}

TEST_F(SharedLogTest, NothingBeginsWhileTheDatabaseIsAwayAndWhatHasBegunGoesOn) {
  Start();
  ASSERT_EQ(Begin(GidIn(1)), OkStatus());
  log_.away_ = true;
  ASSERT_TRUE(Eventually([&] { return Begin(GidIn(2)).code() == Code::kUnavailable; }));
  EXPECT_EQ(Begin(GidIn(3)).message(), "the database does not answer; nothing was begun");
  EXPECT_EQ(engine_->refusing(), "the database does not answer");
  EXPECT_EQ(Get(GidIn(1)), OkStatus());
  log_.away_ = false;
  EXPECT_TRUE(Eventually([&] { return Begin(GidIn(2)).ok(); }));
}

// A machine that was suspended, or a process that was stopped, wakes up with commands in its hands
// that others may have sent meanwhile.
TEST_F(SharedLogTest, NothingIsSentWhileTheDatabaseHasNotAnsweredForTooLong) {
  log_.answered_boot_ms_ = (base::BootNow() - std::chrono::minutes(1)).count();
  Start();
  ASSERT_EQ(Begin(GidIn(1)), OkStatus());
  ASSERT_EQ(Begin(GidIn(2)), OkStatus());  // the other shard
  EXPECT_EQ(outbox_.size(), 0U);
  log_.answered_boot_ms_ = base::BootNow().count();
  std::set<std::string> gids;
  for (const transport::Command& command : outbox_.Take(4)) gids.insert(command.gid);
  EXPECT_EQ(gids, (std::set<std::string>{GidIn(1), GidIn(2)})) << "tried again, and sent";
}

TEST(OwnedLog, DamageStopsTheStart) {
  LockedLog log;
  log.damaged_ = {{.slot = 0, .why = "row 17 fails its checksum"}};
  Engine engine({}, log, [](const Status&) {});
  EXPECT_EQ(engine.Recover().status(), DataLoss("row 17 fails its checksum"));
}

}  // namespace
}  // namespace assent::engine
