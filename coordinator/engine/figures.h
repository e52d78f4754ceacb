#pragma once

// Figures that a shard keeps as things happen, before anybody is told of them, and any may read.

#include <array>
#include <cstddef>
#include <cstdint>

#include "coordinator/base/figure.h"
#include "coordinator/core/types.h"

namespace assent::engine {

using base::Figure;

// Of transactions by the protocol of their branches: that of number i, and at 0 those that have
// several, or no branch.
inline constexpr std::size_t kProtocolsCount = 4;
inline constexpr std::size_t kOutcomesCount = 5;
// In which the oldest is known.
enum class Aged : std::uint8_t { kActive, kCommitting, kAborting, kNeedsOperator };
inline constexpr std::size_t kAgedCount = 4;

template <typename Number>
struct Figures {
  // Unfinished transactions by phase; nullptr for the finished ones.
  Number* Of(core::Phase phase) {
    switch (phase) {
      case core::Phase::kActive: return &active;
      case core::Phase::kCommitting: return &committing;
      case core::Phase::kAborting: return &aborting;
      case core::Phase::kUnknown:
      case core::Phase::kFinished: break;
    }
    return nullptr;
  }
  std::uint64_t unfinished() const { return active + committing + aborting; }
  // Adds each to that of `other`.
  template <typename Other>
  void AddTo(Figures<Other>& other) const {
    other.active += active;
    other.committing += committing;
    other.aborting += aborting;
    other.resting += resting;
    other.needs_operator += needs_operator;
    other.begun += begun;
    other.committed += committed;
    other.aborted += aborted;
    other.refused += refused;
    other.stale_replies += stale_replies;
    other.set_aside += set_aside;
    for (std::size_t i = 0; i < finished.size(); ++i) {
      for (std::size_t j = 0; j < finished[i].size(); ++j) other.finished[i][j] += finished[i][j];
    }
    for (std::size_t i = 0; i < oldest_unix_s.size(); ++i) {
      const std::uint64_t began = oldest_unix_s[i];
      Other& oldest = other.oldest_unix_s[i];
      if (began != 0 && (oldest == 0 || began < oldest)) oldest = began;
    }
    decided_after.AddTo(other.decided_after);
    finished_after.AddTo(other.finished_after);
    timers_late.AddTo(other.timers_late);
  }

  Number active{};
  Number committing{};
  Number aborting{};
  Number resting{};  // of those three: waits for a participant or a person (Transaction::Rests)
  Number needs_operator{};
  Number begun{};
  Number committed{};
  Number aborted{};
  Number refused{};  // beginnings, for want of room
  Number stale_replies{};
  Number set_aside{};  // rows of the log that cannot be carried on
  std::array<std::array<Number, kOutcomesCount>, kProtocolsCount> finished{};
  // When the oldest of those that are in a state began; 0: none is. By Aged.
  std::array<Number, kAgedCount> oldest_unix_s{};
  // Since it began: until its decision was durable, until it was finished.
  base::Durations<Number> decided_after{};
  base::Durations<Number> finished_after{};
  base::Durations<Number> timers_late{};  // the latest of those that were due at once
};

struct ShardStats : Figures<std::uint64_t> {
  // Of an engine's sum: those that have been asked something and have not looked at it yet.
  std::uint64_t silent_shards = 0;
};

}  // namespace assent::engine
