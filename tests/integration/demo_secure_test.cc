// `assent-demo --secure`, as people run it: the same stories over mutual TLS, with a certificate
// for each program and rules; and what is refused, which the demo notices when it is not.

#include <filesystem>
#include <regex>
#include <sstream>
#include <string>
#include <vector>

#include <gmock/gmock.h>
#include <gtest/gtest.h>

#include "tests/support/process.h"

namespace assent::test {
namespace {

using std::chrono_literals::operator""s;
using ::testing::ElementsAre;
using ::testing::EndsWith;
using ::testing::HasSubstr;
using ::testing::Not;

constexpr auto kWholeDemo = 110s;

ProcessOptions Demo(const TempDir& dir, std::vector<std::string> arguments) {
  arguments.insert(arguments.begin(), {BinDir() + "/assent-demo", "--secure"});
  return {.argv = std::move(arguments), .env = {{"TMPDIR", dir.path()}}};
}

// What stands behind the name of each attempt, up to the next one or the end of them.
std::vector<std::string> Verdicts(const std::string& output, const std::string& verdict) {
  std::vector<std::string> names;
  std::string name;
  std::istringstream lines(output);
  for (std::string line; std::getline(lines, line);) {
    std::smatch found;
    if (std::regex_search(line, found, std::regex("^  (refused-[a-z-]+)  "))) name = found[1];
    if (!name.empty() && line.find(verdict) != std::string::npos) names.push_back(name);
  }
  return names;
}

TEST(DemoSecure, TheStoriesGoAsBeforeAndWhatIsNotAllowedIsRefused) {
  const TempDir dir;
  const Finished demo = RunToEnd(Demo(dir, {}), kWholeDemo);
  EXPECT_EQ(demo.exit_code, 0) << demo.output;
  std::smatch last;
  ASSERT_TRUE(std::regex_search(
      demo.output, last,
      std::regex("\ndemo: ([0-9]+) scenarios, ([0-9]+) as expected, books balanced\n$")))
      << demo.output;
  EXPECT_EQ(last[1], last[2]);
  EXPECT_GE(std::stoi(last[1]), 24 + 8) << "the stories, and the attempts";
  EXPECT_LT(demo.seconds, 60) << "too long for a newcomer";
  EXPECT_THAT(
      Verdicts(demo.output, "Refused, by "),
      ElementsAre("refused-pose", "refused-begin", "refused-elsewhere", "refused-intervene",
                  "refused-forget", "refused-plain", "refused-no-certificate", "refused-stranger"));
  EXPECT_THAT(demo.output, HasSubstr("allow spiffe://shop/payment as participant for payment\n"));
  EXPECT_THAT(demo.output, HasSubstr("8 attempts to do more, 8 refused."));
  // The operator's record names the key that was used.
  for (const char* who : {"spiffe://shop/payment", "spiffe://shop/checkout"}) {
    EXPECT_TRUE(std::regex_search(
        demo.output, std::regex("\n[^\n]*" + std::string(who) + " [^\n]*PERMISSION_DENIED")))
        << who << demo.output;
  }
  EXPECT_TRUE(std::filesystem::is_empty(dir.path()));
}

// Each refusal is looked for: with rules that allow everybody everything, and a listener that asks
// for no certificate, what TLS itself refuses is all that is left.
TEST(DemoSecure, FailsWhenARefusalDoesNotHappen) {
  const TempDir dir;
  const Finished demo =
      RunToEnd(Demo(dir, {"--break", "lax-rules", "--only", "tcc-commits|^refused"}), kWholeDemo);
  EXPECT_EQ(demo.exit_code, 1) << demo.output;
  EXPECT_THAT(Verdicts(demo.output, "NOT refused"),
              ElementsAre("refused-pose", "refused-begin", "refused-elsewhere", "refused-intervene",
                          "refused-forget", "refused-no-certificate"))
      << demo.output;
  EXPECT_THAT(demo.output, EndsWith("demo: 9 scenarios, 3 as expected, books balanced\n"));
}

TEST(DemoSecure, KeysAndRulesAreKeptWhereTold) {
  const TempDir dir;
  const std::string kept = dir / "kept";
  const Finished demo = RunToEnd(Demo(dir, {"--only", "tcc-commits", "--files", kept}), kWholeDemo);
  EXPECT_EQ(demo.exit_code, 0) << demo.output;
  EXPECT_THAT(demo.output, Not(HasSubstr("What is refused")));
  for (const char* name : {"ca.pem", "payment.pem", "payment.key", "checkout.pem", "rules"})
    EXPECT_TRUE(std::filesystem::exists(kept + "/tls/" + name)) << name;
  // There is no token where no browser is wanted.
  EXPECT_FALSE(std::filesystem::exists(kept + "/tls/tokens"));
}

TEST(DemoSecure, WithoutItThereAreNoRulesToBreak) {
  const TempDir dir;
  const Finished demo = RunToEnd({.argv = {BinDir() + "/assent-demo", "--break", "lax-rules"},
                                  .env = {{"TMPDIR", dir.path()}}},
                                 kWholeDemo);
  EXPECT_EQ(demo.exit_code, 2) << demo.output;
  EXPECT_THAT(demo.output, HasSubstr("there are no rules without --secure"));
}

}  // namespace
}  // namespace assent::test
