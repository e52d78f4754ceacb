// The figures of all shards together.

#include <memory>

#include <gtest/gtest.h>

#include "coordinator/engine/engine.h"
#include "coordinator/log/memory/memory_log.h"

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

}  // namespace
}  // namespace assent::engine
