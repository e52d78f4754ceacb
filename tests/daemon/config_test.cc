// Settings: who wins, and what a mistake is told. The mistakes are those people make.
#include "coordinator/daemon/config.h"

#include <cctype>
#include <cstdlib>
#include <filesystem>
#include <fstream>
#include <regex>
#include <sstream>
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
  EXPECT_EQ(parsed.config.shards, 4);
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
  EXPECT_EQ(second.config.shards, 4);
  EXPECT_EQ(second.config.unary, first.config.unary);
  EXPECT_EQ(second.config.listen, first.config.listen);
}

TEST_F(ConfigTest, AMistakeInTheFileNamesFileAndSetting) {
  EXPECT_EQ(RefusalOfFile("retenton-hours = 3\n"),
            "assentd: " + file_ + ":1: retenton-hours is no setting\nTry: assentd --help\n");
  EXPECT_EQ(RefusalOfFile("retention-hours 3\n"),
            "assentd: " + file_ +
                ":1: Error while parsing key-value pair: expected '=', saw '3'\n"
                "Try: assentd --help\n");
  EXPECT_EQ(RefusalOfFile("\nretention-hours = \"soon\"\n"),
            "assentd: " + file_ + ":2: retention-hours is \"soon\": it takes 0 to 87600\n");
  EXPECT_EQ(RefusalOfFile("reflection = \"perhaps\"\n"),
            "assentd: " + file_ + ":1: reflection is \"perhaps\": it takes true or false\n");
  EXPECT_EQ(RefusalOfFile("shards = 0\n"),
            "assentd: " + file_ + ":1: shards is 0: it takes 1 to 64\n");
  EXPECT_EQ(RefusalOfFile("shards = 64\nmax-payload-mib = 16\n"),
            "assentd: " + file_ +
                ":2: max-payload-mib is 16: with 64 shards it takes at least 192, so that one "
                "transaction of the largest size fits\n");
}

// Before 0.2 a text could stand without quotes, which TOML does not know.
TEST_F(ConfigTest, ATextWithoutQuotesIsToldHowToWriteIt) {
  for (const char* bare : {"listen = 127.0.0.1:1", "log-level = warn", "data = /var/lib/assent",
                           "data = assent-data # here"}) {
    const std::string text = bare;
    const std::size_t value = text.find("= ") + 2;
    const std::string quoted =
        text.substr(0, value) + "\"" + text.substr(value, text.find(" #") - value) + "\"";
    const std::string said = RefusalOfFile("shards = 2\n" + text + "\n");
    EXPECT_NE(said.find(file_ + ":2: "), std::string::npos) << said;
    EXPECT_NE(said.find("A text stands in quotes: " + quoted + "\n"), std::string::npos) << said;
  }
  EXPECT_NE(RefusalOfFile("drain-seconds = 5s\n").find(":1: 5s is no number, nor true or false"),
            std::string::npos);
  EXPECT_EQ(RefusalOfFile("shards = 2\n\xff\n").find("quotes"), std::string::npos);
}

// A list of the command line had been added to that of the environment.
TEST_F(ConfigTest, AListIsTakenFromOnePlace) {
  Write("unary = [\"file=h:1\"]\n");
  ::setenv("ASSENT_UNARY", "env=h:2,env=h:3", 1);
  const ParsedConfig typed =
      Parse({"--config", file_, "--unary", "flag=h:4", "--unary", "flag=h:5"});
  const ParsedConfig environment = Parse({"--config", file_});
  ::unsetenv("ASSENT_UNARY");
  EXPECT_EQ(typed.config.unary, (std::vector<std::string>{"flag=h:4", "flag=h:5"}));
  EXPECT_EQ(environment.config.unary, (std::vector<std::string>{"env=h:2", "env=h:3"}));
  EXPECT_EQ(Parse({"--config", file_}).config.unary, std::vector<std::string>{"file=h:1"});
}

