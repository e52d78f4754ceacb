// The small examples, run as their readers will run them.

#include <algorithm>
#include <fstream>
#include <iterator>
#include <string>
#include <utility>
#include <vector>

#include <gmock/gmock.h>
#include <gtest/gtest.h>

#include "tests/support/process.h"

namespace assent::test {
namespace {

using std::chrono_literals::operator""s;
using ::testing::HasSubstr;
using ::testing::MatchesRegex;

class Examples : public ::testing::Test {
 protected:
  void SetUp() override { ASSERT_TRUE(coordinator_.Start().ok()); }

  Finished Run(std::vector<std::string> argv) {
    argv[0] = BinDir() + "/" + argv[0];
    return RunToEnd({.argv = std::move(argv), .env = {{"ASSENT_ENDPOINT", endpoint_}}}, 30s);
  }

  TempDir dir_;
  const std::string endpoint_ = "127.0.0.1:" + std::to_string(FreePort());
  Process coordinator_{{.argv = {BinDir() + "/assentd", "--http-listen", "none", "--listen",
                                 endpoint_, "--data", dir_ / "data"}}};
};

TEST_F(Examples, Minimal) {
  const Finished run = Run({"example-minimal"});
  EXPECT_EQ(run.exit_code, 0) << run.output;
  EXPECT_THAT(run.output, MatchesRegex("[0-9a-f]+ committed: sold\n"));
}

TEST_F(Examples, MinimalFitsOnAScreen) {
  std::ifstream file(SourceDir() + "/examples/minimal/main.cc");
  ASSERT_TRUE(file.is_open());
  const std::string text{std::istreambuf_iterator<char>(file), {}};
  EXPECT_LT(std::count(text.begin(), text.end(), '\n'), 40);
}

TEST_F(Examples, InteractiveBooksBoth) {
  const Finished run = Run({"example-interactive"});
  EXPECT_EQ(run.exit_code, 0) << run.output;
  EXPECT_THAT(run.output, HasSubstr("committed; tickets are sold and sold"));
}

TEST_F(Examples, InteractiveGivesUpAboveTheLimit) {
  const Finished run = Run({"example-interactive", "300"});
  EXPECT_EQ(run.exit_code, 2) << run.output;
  EXPECT_THAT(run.output, HasSubstr("aborted; north-air's ticket is free"));
}

}  // namespace
}  // namespace assent::test
