#include "coordinator/security/jwks.h"

#include <algorithm>
#include <utility>

#include <openssl/bn.h>
#include <openssl/core_names.h>
#include <openssl/err.h>
#include <openssl/evp.h>
#include <openssl/param_build.h>

#include <assent/text.h>

#include "coordinator/security/jose.h"

namespace assent::security {
namespace {

constexpr std::size_t kMaxExponentBytes = 4;
constexpr std::size_t kEd25519Bytes = 32;

struct Free {
  void operator()(BIGNUM* p) const { BN_free(p); }
  void operator()(OSSL_PARAM_BLD* p) const { OSSL_PARAM_BLD_free(p); }
  void operator()(OSSL_PARAM* p) const { OSSL_PARAM_free(p); }
  void operator()(EVP_PKEY_CTX* p) const { EVP_PKEY_CTX_free(p); }
};
template <typename T>
using Owned = std::unique_ptr<T, Free>;
using KeyPtr = std::shared_ptr<EVP_PKEY>;

struct Curve {
  std::string_view name;
  KeyKind kind;
  const char* group;
  std::size_t coordinate_bytes;
};
constexpr std::array<Curve, 2> kCurves = {
    {{"P-256", KeyKind::kP256, "P-256", 32}, {"P-384", KeyKind::kP384, "P-384", 48}}};

const unsigned char* Unsigned(std::string_view bytes) {
  return reinterpret_cast<const unsigned char*>(bytes.data());
}

Owned<BIGNUM> NumberOf(std::string_view bytes) {
  return Owned<BIGNUM>(BN_bin2bn(Unsigned(bytes), static_cast<int>(bytes.size()), nullptr));
}

// A public key of what has been built; nullptr: there is no such key.
KeyPtr Made(const char* type, OSSL_PARAM_BLD* builder) {
  const Owned<OSSL_PARAM> parts(OSSL_PARAM_BLD_to_param(builder));
  const Owned<EVP_PKEY_CTX> context(EVP_PKEY_CTX_new_from_name(nullptr, type, nullptr));
  EVP_PKEY* made = nullptr;
  if (parts == nullptr || context == nullptr || EVP_PKEY_fromdata_init(context.get()) != 1 ||
      EVP_PKEY_fromdata(context.get(), &made, EVP_PKEY_PUBLIC_KEY, parts.get()) != 1)
    return nullptr;
  KeyPtr key(made, EVP_PKEY_free);
  const Owned<EVP_PKEY_CTX> check(EVP_PKEY_CTX_new(key.get(), nullptr));
  return check != nullptr && EVP_PKEY_public_check(check.get()) == 1 ? key : nullptr;
}

// The bytes of a member in base64url; nothing: it is not there, or none, or empty.
std::optional<std::string> BytesOf(const nlohmann::json& jwk, const char* name) {
  const auto text = TextOf(jwk, name);
  auto bytes = text ? FromBase64Url(*text) : std::nullopt;
  if (bytes && bytes->empty()) return {};
  return bytes;
}

Result<KeyPtr> ReadRsa(const nlohmann::json& jwk) {
  const auto modulus = BytesOf(jwk, "n");
  const auto exponent = BytesOf(jwk, "e");
  if (!modulus || !exponent) return InvalidArgument("its n and e are not in base64url");
  const Owned<BIGNUM> n = NumberOf(*modulus);
  const Owned<BIGNUM> e = NumberOf(*exponent);
  const int bits = BN_num_bits(n.get());
  if (bits < kMinRsaBits || bits > kMaxRsaBits) {
    return InvalidArgument("it has " + std::to_string(bits) + " bits: it takes " +
                           std::to_string(kMinRsaBits) + " to " + std::to_string(kMaxRsaBits));
  }
  if (exponent->size() > kMaxExponentBytes || BN_is_odd(e.get()) == 0 || BN_is_one(e.get()) == 1 ||
      BN_is_odd(n.get()) == 0)
    return InvalidArgument("its n or e is none of a key");
  const Owned<OSSL_PARAM_BLD> builder(OSSL_PARAM_BLD_new());
  OSSL_PARAM_BLD_push_BN(builder.get(), OSSL_PKEY_PARAM_RSA_N, n.get());
  OSSL_PARAM_BLD_push_BN(builder.get(), OSSL_PKEY_PARAM_RSA_E, e.get());
  KeyPtr key = Made("RSA", builder.get());
  if (key == nullptr) return InvalidArgument("its n or e is none of a key");
  return key;
}

Result<KeyPtr> ReadEc(const nlohmann::json& jwk, const Curve& curve) {
  const auto x = BytesOf(jwk, "x");
  const auto y = BytesOf(jwk, "y");
  if (!x || !y || x->size() != curve.coordinate_bytes || y->size() != curve.coordinate_bytes) {
    return InvalidArgument("its x and y are not " + std::to_string(curve.coordinate_bytes) +
                           " bytes each in base64url");
  }
  constexpr char kUncompressed = 4;
  const std::string point = kUncompressed + *x + *y;
  const Owned<OSSL_PARAM_BLD> builder(OSSL_PARAM_BLD_new());
  OSSL_PARAM_BLD_push_utf8_string(builder.get(), OSSL_PKEY_PARAM_GROUP_NAME, curve.group, 0);
  OSSL_PARAM_BLD_push_octet_string(builder.get(), OSSL_PKEY_PARAM_PUB_KEY, point.data(),
                                   point.size());
  KeyPtr key = Made("EC", builder.get());
  if (key == nullptr) return InvalidArgument("its x and y are no point of the curve");
  return key;
}

Result<KeyPtr> ReadEd25519(const nlohmann::json& jwk) {
  const auto x = BytesOf(jwk, "x");
  if (!x || x->size() != kEd25519Bytes)
    return InvalidArgument("its x is not 32 bytes in base64url");
  KeyPtr key(EVP_PKEY_new_raw_public_key(EVP_PKEY_ED25519, nullptr, Unsigned(*x), x->size()),
             EVP_PKEY_free);
  if (key == nullptr) return InvalidArgument("its x is no key");
  return key;
}

// Which of ours it ought to be; nothing: none.
std::optional<KeyKind> KindOf(const nlohmann::json& jwk) {
  const std::string type = TextOf(jwk, "kty").value_or("");
  const std::string curve = TextOf(jwk, "crv").value_or("");
  if (type == "RSA") return KeyKind::kRsa;
  if (type == "OKP" && curve == "Ed25519") return KeyKind::kEd25519;
  const auto known = std::find_if(kCurves.begin(), kCurves.end(),
                                  [&](const Curve& one) { return one.name == curve; });
  return type == "EC" && known != kCurves.end() ? std::optional(known->kind) : std::nullopt;
}

// Whether it is there to verify signatures with.
bool IsForSignatures(const nlohmann::json& jwk) {
  if (jwk.contains("use") && TextOf(jwk, "use") != "sig") return false;
  const auto deeds = jwk.find("key_ops");
  if (deeds == jwk.end()) return true;
  return deeds->is_array() && std::find(deeds->begin(), deeds->end(), "verify") != deeds->end();
}

Result<KeyPtr> ReadKey(const nlohmann::json& jwk, KeyKind kind) {
  switch (kind) {
    case KeyKind::kRsa: return ReadRsa(jwk);
    case KeyKind::kP256: return ReadEc(jwk, kCurves[0]);
    case KeyKind::kP384: return ReadEc(jwk, kCurves[1]);
    case KeyKind::kEd25519: return ReadEd25519(jwk);
  }
  return Internal("a kind of key");
}

// Nothing: it is not for us.
Result<std::optional<Key>> Read(const nlohmann::json& jwk) {
  if (!jwk.is_object()) return InvalidArgument("it is no object");
  if (TextOf(jwk, "kty") == "oct" || jwk.contains("d") || jwk.contains("k")) {
    return InvalidArgument(
        "it is secret: a file of keys that others verify with has public keys alone");
  }
  const auto kind = KindOf(jwk);
  if (!kind || !IsForSignatures(jwk)) return std::optional<Key>();
  Key key{.kind = *kind};
  if (jwk.contains("alg")) {
    key.only = AlgorithmOf(TextOf(jwk, "alg").value_or(""));
    if (!key.only) return std::optional<Key>();
    if (!key.Fits(*key.only)) return InvalidArgument("its alg is not one of its kty and crv");
  }
  if (jwk.contains("kid")) {
    key.id = TextOf(jwk, "kid").value_or("");
    if (key.id.empty() || key.id.size() > kMaxKeyIdBytes) {
      return InvalidArgument("its kid is no text of 1 to " + std::to_string(kMaxKeyIdBytes) +
                             " bytes");
    }
  }
  auto read = ReadKey(jwk, *kind);
  ERR_clear_error();
  if (!read.ok()) return read.status();
  key.key = *std::move(read);
  return std::optional(std::move(key));
}

}  // namespace

Result<Jwks> Jwks::Parse(std::string_view text) {
  if (text.size() > kMaxJwksBytes) {
    return InvalidArgument("it has " + std::to_string(text.size()) + " bytes, the limit is " +
                           std::to_string(kMaxJwksBytes));
  }
  const auto object = ReadObject(text);
  const auto listed = object ? object->find("keys") : nlohmann::json::const_iterator();
  if (!object || listed == object->end() || !listed->is_array()) {
    return InvalidArgument(
        "it is no JWKS: it takes {\"keys\": [...]} in JSON, and no name twice in an object");
  }
  if (listed->size() > kMaxJwksKeysCount)
    return InvalidArgument("more than " + std::to_string(kMaxJwksKeysCount) + " keys");
  Jwks all;
  for (std::size_t i = 0; i < listed->size(); ++i) {
    const auto at = "key " + std::to_string(i + 1) + ": ";
    auto read = Read((*listed)[i]);
    if (!read.ok()) return InvalidArgument(at + read.status().message());
    if (!*read) continue;
    const auto same = [&](const Key& other) {
      return !other.id.empty() && other.id == (*read)->id;
    };
    if (std::any_of(all.keys_.begin(), all.keys_.end(), same))
      return InvalidArgument(at + "there are two with the kid " + CleanText((*read)->id, 100));
    all.keys_.push_back(**std::move(read));
  }
  if (all.keys_.empty()) {
    return InvalidArgument(
        "there is no key in it that verifies signatures: it takes RSA, EC (P-256, P-384) or OKP "
        "(Ed25519)");
  }
  return all;
}

const Key* Jwks::Find(const std::optional<std::string>& id, Algorithm algorithm) const {
  const Key* found = nullptr;
  for (const Key& key : keys_) {
    if (!key.Fits(algorithm) || (id && key.id != *id)) continue;
    // Without a kid it is not known which is meant: each more would be one more verification.
    if (found != nullptr) return nullptr;
    found = &key;
  }
  return found;
}

}  // namespace assent::security
