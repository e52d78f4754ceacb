// The figures of all shards together.

#include <memory>

#include <gtest/gtest.h>

#include "coordinator/engine/engine.h"
#include "coordinator/log/memory/memory_log.h"
#include "tests/engine/shard_rig.h"

namespace assent::engine {
namespace {

// Nothing is left only if everybody says so: a drain that takes silence for that would not wait for
// anything.
TEST(Stats, AShardThatDoesNotAnswerIsNotAnEmptyOne) {
  log::MemoryLog log(std::make_shared<log::MemoryDisk>(), {});
  EngineOptions options;
  options.shards_count = 2;
  Engine engine(options, log, [](const Status&) {});
  EXPECT_EQ(engine.Stats().silent_shards, 2U);  // no thread runs yet
}

// A drain does not wait for those: as many as rest, until each is moved on.
TEST(Stats, WhoOnlyWaitsForSomebodyWhoIsAwayRests) {
  ShardRig rig;
  ShardRig::Told told;
  const auto figures = [&rig] {
    const ShardStats stats = rig.shard.Stats();
    return std::pair(stats.unfinished(), stats.resting);
  };
  for (const std::string gid : {"a", "b"}) {
    rig.Do(ShardRig::Begin(ShardRig::Spec(gid, core::Protocol::kTcc, 1), WaitFor::kAccepted, told));
  }
  rig.CompleteAll();
  EXPECT_EQ(figures(), std::pair(std::uint64_t{2}, std::uint64_t{0}));
  rig.NobodyThere();
  EXPECT_EQ(figures(), std::pair(std::uint64_t{2}, std::uint64_t{2}));
  rig.Do(ServiceAppearedRequest{"s1"});
  EXPECT_EQ(figures(), std::pair(std::uint64_t{2}, std::uint64_t{0}));
  for (int i = 0; i < 2; ++i) {  // TRY, CONFIRM
    rig.AnswerAll(core::AttemptResult::kDone);
    rig.Pass(core::Millis(1000));
    rig.CompleteAll();
  }
  EXPECT_EQ(figures(), std::pair(std::uint64_t{0}, std::uint64_t{0}));
}

}  // namespace
}  // namespace assent::engine
