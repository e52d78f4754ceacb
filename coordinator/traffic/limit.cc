#include "coordinator/traffic/limit.h"

#include <cmath>
#include <utility>

namespace assent::traffic {

void Limit::Set(const LimitSettings& settings) {
  settings_ = settings;
  if (!settings_.adaptive) adapted_ = 0;
  if (settings_.slow_start == 0) starting_ = false;
}

void Limit::Start(core::MonoTime now) {
  starting_ = settings_.slow_start != 0 && settings_.slow_start < Ceiling();
  window_ = settings_.slow_start;
  grows_at_ = now + kDoublesEach;
  adapted_ = 0;
  best_ = core::Micros(0);
  answers_ = probes_left_ = 0;
}

void Limit::Wake(core::MonoTime now) {
  while (starting_ && now >= grows_at_) {
    window_ *= 2;
    grows_at_ += kDoublesEach;
    starting_ = window_ < Ceiling();
  }
}

core::MonoTime Limit::wakes_at() const { return starting_ ? grows_at_ : core::kNever; }

void Limit::End(CallEnd end, core::Micros latency, std::size_t in_flight) {
  if (end == CallEnd::kNeutral) return;
  if (end == CallEnd::kFailed) {
    if (adapted_ > 0) adapted_ = std::max(adapted_ * 0.9, static_cast<double>(kMinAdaptive));
    return;
  }
  if (settings_.adaptive) Adapt(latency, in_flight);
  if (starting_ && ++window_ >= Ceiling()) starting_ = false;
}

void Limit::Adapt(core::Micros latency, std::size_t in_flight) {
  latency = std::max(latency, core::Micros(1));
  if (adapted_ == 0) adapted_ = static_cast<double>(std::max(window_, kMinAdaptive));
  if (probes_left_ > 0) {
    if (in_flight > value()) return;  // it had left before
    if (probed_.count() == 0 || latency < probed_) probed_ = latency;
    if (--probes_left_ == 0) best_ = std::exchange(probed_, core::Micros(0));
    return;
  }
  if (best_.count() == 0 || latency < best_) best_ = latency;
  if (++answers_ % kBestOfCount == 0) probes_left_ = kProbesCount;
  const double queued =
      static_cast<double>(in_flight) *
      (1.0 - static_cast<double>(best_.count()) / static_cast<double>(latency.count()));
  // A queue as long as what is worked on: each takes about twice the best then.
  const double goal = std::max(0.5 * static_cast<double>(in_flight), 1.0);
  // One step for each round of answers.
  const double step = 1.0 / adapted_;
  if (queued > goal) {
    adapted_ -= adapted_ * 0.1 * step;
  } else if (static_cast<double>(in_flight) * 2 > adapted_) {
    adapted_ += std::sqrt(adapted_) * step;
  }
  adapted_ = std::min(std::max(adapted_, static_cast<double>(kMinAdaptive)),
                      static_cast<double>(Ceiling()));
  if (queued > goal) starting_ = false;
}

std::size_t Limit::Adapted() const {
  return static_cast<std::size_t>(probes_left_ > 0 ? adapted_ / 4 : adapted_);
}

std::size_t Limit::value() const {
  std::size_t value = Ceiling();
  if (starting_) value = std::min(value, window_);
  if (settings_.adaptive && adapted_ > 0) value = std::min(value, Adapted());
  return std::max<std::size_t>(value, 1);
}

}  // namespace assent::traffic
