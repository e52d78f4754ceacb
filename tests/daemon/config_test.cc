// Settings: who wins, and what a mistake is told. The mistakes are those people make.
#include "coordinator/daemon/config.h"

#include <cstdlib>
#include <filesystem>
#include <fstream>
#include <string>
#include <vector>

#include <gtest/gtest.h>

namespace assent::daemon {
namespace {

class ConfigTest : public testing::Test {
 protected:
  void SetUp() override {
    file_ = (std::filesystem::path(testing::TempDir()) /
             (std::string("assentd-") +
              testing::UnitTest::GetInstance()->current_test_info()->name() + ".toml"))
                .string();
  }
  void TearDown() override { std::filesystem::remove(file_); }

  void Write(const std::string& text) { std::ofstream(file_) << text; }

  ParsedConfig Parse(std::vector<std::string> arguments) {
    arguments.insert(arguments.begin(), "assentd");
    std::vector<const char*> argv;
    for (const std::string& argument : arguments) argv.push_back(argument.c_str());
    return ParseConfig(static_cast<int>(argv.size()), argv.data());
  }
  // What is printed on stderr by settings that must be refused with exit code 2.
  std::string Refusal(const std::vector<std::string>& arguments) {
    testing::internal::CaptureStderr();
    const ParsedConfig parsed = Parse(arguments);
    const std::string said = testing::internal::GetCapturedStderr();
    EXPECT_TRUE(parsed.exit);
    EXPECT_EQ(parsed.exit_code, 2);
    EXPECT_EQ(said.rfind("assentd: ", 0), 0U) << said;
    return said;
  }
  std::string RefusalOfFile(const std::string& text) {
    Write(text);
    return Refusal({"--config", file_});
  }

