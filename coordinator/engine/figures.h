#pragma once

// Figures that one thread keeps as things happen, before anybody is told of them, and any may read.

#include <atomic>
#include <cstdint>

#include "coordinator/core/types.h"

namespace assent::engine {

class Figure {
 public:
  Figure& operator++() { return *this += 1; }
  Figure& operator--() { return *this -= 1; }
  Figure& operator+=(std::uint64_t more) {
    value_.store(value_.load(std::memory_order_relaxed) + more, std::memory_order_relaxed);
    return *this;
  }
  Figure& operator-=(std::uint64_t less) { return *this += ~less + 1; }
  operator std::uint64_t() const { return value_.load(std::memory_order_relaxed); }

 private:
  std::atomic<std::uint64_t> value_ = 0;
};

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
  // Adds each to that of `other`.
  template <typename Other>
  void AddTo(Figures<Other>& other) const {
    other.active += active;
    other.committing += committing;
    other.aborting += aborting;
    other.needs_operator += needs_operator;
    other.begun += begun;
    other.committed += committed;
    other.aborted += aborted;
    other.stale_replies += stale_replies;
    other.set_aside += set_aside;
  }

  Number active{};
  Number committing{};
  Number aborting{};
  Number needs_operator{};
  Number begun{};
  Number committed{};
  Number aborted{};
  Number stale_replies{};
  Number set_aside{};  // rows of the log that cannot be carried on
};

struct ShardStats : Figures<std::uint64_t> {
  // Of an engine's sum: those that have been asked something and have not looked at it yet.
  std::uint64_t silent_shards = 0;
};

}  // namespace assent::engine