// Fuzzing: a file of garbage had been an empty one (CLI11's reader skips lines of less than three
// bytes and whatever is in a section), and the daemon ran with the defaults.
TEST_F(ConfigTest, WhatIsNoFileOfSettingsIsRefusedWithItsLine) {
  const std::vector<std::pair<std::string, std::string>> files{
      {std::string("\x00\x01\xff", 3), ":1: Encountered invalid utf-8 sequence"},
      {std::string("\x00\x01", 2), ":1: Error while parsing root table"},
      {"# fine\nshards = 2\n\xff\xfe\n", "Encountered invalid utf-8 sequence"},
      {"data = \"\xc2\x9b\"\n", ":1: data takes a text without control characters"},
      {"data = \"\\n\"\n", ":1: data takes a text without control characters"},
      {"shards = 2\rdata = x\n", ":1: Error while parsing key-value pair"},
      {"#\n\nx\n", ":3: Error while parsing key-value pair: expected '='"},
      {"[prod]\nshards = 2\n", ":1: [prod]: there are no sections"},
      {"shards = 2\n\nshards = 3\n", ":3: shards is set twice: line 1 has set it already"},
      {"# x\nunary = [\n]\nunary = [\n]\n", ":4: unary is set twice: line 2 has set it already"},
      {"[a]\nx = 1\n[b]\ny = 1\n\"y\" = 2\n", ":5: \"y\" is set twice: line 4 has set it already"},
      {"[a]\n[a]\n", ":2: Error while parsing table header: cannot redefine existing table 'a'"},
      {"unary.bank = \"h:1\"\n", ":1: unary.bank has a dot in its name, and nothing here has one"},
      {"[a]\nb.c = 1\n", ":2: b.c has a dot in its name, and nothing here has one"},
      {"shards =\n", ":1: Error while parsing key-value pair: expected value"},
      {"shards = 1.5\n", "shards is \"1.5\": it takes 1 to 64"},
      {"shards = 2026-11-27\n", ":1: shards takes a text without control characters, a number"},
      {"shards = {is = 2}\n", ":1: shards is a table, and nothing here is one"},
      {"listen = [\"127.0.0.1:1\", \"127.0.0.1:2\"]\n", ":1: listen takes one value, not a list"},
      {"data = []\n", ":1: data takes one value, not a list"},
      {"data = \"a\" b\n", ":1: Error while parsing key-value pair: expected a comment"},
      {"data = \"a\n", ":1: Error while parsing string"},
      {"\nunary = [\"bank=h:1\",\n", "Error while parsing array: encountered end-of-file"},
      {"unary = [\"bank=h:1\" \"mail=h:2\"]\n", ":1: Error while parsing array: expected comma"},
      {"help = true\n", ":1: help is no setting"},
      {"config = 'other'\n", ":1: config is no setting"}};
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
      "  \"bank=h:1\",\n\n  'mail=h:2', # the last\n]\nlisten = '127.0.0.1:1'\nmax-sessions = "
      "\"20\"\nreflection = \"off\"");
  const ParsedConfig parsed = Parse({"--config", file_});
  ASSERT_FALSE(parsed.exit);
  EXPECT_EQ(parsed.config.shards, 2);
  EXPECT_EQ(parsed.config.data, "a \"b\" \\ # c");
  EXPECT_EQ(parsed.config.log_level, "warn");
  EXPECT_TRUE(parsed.config.allow_insecure);
  EXPECT_EQ(parsed.config.unary, (std::vector<std::string>{"bank=h:1", "mail=h:2"}));
  EXPECT_EQ(parsed.config.listen, "127.0.0.1:1");
  EXPECT_EQ(parsed.config.max_sessions, 20);
  EXPECT_FALSE(parsed.config.reflection);
  Write(ShowConfig(parsed.config));
  const ParsedConfig again = Parse({"--config", file_});
  ASSERT_FALSE(again.exit);
  EXPECT_EQ(again.config.data, parsed.config.data);
}

