// Several shards with their threads: what comes from outside finds the right one.

#include "coordinator/engine/engine.h"

#include <atomic>
#include <chrono>
#include <condition_variable>
#include <functional>
#include <memory>
#include <mutex>
#include <set>
#include <string>
#include <thread>
#include <utility>
#include <vector>

#include <gtest/gtest.h>

#include "tests/engine/engine_rig.h"
#include "tests/engine/shard_rig.h"

namespace assent::engine {
namespace {

constexpr auto kPatience = std::chrono::seconds(30);  // only a failure waits for so long

std::vector<transport::Reply> Answers(const std::vector<transport::Command>& commands,
                                      core::AttemptResult result) {
  std::vector<transport::Reply> replies;
  for (const transport::Command& c : commands) {
    replies.push_back({c.gid, c.branch, c.operation, c.attempt, result, {}, {}, core::Millis(0)});
    replies.back().service_absent = result == core::AttemptResult::kNotSent;
  }
  return replies;
}

std::set<std::string> Gids(const std::vector<transport::Command>& commands) {
  std::set<std::string> gids;
  for (const transport::Command& command : commands) gids.insert(command.gid);
  return gids;
}

// Another coordinator asks for a slot, and gives it back: what was in it is asked of its
// participants again, and meanwhile no gid of it is given out.
TEST(Engine, ASlotIsReleasedAndTakenUpAgain) {
  LockedLog log(4);
  EngineOptions options;
  options.shards_count = 2;
  options.shard.farewell_time = core::Millis(20);
  Outbox outbox;
  Engine engine(options, log, [](const Status& status) { FAIL() << status.ToString(); });
  ASSERT_TRUE(engine.Recover().ok());
  engine.Start(outbox);
  std::size_t in_slot = 0;
  for (int i = 0; i < 40; ++i) {
    const std::string gid = engine.IssueGid();
    in_slot += SlotOf(gid, 4) == 1 ? 1 : 0;
    const auto told = [](const Status& status, const core::Transaction*, const core::Now&) {
      EXPECT_NE(status.code(), Code::kUnavailable);
    };
    ASSERT_TRUE(engine.Post(gid, BeginRequest{ShardRig::Spec(gid), WaitFor::kDecided, told}).ok());
  }
  EXPECT_EQ(Gids(outbox.Take(80)).size(), 40U);
  log.events_->OnWanted({1});
  log.events_->OnWanted({1});  // asked again: it is leaving already
  const auto until = std::chrono::steady_clock::now() + kPatience;
  while (log.released_ == 0 && std::chrono::steady_clock::now() < until) std::this_thread::yield();
  EXPECT_EQ(log.released_, 1);
  for (int i = 0; i < 50; ++i) EXPECT_NE(SlotOf(engine.IssueGid(), 4), 1);
  log.events_->OnAssigned({{.slot = 1, .slot_epoch = 2}});
  const std::set<std::string> again = Gids(outbox.Take(2 * in_slot));
  EXPECT_EQ(again.size(), in_slot);
  for (const std::string& gid : again) EXPECT_EQ(SlotOf(gid, 4), 1);
  engine.Stop();
}

// One batch of answers holds those of transactions of every shard, and each shard has some that
// wait for the service.
TEST(Engine, AnswersAndServicesReachEveryShard) {
  LockedLog log;
  Outbox outbox;
  EngineOptions options;
  options.shards_count = 3;
  Engine engine(options, log, [](const Status& status) { ADD_FAILURE() << status.ToString(); });
  ASSERT_TRUE(engine.Recover().ok());
  engine.Start(outbox);

  std::mutex mutex;
  std::condition_variable told;
  std::set<std::string> committed;
  std::set<std::string> gids;
  for (int i = 0; i < 12; ++i) {
    core::TransactionSpec spec = ShardRig::Spec("g" + std::to_string(i), core::Protocol::kTcc, 1);
    spec.deadline = std::chrono::hours(1);
    // Longer than the test: a second attempt is due to the service that has appeared, not to time.
    spec.branches[0].retry = {std::chrono::minutes(10), std::chrono::minutes(10), 0};
    gids.insert(spec.gid);
    const std::string gid = spec.gid;
    const Status posted = engine.Post(
        gid, BeginRequest{
                 std::move(spec), WaitFor::kDecided,
                 [&, gid](const Status& status, const core::Transaction* txn, const core::Now&) {
                   EXPECT_TRUE(status.ok()) << status.ToString();
                   const std::lock_guard lock(mutex);
                   if (txn != nullptr && txn->outcome() == core::Outcome::kCommitted)
                     committed.insert(gid);
                   told.notify_all();
                 }});
    ASSERT_TRUE(posted.ok()) << posted.ToString();
  }
  const auto first = outbox.Take(gids.size());
  ASSERT_EQ(Gids(first), gids);
  engine.OnReplies(Answers(first, core::AttemptResult::kNotSent));
  // Behind the answers in each mailbox.
  engine.OnServiceAppeared("s1");
  const auto second = outbox.Take(gids.size());
  ASSERT_EQ(Gids(second), gids) << "somebody has not heard that the service is there";
  engine.OnReplies(Answers(second, core::AttemptResult::kDone));
  EXPECT_EQ(Gids(outbox.Take(gids.size())), gids) << "somebody's answer has not arrived";
  std::unique_lock lock(mutex);
  EXPECT_TRUE(told.wait_for(lock, kPatience, [&] { return committed == gids; }));
  lock.unlock();
  const ShardStats stats = engine.Stats();
  EXPECT_TRUE(engine.Waiting("", 10).empty());
  EXPECT_EQ(stats.begun, gids.size());
  EXPECT_EQ(stats.committed, gids.size());
  EXPECT_EQ(stats.committing, gids.size());
  engine.Stop();
}

// The daemon's log gets a line when a service begins to be waited for and one when that is over,
// whoever waits in whichever shard; and not one for each of any number of names.
TEST(Engine, WhoIsWaitedForIsToldOnceForEachChange) {
  LockedLog log;
  Outbox outbox;
  std::mutex mutex;
  std::vector<std::string> told;
  EngineOptions options;
  options.shards_count = 3;
  options.max_told_services_count = 2;
  options.on_waiting = [&](const std::string& service, bool waits) {
    const std::lock_guard lock(mutex);
    told.push_back((waits ? "+" : "-") + service);
  };
  Engine engine(options, log, [](const Status& status) { ADD_FAILURE() << status.ToString(); });
  ASSERT_TRUE(engine.Recover().ok());
  engine.Start(outbox);
  const auto begin = [&](const std::string& service) {
    for (int i = 0; i < 8; ++i) {
      core::TransactionSpec spec =
          ShardRig::Spec(service + std::to_string(i), core::Protocol::kTcc, 1);
      spec.branches[0].service = service;
      spec.deadline = std::chrono::hours(1);
      const std::string gid = spec.gid;
      EXPECT_TRUE(engine
                      .Post(gid, BeginRequest{std::move(spec), WaitFor::kAccepted,
                                              [](const Status&, const core::Transaction*,
                                                 const core::Now&) {}})
                      .ok());
    }
    engine.OnReplies(Answers(outbox.Take(8), core::AttemptResult::kNotSent));
  };
  const auto until = [&](const std::function<bool()>& there) {
    const auto end = std::chrono::steady_clock::now() + kPatience;
    while (!there() && std::chrono::steady_clock::now() < end) std::this_thread::yield();
    return there();
  };
  const auto waits_for = [&](const std::string& service) -> std::uint64_t {
    const auto list = engine.Waiting(service, 1);
    return list.empty() ? 0 : list[0].transactions;
  };
  for (const char* service : {"a", "b", "c"}) {
    begin(service);
    EXPECT_TRUE(until([&] { return waits_for(service) == 8; })) << service;
  }
  EXPECT_EQ(engine.Waiting("", 2).size(), 2U);
  for (const char* service : {"a", "c"}) {
    engine.OnServiceAppeared(service);
    EXPECT_TRUE(until([&] { return waits_for(service) == 0; })) << service;
    EXPECT_EQ(outbox.Take(8).size(), 8U);
  }
  begin("d");
  EXPECT_TRUE(until([&] { return waits_for("d") == 8; }));
  engine.Stop();
  EXPECT_EQ(told, (std::vector<std::string>{"+a", "+b", "-a", "+d"})) << "d has the room of a";
}

}  // namespace
}  // namespace assent::engine
