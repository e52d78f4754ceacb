#pragma once

// The keys under which what a log keeps is sealed: a file with a line for each.
//
//   k2026-11  hV3l...=  active
//   k2026-05  0aPx...=
//
// One of them writes: the one that is marked `active`, or else the first. All of them read. A line
// `plaintext` lets through what is in the clear; without it that counts as sealed under a key that
// is not there, so that nobody puts a row of his own among them. Where it is active, what is
// written from then on is not sealed.

#include <array>
#include <cstddef>
#include <memory>
#include <string>
#include <string_view>
#include <vector>

#include <assent/status.h>
#include <assent/thread_safety.h>

namespace assent::crypt {

inline constexpr std::size_t kKeyBytes = 32;
inline constexpr std::size_t kKeyPrintBytes = 8;
inline constexpr std::size_t kMaxKeyIdBytes = 32;
inline constexpr std::size_t kMaxKeysCount = 64;
inline constexpr std::size_t kMaxKeysFileBytes = 64 * 1024;
inline constexpr const char* kPlaintext = "plaintext";

// A key, and what tells it from another of the same name: made of it, and no way back.
class Key {
 public:
  Key(std::string id, const std::array<unsigned char, kKeyBytes>& secret);
  ~Key();  // leaves no secret in memory
  Key(const Key&) = default;
  Key& operator=(const Key&) = default;

  const std::string& id() const { return id_; }
  const std::string& print() const { return print_; }  // kKeyPrintBytes bytes
  const std::array<unsigned char, kKeyBytes>& secret() const { return secret_; }

 private:
  std::string id_;
  std::array<unsigned char, kKeyBytes> secret_{};
  std::string print_;
};

class Keys {
 public:
  // INVALID_ARGUMENT names the line, and shows nothing of it.
  static Result<Keys> Parse(std::string_view text);

  const Key* Find(std::string_view id) const;
  const Key* active() const { return active_ == kNone ? nullptr : &keys_[active_]; }
  const std::vector<Key>& all() const { return keys_; }
  bool empty() const { return keys_.empty(); }
  // Whether what is in the clear is taken: also without any keys.
  bool takes_plaintext() const { return takes_plaintext_ || keys_.empty(); }
  std::string Names() const;  // "k1, k2, plaintext", for people

 private:
  static constexpr std::size_t kNone = ~std::size_t{0};
  std::vector<Key> keys_;
  std::size_t active_ = kNone;
  bool takes_plaintext_ = false;
};

// The file, as text or read. INVALID_ARGUMENT: it cannot be read, or others than its owner may
// (640 is let pass if it is root's), or its last line has no end, or Parse refuses it.
Result<std::string> ReadKeysFile(const std::string& file);
Result<Keys> ReadKeys(const std::string& file);

Status CheckKeyId(std::string_view id);
// A line for the file. `random` has kKeyBytes.
Result<std::string> MakeKeyLine(std::string_view id, std::string_view random);
// The text of a file in which this one is active, or kPlaintext. NOT_FOUND: it has no such key.
Result<std::string> WithActive(std::string_view text, std::string_view id);

// What is in force; from any thread. A change holds for what is written from then on.
class Keyring {
 public:
  Keyring() : keys_(std::make_shared<const Keys>()) {}
  explicit Keyring(Keys keys) : keys_(std::make_shared<const Keys>(std::move(keys))) {}

  std::shared_ptr<const Keys> Get() const {
    const MutexLock lock(mutex_);
    return keys_;
  }
  void Set(Keys keys) {
    auto taken = std::make_shared<const Keys>(std::move(keys));
    const MutexLock lock(mutex_);
    keys_ = std::move(taken);
  }

 private:
  mutable Mutex mutex_;
  std::shared_ptr<const Keys> keys_ ASSENT_GUARDED_BY(mutex_);
};

}  // namespace assent::crypt
