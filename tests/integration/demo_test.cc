// The demo is itself a test; here it is run as people run it, and seen to fail when a rule is
// broken.

#include <algorithm>
#include <csignal>
#include <filesystem>
#include <fstream>
#include <iterator>
#include <regex>
#include <string>
#include <utility>
#include <vector>

#include <gmock/gmock.h>
#include <gtest/gtest.h>

#include "tests/support/process.h"

namespace assent::test {
namespace {

using std::chrono_literals::operator""s;
using ::testing::EndsWith;
using ::testing::HasSubstr;
using ::testing::Not;

constexpr auto kWholeDemo = 110s;

ProcessOptions Demo(const TempDir& dir, std::vector<std::string> arguments) {
  arguments.insert(arguments.begin(), BinDir() + "/assent-demo");
  return {.argv = std::move(arguments), .env = {{"TMPDIR", dir.path()}}};
}

// Processes whose command line names something below `path`.
std::vector<std::string> ProcessesIn(const std::string& path) {
  std::vector<std::string> found;
  std::error_code ignored;
  for (const auto& entry : std::filesystem::directory_iterator("/proc", ignored)) {
    std::ifstream file(entry.path() / "cmdline", std::ios::binary);
    const std::string line{std::istreambuf_iterator<char>(file), {}};
    if (line.find(path) != std::string::npos) found.push_back(entry.path().filename());
  }
  return found;
}

TEST(Demo, EveryScenarioEndsAsExpectedAndTheBooksBalance) {
  const TempDir dir;
  const Finished demo = RunToEnd(Demo(dir, {}), kWholeDemo);
  EXPECT_EQ(demo.exit_code, 0) << demo.output;
  std::smatch last;
  ASSERT_TRUE(std::regex_search(
      demo.output, last,
      std::regex("\ndemo: ([0-9]+) scenarios, ([0-9]+) as expected, books balanced\n$")))
      << demo.output;
  EXPECT_EQ(last[1], last[2]);
  EXPECT_GE(std::stoi(last[1]), 18);
  EXPECT_LT(demo.seconds, 60) << "too long for a newcomer";
  EXPECT_THAT(demo.output, Not(HasSubstr("\033["))) << "colour is for terminals";
  // Of the two Sagas that are refused, in each.
  const std::string undone = "its step is an AutoSaga, which undoes itself";
  const std::size_t first = demo.output.find(undone);
  EXPECT_NE(demo.output.find(undone, first + 1), std::string::npos) << demo.output;
  // The operator's view of one that was rolled back.
  EXPECT_THAT(demo.output, HasSubstr("assentctl show tcc-no-funds"));
  EXPECT_TRUE(std::filesystem::is_empty(dir.path()));
}

struct Broken {
  const char* rule;
  const char* only;
  const char* says;     // among the faults
  const char* verdict;  // the last line
};

class BrokenRule : public ::testing::TestWithParam<Broken> {};

TEST_P(BrokenRule, FailsTheDemo) {
  const TempDir dir;
  const Finished demo =
      RunToEnd(Demo(dir, {"--break", GetParam().rule, "--only", GetParam().only}), kWholeDemo);
  EXPECT_EQ(demo.exit_code, 1) << demo.output;
  EXPECT_THAT(demo.output, HasSubstr("NOT as expected: "));
  EXPECT_THAT(demo.output, HasSubstr(GetParam().says));
  EXPECT_THAT(demo.output, EndsWith(std::string(GetParam().verdict) + "\n"));
}

INSTANTIATE_TEST_SUITE_P(
    Each, BrokenRule,
    ::testing::Values(Broken{"oversell", "2pc-(commits|no-stock)", "told committed",
                             "demo: 2 scenarios, 1 as expected, books NOT balanced"},
                      Broken{"skip-cancel", "tcc-(commits|no-funds)", "2 frozen at rest",
                             "demo: 2 scenarios, 1 as expected, books NOT balanced"},
                      Broken{"skip-compensate", "saga-(commits|no-funds)", "but its orders say",
                             "demo: 2 scenarios, 1 as expected, books NOT balanced"},
                      // The decision is told, and then forgotten: nothing may pass for committed.
                      Broken{"lose-log", "2pc-(commits|coordinator-killed)",
                             "NOT as expected: NOT_FOUND",
                             "demo: 2 scenarios, 1 as expected, books NOT balanced"}),
    [](const auto& test) {
      std::string name = test.param.rule;
      name.erase(std::remove(name.begin(), name.end(), '-'), name.end());
      return name;
    });

// Ctrl-C in the middle: no process and no file is left.
TEST(Demo, LeavesNothingBehindWhenInterrupted) {
  const TempDir dir;
  Process demo(Demo(dir, {}));
  ASSERT_TRUE(demo.Start().ok());
  ASSERT_TRUE(demo.WaitForOutput("As expected", 30s)) << demo.Output();
  EXPECT_THAT(ProcessesIn(dir.path()), Not(::testing::IsEmpty()));
  ASSERT_TRUE(demo.Signal(SIGINT));
  EXPECT_EQ(demo.WaitForExit(30s), 128 + SIGINT);
  EXPECT_THAT(ProcessesIn(dir.path()), ::testing::IsEmpty());
  EXPECT_TRUE(std::filesystem::is_empty(dir.path()));
}

// Killed outright it cannot tidy up its files, but its processes are gone.
TEST(Demo, ItsProcessesDieWithIt) {
  const TempDir dir;
  Process demo(Demo(dir, {}));
  ASSERT_TRUE(demo.Start().ok());
  ASSERT_TRUE(demo.WaitForOutput("As expected", 30s)) << demo.Output();
  demo.Kill();
  EXPECT_TRUE(WaitUntil([&] { return ProcessesIn(dir.path()).empty(); }, 10s));
}

TEST(Demo, KeepsItsFilesWhereTold) {
  const TempDir dir;
  const std::string kept = dir / "kept";
  const Finished demo = RunToEnd(Demo(dir, {"--only", "tcc-commits", "--files", kept}), kWholeDemo);
  EXPECT_EQ(demo.exit_code, 0) << demo.output;
  EXPECT_THAT(demo.output, HasSubstr("demo: 1 scenario, 1 as expected, books balanced"));
  EXPECT_THAT(demo.output, HasSubstr("of this run are in " + kept));
  for (const char* name : {"order.db", "inventory.db", "payment.db", "coordinator.log"}) {
    EXPECT_TRUE(std::filesystem::exists(kept + "/" + name)) << name;
  }
  const Finished again = RunToEnd(Demo(dir, {"--files", kept}), kWholeDemo);
  EXPECT_EQ(again.exit_code, 2) << again.output;
  EXPECT_THAT(again.output, HasSubstr("is not empty"));
}

TEST(Demo, NothingToDoIsNotSuccess) {
  const TempDir dir;
  EXPECT_EQ(RunToEnd(Demo(dir, {"--only", "no such scenario"}), kWholeDemo).exit_code, 2);
  EXPECT_EQ(RunToEnd(Demo(dir, {"--only", "("}), kWholeDemo).exit_code, 2);
  EXPECT_EQ(RunToEnd(Demo(dir, {"--break", "nothing"}), kWholeDemo).exit_code, 2);
}

}  // namespace
}  // namespace assent::test
