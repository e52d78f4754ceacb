#include "coordinator/crypt/keys.h"

#include <algorithm>
#include <optional>
#include <utility>

#include <openssl/crypto.h>
#include <openssl/evp.h>
#include <openssl/hmac.h>

#include "coordinator/base/read_file.h"

namespace assent::crypt {
namespace {

constexpr std::string_view kActive = "active";
constexpr std::string_view kPrintOf = "assent key print 1";
constexpr std::size_t kBase64Bytes = 44;  // of a key

using Secret = std::array<unsigned char, kKeyBytes>;

std::optional<Secret> FromBase64(std::string_view text) {
  if (text.size() != kBase64Bytes || text.back() != '=' || text[kBase64Bytes - 2] == '=') return {};
  std::array<unsigned char, kKeyBytes + 1> bytes{};  // with what the last `=` stands for
  const int size =
      EVP_DecodeBlock(bytes.data(), reinterpret_cast<const unsigned char*>(text.data()),
                      static_cast<int>(text.size()));
  std::optional<Secret> secret;
  if (size == static_cast<int>(bytes.size())) {
    secret.emplace();
    std::copy_n(bytes.begin(), kKeyBytes, secret->begin());
  }
  OPENSSL_cleanse(bytes.data(), bytes.size());
  return secret;
}

std::string_view NextWord(std::string_view& line) {
  constexpr std::string_view kBlanks = " \t\r";
  line.remove_prefix(std::min(line.find_first_not_of(kBlanks), line.size()));
  const std::string_view word = line.substr(0, line.find_first_of(kBlanks));
  line.remove_prefix(word.size());
  return word;
}

std::string_view NextLine(std::string_view& text) {
  const std::string_view line = text.substr(0, text.find('\n'));
  text.remove_prefix(std::min(line.size() + 1, text.size()));
  return line;
}

}  // namespace

Key::Key(std::string id, const Secret& secret) : id_(std::move(id)), secret_(secret) {
  std::array<unsigned char, EVP_MAX_MD_SIZE> hash{};
  unsigned size = 0;
  ASSENT_CHECK(HMAC(EVP_sha256(), secret_.data(), static_cast<int>(secret_.size()),
                    reinterpret_cast<const unsigned char*>(kPrintOf.data()), kPrintOf.size(),
                    hash.data(), &size) != nullptr);
  print_.assign(reinterpret_cast<const char*>(hash.data()), kKeyPrintBytes);
}

Key::~Key() { OPENSSL_cleanse(secret_.data(), secret_.size()); }

Status CheckKeyId(std::string_view id) {
  const bool named = !id.empty() && id.size() <= kMaxKeyIdBytes && id != kPlaintext &&
                     std::all_of(id.begin(), id.end(), [](char c) {
                       return (c >= 'a' && c <= 'z') || (c >= '0' && c <= '9') || c == '-';
                     });
  if (named) return OkStatus();
  return InvalidArgument("an ID takes 1 to " + std::to_string(kMaxKeyIdBytes) +
                         " of [a-z0-9-], and is not " + std::string(kPlaintext));
}

// Nothing of a line is repeated: it may be a key.
Result<Keys> Keys::Parse(std::string_view text) {
  if (text.size() > kMaxKeysFileBytes) {
    return InvalidArgument("it has " + std::to_string(text.size()) + " bytes, the limit is " +
                           std::to_string(kMaxKeysFileBytes));
  }
  Keys keys;
  bool marked = false;
  for (int number = 1; !text.empty(); ++number) {
    std::string_view line = NextLine(text);
    const std::string_view id = NextWord(line);
    if (id.empty() || id.front() == '#') continue;
    const auto wrong = [&](const std::string& what) {
      return InvalidArgument("line " + std::to_string(number) + ": " + what);
    };
    const bool plain = id == kPlaintext;
    if (plain && std::exchange(keys.takes_plaintext_, true))
      return wrong("there are two lines of plaintext");
    if (!plain) {
      if (const Status named = CheckKeyId(id); !named.ok()) return wrong(named.message());
      const auto secret = FromBase64(NextWord(line));
      if (!secret) return wrong("behind the ID it takes the base64 of 32 bytes");
      if (keys.Find(id) != nullptr) return wrong("there are two keys of this ID");
      keys.keys_.emplace_back(std::string(id), *secret);
      if (keys.keys_.size() > kMaxKeysCount)
        return wrong("more than " + std::to_string(kMaxKeysCount) + " keys");
    }
    const std::string_view mark = NextWord(line);
    if ((!mark.empty() && mark != kActive) || !NextWord(line).empty())
      return wrong("behind " + std::string(plain ? kPlaintext : "the key") + " it takes active");
    if (mark.empty()) continue;
    if (std::exchange(marked, true)) return wrong("another line is active already");
    keys.active_ = plain ? kNone : keys.keys_.size() - 1;
  }
  if (keys.keys_.empty()) return InvalidArgument("it has no key");
  if (!marked) keys.active_ = 0;
  return keys;
}

const Key* Keys::Find(std::string_view id) const {
  const auto found =
      std::find_if(keys_.begin(), keys_.end(), [&](const Key& key) { return key.id() == id; });
  return found == keys_.end() ? nullptr : &*found;
}

std::string Keys::Names() const {
  std::string names;
  for (const Key& key : keys_) names += (names.empty() ? "" : ", ") + key.id();
  if (takes_plaintext_) names += std::string(names.empty() ? "" : ", ") + kPlaintext;
  return names.empty() ? "none" : names;
}

Result<std::string> ReadKeysFile(const std::string& file) {
  const auto wrong = [&](const std::string& what) { return InvalidArgument(file + ": " + what); };
  Result<base::FileText> read = base::ReadFile(file, kMaxKeysFileBytes);
  if (!read.ok()) return wrong("cannot be read: " + read.status().message());
  if (read->is_shared) {
    return wrong(
        "others than its owner may read or change it: it takes chmod 600 (or 640, if it is "
        "root's)");
  }
  std::string text = std::move(read->text);
  // Cut behind a key, it would be a file with another active one.
  if (text.size() > kMaxKeysFileBytes)
    return wrong("it has more than " + std::to_string(kMaxKeysFileBytes) + " bytes");
  if (!text.empty() && text.back() != '\n')
    return wrong("its last line has no end: it is cut, or was written by hand and lacks a newline");
  return text;
}

Result<Keys> ReadKeys(const std::string& file) {
  Result<std::string> text = ReadKeysFile(file);
  if (!text.ok()) return text.status();
  Result<Keys> keys = Keys::Parse(*text);
  OPENSSL_cleanse(text->data(), text->size());
  if (!keys.ok()) return InvalidArgument(file + ": " + keys.status().message());
  return keys;
}

Result<std::string> MakeKeyLine(std::string_view id, std::string_view random) {
  if (Status named = CheckKeyId(id); !named.ok()) return named;
  ASSENT_CHECK(random.size() == kKeyBytes);
  std::array<unsigned char, kBase64Bytes + 1> base64{};
  (void)EVP_EncodeBlock(base64.data(), reinterpret_cast<const unsigned char*>(random.data()),
                        static_cast<int>(random.size()));
  return std::string(id) + " " + std::string(base64.begin(), base64.end() - 1);
}

Result<std::string> WithActive(std::string_view text, std::string_view id) {
  if (Result<Keys> keys = Keys::Parse(text); !keys.ok()) {
    return keys.status();
  } else if (id != kPlaintext && keys->Find(id) == nullptr) {
    return NotFound("it has no key of this ID: it has " + keys->Names());
  }
  std::string result;
  bool has_plaintext = false;
  while (!text.empty()) {
    const std::string_view whole = NextLine(text);
    std::string_view line = whole;
    const std::string_view name = NextWord(line);
    if (name.empty() || name.front() == '#') {
      result.append(whole).append("\n");
    } else {
      result.append(name);
      has_plaintext |= name == kPlaintext;
      if (name != kPlaintext) result.append(" ").append(NextWord(line));
      result.append(name == id ? " active\n" : "\n");
    }
  }
  if (id == kPlaintext && !has_plaintext) result.append(kPlaintext).append(" active\n");
  return result;
}

}  // namespace assent::crypt