  std::string file_;
};

TEST_F(ConfigTest, FlagOverEnvironmentOverFileOverDefault) {
  Write(
      "shards = 2\nretention-hours = 24\ndrain-seconds = 7\nunary = [\"bank=h:1\", "
      "\"mail=h:2\"]\n");
  ::setenv("ASSENT_SHARDS", "3", 1);
  ::setenv("ASSENT_RETENTION_HOURS", "48", 1);
  const ParsedConfig parsed = Parse({"--config", file_, "--shards", "4"});
  ::unsetenv("ASSENT_SHARDS");
  ::unsetenv("ASSENT_RETENTION_HOURS");
  ASSERT_FALSE(parsed.exit);
  EXPECT_EQ(parsed.config.shards, 4U);
  EXPECT_EQ(parsed.config.retention_hours, 48);
  EXPECT_EQ(parsed.config.drain_seconds, 7);
  EXPECT_EQ(parsed.config.UnaryServices().size(), 2U);
  EXPECT_EQ(parsed.config.sources.at("shards"), "flag");
  EXPECT_EQ(parsed.config.sources.at("retention-hours"), "environment");
  EXPECT_EQ(parsed.config.sources.at("drain-seconds"), "file");
  EXPECT_EQ(parsed.config.sources.at("listen"), "default");
}

TEST_F(ConfigTest, WhatShowConfigPrintsIsAFileThatMeansTheSame) {
  const ParsedConfig first = Parse({"--shards", "4", "--unary", "bank=h:1", "--unary", "mail=h:2"});
  Write(ShowConfig(first.config));
  const ParsedConfig second = Parse({"--config", file_});
  ASSERT_FALSE(second.exit);
  EXPECT_EQ(second.config.shards, 4U);
  EXPECT_EQ(second.config.unary, first.config.unary);
  EXPECT_EQ(second.config.listen, first.config.listen);
}

TEST_F(ConfigTest, AMistakeInTheFileNamesFileAndSetting) {
  EXPECT_EQ(RefusalOfFile("retenton-hours = 3\n"),
            "assentd: " + file_ + ":1: retenton-hours is no setting\nTry: assentd --help\n");
  EXPECT_EQ(RefusalOfFile("retention-hours 3\n"),
            "assentd: " + file_ +
                ":1: \"retention-hours 3\" is not `name = value`\nTry: assentd --help\n");
  EXPECT_NE(RefusalOfFile("retention-hours = soon\n").find("retention-hours = soon"),
            std::string::npos);
  EXPECT_EQ(RefusalOfFile("shards = 0\n"), "assentd: shards is 0: it takes 1 to 64\n");
  EXPECT_EQ(RefusalOfFile("shards = 64\nmax-payload-mib = 16\n"),
            "assentd: max-payload-mib is 16: with 64 shards it takes at least 192, so that one "
            "transaction of the largest size fits\n");
}

// Fuzzing: a file of garbage had been an empty one (CLI11's reader skips lines of less than three
// bytes and whatever is in a section), and the daemon ran with the defaults.
TEST_F(ConfigTest, WhatIsNoFileOfSettingsIsRefusedWithItsLine) {
  const std::vector<std::pair<std::string, std::string>> files{
      {std::string("\x00\x01\xff", 3), ":1: this is no text: it has byte 0"},
      {"# fine\nshards = 2\n\xff\xfe\n", ":3: this is no text: it has byte 255"},
      {"data = \"\xc2\x9b\"\n", ":1: this is no text: it has byte 194"},
      {"shards = 2\rdata = x\n", ":1: this is no text: it has byte 13"},
      {"#\n\nx\n", ":3: \"x\" is not `name = value`"},
      {"[prod]\nshards = 2\n", ":1: \"[prod]\" is not `name = value`"},
      {"shards = 2\nshards = 3\n", ":2: shards is set twice, first in line 1"},
      {"shards =\n", ":1: there is no value"},
      {"data = \"a\" b\n", ":1: \"data = \"a\" b\" goes on after its value"},
      {"data = \"a\n", ":1: \"data = \"a\" has no closing quote"},
      {"data = \"\\n\"\n", "has a backslash before"},
      {"\nunary = [\"bank=h:1\",\n", ":2: this list has no end"},
      {"unary = [\"bank=h:1\" \"mail=h:2\"]\n", ":1: the values of a list are separated"},
      {"help = true\n", ":1: help is no setting"},
      {"config = other\n", ":1: config is no setting"}};
  for (const auto& [text, said] : files) {
    SCOPED_TRACE(text);
    EXPECT_NE(RefusalOfFile(text).find(file_ + ":"), std::string::npos);
    EXPECT_NE(RefusalOfFile(text).find(said), std::string::npos) << RefusalOfFile(text);
  }
}

TEST_F(ConfigTest, EveryFormOfAValue) {
  Write(
      "# a comment, then a blank line\n\n  shards=2 # of 4\r\ndata = \"a \\\"b\\\" \\\\ # c\"\n"
      "log-level = 'warn'\nallow-insecure = true\nunary = [ # each on its own line\n"
      "  \"bank=h:1\",\n\n  'mail=h:2', # the last\n]\nlisten = 127.0.0.1:1");
  const ParsedConfig parsed = Parse({"--config", file_});
  ASSERT_FALSE(parsed.exit);
  EXPECT_EQ(parsed.config.shards, 2U);
  EXPECT_EQ(parsed.config.data, "a \"b\" \\ # c");
  EXPECT_EQ(parsed.config.log_level, "warn");
  EXPECT_TRUE(parsed.config.allow_insecure);
  EXPECT_EQ(parsed.config.unary, (std::vector<std::string>{"bank=h:1", "mail=h:2"}));
  EXPECT_EQ(parsed.config.listen, "127.0.0.1:1");
  Write(ShowConfig(parsed.config));
  const ParsedConfig again = Parse({"--config", file_});
  ASSERT_FALSE(again.exit);
  EXPECT_EQ(again.config.data, parsed.config.data);
}

TEST_F(ConfigTest, AMistakeOnTheCommandLineNamesIt) {
  EXPECT_NE(Refusal({"--config", file_ + ".not"}).find(file_ + ".not"), std::string::npos);
  EXPECT_NE(Refusal({"--frob"}).find("--frob"), std::string::npos);
  EXPECT_NE(Refusal({"--listen", "7400"}).find("it takes HOST:PORT"), std::string::npos);
  EXPECT_NE(Refusal({"--listen", "0.0.0.0:7400"}).find("--allow-insecure"), std::string::npos);
}

// Port 99999 had been "sound", and port 34463 was dialled.
TEST_F(ConfigTest, WhatIsDialledIsAHostAndAPort) {
  for (const char* wrong :
       {"bank=127.0.0.1:99999", "bank=127.0.0.1:0", "bank=http://127.0.0.1:9", "bank=h:90x",
        "bank=:9000", "bank=unix:/x", "bank=h", "bank=", "bank"}) {
    EXPECT_NE(Refusal({"--unary", wrong}).find("it takes NAME=HOST:PORT"), std::string::npos)
        << wrong;
  }
  for (const char* wrong : {"=h:1", "ba nk=h:1"})
    EXPECT_NE(Refusal({"--unary", wrong}).find("unary"), std::string::npos) << wrong;
  for (const char* right : {"bank=h:1", "a.b/c=[::1]:65535", "bank=my-host.example:9000"})
    EXPECT_FALSE(Parse({"--unary", right}).exit) << right;
}

}  // namespace
}  // namespace assent::daemon
