#pragma once

// How many commands may be under way at one instance. Values in, values out.
//
// Slow start: who comes, or comes back, begins with few, which grow by one with each answer (they
// double with each round), and double with time too: who answers nothing until he has more, gets
// it. So the return of a service for which everything waits is a ramp.
//
// Adaptive: where more only makes each answer take longer, less is sent. The estimate of the queue
// is that of TCP Vegas (Brakmo, O'Malley, Peterson, 1994): of what is under way, the part that the
// excess over the best latency explains is waiting there. What ends without a reply takes a tenth.

#include <algorithm>
#include <cstddef>

#include "coordinator/traffic/breaker.h"

namespace assent::traffic {

class Limit {
 public:
  // With less than this under way nobody can be told apart from an idle one.
  static constexpr std::size_t kMinAdaptive = 2;
  // By time alone a start doubles this often.
  static constexpr core::Millis kDoublesEach{200};
  // The best latency is looked for anew after so many answers, for it may have become worse for
  // good: by so many with a quarter of what is under way else. (Without, the best of a time in
  // which there was always a queue would be taken for the best.)
  static constexpr std::size_t kBestOfCount = 2'000;
  static constexpr std::size_t kProbesCount = 10;

  // `most`: what the instance, or the settings, allow.
  Limit(LimitSettings settings, std::size_t most) : settings_(settings), most_(most) {}
  void Set(const LimitSettings& settings);

  // It came, or came back.
  void Start(core::MonoTime now);
  // It may have grown by time.
  void Wake(core::MonoTime now);
  // When Wake would change something; kNever: it would not.
  core::MonoTime wakes_at() const;
  // `in_flight`: when the call ended, that one included.
  void End(CallEnd end, core::Micros latency, std::size_t in_flight);

  std::size_t value() const;
  // The best latency that is known; 0: none is.
  core::Micros best() const { return best_; }

 private:
  std::size_t Ceiling() const {
    return settings_.concurrency == 0 ? most_ : std::min(settings_.concurrency, most_);
  }
  void Adapt(core::Micros latency, std::size_t in_flight);
  std::size_t Adapted() const;

  LimitSettings settings_;
  std::size_t most_ = 0;
  bool starting_ = false;
  std::size_t window_ = 0;  // of the start
  core::MonoTime grows_at_ = core::kNever;
  double adapted_ = 0;  // 0: nothing is known yet
  core::Micros best_{0};
  std::size_t answers_ = 0;
  std::size_t probes_left_ = 0;
  core::Micros probed_{0};
};

}  // namespace assent::traffic
