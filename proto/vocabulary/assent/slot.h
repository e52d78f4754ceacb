#pragma once

// Transactions are owned by slots: a slot has one coordinator, and whoever knows how many slots a
// log has knows the slot of a gid. Coordinator and SDK must agree on it for ever.

#include <cstdint>
#include <string_view>

namespace assent {

using Slot = std::uint16_t;

// FNV-1a, 64 bits: the same on every machine and in every version.
constexpr std::uint64_t GidHash(std::string_view gid) {
  std::uint64_t hash = 0xcbf29ce484222325ULL;
  for (const char c : gid) hash = (hash ^ static_cast<std::uint8_t>(c)) * 0x100000001b3ULL;
  return hash;
}

constexpr Slot SlotOf(std::string_view gid, Slot slots_count) {
  return slots_count == 1 ? Slot{0} : static_cast<Slot>(GidHash(gid) % slots_count);
}

static_assert(GidHash("") == 0xcbf29ce484222325ULL && GidHash("a") == 0xaf63dc4c8601ec8cULL);

}  // namespace assent
