#pragma once

// Who is connected, and how much of what comes in they make us hold.

#include <cstddef>
#include <cstdint>
#include <map>
#include <string>

#include <assent/thread_safety.h>

#include "coordinator/http/limits.h"

namespace assent::http {

struct DoorFigures {
  std::size_t connections = 0;
  std::map<unsigned, std::uint64_t> answers{};  // by code, those that have begun
};

class Ledger {
 public:
  // `max_per_address` 0: half of all.
  Ledger(std::size_t max, std::size_t max_per_address)
      : max_(max), max_per_address_(max_per_address != 0 ? max_per_address : (max + 1) / 2) {}

  enum class Entry : std::uint8_t {
    kServed,
    kRefused,  // and told so
    kClosed,   // without a word
  };
  Entry Enter(const std::string& address) ASSENT_EXCLUDES(mutex_) {
    const MutexLock lock(mutex_);
    const auto known = by_address_.find(address);
    const std::size_t there = known == by_address_.end() ? 0 : known->second;
    if (sum_ < max_ && there < max_per_address_) {
      ++sum_;
      ++by_address_[address];
      return Entry::kServed;
    }
    if (refused_ >= kMaxRefusedConnectionsCount) return Entry::kClosed;
    ++refused_;
    return Entry::kRefused;
  }
  void Leave(const std::string& address, Entry entry) ASSENT_EXCLUDES(mutex_) {
    const MutexLock lock(mutex_);
    if (entry == Entry::kRefused) --refused_;
    if (entry != Entry::kServed) return;
    --sum_;
    const auto known = by_address_.find(address);
    if (--known->second == 0) by_address_.erase(known);
  }

  void Answered(unsigned code) ASSENT_EXCLUDES(mutex_) {
    const MutexLock lock(mutex_);
    ++answers_[code];
  }
  DoorFigures Figures() const ASSENT_EXCLUDES(mutex_) {
    const MutexLock lock(mutex_);
    return {.connections = sum_, .answers = answers_};
  }

  // Room for a body that is to come in. What is small is not counted.
  bool TakeBody(std::size_t bytes) ASSENT_EXCLUDES(mutex_) {
    const std::size_t counted = CountedOf(bytes);
    if (counted == 0) return true;
    const MutexLock lock(mutex_);
    if (body_bytes_ + counted > kMaxAllBodiesBytes) return false;
    body_bytes_ += counted;
    return true;
  }
  void GiveBody(std::size_t bytes) ASSENT_EXCLUDES(mutex_) {
    const std::size_t counted = CountedOf(bytes);
    if (counted == 0) return;
    const MutexLock lock(mutex_);
    body_bytes_ -= counted;
  }

 private:
  static std::size_t CountedOf(std::size_t bytes) {
    return bytes > kUncountedBodyBytes ? bytes : 0;
  }

  const std::size_t max_;
  const std::size_t max_per_address_;
  mutable Mutex mutex_;
  std::size_t sum_ ASSENT_GUARDED_BY(mutex_) = 0;
  std::size_t refused_ ASSENT_GUARDED_BY(mutex_) = 0;
  std::size_t body_bytes_ ASSENT_GUARDED_BY(mutex_) = 0;
  std::map<std::string, std::size_t> by_address_ ASSENT_GUARDED_BY(mutex_);
  std::map<unsigned, std::uint64_t> answers_ ASSENT_GUARDED_BY(mutex_);
};

}  // namespace assent::http
