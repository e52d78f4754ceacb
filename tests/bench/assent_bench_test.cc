// That assent-bench works, for each workload, and that nothing fails under it. No absolute times: the ratio to the floor is held
// very loosely, to notice a cliff and not a busy machine.

#include <string>

#include <gtest/gtest.h>
#include <nlohmann/json.hpp>

#include "tests/support/process.h"

namespace assent::test {
namespace {

nlohmann::json Bench(std::vector<std::string> words) {
  std::vector<std::string> argv{BinDir() + "/assent-bench"};
  argv.insert(argv.end(), words.begin(), words.end());
  const Finished run = RunToEnd({.argv = argv}, std::chrono::seconds(100));
  EXPECT_EQ(run.exit_code, 0) << run.output;
  const std::size_t begin = run.output.find('{');
  return begin == std::string::npos
             ? nlohmann::json()
             : nlohmann::json::parse(run.output.substr(begin), nullptr, false);
}

class Workload : public ::testing::TestWithParam<const char*> {};

TEST_P(Workload, RunsAndNothingFails) {
  const nlohmann::json result = Bench({"run", "--workload", GetParam(), "--in-flight", "32",
                                       "--seconds", "0.7", "--warmup", "0.5", "--json"});
  ASSERT_TRUE(result.is_object()) << result;
  EXPECT_EQ(result["failed"], 0) << result;
  EXPECT_GT(result["committed"].get<int>(), 10) << result;
  EXPECT_LE(result["latency_us"]["p50"].get<double>(), result["latency_us"]["max"].get<double>());
  EXPECT_GT(result["processes"]["coordinator"]["cpu_us_per_transaction"].get<double>(), 0);
  if (std::string(GetParam()) == "mixed-faults") {
    EXPECT_GT(result["aborted"].get<int>(), 0) << "no refusal was seen";
  } else {
    EXPECT_EQ(result["aborted"], 0) << result;
  }
}

INSTANTIATE_TEST_SUITE_P(AssentBench, Workload,
                         ::testing::Values("tcc", "2pc", "saga", "order", "interactive", "unary",
                                           "mixed-faults"),
                         [](const auto& param) {
                           std::string name = param.param;
                           for (char& c : name) c = c == '-' ? '_' : c;
                           return name;
                         });

TEST(AssentBench, TheOpenLoopKeepsItsRate) {
  const nlohmann::json result =
      Bench({"run", "--rate", "200", "--seconds", "1", "--warmup", "0.5", "--json"});
  ASSERT_TRUE(result.is_object());
  EXPECT_EQ(result["failed"], 0) << result;
  EXPECT_GT(result["throughput"].get<double>(), 20);
  EXPECT_LT(result["throughput"].get<double>(), 400) << "faster than it was told to go";
}

TEST(AssentBench, TheEngineIsNoOrderOfMagnitudeBelowTheFloor) {
  const nlohmann::json result =
      Bench({"compare", "--rounds", "1", "--seconds", "1", "--warmup", "0.5", "--json"});
  ASSERT_TRUE(result.is_object());
  EXPECT_GT(result["ratio_throughput"].get<double>(), 0.1) << result;
  EXPECT_GT(result["ratio_latency"].get<double>(), 0) << result;
}

}  // namespace
}  // namespace assent::test
