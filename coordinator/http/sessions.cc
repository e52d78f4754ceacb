#include "coordinator/http/sessions.h"

#include <algorithm>
#include <array>
#include <memory>
#include <utility>

#include <openssl/crypto.h>
#include <openssl/evp.h>
#include <openssl/rand.h>

namespace assent::http {
namespace {

constexpr std::string_view kHexDigits = "0123456789abcdef";
constexpr std::size_t kTagBytes = 16;
constexpr std::size_t kNonceBytes = 12;

// What a secret is used for has its own word, so that no use tells anything of another.
constexpr std::string_view kForFinding = "assent session";
constexpr std::string_view kForSealing = "assent session seal";
constexpr std::string_view kForPages = "assent session csrf";

std::string Hex(std::string_view bytes) {
  std::string hex;
  for (const char c : bytes) {
    const auto byte = static_cast<unsigned char>(c);
    hex += kHexDigits[byte >> 4];
    hex += kHexDigits[byte & 15];
  }
  return hex;
}

std::string HashOf(std::string_view use, std::string_view secret) {
  const std::string text = std::string(use).append(1, ':').append(secret);
  std::array<unsigned char, EVP_MAX_MD_SIZE> hash{};
  unsigned size = 0;
  ASSENT_CHECK(EVP_Digest(text.data(), text.size(), hash.data(), &size, EVP_sha256(), nullptr) ==
               1);
  return {reinterpret_cast<const char*>(hash.data()), size};
}

struct FreeCipher {
  void operator()(EVP_CIPHER_CTX* p) const { EVP_CIPHER_CTX_free(p); }
};
using Cipher = std::unique_ptr<EVP_CIPHER_CTX, FreeCipher>;

unsigned char* Bytes(std::string& text) { return reinterpret_cast<unsigned char*>(text.data()); }
const unsigned char* Bytes(std::string_view text) {
  return reinterpret_cast<const unsigned char*>(text.data());
}

// A key seals one text, so that its nonce may be the same each time.
constexpr std::array<unsigned char, kNonceBytes> kNonce{};

std::string Seal(std::string_view secret, std::string_view text) {
  const std::string key = HashOf(kForSealing, secret);
  const Cipher cipher(EVP_CIPHER_CTX_new());
  std::string sealed(text.size() + kTagBytes, '\0');
  int size = 0;
  ASSENT_CHECK(
      EVP_EncryptInit_ex(cipher.get(), EVP_aes_256_gcm(), nullptr, Bytes(key), kNonce.data()) == 1);
  ASSENT_CHECK(EVP_EncryptUpdate(cipher.get(), Bytes(sealed), &size, Bytes(text),
                                 static_cast<int>(text.size())) == 1);
  ASSENT_CHECK(EVP_EncryptFinal_ex(cipher.get(), Bytes(sealed) + size, &size) == 1);
  ASSENT_CHECK(EVP_CIPHER_CTX_ctrl(cipher.get(), EVP_CTRL_AEAD_GET_TAG, kTagBytes,
                                   sealed.data() + text.size()) == 1);
  return sealed;
}

std::optional<std::string> Unseal(std::string_view secret, std::string sealed) {
  const std::string key = HashOf(kForSealing, secret);
  const Cipher cipher(EVP_CIPHER_CTX_new());
  std::string text(sealed.size() - kTagBytes, '\0');
  int size = 0;
  ASSENT_CHECK(
      EVP_DecryptInit_ex(cipher.get(), EVP_aes_256_gcm(), nullptr, Bytes(key), kNonce.data()) == 1);
  ASSENT_CHECK(EVP_DecryptUpdate(cipher.get(), Bytes(text), &size, Bytes(sealed),
                                 static_cast<int>(text.size())) == 1);
  ASSENT_CHECK(EVP_CIPHER_CTX_ctrl(cipher.get(), EVP_CTRL_AEAD_SET_TAG, kTagBytes,
                                   sealed.data() + text.size()) == 1);
  if (EVP_DecryptFinal_ex(cipher.get(), Bytes(text) + size, &size) != 1) return {};
  return text;
}

}  // namespace

bool Sessions::Session::IsOver(TimePoint now) const {
  return now - began >= std::chrono::milliseconds(kMaxSessionMs) ||
         now - used >= std::chrono::milliseconds(kMaxSessionIdleMs);
}

Result<std::string> Sessions::Begin(std::string identity, std::string_view shown, TimePoint now) {
  std::string random(kSessionSecretBytes, '\0');
  if (RAND_bytes(Bytes(random), static_cast<int>(random.size())) != 1)
    return Internal("there are no random bytes for a session");
  std::string secret = Hex(random);
  Session session{std::move(identity), Seal(secret, shown), now, now};
  const MutexLock lock(mutex_);
  std::erase_if(sessions_, [now](const auto& one) { return one.second.IsOver(now); });
  MakeRoom(session.identity);
  sessions_.emplace(HashOf(kForFinding, secret), std::move(session));
  return secret;
}

// Whoever has many names and logs in with all of them moves out his own.
void Sessions::MakeRoom(const std::string& identity) {
  std::map<std::string_view, std::size_t> counts;
  for (const auto& [hash, session] : sessions_) ++counts[session.identity];
  if (counts[identity] >= kMaxSessionsPerIdentityCount) return DropIdlestOf(identity);
  if (sessions_.size() < kMaxSessionsCount) return;
  const auto most = std::max_element(
      counts.begin(), counts.end(),
      [](const auto& one, const auto& other) { return one.second < other.second; });
  DropIdlestOf(std::string(most->first));
}

void Sessions::DropIdlestOf(const std::string& identity) {
  auto idlest = sessions_.end();
  for (auto one = sessions_.begin(); one != sessions_.end(); ++one) {
    if (one->second.identity != identity) continue;
    if (idlest == sessions_.end() || one->second.used < idlest->second.used) idlest = one;
  }
  if (idlest != sessions_.end()) sessions_.erase(idlest);
}

std::optional<std::string> Sessions::Find(std::string_view secret, TimePoint now) {
  const std::string hash = HashOf(kForFinding, secret);
  std::string sealed;
  {
    const MutexLock lock(mutex_);
    const auto found = sessions_.find(hash);
    if (found == sessions_.end()) return {};
    if (found->second.IsOver(now)) {
      sessions_.erase(found);
      return {};
    }
    found->second.used = now;
    sealed = found->second.sealed;
  }
  return Unseal(secret, std::move(sealed));
}

std::string Sessions::KeyOf(std::string_view secret) { return HashOf(kForFinding, secret); }

bool Sessions::Stands(const std::string& key, TimePoint now) const {
  const MutexLock lock(mutex_);
  const auto found = sessions_.find(key);
  return found != sessions_.end() && !found->second.IsOver(now);
}

std::string Sessions::End(std::string_view secret) {
  const std::string hash = HashOf(kForFinding, secret);
  const MutexLock lock(mutex_);
  const auto found = sessions_.find(hash);
  if (found == sessions_.end()) return {};
  std::string identity = std::move(found->second.identity);
  sessions_.erase(found);
  return identity;
}

std::size_t Sessions::count() const {
  const MutexLock lock(mutex_);
  return sessions_.size();
}

std::string Sessions::CsrfOf(std::string_view secret) { return Hex(HashOf(kForPages, secret)); }

bool IsSameSecret(std::string_view a, std::string_view b) {
  return a.size() == b.size() && CRYPTO_memcmp(a.data(), b.data(), a.size()) == 0;
}

}  // namespace assent::http
