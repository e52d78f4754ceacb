#pragma once

// A circuit breaker (M. Nygard, "Release It!", 2007): who has failed too often is left alone for a
// while, and then tried with a few calls. Values in, values out: the caller has the clock.
//
//   closed ──too many of the window failed, or were slow──► open ──its time is over──► half open
//      ▲                                                     ▲                             │
//      │                                                     └──── one of its calls failed ┤
//      └──────────────────── all of its calls were answered ────────────────────────────────┘
//
// A refusal is an answer: business does not open it.

#include <array>
#include <cstdint>
#include <string>
#include <string_view>

#include "coordinator/traffic/policy.h"

namespace assent::traffic {

// How a call ended. Neutral: it proves nothing, it was not sent or not waited for.
enum class CallEnd : std::uint8_t { kAnswered, kFailed, kNeutral };

class Breaker {
 public:
  enum class State : std::uint8_t { kClosed, kOpen, kHalfOpen };
  // What a person has said; kAuto: nothing.
  enum class Held : std::uint8_t { kAuto, kOpen, kClosed };

  // Of a call that was let through: for its end.
  using Ticket = std::uint32_t;

  explicit Breaker(BreakerSettings settings = {}) : settings_(settings) {}
  // What was counted stays.
  void Set(const BreakerSettings& settings);
  void Hold(Held held);

  // Whether another call may leave now.
  bool Admits() const;
  Ticket Leave();
  // True: the state has changed.
  bool End(Ticket ticket, CallEnd end, core::Micros latency, core::MonoTime now);
  // Opens half when it is time. True: it did.
  bool Wake(core::MonoTime now);
  // When Wake will; kNever: it is not open.
  core::MonoTime wakes_at() const { return Shown() == State::kOpen ? reopens_at_ : core::kNever; }

  // As it works: what a person has said counts.
  State Shown() const;
  Held held() const { return held_; }
  // Why it is not closed: "12 of 20 calls in 10 s had no reply".
  const std::string& why() const { return why_; }
  std::uint64_t opened_count() const { return opened_count_; }

 private:
  struct Bucket {
    std::int64_t number = -1;  // of its time
    std::uint32_t calls = 0;
    std::uint32_t failed = 0;
    std::uint32_t slow = 0;
  };
  static constexpr std::size_t kBucketsCount = 10;

  void Open(core::MonoTime now, std::string why);
  void Become(State state);
  Bucket& BucketOf(core::MonoTime now);
  bool IsTooMuch(core::MonoTime now);

  BreakerSettings settings_;
  State state_ = State::kClosed;
  Held held_ = Held::kAuto;
  Ticket phase_ = 1;  // calls of an earlier one prove nothing
  unsigned probes_out_ = 0;
  unsigned probes_answered_ = 0;
  core::MonoTime reopens_at_ = core::kNever;
  std::array<Bucket, kBucketsCount> buckets_;
  std::string why_;
  std::uint64_t opened_count_ = 0;
};

std::string_view Name(Breaker::State state);

}  // namespace assent::traffic
