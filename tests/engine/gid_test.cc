// Gids that are issued. They used to end in the epoch, which everybody may see, and a count: who
// ran a transaction under the next one took it away from whoever it would be issued to, and made
// the log stop at its end (issue 8, point 4).

#include <cstdint>
#include <memory>
#include <set>
#include <string>

#include <gtest/gtest.h>

#include "coordinator/engine/engine.h"
#include "coordinator/log/memory/memory_log.h"

namespace assent::engine {
namespace {

TEST(IssuedGids, NobodyCanTellTheNextOne) {
  log::MemoryLog log(std::make_shared<log::MemoryDisk>(0xBEEF), {});
  Engine engine({}, log, [](const Status&) {});
  const auto recovered = engine.Recover();
  ASSERT_TRUE(recovered.ok());
  constexpr int kCount = 4096;
  constexpr std::size_t kTail = sizeof "0123456789ab-beef-" - 1;
  std::set<std::string> tails;
  std::uint64_t ones[64] = {};
  std::uint64_t before = 0;
  std::set<std::uint64_t> steps;
  for (int i = 0; i < kCount; ++i) {
    const std::string gid = engine.IssueGid();
    ASSERT_EQ(gid.size(), kTail + 16) << gid;
    EXPECT_EQ(gid.substr(12, 6), "-beef-") << gid;
    tails.insert(gid.substr(kTail));
    const std::uint64_t drawn = std::stoull(gid.substr(kTail), nullptr, 16);
    for (int bit = 0; bit < 64; ++bit) ones[bit] += drawn >> bit & 1;
    steps.insert(drawn - before);
    before = drawn;
  }
  EXPECT_EQ(tails.size(), std::size_t{kCount});
  EXPECT_EQ(steps.size(), std::size_t{kCount}) << "a count, however it is scrambled";
  for (int bit = 0; bit < 64; ++bit) {  // each of the 64 bits is a coin: 12 standard deviations
    EXPECT_NEAR(static_cast<double>(ones[bit]), kCount / 2, 12 * 32) << "bit " << bit;
  }
}

// The index over gids grows at its end: what is issued later sorts later, but within one
// millisecond.
TEST(IssuedGids, RiseWithTime) {
  log::MemoryLog log(std::make_shared<log::MemoryDisk>(7), {});
  Engine engine({}, log, [](const Status&) {});
  const std::string first = engine.IssueGid().substr(0, 12);
  std::string later = first;
  while (later == first) later = engine.IssueGid().substr(0, 12);
  EXPECT_LT(first, later);
}

}  // namespace
}  // namespace assent::engine
