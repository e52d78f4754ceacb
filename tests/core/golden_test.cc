// Runs tests/core/scenarios/*.txt. With ASSENT_UPDATE=1 in the environment the expectations are
// rewritten instead of compared: read the difference before you commit it.

#include <algorithm>
#include <cstdlib>
#include <exception>
#include <filesystem>
#include <fstream>
#include <iterator>
#include <string>
#include <vector>

#include <gtest/gtest.h>

#include "tests/core/script.h"

namespace assent::core::testing {
namespace {

namespace fs = std::filesystem;

fs::path Folder() {
  const char* root = std::getenv("ASSENT_SOURCE_DIR");
  return fs::path(root != nullptr ? root : ".") / "tests" / "core" / "scenarios";
}

std::vector<std::string> ScenarioNames() {
  std::vector<std::string> names;
  for (const auto& entry : fs::directory_iterator(Folder())) {
    if (entry.path().extension() == ".txt") names.push_back(entry.path().stem().string());
  }
  std::sort(names.begin(), names.end());
  return names;
}

std::vector<std::string> ReadLines(const fs::path& path) {
  std::ifstream in(path);
  std::vector<std::string> lines;
  for (std::string line; std::getline(in, line);) lines.push_back(line);
  return lines;
}

bool IsComment(const std::string& line) { return line.empty() || line[0] == '#'; }

// A file is a sequence of blocks: input, "----", output, an empty line. Comments stand between.
// Returns the file as it should be, and the line of the first block that went otherwise.
struct Played {
  std::string text;
  int blocks = 0;
};

Played Play(const std::vector<std::string>& lines) {
  Played played;
  Script script;
  std::size_t at = 0;
  while (at < lines.size()) {
    if (IsComment(lines[at])) {
      played.text += lines[at++] + "\n";
      continue;
    }
    const std::size_t first = at + 1;
    std::vector<std::string> input;
    for (; at < lines.size() && !lines[at].empty() && lines[at] != "----"; ++at)
      input.push_back(lines[at]);
    if (at < lines.size() && lines[at] == "----") {
      while (at < lines.size() && !lines[at].empty()) ++at;
    }
    for (const std::string& line : input) played.text += line + "\n";
    try {
      played.text += "----\n" + script.Run(input);
    } catch (const std::exception& error) {
      ADD_FAILURE() << "line " << first << " (" << input[0] << "): " << error.what();
      return played;
    }
    ++played.blocks;
  }
  return played;
}

// The first line that differs, with its number.
std::string FirstDifference(const std::vector<std::string>& expected, const std::string& text) {
  std::size_t line = 0;
  std::size_t at = 0;
  while (at < text.size() || line < expected.size()) {
    const std::size_t end = std::min(text.find('\n', at), text.size());
    const std::string got = at < text.size() ? text.substr(at, end - at) : "(end)";
    const std::string want = line < expected.size() ? expected[line] : "(end)";
    if (got != want) {
      return "line " + std::to_string(line + 1) + "\n  expected: " + want + "\n       got: " + got;
    }
    at = end + 1;
    ++line;
  }
  return {};
}

class GoldenTest : public ::testing::TestWithParam<std::string> {};

TEST_P(GoldenTest, GoesAsWritten) {
  const fs::path path = Folder() / (GetParam() + ".txt");
  const std::vector<std::string> lines = ReadLines(path);
  const Played played = Play(lines);
  if (HasFailure()) return;
  EXPECT_GT(played.blocks, 0) << path;
  if (std::getenv("ASSENT_UPDATE") != nullptr) {
    std::ofstream(path) << played.text;
    return;
  }
  const std::string difference = FirstDifference(lines, played.text);
  EXPECT_TRUE(difference.empty()) << path.filename() << " " << difference
                                  << "\nwhole file as played:\n"
                                  << played.text;
}

INSTANTIATE_TEST_SUITE_P(Scenarios, GoldenTest, ::testing::ValuesIn(ScenarioNames()),
                         [](const auto& scenario) {
                           std::string name = scenario.param;
                           std::replace(name.begin(), name.end(), '-', '_');
                           return name;
                         });

// A golden test that compares nothing passes: there is a scenario for each path of the protocols.
TEST(Golden, ThereAreScenarios) { EXPECT_GE(ScenarioNames().size(), 10U); }

}  // namespace
}  // namespace assent::core::testing
