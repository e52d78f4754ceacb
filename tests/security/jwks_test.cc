#include "coordinator/security/jwks.h"

#include <string>
#include <utility>

#include <gtest/gtest.h>

#include "coordinator/security/jose.h"
#include "tests/security/signer.h"

namespace assent::security {
namespace {

using nlohmann::json;

std::string FaultIn(const std::string& text) {
  const auto read = Jwks::Parse(text);
  return read.ok() ? "" : read.status().message();
}

TEST(Jwks, KeysOfEachKind) {
  for (const Algorithm algorithm : kAlgorithms) {
    const auto read = Jwks::Parse(JwksOf({Signer(algorithm).Jwk("a")}));
    ASSERT_TRUE(read.ok()) << read.status().message();
    ASSERT_EQ(read->keys().size(), 1U);
    EXPECT_EQ(read->keys()[0].id, "a");
    EXPECT_NE(read->Find("a", algorithm), nullptr);
    EXPECT_EQ(read->Find("b", algorithm), nullptr);
  }
}

// The library takes a NUL for the end, and passes over a mark of byte order.
TEST(Jose, AnObjectIsAllOfItsText) {
  const std::string whole = R"({"a": 1})";
  EXPECT_TRUE(ReadObject(whole));
  EXPECT_TRUE(ReadObject(" " + whole + "\n"));
  using namespace std::string_literals;
  for (const std::string& text : {whole + "\0"s, whole + "\0more"s, "\0"s + whole,
                                  "\xEF\xBB\xBF" + whole, whole + "x", whole + whole})
    EXPECT_FALSE(ReadObject(text)) << text;
}

// What an issuer publishes beside them.
TEST(Jwks, WhatIsNotForSignaturesIsLeftOut) {
  const Signer signer(Algorithm::kEs256);
  json encryption = signer.Jwk("enc");
  encryption["use"] = "enc";
  json other = signer.Jwk("other");
  other["alg"] = "ECDH-ES";
  const json unknown = {{"kty", "AKP"}, {"alg", "ML-DSA-44"}, {"pub", "AA"}};
  const json curve = {{"kty", "EC"}, {"crv", "secp256k1"}, {"x", "AA"}, {"y", "AA"}};
  const auto read = Jwks::Parse(JwksOf({encryption, other, unknown, curve, signer.Jwk("a")}));
  ASSERT_TRUE(read.ok()) << read.status().message();
  ASSERT_EQ(read->keys().size(), 1U);
  EXPECT_EQ(read->keys()[0].id, "a");
  EXPECT_NE(FaultIn(JwksOf({encryption, unknown})).find("no key in it that verifies"),
            std::string::npos);
}

TEST(Jwks, WhatIsWrongIsSaidWithItsKey) {
  const json rsa = Signer(Algorithm::kRs256).Jwk("rsa");
  const json ec = Signer(Algorithm::kEs256).Jwk("ec");
  const json ed = Signer(Algorithm::kEdDsa).Jwk("ed");
  const auto with = [](json key, const char* name, const json& value) {
    key[name] = value;
    return key;
  };
  const std::string n = *FromBase64Url(rsa["n"].get<std::string>());
  const std::string x = *FromBase64Url(ec["x"].get<std::string>());
  std::string off_curve = x;
  off_curve.back() = static_cast<char>(off_curve.back() ^ 1);
  std::string even = n;
  even.back() = static_cast<char>(even.back() & ~1);
  const std::pair<json, const char*> faults[] = {
      {Signer(Algorithm::kRs256, 1024).Jwk("a"), "it has 1024 bits: it takes 2048 to 8192"},
      {with(rsa, "n", ToBase64Url(n.substr(1))), "bits: it takes"},
      {with(rsa, "n", ToBase64Url(std::string(1025, '\xff'))), "it has 8200 bits"},
      {with(rsa, "n", ToBase64Url(even)), "its n or e is none"},
      {with(rsa, "n", "a+b="), "not in base64url"},
      {with(rsa, "n", 7), "not in base64url"},
      {with(rsa, "e", "AQ"), "its n or e is none"},
      {with(rsa, "e", "Ag"), "its n or e is none"},
      {with(rsa, "e", "AQAAAAE"), "its n or e is none"},
      {with(rsa, "e", ""), "not in base64url"},
      {with(rsa, "alg", "ES256"), "its alg is not one of its kty"},
      {with(rsa, "kid", ""), "its kid is no text"},
      {with(rsa, "kid", 7), "its kid is no text"},
      {with(rsa, "kid", std::string(kMaxKeyIdBytes + 1, 'a')), "its kid is no text"},
      {with(rsa, "d", "AA"), "it is secret"},
      {with(ec, "d", "AA"), "it is secret"},
      {{{"kty", "oct"}, {"k", "AA"}}, "it is secret"},
      {with(ec, "x", ToBase64Url(off_curve)), "no point of the curve"},
      {with(ec, "x", ToBase64Url(x.substr(1))), "not 32 bytes each"},
      {with(ec, "x", ToBase64Url(std::string(32, '\xff'))), "no point of the curve"},
      {with(ed, "x", "AA"), "its x is not 32 bytes"},
      {"key", "it is no object"},
  };
  for (const auto& [key, words] : faults) {
    const std::string fault = FaultIn(JwksOf({ec, key}));
    EXPECT_TRUE(fault.starts_with("key 2: ")) << key << fault;
    EXPECT_NE(fault.find(words), std::string::npos) << key << fault;
  }
  EXPECT_NE(FaultIn(JwksOf({ec, ec})).find("key 2: there are two with the kid ec"),
            std::string::npos);
}

TEST(Jwks, WhatIsNoneIsSaid) {
  const std::string key = Signer(Algorithm::kEs256).Jwk().dump();
  for (const std::string& none :
       {std::string(), std::string("{}"), std::string("[]"), std::string("{\"keys\":{}}"), key,
        "{\"keys\":[" + key + "],\"keys\":[]}", "{\"keys\":[" + key + "]} and more",
        std::string("-----BEGIN PUBLIC KEY-----")})
    EXPECT_NE(FaultIn(none).find("it is no JWKS"), std::string::npos) << none << FaultIn(none);
  EXPECT_NE(FaultIn(std::string(kMaxJwksBytes + 1, ' ')).find("the limit is"), std::string::npos);
  std::string many = "{\"keys\":[";
  for (std::size_t i = 0; i <= kMaxJwksKeysCount; ++i) many += std::string(i == 0 ? "" : ",") + key;
  EXPECT_NE(FaultIn(many + "]}").find("more than 64 keys"), std::string::npos);
}

TEST(Jose, Base64UrlOfOneWayOnly) {
  EXPECT_EQ(FromBase64Url(""), "");
  EXPECT_EQ(FromBase64Url("AA"), std::string(1, '\0'));
  EXPECT_EQ(FromBase64Url("_-8"), "\xff\xef");
  EXPECT_EQ(FromBase64Url("YWJj"), "abc");
  for (const char* const none :
       {"A", "AAAAA", "AB", "AAB", "AA==", "A+", "A/", "A A", "AA\n", "\xff\xff"})
    EXPECT_EQ(FromBase64Url(none), std::nullopt) << none;
  std::string bytes;
  for (int i = 0; i < 300; ++i) {
    EXPECT_EQ(FromBase64Url(ToBase64Url(bytes)), bytes);
    bytes += static_cast<char>(i * 7);
  }
}

}  // namespace
}  // namespace assent::security
