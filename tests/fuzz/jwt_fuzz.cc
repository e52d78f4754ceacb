// JWTs and JWKS of arbitrary bytes. Without the key nobody makes one that is taken; with it, what
// is taken has all that is needed, as another reader of JSON sees it, and at one time only. A JWKS
// is refused with words that no terminal obeys, or each of its keys can be used.

#include <algorithm>
#include <cstdint>
#include <string>
#include <string_view>

#include <nlohmann/json.hpp>

#include <assent/status.h>
#include <assent/text.h>

#include "coordinator/security/jwt.h"
#include "tests/fuzz/input.h"
#include "tests/security/signer.h"

namespace assent::security {
namespace {

using nlohmann::json;

constexpr std::int64_t kNow = 1'000'000'000;

const Signer& Issuer() {
  static const Signer issuer = Signer::Fixed();
  return issuer;
}
const JwtVerifier& Verifier() {
  static const JwtVerifier verifier(*Jwks::Parse(JwksOf({Issuer().Jwk("k")})),
                                    {"i", "a", {Algorithm::kEdDsa, Algorithm::kRs256}});
  return verifier;
}

void TryKeys(const std::string& text) {
  const auto keys = Jwks::Parse(text);
  if (!keys.ok()) {
    ASSENT_CHECK(keys.status().code() == Code::kInvalidArgument);
    ASSENT_CHECK(CleanText(keys.status().message(), 1 << 20) == keys.status().message());
    return;
  }
  ASSENT_CHECK(!keys->keys().empty() && keys->keys().size() <= kMaxJwksKeysCount);
  for (const Key& key : keys->keys()) {
    for (const Algorithm algorithm : kAlgorithms)
      ASSENT_CHECK(!IsSignedBy(key, algorithm, "text", std::string(64, 's')));
  }
}

// As it came: nobody has signed it.
void TryToken(std::string_view token) {
  const JwtFound found = Verifier().Verify(token, kNow);
  ASSENT_CHECK(found.fault != JwtFault::kNone && found.subject.empty());
}

void TrySigned(const std::string& header, const std::string& claims) {
  const std::string token = Issuer().Jwt(header, claims);
  const JwtFound found = Verifier().Verify(token, kNow);
  if (found.fault != JwtFault::kNone) {
    ASSENT_CHECK(found.subject.empty());
    return;
  }
  const json head = json::parse(header, nullptr, false);
  const json said = json::parse(claims, nullptr, false);
  ASSENT_CHECK(head.is_object() && said.is_object());
  ASSENT_CHECK(head["alg"] == "EdDSA" && !head.contains("crit"));
  ASSENT_CHECK(!head.contains("kid") || head["kid"] == "k");
  ASSENT_CHECK(said["iss"] == "i" && said["sub"] == found.subject && !found.subject.empty());
  const json& audience = said["aud"];
  ASSENT_CHECK(
      audience == "a" ||
      (audience.is_array() && std::find(audience.begin(), audience.end(), "a") != audience.end()));
  ASSENT_CHECK(said["exp"].is_number());
  ASSENT_CHECK(kNow < found.until_unix_ms && kNow >= found.from_unix_ms);
  // At its end it is none, and before its begin.
  ASSENT_CHECK(Verifier().Verify(token, found.until_unix_ms).fault == JwtFault::kExpired);
  if (found.from_unix_ms > 0)
    ASSENT_CHECK(Verifier().Verify(token, found.from_unix_ms - 1).fault == JwtFault::kNotYet);
  std::string changed = token;
  changed.back() = changed.back() == 'A' ? 'Q' : 'A';
  ASSENT_CHECK(Verifier().Verify(changed, kNow).fault != JwtFault::kNone);
}

}  // namespace
}  // namespace assent::security

extern "C" int LLVMFuzzerTestOneInput(const std::uint8_t* data, std::size_t size) {
  using namespace assent::security;
  assent::fuzz::Input in(data, size);
  switch (in.Below(3)) {
    case 0: TryKeys(std::string(in.Rest())); break;
    case 1: TryToken(in.Rest()); break;
    default: {
      const std::string header(in.Chunk());
      TrySigned(header, std::string(in.Rest()));
    }
  }
  return 0;
}
