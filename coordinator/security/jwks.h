#pragma once

// The public keys of whoever issues JWTs: a JWKS (RFC 7517), as its issuer publishes it. Of what
// else stands in such a file (keys for encryption, of kinds that are not ours) nothing is used;
// what ought to be a key of ours and is none is refused, and so is a key that belongs to nobody but
// its owner: a private one, or a secret.

#include <array>
#include <cstddef>
#include <cstdint>
#include <memory>
#include <optional>
#include <string>
#include <string_view>
#include <vector>

#include <assent/status.h>

struct evp_pkey_st;

namespace assent::security {

inline constexpr std::size_t kMaxJwksBytes = std::size_t{256} << 10;
inline constexpr std::size_t kMaxJwksKeysCount = 64;
inline constexpr std::size_t kMaxKeyIdBytes = 256;
// What is shorter can be broken; what is longer takes long.
inline constexpr int kMinRsaBits = 2048;
inline constexpr int kMaxRsaBits = 8192;

// All of them sign with a private key and are verified with a public one. There is no other: of
// "none" and of those with a secret (HS256 and its like) nothing is ever verified.
enum class Algorithm : std::uint8_t {
  kRs256,
  kRs384,
  kRs512,
  kPs256,
  kPs384,
  kPs512,
  kEs256,
  kEs384,
  kEdDsa,
};
inline constexpr std::array<Algorithm, 9> kAlgorithms = {
    Algorithm::kRs256, Algorithm::kRs384, Algorithm::kRs512, Algorithm::kPs256, Algorithm::kPs384,
    Algorithm::kPs512, Algorithm::kEs256, Algorithm::kEs384, Algorithm::kEdDsa};
// "RS256", as it stands in a JWT.
std::string_view Name(Algorithm algorithm);
std::optional<Algorithm> AlgorithmOf(std::string_view name);

enum class KeyKind : std::uint8_t { kRsa, kP256, kP384, kEd25519 };
KeyKind KindFor(Algorithm algorithm);

struct Key {
  std::string id{};  // its kid; empty: it has none
  KeyKind kind = KeyKind::kRsa;
  std::optional<Algorithm> only{};  // nothing: whatever fits its kind
  std::shared_ptr<evp_pkey_st> key{};

  bool Fits(Algorithm algorithm) const {
    return kind == KindFor(algorithm) && (!only || *only == algorithm);
  }
};

// Immutable.
class Jwks {
 public:
  // INVALID_ARGUMENT: what is wrong, and with which key.
  static Result<Jwks> Parse(std::string_view text);

  // The one that a JWT means by this kid, or, without one, the only one that fits. nullptr: there
  // is none.
  const Key* Find(const std::optional<std::string>& id, Algorithm algorithm) const;
  const std::vector<Key>& keys() const { return keys_; }

 private:
  std::vector<Key> keys_;
};

// Whether the bytes are signed by the key's owner, by an algorithm that fits it.
bool IsSignedBy(const Key& key, Algorithm algorithm, std::string_view bytes,
                std::string_view signature);

}  // namespace assent::security
