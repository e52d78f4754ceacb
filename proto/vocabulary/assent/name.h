#pragma once

// What gids, branch ids, services, actions and keys may be called: said once for whoever checks.
// Each has its own words for what is wrong.

#include <algorithm>
#include <array>
#include <cstddef>
#include <cstdint>
#include <string_view>

#include <assent/limits.h>

namespace assent {

struct NameRule {
  std::size_t max_bytes;
  bool slash;  // '/' is allowed too

  constexpr std::string_view allowed() const {
    return slash ? "[A-Za-z0-9._:/-]" : "[A-Za-z0-9._:-]";
  }
};
inline constexpr NameRule kGidRule{limits::kMaxGidBytes, false};
inline constexpr NameRule kBranchIdRule{limits::kMaxBranchIdBytes, false};
inline constexpr NameRule kServiceRule{limits::kMaxServiceNameBytes, true};
inline constexpr NameRule kActionRule{limits::kMaxActionNameBytes, true};
inline constexpr NameRule kLabelKeyRule{limits::kMaxLabelKeyBytes, true};
inline constexpr NameRule kHeaderKeyRule{limits::kMaxHeaderKeyBytes, true};

enum class NameFault : std::uint8_t { kNone, kEmpty, kTooLong, kCharacter };

namespace internal {

// Looked up, because every transaction's names are.
inline constexpr std::array<bool, 256> kIsNameByte = [] {
  std::array<bool, 256> is{};
  for (const char c :
       std::string_view("abcdefghijklmnopqrstuvwxyzABCDEFGHIJKLMNOPQRSTUVWXYZ0123456789._:-"))
    is[static_cast<unsigned char>(c)] = true;
  return is;
}();

}  // namespace internal

// The first thing that is wrong with it.
constexpr NameFault FaultOf(std::string_view name, NameRule rule) {
  if (name.empty()) return NameFault::kEmpty;
  if (name.size() > rule.max_bytes) return NameFault::kTooLong;
  const bool fits = std::all_of(name.begin(), name.end(), [&](char c) {
    return internal::kIsNameByte[static_cast<unsigned char>(c)] || (rule.slash && c == '/');
  });
  return fits ? NameFault::kNone : NameFault::kCharacter;
}

}  // namespace assent
