#include "tools/assentctl/profile.h"

#include <string>

#include <gtest/gtest.h>

namespace assent::ctl {
namespace {

constexpr const char* kFile = R"(
# for everything
endpoint = "one:1"
output = "wide"

[prod]
endpoint = "two"
timeout = "30s"

[test]
time = "iso"
)";

TEST(Profile, TheNamedSectionWinsOverTheGeneralPart) {
  GlobalOptions options;
  ASSERT_TRUE(ApplyProfile(kFile, "p.toml", "prod", options).ok());
  EXPECT_EQ("two:7400", options.endpoint);
  EXPECT_EQ(Output::kWide, options.output);
  EXPECT_EQ(std::chrono::seconds(30), options.call_timeout);
  EXPECT_EQ(TimeStyle::kRelative, options.time);
}

TEST(Profile, WithoutANameOnlyTheGeneralPart) {
  GlobalOptions options;
  ASSERT_TRUE(ApplyProfile(kFile, "p.toml", "", options).ok());
  EXPECT_EQ("one:1", options.endpoint);
  EXPECT_EQ(std::chrono::seconds(10), options.call_timeout);
}

TEST(Profile, MistakesAreErrors) {
  const auto message = [](const std::string& text, const std::string& profile) {
    GlobalOptions options;
    return ApplyProfile(text, "p.toml", profile, options).message();
  };
  EXPECT_EQ("p.toml has no profile [live]", message(kFile, "live"));
  EXPECT_EQ(
      "p.toml:1: 'endpiont' is not a setting; known are endpoint, timeout, output, time, "
      "tls-ca, tls-cert, tls-key, tls-server-name, token-file",
      message("endpiont = \"x\"", ""));
  EXPECT_EQ("p.toml:2: output cannot be 'xml'", message("[other]\noutput = \"xml\"", ""));
  EXPECT_NE(std::string::npos, message("timeout = \"5\"", "").find("is not a duration"));
  for (const char* no_text : {"true", "[\"one:1\"]", "7400", "[]"})
    EXPECT_EQ("p.toml:1: endpoint takes a text in quotes",
              message(std::string("endpoint = ") + no_text, ""));
  EXPECT_EQ("", message("", ""));
}

TEST(Profile, DefaultPath) {
  const auto env = [](const char* xdg, const char* home) {
    return [xdg, home](const char* name) -> const char* {
      return std::string(name) == "HOME" ? home : xdg;
    };
  };
  EXPECT_EQ("/x/assent/assentctl.toml", DefaultProfilePath(env("/x", "/h")));
  EXPECT_EQ("/h/.config/assent/assentctl.toml", DefaultProfilePath(env("", "/h")));
  EXPECT_EQ("", DefaultProfilePath(env(nullptr, nullptr)));
}

TEST(Endpoint, IsCompleted) {
  EXPECT_EQ("host:7400", NormalEndpoint("host").value());
  EXPECT_EQ("host:1", NormalEndpoint("host:1").value());
  EXPECT_EQ("[::1]:7400", NormalEndpoint("[::1]").value());
  EXPECT_EQ("[::1]:80", NormalEndpoint("[::1]:80").value());
  EXPECT_EQ("unix:/run/assent.sock", NormalEndpoint("unix:/run/assent.sock").value());
  for (const char* wrong :
       {"", ":7400", "host:", "host:0", "host:65536", "host:x", "::1", "http://host:7400", "a b",
        "[::1", ":1]", "host]:1", "[::1]x", "unix:", "a\x1b[2J", "unix:/tmp/\x07"}) {
    EXPECT_FALSE(NormalEndpoint(wrong).ok()) << wrong;
  }
  EXPECT_EQ("a:7400,b:1,unix:/run/assent.sock",
            NormalEndpoints("a,b:1,unix:/run/assent.sock").value());
  for (const char* wrong : {"", "a,", ",a", "a,,b", "a, b", "a,b:0"}) {
    EXPECT_FALSE(NormalEndpoints(wrong).ok()) << wrong;
  }
}

}  // namespace
}  // namespace assent::ctl
