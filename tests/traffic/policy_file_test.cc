// Files of policies: what they say, and what is wrong with them.

#include "coordinator/traffic/policy_file.h"

#include <string>

#include <gtest/gtest.h>

namespace assent::traffic {
namespace {

Policies Read(const std::string& text) {
  auto read = ReadPolicies(text, "p.toml");
  EXPECT_TRUE(read.ok()) << read.status().message();
  return read.ok() ? *read : Policies{};
}

std::string Wrong(const std::string& text) {
  const auto read = ReadPolicies(text, "p.toml");
  EXPECT_FALSE(read.ok()) << text;
  return read.ok() ? "" : read.status().message();
}

TEST(PolicyFile, AnEmptyOneIsAsUsual) {
  EXPECT_EQ(Read(""), Policies{});
  EXPECT_EQ(Describe(Policy{}), "");
}

TEST(PolicyFile, EveryWord) {
  const Policy all = Read(R"(
select = "hash"
hash-by = "header:customer"
near = ["10.1.", "here"]
weights = ["10.1.0.7:7001=3", "there=0"]
on-not-now = "next"
on-absence = "refuse"
hedge-after-ms = 50
breaker = true
breaker-of-service = true
breaker-failure-percent = 20
breaker-slow-percent = 30
breaker-slow-ms = 400
breaker-window-ms = 5000
breaker-min-calls = 6
breaker-open-ms = 700
breaker-probes = 8
concurrency = 9
adaptive = true
slow-start = 10
rate-per-second = 11
retry-percent = 12
)")
                         .all;
  EXPECT_EQ(Describe(all),
            "select=hash hash-by=header:customer near=2 weights=2 on-not-now=next "
            "on-absence=refuse hedge-after-ms=50 breaker=true breaker-of-service=true "
            "breaker-failure-percent=20 breaker-slow-percent=30 breaker-slow-ms=400 "
            "breaker-window-ms=5000 breaker-min-calls=6 breaker-open-ms=700 breaker-probes=8 "
            "concurrency=9 adaptive=true slow-start=10 rate-per-second=11 retry-percent=12");
  EXPECT_EQ(all.WeightOf("there", "x"), 0U);
  EXPECT_EQ(all.WeightOf("x", "10.1.0.7:7001"), 3U);
  EXPECT_EQ(all.WeightOf("x", "y"), 1U);
  EXPECT_TRUE(all.IsNear("x", "10.1.2.3:4"));
  EXPECT_FALSE(all.IsNear("x", "10.2.2.3:4"));
}

TEST(PolicyFile, ASectionIsAsForAllButForWhatItSays) {
  const Policies policies = Read(R"(
select = "random"
slow-start = 5
["shop/pay.v1"]
slow-start = 9
[stock]
select = "weighted"
)");
  EXPECT_EQ(Describe(policies.Of("anybody")), "select=random slow-start=5");
  EXPECT_EQ(Describe(policies.Of("shop/pay.v1")), "select=random slow-start=9");
  EXPECT_EQ(Describe(policies.Of("stock")), "select=weighted slow-start=5");
}

TEST(PolicyFile, WhatIsWrongIsSaidWithItsLine) {
  EXPECT_EQ(Wrong("\nselect = \"fastest\"")
                .find("p.toml:2: select takes one of \"round-robin\", \"random\", \"weighted\", "
                      "\"least-in-flight\", \"hash\""),
            0U);
  EXPECT_EQ(Wrong("selct = \"random\"")
                .find("p.toml:1: there is no selct for a service; there "
                      "are select, hash-by, "),
            0U);
  EXPECT_EQ(Wrong("breaker-failure-percent = 101"),
            "p.toml:1: breaker-failure-percent takes a whole number from 1 to 100");
  EXPECT_EQ(Wrong("breaker-probes = 1.5"),
            "p.toml:1: breaker-probes takes a whole number from 1 to 1000");
  EXPECT_EQ(Wrong("rate-per-second = \"7\""),
            "p.toml:1: rate-per-second takes a whole number from 0 to 1000000");
  EXPECT_EQ(Wrong("breaker = 1"), "p.toml:1: breaker takes true or false");
  EXPECT_EQ(Wrong("near = \"10.\""), "p.toml:1: near takes a list of texts: [\"…\"]");
  EXPECT_EQ(Wrong("near = [\"\"]"),
            "p.toml:1: near takes beginnings of addresses or instances, and one is empty");
  EXPECT_EQ(Wrong("select = [\"random\"]"), "p.toml:1: select takes no list");
  EXPECT_EQ(Wrong("hash-by = \"header:\""),
            "p.toml:1: hash-by takes \"gid\", or \"header:NAME\" of a header of the branch");
  for (const char* bad : {"a", "=1", "a=", "a=-1", "a=1.5", "a=1001", "a=1x"}) {
    EXPECT_NE(Wrong(std::string("weights = [\"") + bad + "\"]").find("weights takes a list of"),
              std::string::npos)
        << bad;
  }
  EXPECT_NE(Wrong("[\"a b\"]\nselect = \"random\"").find("p.toml:1: section"), std::string::npos);
  EXPECT_NE(Wrong("select = random").find("A text stands in quotes"), std::string::npos);
}

TEST(PolicyFile, HasBounds) {
  EXPECT_NE(Wrong(std::string(kMaxPolicyFileBytes + 1, '#')).find("bytes"), std::string::npos);
  std::string many;
  for (std::size_t i = 0; i <= kMaxPoliciesCount; ++i)
    many += "[s" + std::to_string(i) + "]\nslow-start = 1\n";
  EXPECT_NE(Wrong(many).find("more than 1000 services"), std::string::npos);
}

}  // namespace
}  // namespace assent::traffic