// The file that the package installs: all of it is a comment but what was given, and each comment
// is what its setting takes.
TEST_F(ConfigTest, TheFileOfAllSettingsIsOneInBothForms) {
  const ParsedConfig given = Parse({"--data", "/var/lib/x", "--unary", "bank=h:1,mail=h:2"});
  const std::string text = ConfigFile(given.config);
  Write(text);
  const ParsedConfig commented = Parse({"--config", file_});
  ASSERT_FALSE(commented.exit);
  EXPECT_EQ(ShowConfig(commented.config).find("# flag"), std::string::npos);
  for (const auto& [name, source] : commented.config.sources)
    EXPECT_EQ(source, name == "data" || name == "unary" ? "file" : "default") << name;
  EXPECT_EQ(commented.config.data, "/var/lib/x");
  EXPECT_EQ(commented.config.unary, given.config.unary);

  Write(std::regex_replace(text, std::regex("(^|\n)#([a-z])"), "$1$2"));
  const ParsedConfig open = Parse({"--config", file_});
  ASSERT_FALSE(open.exit);
  for (const auto& [name, source] : open.config.sources) EXPECT_EQ(source, "file") << name;
  const auto values = [](const Config& config) {
    return std::regex_replace(ShowConfig(config), std::regex("  # [a-z]+\n"), "\n");
  };
  EXPECT_EQ(values(open.config), values(given.config));
  std::istringstream lines(text);
  for (std::string line; std::getline(lines, line);) EXPECT_LE(line.size(), 110U) << line;
}

TEST_F(ConfigTest, TheManualPageHasEverySetting) {
  testing::internal::CaptureStdout();
  const ParsedConfig parsed = Parse({"--man"});
  const std::string page = testing::internal::GetCapturedStdout();
  EXPECT_TRUE(parsed.exit);
  EXPECT_EQ(parsed.exit_code, 0);
  EXPECT_EQ(page.rfind(".TH ASSENTD 8 ", 0), 0U);
  for (const auto& [name, source] : Parse({}).config.sources) {
    const std::string escaped = std::regex_replace(name, std::regex("-"), "\\-");
    EXPECT_NE(page.find("\\fB\\-\\-" + escaped + "\\fR"), std::string::npos) << name;
  }
  EXPECT_NE(page.find(".SH \"EXIT CODES\"\n"), std::string::npos);
}

TEST_F(ConfigTest, AMistakeOnTheCommandLineNamesIt) {
  EXPECT_NE(Refusal({"--config", file_ + ".not"}).find(file_ + ".not"), std::string::npos);
  EXPECT_NE(Refusal({"--config", testing::TempDir()}).find("cannot read"), std::string::npos);
  EXPECT_NE(Refusal({"--frob"}).find("--frob"), std::string::npos);
  EXPECT_NE(Refusal({"--listen", "7400"}).find("it takes HOST:PORT"), std::string::npos);
  EXPECT_NE(Refusal({"--listen", "0.0.0.0:7400"}).find("--allow-insecure"), std::string::npos);
}

// `--auth-rules "$RULES"`, and the variable was empty: it ran without rules.
TEST_F(ConfigTest, AnEmptyNameOfAFileIsNotNone) {
  for (const char* name :
       {"tls-cert", "tls-key", "tls-client-ca", "tls-peer-ca", "tls-participant-ca",
        "tls-webhook-ca", "tls-trace-ca", "webhook-secret-file", "trace-headers-file", "auth-rules",
        "auth-tokens", "auth-jwks"}) {
    const std::string words = std::string("assentd: ") + name + " is \"\", from the ";
    EXPECT_EQ(Refusal({"--" + std::string(name), ""}),
              words + "flag: it takes the name of a file; for none leave it out\n");
    EXPECT_NE(Refusal({"--" + std::string(name) + "="}).find("TEXT missing"), std::string::npos);
    std::string variable = "ASSENT_" + std::string(name);
    for (char& c : variable) c = c == '-' ? '_' : static_cast<char>(std::toupper(c));
    ASSERT_EQ(::setenv(variable.c_str(), "", 1), 0);
    EXPECT_EQ(Refusal({}),
              words + "environment: it takes the name of a file; for none leave it out\n");
    ASSERT_EQ(::unsetenv(variable.c_str()), 0);
    Write(std::string(name) + " = \"\"\n");
    EXPECT_FALSE(Parse({"--config", file_}).exit) << name;
  }
}

