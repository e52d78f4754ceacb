#pragma once

// Values under a key: nobody without it reads them, and none can be changed, or put in the place of
// another, without its being noticed. FORMAT.md has the bytes, and how many may be under one key.

#include <cstdint>
#include <memory>
#include <string>
#include <string_view>

#include <assent/status.h>

#include "coordinator/crypt/keys.h"

namespace assent::crypt {

inline constexpr std::size_t kSaltBytes = 16;
inline constexpr std::size_t kTagBytes = 16;

// Where a value belongs: it opens nowhere else.
struct Place {
  enum class Field : std::uint8_t { kSpec = 1, kState = 2 };
  Field field = Field::kSpec;
  std::uint64_t log_id = 0;
  std::string_view gid{};
};

// What can be told of a value without a key.
struct Cover {
  bool sealed = false;  // or in the clear: no value of core's begins as a sealed one does
  bool whole = false;   // what stands before the sealed bytes makes sense
  std::string_view key_id{};
  std::string_view key_print{};
  std::size_t bytes = 0;  // of this
};
Cover CoverOf(std::string_view value);

// What keeps a value from being opened.
enum class SealFault : std::uint8_t {
  kNone,
  kNoKey,     // none of this ID
  kOtherKey,  // one of this ID, and another than it was sealed with
  kForged,    // it, or its place, is not what it was
  kClear,     // it is in the clear, which these keys do not let through
};
// For people: "its state is sealed under key k1, which is not among the keys".
std::string Describe(SealFault fault, std::string_view key_id);

// Not thread-safe: one for each thread.
class Sealer {
 public:
  Sealer();
  ~Sealer();
  Sealer(const Sealer&) = delete;
  Sealer& operator=(const Sealer&) = delete;

  std::string Seal(const Key& key, const Place& place, std::string_view value);
  // What is in the clear stays so, if the keys let it through. A fault leaves the value as it is.
  SealFault Open(const Keys& keys, const Place& place, std::string& value);

 private:
  struct Context;
  const std::unique_ptr<Context> context_;
};

}  // namespace assent::crypt
