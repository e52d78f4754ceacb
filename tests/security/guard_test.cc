#include "coordinator/security/guard.h"

#include <atomic>
#include <string>
#include <thread>
#include <vector>

#include <gtest/gtest.h>

#include "tests/security/signer.h"

namespace assent::security {
namespace {

const std::string kRandom(kTokenSecretBytes + kTokenSaltBytes, '7');

Policy Read(const std::string& rules, const std::string& tokens = "") {
  auto read = Rules::Parse(rules + "\n");
  auto known = Tokens::Parse(tokens + "\n");
  EXPECT_TRUE(read.ok() && known.ok());
  return {.rules = *std::move(read), .tokens = *std::move(known)};
}

std::string NameOf(Guard& guard, const Proof& proof) {
  const auto visitor = guard.Admit(proof, 0);
  EXPECT_TRUE(visitor.ok()) << visitor.status().message();
  return visitor.ok() && visitor->name != nullptr ? *visitor->name : "";
}

TEST(Guard, WithoutRulesNobodyIsAsked) {
  Guard guard;
  const auto visitor = guard.Admit({.authorization = "Bearer nonsense"}, 0);
  ASSERT_TRUE(visitor.ok());
  EXPECT_EQ(visitor->grants, nullptr);
  EXPECT_FALSE(guard.enforces());
  EXPECT_TRUE(CheckCall(*visitor, Permission::kAdminister).ok());
}

TEST(Guard, OfACertificateTheUriCountsThenTheDnsNameThenTheCommonName) {
  Guard guard;
  guard.Enforce(Read(""));
  EXPECT_EQ(
      NameOf(guard, {.uris = {"spiffe://c", "spiffe://d"}, .dns_names = {"b"}, .common_name = "a"}),
      "spiffe://c");
  EXPECT_EQ(NameOf(guard, {.dns_names = {"b", "c"}, .common_name = "a"}), "dns:b");
  EXPECT_EQ(NameOf(guard, {.common_name = "a"}), "cn:a");
  EXPECT_EQ(NameOf(guard, {.unix_uid = "1000"}), "unix:1000");
  EXPECT_EQ(NameOf(guard, {}), "");
}

// A certificate that calls itself what only rules may say is nobody's.
TEST(Guard, NobodyIsAnyoneOrAPattern) {
  Guard guard;
  guard.Enforce(Read("allow cn:* as viewer\nallow spiffe://x/* as admin"));
  const Proof nobodies[] = {{.uris = {"anyone"}},
                            {.uris = {"spiffe://x/*"}},
                            {.dns_names = {""}},
                            {.dns_names = {"*"}},
                            {.dns_names = {"b\n"}, .common_name = "a"},
                            {.common_name = "*"},
                            {.common_name = "a b"},
                            {.common_name = "\xc3\xa4"},
                            {.common_name = "\t"}};
  for (const Proof& proof : nobodies) {
    const auto visitor = guard.Admit(proof, 0);
    ASSERT_TRUE(visitor.ok());
    EXPECT_EQ(visitor->name, nullptr);
    EXPECT_EQ(CheckCall(*visitor, Permission::kLook).code(), Code::kUnauthenticated);
  }
}

// What another coordinator hands on is not its own wish, also if it does not know whose it is.
TEST(Guard, WhomAnotherDoesNotKnowIsNobody) {
  Guard guard;
  guard.Enforce(Read("allow anyone as initiator for shop\nallow spiffe://* as admin"));
  for (const char* name : {"anyone", "spiffe://*", "", "a b"}) {
    const Visitor visitor = guard.Vouched(name);
    EXPECT_EQ(visitor.name, nullptr) << name;
    EXPECT_TRUE(CheckCall(visitor, Permission::kBegin).ok()) << name;
    EXPECT_EQ(CheckCall(visitor, Permission::kLook).code(), Code::kUnauthenticated) << name;
  }
  EXPECT_TRUE(CheckCall(guard.Vouched("spiffe://x"), Permission::kAdminister).ok());
}

// Whoever signs certificates does not give out tokens, nor one kind of name as another.
TEST(Guard, ACertificateIsNoToken) {
  Guard guard;
  guard.Enforce(
      Read("allow token:* as admin\nallow unix as admin\nallow jwt:* as admin\n"
           "allow dns:* as viewer"));
  for (const char* uri :
       {"token:support", "token://support", "unix", "unix:0", "unix://0", "jwt:ann", "jwt://ann",
        "dns://a", "cn://a", "jwt:https://a", "token:b://a", "anyone", "urn:a", "://a"}) {
    EXPECT_EQ(NameOf(guard, {.uris = {uri}}), "") << uri;
    EXPECT_EQ(NameOf(guard, {.uris = {uri}, .common_name = "a"}), "cn:a") << uri;
    EXPECT_EQ(NameOf(guard, {.uris = {uri, "spiffe://b"}}), "spiffe://b") << uri;
    // As another kind of name it has that kind before it, whatever it looks like.
    EXPECT_EQ(NameOf(guard, {.dns_names = {uri}}), std::string("dns:") + uri);
    EXPECT_EQ(NameOf(guard, {.common_name = uri}), std::string("cn:") + uri);
  }
}

TEST(Guard, ATokenGoesBeforeTheCertificate) {
  const auto made = MakeToken("support", "2027-01-31", kRandom);
  Guard guard;
  guard.Enforce(Read("allow token:support as operator\nallow cn:a as admin", made->line));
  const std::string bearer = "Bearer " + made->token;
  EXPECT_EQ(NameOf(guard, {.common_name = "a", .authorization = bearer}), "token:support");
  // One that is none is not made up for.
  const auto bad = guard.Admit({.common_name = "a", .authorization = "Bearer x"}, 0);
  EXPECT_EQ(bad.status().code(), Code::kUnauthenticated);
  const auto basic = guard.Admit({.authorization = "Basic " + made->token}, 0);
  EXPECT_EQ(basic.status().code(), Code::kUnauthenticated);
  const auto late = guard.Admit({.authorization = bearer}, 4'000'000'000'000);
  EXPECT_EQ(late.status().code(), Code::kUnauthenticated);
  EXPECT_NE(late.status().message().find("has expired"), std::string::npos);
  EXPECT_EQ(guard.figures().bad_tokens, 2U);
  EXPECT_EQ(guard.figures().expired, 1U);
}

TEST(Guard, AJwtIsItsSubject) {
  const Signer signer(Algorithm::kEs256);
  const auto of = [&](const char* subject, std::int64_t exp) {
    return "Bearer " +
           signer.Jwt(nlohmann::json{{"iss", "i"}, {"aud", "a"}, {"sub", subject}, {"exp", exp}});
  };
  Guard guard;
  Policy policy = Read("allow jwt:ann as viewer");
  policy.jwts = {*Jwks::Parse(JwksOf({signer.Jwk()})), {"i", "a", {Algorithm::kEs256}}};
  guard.Enforce(policy);
  const std::string good = of("ann", 1000);
  EXPECT_EQ(NameOf(guard, {.common_name = "a", .authorization = good}), "jwt:ann");
  EXPECT_EQ(NameOf(guard, {.authorization = good}), "jwt:ann") << "it is known now";
  // Known or not, it ends.
  const std::int64_t end = 1'000'000 + kMaxJwtClockSkewMs;
  EXPECT_TRUE(guard.Admit({.authorization = good}, end - 1).ok());
  EXPECT_EQ(guard.Admit({.authorization = good}, end).status().ToString(),
            "UNAUTHENTICATED: the JWT is not taken: it has expired");
  EXPECT_EQ(guard.Admit({.authorization = good + "A"}, 0).status().code(), Code::kUnauthenticated);
  EXPECT_EQ(guard.figures().expired, 1U);
  EXPECT_EQ(guard.figures().bad_jwts, 1U);
  // Nobody is a token or an operator because he says so in a JWT.
  EXPECT_EQ(NameOf(guard, {.authorization = of("token:support", 1000)}), "jwt:token:support");
  // Another key, and those of before are none at once, though they were known.
  policy.jwts = {*Jwks::Parse(JwksOf({Signer(Algorithm::kEs256).Jwk()})),
                 {"i", "a", {Algorithm::kEs256}}};
  guard.Enforce(policy);
  EXPECT_FALSE(guard.Admit({.authorization = good}, 0).ok());
  guard.Enforce(Read("allow jwt:ann as viewer"));
  EXPECT_EQ(guard.Admit({.authorization = good}, 0).status().message(),
            "the token is not one of this coordinator's");
}

TEST(Guard, AnAddressWithTooManyFailuresIsBarredAndWhoIsKnownGoesOn) {
  const auto known = MakeToken("known", "", kRandom);
  const auto fresh = MakeToken("fresh", "", std::string(kRandom.size(), '8'));
  Guard guard;
  guard.Enforce(Read("allow token:* as viewer", known->line + "\n" + fresh->line));
  const std::string good = "Bearer " + known->token;
  const std::string better = "Bearer " + fresh->token;
  ASSERT_TRUE(guard.Admit({.authorization = good, .address = "b"}, 1000).ok());
  EXPECT_EQ(guard.TakeFailed().has_value(), false);
  for (std::size_t i = 0; i < kMaxFailuresPerWindowCount; ++i) {
    const auto bad = guard.Admit({.authorization = "Bearer x", .address = "a"}, 1000);
    EXPECT_EQ(bad.status().code(), Code::kUnauthenticated) << i;
  }
  for (const std::string& shown : {std::string("Bearer x"), better}) {
    const auto barred = guard.Admit({.authorization = shown, .address = "a"}, 2000);
    EXPECT_EQ(barred.status().ToString(),
              "RESOURCE_EXHAUSTED: too many credentials from this address were wrong, so that this "
              "one was not looked at: come back in 59 s");
  }
  EXPECT_EQ(guard.BarredForMs("a", 2000), 59'000);
  // From there: whose credential is known, or who shows none. From elsewhere: everybody.
  EXPECT_TRUE(guard.Admit({.authorization = good, .address = "a"}, 2000).ok());
  EXPECT_EQ(NameOf(guard, {.common_name = "ann", .address = "a"}), "cn:ann");
  EXPECT_TRUE(guard.Admit({.authorization = better, .address = "b"}, 2000).ok());
  EXPECT_TRUE(guard.Admit({.authorization = better, .address = "a"}, 2000).ok()) << "known now";
  EXPECT_TRUE(guard.Admit({.authorization = good, .address = "a"}, 1000 + kFailureWindowMs).ok());
  EXPECT_EQ(guard.figures().bad_tokens, kMaxFailuresPerWindowCount) << "none was looked at";
  EXPECT_EQ(guard.figures().barred, 2U);
  const auto failed = guard.TakeFailed();
  ASSERT_TRUE(failed.has_value());
  EXPECT_EQ(failed->count, kMaxFailuresPerWindowCount);
  EXPECT_EQ(failed->address, "a");
  EXPECT_EQ(failed->why, "the token is not one of this coordinator's");
  EXPECT_EQ(guard.TakeFailed().has_value(), false);
}

// A reload locked out whoever shares an address with one who fails, until the minute was over.
TEST(Guard, WhoWasKnownBeforeAReloadIsLookedAtThoughTheAddressIsBarred) {
  const auto known = MakeToken("known", "", kRandom);
  const std::string good = "Bearer " + known->token;
  Guard guard;
  guard.Enforce(Read("allow token:* as viewer", known->line));
  ASSERT_TRUE(guard.Admit({.authorization = good, .address = "a"}, 1000).ok());
  for (std::size_t i = 0; i < kMaxFailuresPerWindowCount; ++i)
    (void)guard.Admit({.authorization = "Bearer x", .address = "a"}, 1000);
  guard.Enforce(Read("allow token:* as operator", known->line));
  EXPECT_TRUE(guard.Admit({.authorization = good, .address = "a"}, 2000).ok());
  // What is no token any more is looked at once, and no more.
  guard.Enforce(Read("allow token:* as operator", ""));
  EXPECT_EQ(guard.Admit({.authorization = good, .address = "a"}, 2000).status().code(),
            Code::kUnauthenticated);
  EXPECT_EQ(guard.Admit({.authorization = good, .address = "a"}, 2000).status().code(),
            Code::kResourceExhausted);
}

// Of several calls that came at once with a credential of before a reload the first was looked at.
TEST(Guard, WhoWasKnownBeforeAReloadMayComeWithSeveralCallsAtOnce) {
  const auto known = MakeToken("known", "", kRandom);
  const std::string good = "Bearer " + known->token;
  Guard guard;
  guard.Enforce(Read("allow token:* as viewer", known->line));
  ASSERT_TRUE(guard.Admit({.authorization = good, .address = "a"}, 1000).ok());
  for (std::size_t i = 0; i < kMaxFailuresPerWindowCount; ++i)
    (void)guard.Admit({.authorization = "Bearer x", .address = "a"}, 1000);
  std::atomic<int> refused = 0;
  std::atomic<bool> over = false;
  std::vector<std::thread> callers;
  for (int i = 0; i < 4; ++i) {
    callers.emplace_back([&] {
      while (!over)
        refused += guard.Admit({.authorization = good, .address = "a"}, 2000).ok() ? 0 : 1;
    });
  }
  for (int i = 0; i < 2000; ++i) guard.Enforce(Read("allow token:* as viewer", known->line));
  over = true;
  for (std::thread& caller : callers) caller.join();
  EXPECT_EQ(refused, 0);
}

// Who has many that are right made others forgotten, who were locked out where somebody failed.
TEST(Guard, WhoWasKnownBeforeThereWereTooManyIsLookedAtThoughTheAddressIsBarred) {
  std::string lines;
  std::vector<std::string> good;
  for (std::size_t i = 0; i <= kMaxVerifiedCredentialsCount; ++i) {
    const auto made = MakeToken("t" + std::to_string(i), "", kRandom);
    lines += made->line + "\n";
    good.push_back("Bearer " + made->token);
  }
  Guard guard;
  guard.Enforce(Read("allow token:* as viewer", lines));
  for (const std::string& one : good)
    ASSERT_TRUE(guard.Admit({.authorization = one, .address = "b"}, 1000).ok());
  for (std::size_t i = 0; i < kMaxFailuresPerWindowCount; ++i)
    (void)guard.Admit({.authorization = "Bearer x", .address = "a"}, 1000);
  EXPECT_TRUE(guard.Admit({.authorization = good.front(), .address = "a"}, 1000).ok());
}

TEST(Guard, SaysWhatIsMissing) {
  Guard guard;
  guard.Enforce(Read("allow cn:a as viewer"));
  const auto known = guard.Admit({.common_name = "a"}, 0);
  EXPECT_TRUE(CheckCall(*known, Permission::kLook).ok());
  EXPECT_EQ(CheckCall(*known, Permission::kOperate).ToString(),
            "PERMISSION_DENIED: cn:a may not act on transactions: it has viewer");
  const auto unknown = guard.Admit({}, 0);
  EXPECT_EQ(CheckCall(*unknown, Permission::kOperate).ToString(),
            "UNAUTHENTICATED: nobody is known to ask, and not everybody may act on transactions: "
            "show a certificate or a token");
}

TEST(Guard, NewRulesAreInForceAtOnceAndOldGrantsStayValid) {
  Guard guard;
  guard.Enforce(Read("allow cn:a as admin"));
  const auto before = guard.Admit({.common_name = "a"}, 0);
  guard.Enforce(Read("allow cn:b as viewer"));
  const auto after = guard.Admit({.common_name = "a"}, 0);
  EXPECT_FALSE(CheckCall(*after, Permission::kLook).ok());
  EXPECT_TRUE(before->grants->May(Permission::kAdminister));
  EXPECT_EQ(before->grants->RuleFor(Permission::kAdminister)->text, "allow cn:a as admin");
}

TEST(Guard, OfAUnixSocketEachUserIsSomebodyAndUnixIsAllOfThem) {
  Guard guard;
  guard.Enforce(Read("allow unix as viewer\nallow unix:0 as admin\nallow unix:100 as operator\n"));
  const auto may = [&](std::string_view uid, Permission permission) {
    return CheckCall(*guard.Admit({.unix_uid = uid}, 0), permission).ok();
  };
  EXPECT_TRUE(may("0", Permission::kAdminister));
  EXPECT_TRUE(may("100", Permission::kOperate));
  EXPECT_TRUE(may("1000", Permission::kLook));
  EXPECT_FALSE(may("1000", Permission::kOperate));
  EXPECT_FALSE(may("1000", Permission::kAdminister));
  EXPECT_FALSE(CheckCall(*guard.Admit({.common_name = "unix"}, 0), Permission::kLook).ok());
  EXPECT_FALSE(CheckCall(*guard.Admit({}, 0), Permission::kLook).ok());
}

TEST(Guard, EnforcesAlsoWhatIsEmpty) {
  Guard guard;
  guard.Enforce(Read(""));
  EXPECT_TRUE(guard.enforces());
  const auto visitor = guard.Admit({.unix_uid = "0"}, 0);
  EXPECT_EQ(CheckCall(*visitor, Permission::kLook).code(), Code::kPermissionDenied);
}

TEST(Guard, RemembersNoMoreThanItMay) {
  Guard guard;
  guard.Enforce(Read("allow cn:* as viewer"));
  for (std::size_t i = 0; i < 2 * kMaxRememberedVisitorsCount + 3; ++i) {
    const auto visitor = guard.Admit({.common_name = std::to_string(i)}, 0);
    ASSERT_TRUE(visitor->grants->May(Permission::kLook));
    ASSERT_LE(guard.remembered_count(), kMaxRememberedVisitorsCount);
  }
}

TEST(Guard, RulesChangeWhileTheyAreUsed) {
  Guard guard;
  guard.Enforce(Read("allow cn:a as viewer"));
  std::atomic<bool> over{false};
  std::vector<std::thread> callers;
  for (int i = 0; i < 2; ++i) {
    callers.emplace_back([&] {
      while (!over) {
        const auto visitor = guard.Admit({.common_name = "a"}, 0);
        ASSERT_TRUE(visitor->grants->May(Permission::kLook));
        ASSERT_EQ(visitor->grants->RuleFor(Permission::kLook)->identity, "cn:a");
      }
    });
  }
  for (int i = 0; i < 200; ++i) guard.Enforce(Read("allow cn:a as viewer\nallow cn:b as admin"));
  over = true;
  for (std::thread& caller : callers) caller.join();
}

}  // namespace
// One who stays is asked about wherever he is, and is nobody's failure.
TEST(Guard, WhoStaysIsLookedAtThoughHisAddressIsBarred) {
  Guard guard;
  Policy policy = Read("allow token:ann as viewer");
  policy.max_failures_count = 1;
  guard.Enforce(policy);
  const std::string token = "Bearer " + MakeToken("ann", "", kRandom)->token;
  for (int i = 0; i < 3; ++i) {
    const auto again = guard.AdmitAgain({.authorization = token, .address = "a"}, 0);
    EXPECT_EQ(again.status().code(), Code::kUnauthenticated);
  }
  EXPECT_EQ(guard.BarredForMs("a", 0), 0);
  EXPECT_FALSE(guard.TakeFailed().has_value());
  EXPECT_FALSE(guard.Admit({.authorization = token, .address = "a"}, 0).ok());
  EXPECT_GT(guard.BarredForMs("a", 0), 0);
  EXPECT_EQ(guard.AdmitAgain({.authorization = token, .address = "a"}, 0).status().code(),
            Code::kUnauthenticated);
}

TEST(Guard, WhatStaysHasNoLessThanWhenItBegan) {
  const Rules rules = *Rules::Parse(
      "allow cn:a as viewer with payloads\nallow cn:b as viewer\nallow cn:c as initiator for *\n"
      "allow cn:d as operator with payloads\n");
  const auto stays = [&](const char* now, const char* then) {
    return CheckStay("x", rules.For(now), rules.For(then)).ok();
  };
  EXPECT_TRUE(stays("cn:a", "cn:a"));
  EXPECT_TRUE(stays("cn:a", "cn:b"));
  EXPECT_TRUE(stays("cn:d", "cn:a"));
  EXPECT_FALSE(stays("cn:b", "cn:a"));
  EXPECT_FALSE(stays("cn:c", "cn:b"));
  EXPECT_FALSE(stays("cn:e", "cn:c"));
}

}  // namespace assent::security
