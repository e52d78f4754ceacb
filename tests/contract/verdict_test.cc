// What a verdict is made of: a rule that looked at nothing has not been kept.
#include "tests/contract/verdict.h"

#include <string>

#include <gtest/gtest.h>
#include <nlohmann/json.hpp>

#include "tests/contract/limits.h"
#include "tests/contract/peer.h"

namespace assent::contract {
namespace {

Verdict Of(const Findings& findings) { return VerdictOf("rule", "A sentence.", findings, 0); }

TEST(Verdict, ARuleThatLookedAtNothingIsBroken) {
  EXPECT_EQ(Of(Findings()).kind, Verdict::Kind::kBroken);
}

TEST(Verdict, WhatDoesNotApplySaysWhy) {
  Findings findings;
  findings.Expect(true, "", "");
  findings.DoesNotApply("it has no session");
  EXPECT_EQ(Of(findings).kind, Verdict::Kind::kDoesNotApply);
  EXPECT_EQ(Of(findings).why_not, "it has no session");
  findings.Expect(false, "a", "b");  // but a fault is one
  EXPECT_EQ(Of(findings).kind, Verdict::Kind::kBroken);
}

TEST(Verdict, FaultsBeyondTheLimitAreCounted) {
  Findings findings;
  findings.About("tcc");
  for (std::size_t i = 0; i < kMaxFaultsPerRuleCount + 3; ++i) findings.Expect(false, "a", "b");
  const Verdict verdict = Of(findings);
  EXPECT_EQ(verdict.faults.size(), kMaxFaultsPerRuleCount);
  EXPECT_EQ(verdict.more_faults, 3U);
  EXPECT_EQ(verdict.faults.front().expected, "tcc: a");
  const auto json = nlohmann::json::parse(AsJson("participant", {verdict}));
  EXPECT_EQ(json["broken"], 1);
  EXPECT_EQ(json["rules"][0]["faults"].size(), kMaxFaultsPerRuleCount);
  EXPECT_EQ(json["rules"][0]["more_faults"], 3);
  EXPECT_NE(AsText(verdict).find("and 3 more"), std::string::npos);
}

TEST(Verdict, BytesAreShownAndCut) {
  EXPECT_EQ(Printable("a\xff\n"), "a\\xff\\x0a");
  EXPECT_EQ(Printable(std::string(kMaxShownTextBytes + 1, 'x')),
            std::string(kMaxShownTextBytes, 'x') + "…");
}

TEST(ReplyFaults, NamesAndNumbersAreEchoed) {
  v1::BranchCommand command;
  command.set_gid("g");
  command.set_branch_id("1");
  command.set_operation(v1::TRY);
  command.set_command_id(7);
  v1::BranchReply reply;
  reply.set_gid("g");
  reply.set_branch_id("1");
  reply.set_operation(v1::TRY);
  reply.set_command_id(7);
  reply.set_kind(v1::BranchReply::DONE);
  EXPECT_TRUE(ReplyFaults(command, reply).empty());
  reply.set_command_id(8);
  EXPECT_EQ(ReplyFaults(command, reply).size(), 1U);
  reply.set_branch_id("2");
  EXPECT_EQ(ReplyFaults(command, reply).size(), 2U);
  reply.set_kind(v1::BranchReply::DONE_READ_ONLY);
  EXPECT_EQ(ReplyFaults(command, reply).size(), 3U);
  reply.set_result(std::string(256 * 1024 + 1, 'r'));
  EXPECT_EQ(ReplyFaults(command, reply).size(), 4U);
}

}  // namespace
}  // namespace assent::contract
