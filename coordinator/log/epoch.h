#pragma once

// The number of one start of one coordinator. It says two things at once,
//
//   epoch = start number, one more with each start of the log << 24 | 24 bits drawn at that start
//
// so that epochs of one log grow, which is what fencing needs, and yet no start can be taken for
// another. The start number alone would not do: a log that was restored from an older copy starts
// with a number that a lost start had too, and what was decided after that one is not in the log.
// The drawn bits differ, but in one of 16.8 million such restores.

#include <cstddef>
#include <cstdint>

namespace assent::log {

inline constexpr int kDrawnBits = 24;

// A log remembers so many of its own epochs, the newest. Of an older one it says what it would say
// of a stranger's.
inline constexpr std::size_t kMaxEpochsCount = 4096;

// Counts the starts of a log, from 1; 0: it has not had one.
constexpr std::uint64_t StartNumber(std::uint64_t epoch) { return epoch >> kDrawnBits; }

// The smallest epoch that a start of this number may have.
constexpr std::uint64_t FirstEpochOf(std::uint64_t start_number) {
  return start_number << kDrawnBits;
}

// The epoch after `last`, with the low bits of `drawn`.
constexpr std::uint64_t NextEpoch(std::uint64_t last, std::uint32_t drawn) {
  return FirstEpochOf(StartNumber(last) + 1) | (drawn & ((1U << kDrawnBits) - 1));
}

}  // namespace assent::log
