// What the daemon carries for browsers, and under which conditions a browser gets it.

#include "coordinator/http/console.h"

#include <cstdlib>
#include <filesystem>
#include <set>
#include <string>

#include <gmock/gmock.h>
#include <gtest/gtest.h>

#include "coordinator/http/desk.h"
#include "tests/http/line.h"

namespace assent::http {
namespace {

using ::testing::HasSubstr;
using ::testing::Not;

Answer Ask(Request request) {
  Desk desk({});
  const auto line = std::make_shared<Line>();
  desk.Take(std::move(request), line);
  return line->answers.at(0);
}

Answer Get(const std::string& target) { return Ask({.method = "GET", .target = target}); }

// Also while the daemon starts: nobody has opened this desk.
TEST(Console, IsAtTheRoot) {
  for (const char* const path : {"/", "/console", "/console?x=1"}) {
    const Answer answer = Get(path);
    EXPECT_EQ(answer.code, 302U) << path;
    EXPECT_THAT(answer.header, HasSubstr("Location: /console/\r\n"));
  }
  const Answer page = Get("/console/?gid=a");
  EXPECT_EQ(page.code, 200U);
  EXPECT_EQ(page.type, "text/html; charset=utf-8");
  EXPECT_THAT(page.body, HasSubstr("<!doctype html>"));
}

TEST(Console, ServesEachFileByItsType) {
  ASSERT_FALSE(ConsoleFiles().empty());
  for (const ConsoleFile& file : ConsoleFiles()) {
    const Answer answer = Get("/console/" + std::string(file.name));
    EXPECT_EQ(answer.code, 200U) << file.name;
    EXPECT_EQ(answer.body, file.text);
    const bool script = file.name.ends_with(".js");
    EXPECT_EQ(script, answer.type == "text/javascript; charset=utf-8") << file.name;
    EXPECT_THAT(answer.policy, HasSubstr("script-src 'self'"));
    EXPECT_THAT(answer.policy, HasSubstr("frame-ancestors 'none'"));
    EXPECT_THAT(answer.policy, Not(HasSubstr("unsafe")));
  }
}

TEST(Console, HasAllThatIsInItsFolder) {
  const char* const root = std::getenv("ASSENT_SOURCE_DIR");
  if (root == nullptr) GTEST_SKIP() << "ASSENT_SOURCE_DIR says where the sources are";
  std::set<std::string> there;
  for (const auto& entry :
       std::filesystem::directory_iterator(std::string(root) + "/coordinator/http/console"))
    there.insert(entry.path().filename().string());
  std::set<std::string> served;
  for (const ConsoleFile& file : ConsoleFiles()) served.emplace(file.name);
  EXPECT_EQ(served, there);
}

// A browser keeps the files, and asks each time whether they are still those.
TEST(Console, ANewVersionOfUsIsSeenAtOnce) {
  const ConsoleFile& file = ConsoleFiles().front();
  const std::string target = "/console/" + std::string(file.name);
  const Answer first = Get(target);
  EXPECT_EQ(first.cache, "no-cache");
  const std::string tag = "\"" + std::string(file.hash) + "\"";
  EXPECT_THAT(first.header, HasSubstr("ETag: " + tag + "\r\n"));
  const Answer same = Ask({.method = "GET", .target = target, .if_none_match = "W/" + tag});
  EXPECT_EQ(same.code, 304U);
  EXPECT_EQ(same.body, "");
  const Answer other = Ask({.method = "GET", .target = target, .if_none_match = "\"old\""});
  EXPECT_EQ(other.code, 200U);
}

TEST(Console, IsReadAlone) {
  const Answer posted = Ask({.method = "POST", .target = "/console/"});
  EXPECT_EQ(posted.code, 405U);
  EXPECT_EQ(posted.allow, "GET");
  EXPECT_EQ(Get("/console/../desk.cc").code, 404U);
  EXPECT_EQ(Get("/console/nothing.js").code, 404U);
  EXPECT_EQ(Get("/consoles").code, 404U);
  // Who is turned away elsewhere is turned away here.
  EXPECT_EQ(Ask({.method = "GET", .target = "/console/", .host = "evil.example"}).code, 421U);
}

}  // namespace
}  // namespace assent::http
