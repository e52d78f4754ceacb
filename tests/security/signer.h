#pragma once

// Somebody who issues JWTs: a key made by OpenSSL, its public half as a JWK, and what he signs.

#include <initializer_list>
#include <memory>
#include <string>
#include <string_view>
#include <utility>

#include <nlohmann/json.hpp>

#include "coordinator/security/jwks.h"

namespace assent::security {

std::string ToBase64Url(std::string_view bytes);

class Signer {
 public:
  // `rsa_bits`: of an RSA key alone.
  explicit Signer(Algorithm algorithm, unsigned rsa_bits = 2048);

  // Always the same one: EdDSA, which signs a text in one way only.
  static Signer Fixed();

  // With "kid": `id`, unless that is empty.
  nlohmann::json Jwk(const std::string& id = "") const;
  std::string Sign(std::string_view bytes) const;
  // {"alg": its own, "kid": id} and these claims, as a JWT.
  std::string Jwt(const nlohmann::json& claims, const std::string& id = "") const;
  // Whatever they are.
  std::string Jwt(const std::string& header, const std::string& claims) const;
  // "-----BEGIN PUBLIC KEY-----…"
  std::string PublicPem() const;

 private:
  Signer(Algorithm algorithm, std::shared_ptr<evp_pkey_st> key)
      : algorithm_(algorithm), key_(std::move(key)) {}

  const Algorithm algorithm_;
  const std::shared_ptr<evp_pkey_st> key_;
};

// {"keys": [...]}
std::string JwksOf(std::initializer_list<nlohmann::json> keys);

}  // namespace assent::security
