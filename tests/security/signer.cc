#include "tests/security/signer.h"

#include <openssl/bio.h>
#include <openssl/bn.h>
#include <openssl/core_names.h>
#include <openssl/ecdsa.h>
#include <openssl/evp.h>
#include <openssl/pem.h>
#include <openssl/rsa.h>

#include <assent/status.h>

namespace assent::security {
namespace {

unsigned char* Unsigned(std::string& bytes) {
  return reinterpret_cast<unsigned char*>(bytes.data());
}

EVP_PKEY* Generated(Algorithm algorithm, unsigned rsa_bits) {
  switch (KindFor(algorithm)) {
    case KeyKind::kRsa: return EVP_RSA_gen(rsa_bits);
    case KeyKind::kP256: return EVP_EC_gen("P-256");
    case KeyKind::kP384: return EVP_EC_gen("P-384");
    case KeyKind::kEd25519: return EVP_PKEY_Q_keygen(nullptr, nullptr, "ED25519");
  }
  return nullptr;
}

std::string NumberOf(EVP_PKEY* key, const char* name, int bytes_count = 0) {
  BIGNUM* number = nullptr;
  ASSENT_CHECK(EVP_PKEY_get_bn_param(key, name, &number) == 1);
  std::string bytes(static_cast<std::size_t>(bytes_count == 0 ? BN_num_bytes(number) : bytes_count),
                    '\0');
  BN_bn2binpad(number, Unsigned(bytes), static_cast<int>(bytes.size()));
  BN_free(number);
  return bytes;
}

const EVP_MD* DigestOf(Algorithm algorithm) {
  const std::string_view name = Name(algorithm);
  if (algorithm == Algorithm::kEdDsa) return nullptr;
  return name.ends_with("256") ? EVP_sha256() : name.ends_with("384") ? EVP_sha384() : EVP_sha512();
}

std::string RawOf(const std::string& der, int half_bytes) {
  const auto* at = reinterpret_cast<const unsigned char*>(der.data());
  ECDSA_SIG* const signature = d2i_ECDSA_SIG(nullptr, &at, static_cast<long>(der.size()));
  std::string raw(static_cast<std::size_t>(2 * half_bytes), '\0');
  BN_bn2binpad(ECDSA_SIG_get0_r(signature), Unsigned(raw), half_bytes);
  BN_bn2binpad(ECDSA_SIG_get0_s(signature), Unsigned(raw) + half_bytes, half_bytes);
  ECDSA_SIG_free(signature);
  return raw;
}

}  // namespace

std::string ToBase64Url(std::string_view bytes) {
  constexpr std::string_view kLetters =
      "ABCDEFGHIJKLMNOPQRSTUVWXYZabcdefghijklmnopqrstuvwxyz0123456789-_";
  std::string text;
  unsigned held = 0;
  int bits = 0;
  for (const char c : bytes) {
    held = (held << 8 | static_cast<unsigned char>(c)) & 0xffff;
    for (bits += 8; bits >= 6; bits -= 6) text += kLetters[held >> (bits - 6) & 63];
  }
  if (bits > 0) text += kLetters[held << (6 - bits) & 63];
  return text;
}

Signer::Signer(Algorithm algorithm, unsigned rsa_bits)
    : algorithm_(algorithm), key_(Generated(algorithm, rsa_bits), EVP_PKEY_free) {
  ASSENT_CHECK(key_ != nullptr);
}

Signer Signer::Fixed() {
  std::string seed(32, 'k');
  return {Algorithm::kEdDsa,
          {EVP_PKEY_new_raw_private_key(EVP_PKEY_ED25519, nullptr, Unsigned(seed), seed.size()),
           EVP_PKEY_free}};
}

nlohmann::json Signer::Jwk(const std::string& id) const {
  nlohmann::json jwk;
  const auto point = [&](const char* curve, int bytes) {
    jwk = {{"kty", "EC"},
           {"crv", curve},
           {"x", ToBase64Url(NumberOf(key_.get(), OSSL_PKEY_PARAM_EC_PUB_X, bytes))},
           {"y", ToBase64Url(NumberOf(key_.get(), OSSL_PKEY_PARAM_EC_PUB_Y, bytes))}};
  };
  switch (KindFor(algorithm_)) {
    case KeyKind::kRsa:
      jwk = {{"kty", "RSA"},
             {"n", ToBase64Url(NumberOf(key_.get(), OSSL_PKEY_PARAM_RSA_N))},
             {"e", ToBase64Url(NumberOf(key_.get(), OSSL_PKEY_PARAM_RSA_E))}};
      break;
    case KeyKind::kP256: point("P-256", 32); break;
    case KeyKind::kP384: point("P-384", 48); break;
    case KeyKind::kEd25519: {
      std::string raw(32, '\0');
      std::size_t size = raw.size();
      ASSENT_CHECK(EVP_PKEY_get_raw_public_key(key_.get(), Unsigned(raw), &size) == 1);
      jwk = {{"kty", "OKP"}, {"crv", "Ed25519"}, {"x", ToBase64Url(raw)}};
    }
  }
  if (!id.empty()) jwk["kid"] = id;
  return jwk;
}

std::string Signer::Sign(std::string_view bytes) const {
  EVP_MD_CTX* const context = EVP_MD_CTX_new();
  EVP_PKEY_CTX* padding = nullptr;
  ASSENT_CHECK(EVP_DigestSignInit(context, &padding, DigestOf(algorithm_), nullptr, key_.get()) ==
               1);
  if (Name(algorithm_).starts_with("PS")) {
    EVP_PKEY_CTX_set_rsa_padding(padding, RSA_PKCS1_PSS_PADDING);
    EVP_PKEY_CTX_set_rsa_pss_saltlen(padding, RSA_PSS_SALTLEN_DIGEST);
  }
  std::size_t size = 2048;
  std::string signature(size, '\0');
  ASSENT_CHECK(EVP_DigestSign(context, Unsigned(signature), &size,
                              reinterpret_cast<const unsigned char*>(bytes.data()),
                              bytes.size()) == 1);
  EVP_MD_CTX_free(context);
  signature.resize(size);
  if (KindFor(algorithm_) == KeyKind::kP256) return RawOf(signature, 32);
  return KindFor(algorithm_) == KeyKind::kP384 ? RawOf(signature, 48) : signature;
}

std::string Signer::Jwt(const std::string& header, const std::string& claims) const {
  const std::string text = ToBase64Url(header) + "." + ToBase64Url(claims);
  return text + "." + ToBase64Url(Sign(text));
}

std::string Signer::Jwt(const nlohmann::json& claims, const std::string& id) const {
  nlohmann::json header = {{"alg", Name(algorithm_)}, {"typ", "JWT"}};
  if (!id.empty()) header["kid"] = id;
  return Jwt(header.dump(), claims.dump());
}

std::string Signer::PublicPem() const {
  BIO* const out = BIO_new(BIO_s_mem());
  PEM_write_bio_PUBKEY(out, key_.get());
  char* text = nullptr;
  const long size = BIO_get_mem_data(out, &text);
  std::string pem(text, static_cast<std::size_t>(size));
  BIO_free(out);
  return pem;
}

std::string JwksOf(std::initializer_list<nlohmann::json> keys) {
  nlohmann::json all = {{"keys", nlohmann::json::array()}};
  for (const nlohmann::json& key : keys) all["keys"].push_back(key);
  return all.dump();
}

}  // namespace assent::security
