#include "coordinator/security/jwt.h"

#include <string>
#include <utility>
#include <vector>

#include <gtest/gtest.h>
#include <openssl/evp.h>
#include <openssl/hmac.h>

#include "tests/security/signer.h"

namespace assent::security {
namespace {

using nlohmann::json;

// 2027-02-01T00:00:00Z.
constexpr std::int64_t kNowSeconds = 1'801'440'000;
constexpr std::int64_t kNow = kNowSeconds * 1000;
constexpr std::int64_t kSkewSeconds = kMaxJwtClockSkewMs / 1000;

const Signer& Rsa() {
  static const Signer signer(Algorithm::kRs256);
  return signer;
}
const Signer& Ec() {
  static const Signer signer(Algorithm::kEs256);
  return signer;
}

json Claims() {
  return {{"iss", "https://issuer"},
          {"aud", "assent"},
          {"sub", "ann"},
          {"exp", kNowSeconds + 600},
          {"iat", kNowSeconds}};
}

JwtVerifier Taking(const std::string& jwks, const std::string& algorithms = "RS256,ES256") {
  auto keys = Jwks::Parse(jwks);
  EXPECT_TRUE(keys.ok()) << keys.status().message();
  return {*std::move(keys), {"https://issuer", "assent", *ReadAlgorithms(algorithms)}};
}
JwtVerifier Both() { return Taking(JwksOf({Rsa().Jwk("rsa"), Ec().Jwk("ec")})); }

// Another issuer of the same key and claims gets nothing of it but the fault.
void ExpectFault(const JwtVerifier& verifier, const std::string& token, JwtFault fault,
                 std::int64_t now = kNow) {
  const JwtFound found = verifier.Verify(token, now);
  EXPECT_EQ(Name(found.fault), Name(fault)) << token;
  if (fault != JwtFault::kNone) {
    EXPECT_EQ(found.subject, "") << token;
  }
}

TEST(Jwt, OfEachAlgorithmThatIsTakenAndOfNoOther) {
  for (const Algorithm algorithm : kAlgorithms) {
    const std::string name(Name(algorithm));
    const Signer signer(algorithm);
    const std::string jwks = JwksOf({signer.Jwk("a")});
    const std::string token = signer.Jwt(Claims(), "a");
    const JwtFound found = Taking(jwks, name).Verify(token, kNow);
    EXPECT_EQ(found.fault, JwtFault::kNone) << name;
    EXPECT_EQ(found.subject, "ann") << name;
    EXPECT_EQ(found.until_unix_ms, kNow + 600'000 + kMaxJwtClockSkewMs);
    for (const Algorithm other : kAlgorithms) {
      if (other == algorithm) continue;
      ExpectFault(Taking(jwks, std::string(Name(other))), token, JwtFault::kAlgorithm);
      // Told apart by what is signed too: the same signature, said to be another algorithm's.
      const json header = {{"alg", Name(other)}, {"kid", "a"}};
      const auto both = Taking(jwks, name + "," + std::string(Name(other)));
      const JwtFault fault =
          KindFor(other) == KindFor(algorithm) ? JwtFault::kSignature : JwtFault::kKey;
      ExpectFault(both, signer.Jwt(header.dump(), Claims().dump()), fault);
    }
  }
}

TEST(Jwt, NoneIsNoAlgorithm) {
  const auto verifier = Both();
  for (const char* const alg : {"none", "None", "NONE", "nOnE", ""}) {
    const std::string text =
        ToBase64Url(json{{"alg", alg}, {"kid", "rsa"}}.dump()) + "." + ToBase64Url(Claims().dump());
    ExpectFault(verifier, text + ".", JwtFault::kAlgorithm);
    ExpectFault(verifier, text + "." + ToBase64Url(Rsa().Sign(text)), JwtFault::kAlgorithm);
    ExpectFault(verifier, text, JwtFault::kMalformed);
  }
  // Without a signature one of a good algorithm is nothing either.
  const std::string good = Rsa().Jwt(Claims(), "rsa");
  ExpectFault(verifier, good.substr(0, good.rfind('.') + 1), JwtFault::kSignature);
  EXPECT_FALSE(ReadAlgorithms("RS256,none").ok());
}

// The public key is known to all: it was the secret of who verified it as one.
TEST(Jwt, APublicKeyIsNoSecret) {
  const auto verifier = Both();
  const std::pair<const char*, const EVP_MD*> macs[] = {
      {"HS256", EVP_sha256()}, {"HS384", EVP_sha384()}, {"HS512", EVP_sha512()}};
  for (const auto& [alg, digest] : macs) {
    const std::string text =
        ToBase64Url(json{{"alg", alg}, {"kid", "rsa"}}.dump()) + "." + ToBase64Url(Claims().dump());
    for (const std::string& secret : {Rsa().PublicPem(), Rsa().Jwk()["n"].get<std::string>()}) {
      std::string mac(EVP_MAX_MD_SIZE, '\0');
      unsigned size = 0;
      HMAC(digest, secret.data(), static_cast<int>(secret.size()),
           reinterpret_cast<const unsigned char*>(text.data()), text.size(),
           reinterpret_cast<unsigned char*>(mac.data()), &size);
      ExpectFault(verifier, text + "." + ToBase64Url(mac.substr(0, size)), JwtFault::kAlgorithm);
    }
    EXPECT_FALSE(ReadAlgorithms(alg).ok());
  }
}

TEST(Jwt, TheKidPicksTheKey) {
  const Signer other(Algorithm::kRs256);
  const auto verifier = Both();
  ExpectFault(verifier, Rsa().Jwt(Claims(), "rsa"), JwtFault::kNone);
  ExpectFault(verifier, Ec().Jwt(Claims(), "ec"), JwtFault::kNone);
  ExpectFault(verifier, other.Jwt(Claims(), "rsa"), JwtFault::kSignature);
  ExpectFault(verifier, Rsa().Jwt(Claims(), "unknown"), JwtFault::kKey);
  ExpectFault(verifier, Rsa().Jwt(Claims(), "ec"), JwtFault::kKey);  // of another kind
  ExpectFault(verifier, Rsa().Jwt(std::string(R"({"alg":"RS256","kid":7})"), Claims().dump()),
              JwtFault::kKey);
  // Without one: the only one that fits, and with two of them nobody knows which.
  ExpectFault(verifier, Rsa().Jwt(Claims()), JwtFault::kNone);
  const auto two = Taking(JwksOf({Rsa().Jwk("rsa"), other.Jwk("other")}));
  ExpectFault(two, Rsa().Jwt(Claims()), JwtFault::kKey);
  ExpectFault(two, other.Jwt(Claims(), "other"), JwtFault::kNone);
  // A key without a kid is not the one that a kid means.
  ExpectFault(Taking(JwksOf({Rsa().Jwk()})), Rsa().Jwt(Claims(), "rsa"), JwtFault::kKey);
}

TEST(Jwt, AKeyIsForWhatItSays) {
  json jwk = Rsa().Jwk("a");
  jwk["alg"] = "PS256";
  ExpectFault(Taking(JwksOf({jwk}), "RS256,PS256"), Rsa().Jwt(Claims(), "a"), JwtFault::kKey);
  jwk["alg"] = "RS256";
  ExpectFault(Taking(JwksOf({jwk}), "RS256,PS256"), Rsa().Jwt(Claims(), "a"), JwtFault::kNone);
  jwk["use"] = "enc";
  ExpectFault(Taking(JwksOf({jwk, Ec().Jwk("b")})), Rsa().Jwt(Claims(), "a"), JwtFault::kKey);
  jwk["use"] = "sig";
  jwk["key_ops"] = {"verify"};
  ExpectFault(Taking(JwksOf({jwk})), Rsa().Jwt(Claims(), "a"), JwtFault::kNone);
  jwk["key_ops"] = {"encrypt"};
  ExpectFault(Taking(JwksOf({jwk, Ec().Jwk("b")})), Rsa().Jwt(Claims(), "a"), JwtFault::kKey);
}

TEST(Jwt, WhoseItIsAndForWhom) {
  const auto verifier = Both();
  const auto with = [](const char* name, const json& value) {
    json claims = Claims();
    claims[name] = value;
    return Ec().Jwt(claims, "ec");
  };
  ExpectFault(verifier, with("iss", "https://other"), JwtFault::kIssuer);
  ExpectFault(verifier, with("iss", "https://issuer/"), JwtFault::kIssuer);
  ExpectFault(verifier, with("iss", ""), JwtFault::kIssuer);
  ExpectFault(verifier, with("iss", {"https://issuer"}), JwtFault::kClaims);
  ExpectFault(verifier, with("aud", "assents"), JwtFault::kAudience);
  ExpectFault(verifier, with("aud", ""), JwtFault::kAudience);
  ExpectFault(verifier, with("aud", json::array()), JwtFault::kAudience);
  ExpectFault(verifier, with("aud", {"other", 7}), JwtFault::kAudience);
  ExpectFault(verifier, with("aud", {{"assent", true}}), JwtFault::kAudience);
  ExpectFault(verifier, with("aud", {"other", "assent"}), JwtFault::kNone);
  json many = json::array();
  for (std::size_t i = 1; i < kMaxJwtAudiencesCount; ++i) many.push_back("other");
  many.push_back("assent");
  ExpectFault(verifier, with("aud", many), JwtFault::kNone);
  many.push_back("other");
  ExpectFault(verifier, with("aud", many), JwtFault::kAudience);
  for (const char* const subject : {"", "a b", "a*", "*", "\xc3\xa4", "a\n", "a\x7f"})
    ExpectFault(verifier, with("sub", subject), JwtFault::kClaims);
  ExpectFault(verifier, with("sub", 7), JwtFault::kClaims);
  ExpectFault(verifier, with("sub", std::string(252, 'a')), JwtFault::kNone);
  ExpectFault(verifier, with("sub", std::string(253, 'a')), JwtFault::kClaims);
  for (const char* const needed : {"exp", "iss", "aud", "sub"}) {
    json claims = Claims();
    claims.erase(needed);
    ExpectFault(verifier, Ec().Jwt(claims, "ec"), JwtFault::kClaims);
    claims[needed] = nullptr;
    ExpectFault(verifier, Ec().Jwt(claims, "ec"),
                std::string(needed) == "aud" ? JwtFault::kAudience : JwtFault::kClaims);
  }
}

TEST(Jwt, TheEdgesOfItsTime) {
  const auto verifier = Both();
  const auto at = [](const json& exp, const json& nbf = nullptr, const json& iat = nullptr) {
    json claims = {{"iss", "https://issuer"}, {"aud", "assent"}, {"sub", "ann"}, {"exp", exp}};
    if (!nbf.is_null()) claims["nbf"] = nbf;
    if (!iat.is_null()) claims["iat"] = iat;
    return Ec().Jwt(claims, "ec");
  };
  const std::string ends_now = at(kNowSeconds);
  ExpectFault(verifier, ends_now, JwtFault::kNone);  // so far clocks may be apart
  ExpectFault(verifier, ends_now, JwtFault::kNone, kNow + kMaxJwtClockSkewMs - 1);
  ExpectFault(verifier, ends_now, JwtFault::kExpired, kNow + kMaxJwtClockSkewMs);
  ExpectFault(verifier, at(kNowSeconds - kSkewSeconds), JwtFault::kExpired);
  ExpectFault(verifier, at(0), JwtFault::kExpired);
  const std::string begins_now = at(kNowSeconds + 600, kNowSeconds);
  ExpectFault(verifier, begins_now, JwtFault::kNone, kNow - kMaxJwtClockSkewMs);
  ExpectFault(verifier, begins_now, JwtFault::kNotYet, kNow - kMaxJwtClockSkewMs - 1);
  const std::string made_now = at(kNowSeconds + 600, nullptr, kNowSeconds);
  ExpectFault(verifier, made_now, JwtFault::kNone, kNow - kMaxJwtClockSkewMs);
  ExpectFault(verifier, made_now, JwtFault::kNotYet, kNow - kMaxJwtClockSkewMs - 1);
  // The later of the two.
  ExpectFault(verifier, at(kNowSeconds + 600, kNowSeconds + 100, kNowSeconds), JwtFault::kNotYet);
  // With a fraction, and what is no time.
  const std::string half = at(static_cast<double>(kNowSeconds) + 0.5);
  ExpectFault(verifier, half, JwtFault::kNone, kNow + kMaxJwtClockSkewMs + 499);
  ExpectFault(verifier, half, JwtFault::kExpired, kNow + kMaxJwtClockSkewMs + 500);
  for (const json& none :
       {json("2030"), json(true), json(-1), json(1e30), json(1e300), json({1})}) {
    ExpectFault(verifier, at(none), JwtFault::kClaims);
    ExpectFault(verifier, at(kNowSeconds + 600, none), JwtFault::kClaims);
    ExpectFault(verifier, at(kNowSeconds + 600, nullptr, none), JwtFault::kClaims);
  }
}

TEST(Jwt, WhatHasToBeUnderstoodIsNot) {
  const auto verifier = Both();
  const auto header = [](json more) {
    more["alg"] = "ES256";
    more["kid"] = "ec";
    return Ec().Jwt(more.dump(), Claims().dump());
  };
  ExpectFault(verifier, header({{"crit", {"exp"}}}), JwtFault::kNotForUs);
  ExpectFault(verifier, header({{"crit", json::array()}}), JwtFault::kNotForUs);
  ExpectFault(verifier, header({{"crit", {"b64"}}, {"b64", false}}), JwtFault::kNotForUs);
  ExpectFault(verifier, header({{"typ", "logout+jwt"}}), JwtFault::kNotForUs);
  ExpectFault(verifier, header({{"typ", 7}}), JwtFault::kNotForUs);
  for (const char* const type : {"JWT", "jwt", "at+jwt", "application/at+jwt"})
    ExpectFault(verifier, header({{"typ", type}}), JwtFault::kNone);
  // Keys that it brings itself are nobody's.
  const Signer thief(Algorithm::kEs256);
  const json own = {
      {"alg", "ES256"}, {"kid", "ec"}, {"jwk", thief.Jwk("ec")}, {"jku", "https://thief/keys"}};
  ExpectFault(verifier, thief.Jwt(own.dump(), Claims().dump()), JwtFault::kSignature);
}

TEST(Jwt, CutChangedHugeOrWrittenOtherwise) {
  const auto verifier = Both();
  const std::string good = Ec().Jwt(Claims(), "ec");
  ASSERT_EQ(verifier.Verify(good, kNow).fault, JwtFault::kNone);
  for (std::size_t i = 0; i < good.size(); ++i) {
    EXPECT_NE(verifier.Verify(good.substr(0, i), kNow).fault, JwtFault::kNone) << i;
    std::string changed = good;
    changed[i] = changed[i] == 'A' ? 'B' : 'A';
    EXPECT_NE(verifier.Verify(changed, kNow).fault, JwtFault::kNone) << i;
    changed = good;
    changed[i] = '=';
    EXPECT_NE(verifier.Verify(changed, kNow).fault, JwtFault::kNone) << i;
  }
  for (const char* const more : {"=", "A", ".", " ", "\n", ".A", "AA", "AAAA"})
    EXPECT_NE(verifier.Verify(good + more, kNow).fault, JwtFault::kNone) << more;
  for (const char* const none : {"", ".", "..", "...", "a.b.c", "e30.e30.", "bnVsbA.e30.AA"})
    EXPECT_NE(verifier.Verify(none, kNow).fault, JwtFault::kNone) << none;
  json large = Claims();
  large["more"] = "";
  const std::size_t room = kMaxJwtBytes - Ec().Jwt(large, "ec").size();
  large["more"] = std::string(room * 3 / 4 - 4, 'a');
  ExpectFault(verifier, Ec().Jwt(large, "ec"), JwtFault::kNone);
  large["more"] = std::string(room, 'a');
  ExpectFault(verifier, Ec().Jwt(large, "ec"), JwtFault::kMalformed);
  ExpectFault(verifier, std::string(1 << 22, 'a') + ".e30.AA", JwtFault::kMalformed);
}

// A second exp is what some readers see, and the first what others do.
TEST(Jwt, ANameThatStandsTwiceIsNeither) {
  const auto verifier = Both();
  const std::string header = R"({"alg":"ES256","kid":"ec"})";
  const std::string claims = Claims().dump();
  const auto doubled = [](const std::string& object, const std::string& more) {
    return object.substr(0, object.size() - 1) + "," + more + "}";
  };
  ExpectFault(verifier, Ec().Jwt(header, doubled(claims, R"("sub":"root")")), JwtFault::kMalformed);
  ExpectFault(verifier, Ec().Jwt(header, doubled(claims, R"("\u0073ub":"root")")),
              JwtFault::kMalformed);
  ExpectFault(verifier, Ec().Jwt(header, doubled(claims, R"("a":[{"b":1,"b":2}])")),
              JwtFault::kMalformed);
  ExpectFault(verifier, Ec().Jwt(header, doubled(claims, R"("a":{"sub":1})")), JwtFault::kNone);
  ExpectFault(verifier, Ec().Jwt(doubled(header, R"("alg":"ES256")"), claims),
              JwtFault::kMalformed);
  std::string deep = "1";
  for (int i = 0; i < 100; ++i) deep = "[" + deep + "]";
  ExpectFault(verifier, Ec().Jwt(header, doubled(claims, "\"a\":" + deep)), JwtFault::kMalformed);
  ExpectFault(verifier, Ec().Jwt(header, "[" + claims + "]"), JwtFault::kMalformed);
  ExpectFault(verifier, Ec().Jwt(header, claims + claims), JwtFault::kMalformed);
  ExpectFault(verifier, Ec().Jwt(header, doubled(claims, "\"a\":\"\xff\"")), JwtFault::kMalformed);
}

// r and s in full length, and not as DER, with which there would be several of each signature.
TEST(Jwt, ASignatureOfACurveIsTwoNumbers) {
  const auto verifier = Both();
  const std::string good = Ec().Jwt(Claims(), "ec");
  const std::string text = good.substr(0, good.rfind('.'));
  for (const std::string& none :
       {std::string(64, '\0'), std::string(64, '\xff'), std::string(63, 'a'), std::string(65, 'a'),
        std::string(70, '0'), std::string(1, 'a')})
    ExpectFault(verifier, text + "." + ToBase64Url(none), JwtFault::kSignature);
}

TEST(Jwt, WithoutKeysNoneIsGood) {
  const JwtVerifier none;
  EXPECT_TRUE(none.empty());
  ExpectFault(none, Rsa().Jwt(Claims(), "rsa"), JwtFault::kAlgorithm);
}

}  // namespace
}  // namespace assent::security