// Names that begin with "127." are anybody's, and resolve to any address.
TEST_F(ConfigTest, OthersCannotReachALoopbackAddressAlone) {
  for (const char* own : {"127.0.0.1:1", "127.255.0.9:1", "localhost:1", "[::1]:1", "unix:/tmp/a"})
    EXPECT_FALSE(Parse({"--listen", own}).exit) << own;
  for (const char* other :
       {"127.0.0.1.nip.io:1", "127.evil.example:1", "127.0.0.256:1", "localhost.example:1",
        "localhost.:1", "[::1%eth0]:1", "[::ffff:10.0.0.1]:1", "[::]:1", "10.127.0.1:1"}) {
    EXPECT_NE(Refusal({"--listen", other}).find("which others can reach"), std::string::npos)
        << other;
  }
}

// Whoever answered at another's address would be handed calls without being asked who he is.
TEST_F(ConfigTest, RulesOfSeveralWantACaOfTheOthers) {
  const std::vector<std::string> base{
      "--log", "postgresql://h/d", "--advertise", "h:1",          "--tls-cert",
      "a",     "--tls-key",        "a",           "--auth-rules", "a"};
  EXPECT_NE(Refusal(base).find("without tls-peer-ca or tls-client-ca"), std::string::npos);
  for (const char* ca : {"--tls-peer-ca", "--tls-client-ca"}) {
    std::vector<std::string> with = base;
    with.insert(with.end(), {ca, "a"});
    EXPECT_FALSE(Parse(with).exit) << ca;
  }
}

TEST_F(ConfigTest, HttpHasAnAddressOrIsNotThere) {
  EXPECT_EQ(Parse({}).config.HttpAddress(), "127.0.0.1:7480");
  EXPECT_EQ(Parse({"--http-listen", "none"}).config.HttpAddress(), "");
  EXPECT_EQ(Parse({"--http-listen", ""}).config.HttpAddress(), "");
  EXPECT_EQ(Refusal({"--http-listen", "7480"}),
            "assentd: http-listen is \"7480\": it takes HOST:PORT, such as 127.0.0.1:7480, or "
            "none\n");
  EXPECT_NE(Refusal({"--http-listen", "unix:/tmp/x:1"}).find("it takes HOST:PORT"),
            std::string::npos);
  EXPECT_NE(Refusal({"--http-listen", "0.0.0.0:7480"}).find("--allow-insecure"), std::string::npos);
  EXPECT_NE(Refusal({"--http-listen", "::1:7480"}).find("in brackets"), std::string::npos);
}

TEST_F(ConfigTest, WhatIsForSeveralCoordinatorsIsRefusedByOneThatIsAlone) {
  EXPECT_NE(Refusal({"--node", "a"}).find("share a log"), std::string::npos);
  EXPECT_NE(Refusal({"--advertise", "h:1"}).find("--log=postgresql://"), std::string::npos);
  EXPECT_FALSE(Parse({"--node", "a", "--advertise", "h:1", "--log", "postgresql://h/d"}).exit);
}

// Port 99999 had been "sound", and port 34463 was dialled.
TEST_F(ConfigTest, WhatIsDialledIsAHostAndAPort) {
  for (const char* wrong : {"bank=127.0.0.1:99999", "bank=127.0.0.1:0", "bank=h:90x", "bank=:9000",
                            "bank=unix:/x", "bank=h", "bank=", "bank"}) {
    EXPECT_NE(Refusal({"--unary", wrong}).find("it takes NAME=HOST:PORT"), std::string::npos)
        << wrong;
  }
  ::setenv("ASSENT_UNARY", R"(["bank=h:1","mail=h:2"])", 1);
  const std::string as_in_a_file = Refusal({});
  ::unsetenv("ASSENT_UNARY");
  EXPECT_EQ(as_in_a_file,
            R"(assentd: unary is "[\"bank=h:1\"": it takes NAME=HOST:PORT, with a port from 1 to )"
            "65535; brackets and quotes stand in files alone, elsewhere commas between several\n");
  for (const char* wrong : {"=h:1", "ba nk=h:1"})
    EXPECT_NE(Refusal({"--unary", wrong}).find("unary"), std::string::npos) << wrong;
  for (const char* right : {"bank=h:1", "a.b/c=[::1]:65535", "bank=my-host.example:9000"})
    EXPECT_FALSE(Parse({"--unary", right}).exit) << right;
}

}  // namespace
}  // namespace assent::daemon
