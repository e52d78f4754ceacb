// Random interleavings of many transactions in all protocols, checked after every burst and at
// rest; see workload.h.

#include <thread>

#include "tests/sdk_sqlite/store_fixture.h"
#include "tests/sdk_sqlite/workload.h"

namespace assent::sqlite::test {
namespace {

class PropertyTest : public StoreTest, public ::testing::WithParamInterface<std::uint32_t> {
 protected:
  void OpenBank() {
    Options options = MakeOptions("");
    options.setup = &SetUpBank;
    options.claim_wait = std::chrono::milliseconds(GetParam() % 2 == 0 ? 0 : 3);
    Open(options, &RegisterBank);
  }
};

TEST_P(PropertyTest, OneByOne) {
  OpenBank();
  Driver driver([this](const Call& call) { return TryAsk(store(), call); }, GetParam());
  constexpr int kTransfers = 24;
  for (int burst = 0; burst < 6; ++burst) {
    driver.RunRandom(0, kTransfers, 60);
    ASSERT_EQ(AuditAnytime(store()), "") << "burst " << burst;
    if (burst == 3) OpenBank();
  }
  driver.FinishAll(0, kTransfers);
  EXPECT_EQ(AuditAtRest(store(), 0, kTransfers), "");
}

TEST_P(PropertyTest, ManyAtOnce) {
  OpenBank();
  constexpr int kThreads = 4;
  constexpr int kTransfers = 9;  // of each thread
  std::vector<std::thread> threads;
  for (int i = 0; i < kThreads; ++i) {
    threads.emplace_back([this, i] {
      const int begin = i * kTransfers;
      Driver driver([this](const Call& call) { return TryAsk(store(), call); },
                    GetParam() + static_cast<std::uint32_t>(i));
      driver.RunRandom(begin, begin + kTransfers, 120);
      EXPECT_EQ(AuditAnytime(store()), "");
      driver.FinishAll(begin, begin + kTransfers);
    });
  }
  for (auto& thread : threads) thread.join();
  EXPECT_EQ(AuditAtRest(store(), 0, kThreads * kTransfers), "");
}

INSTANTIATE_TEST_SUITE_P(Seeds, PropertyTest, ::testing::Range(1U, 6U));

}  // namespace
}  // namespace assent::sqlite::test
