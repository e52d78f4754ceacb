// Which algorithms there are, and how each is verified.

#include <utility>

#include <openssl/bn.h>
#include <openssl/ec.h>
#include <openssl/ecdsa.h>
#include <openssl/err.h>
#include <openssl/evp.h>
#include <openssl/rsa.h>

#include "coordinator/security/jwks.h"

namespace assent::security {
namespace {

struct Traits {
  Algorithm algorithm;
  std::string_view name;
  KeyKind kind;
  const EVP_MD* (*digest)();  // nullptr: the algorithm has its own
  bool pss;
  std::size_t half_bytes;  // of a signature that is two numbers; 0: it is not
};
constexpr std::array<Traits, kAlgorithms.size()> kTraits = {{
    {Algorithm::kRs256, "RS256", KeyKind::kRsa, EVP_sha256, false, 0},
    {Algorithm::kRs384, "RS384", KeyKind::kRsa, EVP_sha384, false, 0},
    {Algorithm::kRs512, "RS512", KeyKind::kRsa, EVP_sha512, false, 0},
    {Algorithm::kPs256, "PS256", KeyKind::kRsa, EVP_sha256, true, 0},
    {Algorithm::kPs384, "PS384", KeyKind::kRsa, EVP_sha384, true, 0},
    {Algorithm::kPs512, "PS512", KeyKind::kRsa, EVP_sha512, true, 0},
    {Algorithm::kEs256, "ES256", KeyKind::kP256, EVP_sha256, false, 32},
    {Algorithm::kEs384, "ES384", KeyKind::kP384, EVP_sha384, false, 48},
    {Algorithm::kEdDsa, "EdDSA", KeyKind::kEd25519, nullptr, false, 0},
}};
constexpr bool TraitsAreInOrder() {
  for (std::size_t i = 0; i < kTraits.size(); ++i) {
    if (kTraits[i].algorithm != kAlgorithms[i] || static_cast<std::size_t>(kAlgorithms[i]) != i)
      return false;
  }
  return true;
}
static_assert(TraitsAreInOrder());

const Traits& TraitsOf(Algorithm algorithm) { return kTraits[static_cast<std::size_t>(algorithm)]; }

const unsigned char* Unsigned(std::string_view bytes) {
  return reinterpret_cast<const unsigned char*>(bytes.data());
}

// A JWT has the two numbers one behind the other, in full length; OpenSSL takes them as DER.
std::string DerOf(std::string_view two_numbers, std::size_t half_bytes) {
  if (two_numbers.size() != 2 * half_bytes) return {};
  const auto number = [&](std::size_t at) {
    return BN_bin2bn(Unsigned(two_numbers.substr(at)), static_cast<int>(half_bytes), nullptr);
  };
  const std::unique_ptr<ECDSA_SIG, decltype(&ECDSA_SIG_free)> signature(ECDSA_SIG_new(),
                                                                        ECDSA_SIG_free);
  ECDSA_SIG_set0(signature.get(), number(0), number(half_bytes));  // which owns both
  unsigned char* der = nullptr;
  const int size = i2d_ECDSA_SIG(signature.get(), &der);
  std::string bytes(reinterpret_cast<const char*>(der),
                    size > 0 ? static_cast<std::size_t>(size) : 0);
  OPENSSL_free(der);
  return bytes;
}

}  // namespace

std::string_view Name(Algorithm algorithm) { return TraitsOf(algorithm).name; }

std::optional<Algorithm> AlgorithmOf(std::string_view name) {
  for (const Traits& one : kTraits) {
    if (one.name == name) return one.algorithm;
  }
  return {};
}

KeyKind KindFor(Algorithm algorithm) { return TraitsOf(algorithm).kind; }

bool IsSignedBy(const Key& key, Algorithm algorithm, std::string_view bytes,
                std::string_view signature) {
  const Traits& how = TraitsOf(algorithm);
  if (!key.Fits(algorithm)) return false;
  std::string der;
  if (how.half_bytes != 0) {
    der = DerOf(signature, how.half_bytes);
    if (der.empty()) return false;
    signature = der;
  }
  const std::unique_ptr<EVP_MD_CTX, decltype(&EVP_MD_CTX_free)> context(EVP_MD_CTX_new(),
                                                                        EVP_MD_CTX_free);
  EVP_PKEY_CTX* padding = nullptr;  // the context's
  const EVP_MD* const digest = how.digest == nullptr ? nullptr : how.digest();
  const bool ready =
      EVP_DigestVerifyInit(context.get(), &padding, digest, nullptr, key.key.get()) == 1 &&
      (!how.pss || (EVP_PKEY_CTX_set_rsa_padding(padding, RSA_PKCS1_PSS_PADDING) == 1 &&
                    EVP_PKEY_CTX_set_rsa_pss_saltlen(padding, RSA_PSS_SALTLEN_DIGEST) == 1));
  const bool signed_by_it =
      ready && EVP_DigestVerify(context.get(), Unsigned(signature), signature.size(),
                                Unsigned(bytes), bytes.size()) == 1;
  ERR_clear_error();
  return signed_by_it;
}

}  // namespace assent::security
