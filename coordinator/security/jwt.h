#pragma once

// JWTs (RFC 7519, in the compact form of RFC 7515) of one issuer, verified against its keys: who
// shows one is "jwt:SUBJECT". What is not said here is not looked at: a key or its address in the
// token (jwk, jku, x5c, x5u) is never used.
//
// The signature comes first, and of a token whose signature is wrong nothing is believed.

#include <cstddef>
#include <cstdint>
#include <string>
#include <string_view>
#include <utility>
#include <vector>

#include <assent/status.h>

#include "coordinator/security/jwks.h"

namespace assent::security {

inline constexpr std::size_t kMaxJwtBytes = std::size_t{8} << 10;
// So far the clocks of an issuer and of a coordinator may be apart, in either direction.
inline constexpr std::int64_t kMaxJwtClockSkewMs = 30'000;
inline constexpr std::size_t kMaxJwtIssuerBytes = 1024;
inline constexpr std::size_t kMaxJwtAudienceBytes = 1024;
inline constexpr std::size_t kMaxJwtAudiencesCount = 64;  // of one token

enum class JwtFault : std::uint8_t {
  kNone,
  kMalformed,  // no three parts in base64url, no JSON, too large
  kNotForUs,   // a header that says what it is or needs, and it is nothing of ours
  kAlgorithm,  // one that is not taken
  kKey,        // no key of that kid, or none that fits
  kSignature,  // another key's, or another text's
  kClaims,     // one that is needed is not there, or is of another kind
  kIssuer,     // somebody else's
  kAudience,   // for somebody else
  kExpired,    // its exp is over
  kNotYet,     // its nbf or iat is yet to come
};
// "its signature is not of that key", for people.
std::string_view Name(JwtFault fault);

// What is taken.
struct JwtRules {
  std::string issuer{};
  std::string audience{};
  std::vector<Algorithm> algorithms{};
};

struct JwtFound {
  JwtFault fault = JwtFault::kMalformed;
  // Of one without a fault: whose, and in which time it is good, with the skew of clocks.
  std::string subject{};
  std::int64_t from_unix_ms = 0;
  std::int64_t until_unix_ms = 0;  // not any more at it
};

// Immutable.
class JwtVerifier {
 public:
  // None: no JWT is any good.
  JwtVerifier() = default;
  JwtVerifier(Jwks keys, JwtRules rules) : keys_(std::move(keys)), rules_(std::move(rules)) {}

  bool empty() const { return keys_.keys().empty(); }
  JwtFound Verify(std::string_view token, std::int64_t now_unix_ms) const;

 private:
  Jwks keys_;
  JwtRules rules_;
};

// "RS256,ES256". INVALID_ARGUMENT names what is none.
Result<std::vector<Algorithm>> ReadAlgorithms(std::string_view list);

}  // namespace assent::security
