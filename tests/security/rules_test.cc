#include "coordinator/security/rules.h"

#include <string>

#include <gtest/gtest.h>

#include <assent/limits.h>

namespace assent::security {
namespace {

Rule One(const std::string& line) {
  const auto rules = Rules::Parse(line + "\n");
  EXPECT_TRUE(rules.ok()) << line << ": " << rules.status().message();
  EXPECT_EQ(rules->all().size(), 1U);
  return rules.ok() ? rules->all().front() : Rule{};
}

std::string Fault(const std::string& text) {
  const auto rules = Rules::Parse(text);
  EXPECT_FALSE(rules.ok()) << text;
  return rules.ok() ? "" : rules.status().message();
}

TEST(Rules, ASentenceSaysAllOfIt) {
  const Rule rule =
      One("  allow spiffe://shop/checkout as initiator for payment, stock (reserve, release)"
          " with gids order-  # the web shop");
  EXPECT_EQ(rule.line, 1);
  EXPECT_EQ(rule.identity, "spiffe://shop/checkout");
  EXPECT_EQ(rule.role, Role::kInitiator);
  EXPECT_EQ(rule.gid_prefix, "order-");
  ASSERT_EQ(rule.scopes.size(), 2U);
  EXPECT_EQ(rule.scopes[0].service, "payment");
  EXPECT_TRUE(rule.scopes[0].actions.empty());
  EXPECT_EQ(rule.scopes[1].service, "stock");
  EXPECT_EQ(rule.scopes[1].actions, (std::vector<std::string>{"reserve", "release"}));
  EXPECT_TRUE(One("allow token:a as operator with payloads").payloads);
  EXPECT_EQ(One("allow dns:x as participant for *").scopes[0].service, "*");
  EXPECT_TRUE(One("allow dns:x as initiator for stock (*)").scopes[0].actions.empty());
}

TEST(Rules, LinesWithoutARuleAreNone) {
  const auto rules = Rules::Parse("\n# nothing\n   \t\r\nallow unix as admin\r\n");
  ASSERT_TRUE(rules.ok());
  ASSERT_EQ(rules->all().size(), 1U);
  EXPECT_EQ(rules->all().front().line, 4);
}

TEST(Rules, WhatIsWrongIsSaidWithItsLine) {
  const std::pair<const char*, const char*> faults[] = {
      {"permit unix as admin", "\"permit\" stands where there should be: allow IDENTITY as ROLE"},
      {"allow", "\"\" is no identity"},
      {"allow ann as admin", "\"ann\" is no identity"},
      {"allow token: as admin", "\"token:\" is no identity"},
      {"allow unix: as admin", "`id -u`"},
      {"allow unix:ann as admin", "`id -u`"},
      {"allow unix:01 as admin", "`id -u`"},
      {"allow unix:4294967295 as admin", "`id -u`"},
      {"allow unix:4294967296 as admin", "`id -u`"},
      {"allow unix://0 as admin", "`id -u`"},
      {"allow unix:1* as admin", "`id -u`"},
      {"allow token:Support as admin", "[a-z0-9.-]"},
      {"limit token:dash_board* to 5 calls", "[a-z0-9.-]"},
      {"allow cn:a*b as admin", "the * is not at the end"},
      {"allow unix admin", "\"admin\" stands where there should be: as ROLE"},
      {"allow unix as root", "\"root\" is no role"},
      {"allow unix as", "\"\" is no role"},
      {"allow unix as initiator", "for which services?"},
      {"allow unix as participant", "for which services?"},
      {"allow unix as participant for a b", "\"b\" stands where there should be"},
      {"allow unix as participant for a (b)", "a participant has a whole service"},
      {"allow unix as participant for a,", "the line's end is no name of a service"},
      {"allow unix as participant for a$", "\"a$\" is no name of a service"},
      {"allow unix as initiator for a (b", "the line's end stands where there should be: , or )"},
      {"allow unix as initiator for a ()", "\")\" is no name of an action"},
      {"allow unix as viewer for a", "\"for\" is of initiators and participants"},
      {"allow unix as viewer with gids a", "\"with gids\" is of initiators"},
      {"allow unix as initiator for a with payloads", "\"with payloads\" is of viewers"},
      {"allow unix as initiator for a with gids x- with gids y-", "stands there twice"},
      {"allow unix as initiator for a with gids", "\"\" is no beginning of a gid"},
      {"allow unix as initiator for a with love", "\"love\" stands where there should be: gids"},
      {"allow unix as coordinator with payloads", "\"with payloads\" is of viewers"},
  };
  for (const auto& [line, words] : faults) {
    const std::string said = Fault(std::string("# first\n") + line);
    EXPECT_TRUE(said.starts_with("line 2: ")) << said;
    EXPECT_NE(said.find(words), std::string::npos) << line << ": " << said;
  }
}

// A file that is being written, or was cut by a full disk, and is read again then.
TEST(Rules, WhatIsCutIsRefusedOrAllowsLess) {
  const std::string whole =
      "# the shop\n"
      "allow cn:x as initiator for pay (charge, refund) with gids order-\n"
      "allow cn:y as viewer\n";
  for (std::size_t size = 0; size < whole.size(); ++size) {
    const auto cut = Rules::Parse(whole.substr(0, size));
    const bool ends = size == 0 || whole[size - 1] == '\n';
    EXPECT_EQ(cut.ok(), ends) << whole.substr(0, size);
    if (!cut.ok()) continue;
    EXPECT_FALSE(cut->For("cn:x").MayBegin("other-1", "pay", "charge"));
    EXPECT_FALSE(cut->For("cn:x").MayBegin("order-1", "pay", "steal"));
  }
  EXPECT_EQ(Fault("allow unix as admin\nallow cn:x as initiator for pay"),
            "line 2: the last line does not end, so that it may have been cut, and allow more than "
            "was written: end it with a newline");
}

TEST(Rules, HaveLimits) {
  EXPECT_NE(Fault(std::string(kMaxRulesBytes + 1, '#')).find("the limit is"), std::string::npos);
  std::string many;
  for (std::size_t i = 0; i <= kMaxRulesCount; ++i) many += "allow unix as admin\n";
  EXPECT_NE(Fault(many).find("more than 10000 rules"), std::string::npos);
  std::string wide = "allow unix as initiator for s0";
  for (std::size_t i = 1; i < kMaxScopesPerRuleCount; ++i) wide += ",s" + std::to_string(i);
  EXPECT_TRUE(Rules::Parse(wide + "\n").ok());
  EXPECT_NE(Fault(wide + ",more").find("more than 256 services"), std::string::npos);
  const std::string longest = "cn:" + std::string(limits::kMaxIdentityBytes - 3, 'a');
  EXPECT_TRUE(CheckIdentity(longest).ok());
  EXPECT_FALSE(CheckIdentity(longest + "a").ok());
}

TEST(Rules, AreOfWhomTheyName) {
  const auto rules = Rules::Parse(
      "allow spiffe://shop/assent/* as coordinator\n"
      "allow cn:ann as admin\n"
      "allow anyone as viewer\n");
  ASSERT_TRUE(rules.ok());
  EXPECT_EQ(rules->For("spiffe://shop/assent/1").Roles(), "viewer, coordinator");
  EXPECT_EQ(rules->For("spiffe://shop/assent").Roles(), "viewer");
  EXPECT_EQ(rules->For("cn:ann").Roles(), "viewer, admin");
  EXPECT_EQ(rules->For("cn:anne").Roles(), "viewer");
  EXPECT_EQ(rules->For("").Roles(), "viewer");
  const auto strict = Rules::Parse("allow cn:ann as admin\n");
  EXPECT_TRUE(strict->For("").empty());
  EXPECT_TRUE(strict->For("cn:bob").empty());
}

}  // namespace
}  // namespace assent::security
