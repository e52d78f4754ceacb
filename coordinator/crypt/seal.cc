#include "coordinator/crypt/seal.h"

#include <array>
#include <limits>

#include <openssl/crypto.h>
#include <openssl/evp.h>
#include <openssl/hmac.h>
#include <openssl/rand.h>

namespace assent::crypt {
namespace {

// As a number of core's it would be a version of 8,319 and up.
constexpr std::string_view kMagic = "\xFF\x41S1";
constexpr std::string_view kDeriveInfo = "assent row key 1";

using RowKey = std::array<unsigned char, kKeyBytes>;

const unsigned char* Bytes(std::string_view text) {
  return reinterpret_cast<const unsigned char*>(text.data());
}
unsigned char* Bytes(std::string& text, std::size_t at) {
  return reinterpret_cast<unsigned char*>(text.data() + at);
}

// HKDF-Expand of RFC 5869 with SHA-256, its first and only block: a key for this value alone.
RowKey DeriveRowKey(const Key& key, std::string_view salt) {
  std::string info(kDeriveInfo);
  info.append(salt).push_back('\x01');
  RowKey row{};
  unsigned size = 0;
  ASSENT_CHECK(HMAC(EVP_sha256(), key.secret().data(), static_cast<int>(key.secret().size()),
                    Bytes(info), info.size(), row.data(), &size) != nullptr &&
               size == row.size());
  return row;
}

void AddNumber(std::string& bytes, std::uint64_t number) {
  for (int i = 0; i < 8; ++i) bytes.push_back(static_cast<char>(number >> (8 * i)));
}

// What is authenticated and not in the value: its place, and what stands before it.
std::string Bound(const Place& place, std::string_view cover) {
  std::string bound(cover);
  bound.push_back(static_cast<char>(place.field));
  AddNumber(bound, place.log_id);
  AddNumber(bound, place.gid.size());
  return bound.append(place.gid);
}

}  // namespace

struct Sealer::Context {
  EVP_CIPHER_CTX* cipher = EVP_CIPHER_CTX_new();

  // Which cipher it is is looked up once.
  Context() {
    ASSENT_CHECK(cipher != nullptr &&
                 EVP_CipherInit_ex(cipher, EVP_aes_256_gcm(), nullptr, nullptr, nullptr, 1) == 1);
  }

  // A key is used once, so its nonce may be any.
  void Begin(const RowKey& key, bool seals) const {
    constexpr std::array<unsigned char, 12> kNonce{};
    ASSENT_CHECK(
        EVP_CipherInit_ex(cipher, nullptr, nullptr, key.data(), kNonce.data(), seals ? 1 : 0) == 1);
  }
  bool Run(unsigned char* out, std::string_view in) const {
    int size = 0;
    ASSENT_CHECK(in.size() <= std::numeric_limits<int>::max());
    if (in.empty()) return true;
    return EVP_CipherUpdate(cipher, out, &size, Bytes(in), static_cast<int>(in.size())) == 1;
  }
  bool End() const {
    std::array<unsigned char, EVP_MAX_BLOCK_LENGTH> none{};
    int size = 0;
    return EVP_CipherFinal_ex(cipher, none.data(), &size) == 1;
  }
};

Sealer::Sealer() : context_(std::make_unique<Context>()) {}
Sealer::~Sealer() { EVP_CIPHER_CTX_free(context_->cipher); }

Cover CoverOf(std::string_view value) {
  Cover cover;
  if (value.substr(0, kMagic.size()) != kMagic) return cover;
  cover.sealed = true;
  value.remove_prefix(kMagic.size());
  if (value.empty()) return cover;
  const auto id_bytes = static_cast<std::size_t>(static_cast<unsigned char>(value[0]));
  value.remove_prefix(1);
  if (value.size() < id_bytes + kKeyPrintBytes + kSaltBytes + kTagBytes) return cover;
  cover.key_id = value.substr(0, id_bytes);
  cover.key_print = value.substr(id_bytes, kKeyPrintBytes);
  cover.bytes = kMagic.size() + 1 + id_bytes + kKeyPrintBytes + kSaltBytes;
  cover.whole = CheckKeyId(cover.key_id).ok();
  if (!cover.whole) cover.key_id = {};  // somebody's bytes: not for a person's terminal
  return cover;
}

std::string Describe(SealFault fault, std::string_view key_id) {
  const std::string under = "sealed under key " + std::string(key_id);
  switch (fault) {
    case SealFault::kNone: return "";
    case SealFault::kNoKey: return under + ", which is not among the keys";
    case SealFault::kOtherKey:
      return under + ", and the key of that ID is another than the one it was sealed with";
    case SealFault::kForged:
      return "sealed, and was changed since, or is another row's: it does not open under its key";
    case SealFault::kClear:
      return "in the clear, which keys let through only with a line plaintext in their file";
  }
  return "";
}

std::string Sealer::Seal(const Key& key, const Place& place, std::string_view value) {
  std::string sealed(kMagic);
  sealed.push_back(static_cast<char>(key.id().size()));
  sealed.append(key.id()).append(key.print());
  std::array<unsigned char, kSaltBytes> salt{};
  ASSENT_CHECK(RAND_bytes(salt.data(), static_cast<int>(salt.size())) == 1);
  const std::string_view salt_text(reinterpret_cast<const char*>(salt.data()), salt.size());
  sealed.append(salt_text);
  const std::string bound = Bound(place, sealed);
  const std::size_t from = sealed.size();
  sealed.resize(from + value.size() + kTagBytes);
  RowKey row = DeriveRowKey(key, salt_text);
  context_->Begin(row, true);
  OPENSSL_cleanse(row.data(), row.size());
  ASSENT_CHECK(context_->Run(nullptr, bound) && context_->Run(Bytes(sealed, from), value) &&
               context_->End() &&
               EVP_CIPHER_CTX_ctrl(context_->cipher, EVP_CTRL_GCM_GET_TAG, kTagBytes,
                                   Bytes(sealed, from + value.size())) == 1);
  return sealed;
}

SealFault Sealer::Open(const Keys& keys, const Place& place, std::string& value) {
  const Cover cover = CoverOf(value);
  if (!cover.sealed) return keys.takes_plaintext() ? SealFault::kNone : SealFault::kClear;
  if (!cover.whole) return SealFault::kForged;
  const Key* key = keys.Find(cover.key_id);
  if (key == nullptr) return SealFault::kNoKey;
  if (key->print() != cover.key_print) return SealFault::kOtherKey;
  const std::string_view whole(value);
  const std::string_view before = whole.substr(0, cover.bytes);
  const std::size_t size = whole.size() - cover.bytes - kTagBytes;
  std::string opened(size, '\0');
  std::string tag(whole.substr(cover.bytes + size));
  RowKey row = DeriveRowKey(*key, before.substr(cover.bytes - kSaltBytes));
  context_->Begin(row, false);
  OPENSSL_cleanse(row.data(), row.size());
  const bool sound =
      context_->Run(nullptr, Bound(place, before)) &&
      context_->Run(Bytes(opened, 0), whole.substr(cover.bytes, size)) &&
      EVP_CIPHER_CTX_ctrl(context_->cipher, EVP_CTRL_GCM_SET_TAG, kTagBytes, Bytes(tag, 0)) == 1 &&
      context_->End();
  if (!sound) return SealFault::kForged;
  value = std::move(opened);
  return SealFault::kNone;
}

}  // namespace assent::crypt
