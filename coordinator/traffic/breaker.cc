#include "coordinator/traffic/breaker.h"

#include <algorithm>
#include <utility>

namespace assent::traffic {

std::string_view Name(Breaker::State state) {
  switch (state) {
    case Breaker::State::kClosed: return "closed";
    case Breaker::State::kOpen: return "open";
    case Breaker::State::kHalfOpen: return "half open";
  }
  return "?";
}

Breaker::State Breaker::Shown() const {
  if (held_ == Held::kOpen) return State::kOpen;
  if (held_ == Held::kClosed || !settings_.on) return State::kClosed;
  return state_;
}

void Breaker::Set(const BreakerSettings& settings) {
  if (settings == settings_) return;
  settings_ = settings;
  // Its buckets are of another length now, or it may not be open any more.
  Become(State::kClosed);
}

void Breaker::Hold(Held held) {
  held_ = held;
  Become(State::kClosed);
}

bool Breaker::Admits() const {
  switch (Shown()) {
    case State::kClosed: return true;
    case State::kOpen: return false;
    case State::kHalfOpen: return probes_out_ + probes_answered_ < settings_.probes_count;
  }
  return true;
}

Breaker::Ticket Breaker::Leave() {
  if (state_ == State::kHalfOpen) ++probes_out_;
  return phase_;
}

bool Breaker::End(Ticket ticket, CallEnd end, core::Micros latency, core::MonoTime now) {
  if (ticket != phase_ || state_ == State::kOpen) return false;
  if (state_ == State::kHalfOpen) {
    --probes_out_;
    if (end == CallEnd::kNeutral) return false;
    if (end == CallEnd::kFailed) {
      Open(now, "a call that tried it had no reply");
      return true;
    }
    if (++probes_answered_ < settings_.probes_count) return false;
    Become(State::kClosed);
    return true;
  }
  if (!settings_.on || held_ != Held::kAuto || end == CallEnd::kNeutral) return false;
  Bucket& bucket = BucketOf(now);
  ++bucket.calls;
  if (end == CallEnd::kFailed) ++bucket.failed;
  if (latency >= settings_.slow) ++bucket.slow;
  // An answer that was not slow opens nothing.
  if (end == CallEnd::kAnswered && (settings_.slow_percent == 0 || latency < settings_.slow))
    return false;
  return IsTooMuch(now);
}

bool Breaker::Wake(core::MonoTime now) {
  if (state_ != State::kOpen || now < reopens_at_) return false;
  std::string why = std::move(why_);
  Become(State::kHalfOpen);
  why_ = std::move(why);
  return true;
}

void Breaker::Open(core::MonoTime now, std::string why) {
  Become(State::kOpen);
  reopens_at_ = now + settings_.open;
  why_ = std::move(why);
  ++opened_count_;
}

void Breaker::Become(State state) {
  state_ = state;
  ++phase_;
  probes_out_ = probes_answered_ = 0;
  reopens_at_ = core::kNever;
  buckets_ = {};
  why_.clear();
}

Breaker::Bucket& Breaker::BucketOf(core::MonoTime now) {
  const core::Micros length = std::max<core::Micros>(
      core::Micros(settings_.window) / static_cast<std::int64_t>(kBucketsCount), core::Micros(1));
  const std::int64_t number = now.time_since_epoch() / length;
  Bucket& bucket = buckets_.at(static_cast<std::size_t>(number) % kBucketsCount);
  if (bucket.number != number) bucket = {.number = number};
  return bucket;
}

bool Breaker::IsTooMuch(core::MonoTime now) {
  const std::int64_t newest = BucketOf(now).number;
  std::uint64_t calls = 0;
  std::uint64_t failed = 0;
  std::uint64_t slow = 0;
  for (const Bucket& bucket : buckets_) {
    if (bucket.number <= newest - static_cast<std::int64_t>(kBucketsCount)) continue;
    calls += bucket.calls;
    failed += bucket.failed;
    slow += bucket.slow;
  }
  if (calls < settings_.min_calls_count) return false;
  const bool too_many_failed = failed * 100 >= calls * settings_.failure_percent;
  const bool too_many_slow =
      settings_.slow_percent > 0 && slow * 100 >= calls * settings_.slow_percent;
  if (!too_many_failed && !too_many_slow) return false;
  const std::string of = " of " + std::to_string(calls) + " calls in " +
                         std::to_string(settings_.window.count()) + " ms ";
  Open(now, too_many_failed ? std::to_string(failed) + of + "had no reply"
                            : std::to_string(slow) + of + "took " +
                                  std::to_string(settings_.slow.count()) + " ms or more");
  return true;
}

}  // namespace assent::traffic
