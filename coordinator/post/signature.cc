#include "coordinator/post/signature.h"

#include <array>

#include <openssl/evp.h>
#include <openssl/hmac.h>

#include <assent/status.h>

namespace assent::post {

std::string Sign(const std::string& secret, std::int64_t unix_s, const std::string& body) {
  constexpr const char* kDigits = "0123456789abcdef";
  const std::string signed_text = std::to_string(unix_s) + "." + body;
  std::array<unsigned char, EVP_MAX_MD_SIZE> digest{};
  unsigned size = 0;
  const unsigned char* made = HMAC(EVP_sha256(), secret.data(), static_cast<int>(secret.size()),
                                   reinterpret_cast<const unsigned char*>(signed_text.data()),
                                   signed_text.size(), digest.data(), &size);
  ASSENT_CHECK(made != nullptr);
  std::string signature = "t=" + std::to_string(unix_s) + ",v1=";
  for (unsigned i = 0; i < size; ++i) {
    signature += kDigits[digest[i] >> 4];
    signature += kDigits[digest[i] & 15];
  }
  return signature;
}

}  // namespace assent::post
