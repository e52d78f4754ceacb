#pragma once

// A bucket of tokens (as ATM's and the internet's traffic shapers have it): so many come each
// second, some are kept.

#include <algorithm>

#include "coordinator/core/types.h"

namespace assent::traffic {

class Tokens {
 public:
  // `per_second` 0: only what is given.
  Tokens(double per_second, double most) : per_second_(per_second), most_(most), have_(most) {}

  void Refill(core::MonoTime now) {
    if (now <= at_) return;
    if (at_ != core::MonoTime{}) {
      const double seconds = static_cast<double>((now - at_).count()) / 1e6;
      Give(per_second_ * seconds);
    }
    at_ = now;
  }
  void Give(double tokens) { have_ = std::min(have_ + tokens, most_); }
  bool Has() const { return have_ >= 1; }
  void Take() { have_ -= 1; }
  // When there is one again; kNever: there is one now.
  core::MonoTime NextAt() const {
    if (Has() || per_second_ <= 0) return core::kNever;
    return at_ + core::Micros(static_cast<std::int64_t>((1 - have_) / per_second_ * 1e6) + 1);
  }

 private:
  double per_second_;
  double most_;
  double have_;
  core::MonoTime at_{};
};

}  // namespace assent::traffic
