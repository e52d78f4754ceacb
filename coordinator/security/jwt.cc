#include "coordinator/security/jwt.h"

#include <algorithm>
#include <cmath>
#include <limits>
#include <optional>

#include <assent/limits.h>
#include <assent/text.h>

#include "coordinator/security/jose.h"

namespace assent::security {
namespace {

using nlohmann::json;

// Those that are tokens for a resource; others of the same issuer (a logout, a proof of possession)
// are signed by the same key, and say something else.
bool IsType(const json& header) {
  if (!header.contains("typ")) return true;
  std::string type = TextOf(header, "typ").value_or("");
  std::transform(type.begin(), type.end(), type.begin(), [](char c) {
    return c >= 'A' && c <= 'Z' ? static_cast<char>(c - 'A' + 'a') : c;
  });
  return type == "jwt" || type == "at+jwt" || type == "application/at+jwt";
}

// What stands in front of the signature, apart; a fault: it cannot be verified.
struct Parts {
  std::string_view signed_text;
  std::string_view claims;  // in base64url
  std::string signature;
  Algorithm algorithm = Algorithm::kRs256;
  std::optional<std::string> key_id;
};
JwtFault ReadHeader(const json& header, Parts& parts) {
  // What has to be understood is nothing that we do.
  if (header.contains("crit") || !IsType(header)) return JwtFault::kNotForUs;
  const auto algorithm = AlgorithmOf(TextOf(header, "alg").value_or(""));
  if (!algorithm) return JwtFault::kAlgorithm;
  parts.algorithm = *algorithm;
  if (!header.contains("kid")) return JwtFault::kNone;
  parts.key_id = TextOf(header, "kid");
  return parts.key_id ? JwtFault::kNone : JwtFault::kKey;
}
JwtFault TakeApart(std::string_view token, Parts& parts) {
  if (token.size() > kMaxJwtBytes) return JwtFault::kMalformed;
  const std::size_t first = token.find('.');
  const std::size_t second = first == token.npos ? first : token.find('.', first + 1);
  if (second == token.npos || token.find('.', second + 1) != token.npos)
    return JwtFault::kMalformed;
  const auto header = FromBase64Url(token.substr(0, first));
  auto signature = FromBase64Url(token.substr(second + 1));
  const auto read = header ? ReadObject(*header) : std::nullopt;
  if (!read || !signature) return JwtFault::kMalformed;
  parts.signed_text = token.substr(0, second);
  parts.claims = token.substr(first + 1, second - first - 1);
  parts.signature = *std::move(signature);
  return ReadHeader(*read, parts);
}

// Seconds since 1970, perhaps with a fraction, as milliseconds; nothing: it is no such time.
std::optional<std::int64_t> TimeOf(const json& claims, const char* name) {
  constexpr double kMaxSeconds = 253'402'300'800;  // the year 10000
  const auto found = claims.find(name);
  if (found == claims.end() || !found->is_number()) return {};
  const auto seconds = found->get<double>();
  if (!(seconds >= 0 && seconds < kMaxSeconds)) return {};
  return static_cast<std::int64_t>(std::floor(seconds * 1000));
}

bool IsFor(const json& claims, const std::string& audience) {
  const auto found = claims.find("aud");
  if (found == claims.end()) return false;
  if (found->is_string()) return *found == audience;
  if (!found->is_array() || found->size() > kMaxJwtAudiencesCount) return false;
  return std::find(found->begin(), found->end(), audience) != found->end();
}

// A subject that rules can have.
bool IsSubject(std::string_view subject) {
  constexpr std::size_t kMaxBytes = limits::kMaxIdentityBytes - 4;  // "jwt:"
  return !subject.empty() && subject.size() <= kMaxBytes && subject.find('*') == subject.npos &&
         std::all_of(subject.begin(), subject.end(), [](char c) { return c > ' ' && c < 0x7f; });
}

JwtFault ReadClaims(const json& claims, const JwtRules& rules, std::int64_t now_unix_ms,
                    JwtFound& found) {
  const auto issuer = TextOf(claims, "iss");
  const auto subject = TextOf(claims, "sub");
  const auto expires = TimeOf(claims, "exp");
  if (!issuer || !subject || !expires || !claims.contains("aud")) return JwtFault::kClaims;
  if (*issuer != rules.issuer) return JwtFault::kIssuer;
  if (!IsFor(claims, rules.audience)) return JwtFault::kAudience;
  if (!IsSubject(*subject)) return JwtFault::kClaims;
  std::int64_t begins = std::numeric_limits<std::int64_t>::min();
  for (const char* const name : {"nbf", "iat"}) {
    if (!claims.contains(name)) continue;
    const auto time = TimeOf(claims, name);
    if (!time) return JwtFault::kClaims;
    begins = std::max(begins, *time - kMaxJwtClockSkewMs);
  }
  found.subject = *subject;
  found.from_unix_ms = begins;
  found.until_unix_ms = *expires + kMaxJwtClockSkewMs;
  if (now_unix_ms >= found.until_unix_ms) return JwtFault::kExpired;
  return now_unix_ms < begins ? JwtFault::kNotYet : JwtFault::kNone;
}

}  // namespace

std::string_view Name(JwtFault fault) {
  switch (fault) {
    case JwtFault::kNone: return "it is good";
    case JwtFault::kMalformed: return "it is none: it takes three parts in base64url, with JSON";
    case JwtFault::kNotForUs: return "its header has a crit or a typ that is not taken";
    case JwtFault::kAlgorithm: return "its alg is not one that is taken";
    case JwtFault::kKey: return "no key that is known has its kid and fits its alg";
    case JwtFault::kSignature: return "its signature is not of that key";
    case JwtFault::kClaims: return "its exp, iss, aud or sub is missing, or no such value";
    case JwtFault::kIssuer: return "its iss is another";
    case JwtFault::kAudience: return "its aud is another";
    case JwtFault::kExpired: return "it has expired";
    case JwtFault::kNotYet: return "it is not valid yet";
  }
  return "";
}

JwtFound JwtVerifier::Verify(std::string_view token, std::int64_t now_unix_ms) const {
  Parts parts;
  JwtFound found{.fault = TakeApart(token, parts)};
  if (found.fault != JwtFault::kNone) return found;
  const auto& taken = rules_.algorithms;
  if (std::find(taken.begin(), taken.end(), parts.algorithm) == taken.end())
    return {.fault = JwtFault::kAlgorithm};
  const Key* const key = keys_.Find(parts.key_id, parts.algorithm);
  if (key == nullptr) return {.fault = JwtFault::kKey};
  if (!IsSignedBy(*key, parts.algorithm, parts.signed_text, parts.signature))
    return {.fault = JwtFault::kSignature};
  const auto bytes = FromBase64Url(parts.claims);
  const auto claims = bytes ? ReadObject(*bytes) : std::nullopt;
  if (!claims) return {.fault = JwtFault::kMalformed};
  JwtFound read;
  read.fault = ReadClaims(*claims, rules_, now_unix_ms, read);
  // Of one with a fault nothing is told.
  return read.fault == JwtFault::kNone ? read : JwtFound{.fault = read.fault};
}

Result<std::vector<Algorithm>> ReadAlgorithms(std::string_view list) {
  std::vector<Algorithm> all;
  while (true) {
    const std::size_t comma = std::min(list.find(','), list.size());
    const std::string_view name = list.substr(0, comma);
    const auto known = AlgorithmOf(name);
    if (!known) {
      std::string takes;
      for (const Algorithm one : kAlgorithms)
        takes.append(takes.empty() ? "" : ", ").append(Name(one));
      return InvalidArgument("\"" + CleanText(name, 100) +
                             "\" is no algorithm that is taken: it takes " + takes);
    }
    all.push_back(*known);
    if (comma == list.size()) return all;
    list.remove_prefix(comma + 1);
  }
}

}  // namespace assent::security
