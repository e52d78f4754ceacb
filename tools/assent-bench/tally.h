#pragma once

// What an initiator sees. Only what ends within the measured time counts, but for `ended` and
// `requests`, which count all.

#include <algorithm>
#include <chrono>
#include <cstdint>
#include <string>

#include <nlohmann/json.hpp>

#include <assent/thread_safety.h>
#include <assent/transaction.h>

#include "tools/assent-bench/histogram.h"

namespace assent::bench {

class Tally {
 public:
  using Clock = std::chrono::steady_clock;
  Tally(Clock::time_point from, Clock::time_point to) : from_(from), to_(to), last_(from) {}

  // A transaction that took `requests` requests has an answer, or has failed.
  void Add(Clock::time_point began, const Result<Report>& report, int requests = 1) {
    const auto now = Clock::now();
    const MutexLock lock(mutex_);
    const bool refused = !report.ok() && report.status().code() == Code::kResourceExhausted;
    if (!refused) {
      ++ended_;
      requests_ += static_cast<std::uint64_t>(requests);
    }
    if (now < from_ || now >= to_) return;
    const auto took = std::chrono::duration_cast<std::chrono::microseconds>(now - began).count();
    if (refused) {
      ++refused_;
      refusal_.Add(took);
    } else if (!report.ok()) {
      ++failed_;
      if (first_failure_.empty()) first_failure_ = report.status().ToString();
    } else {
      ++(report->aborted() ? aborted_ : committed_);
      latency_.Add(took);
      longest_gap_ = std::max(longest_gap_, now - last_);
      last_ = now;
    }
  }

  nlohmann::json ToJson() const {
    const MutexLock lock(mutex_);
    return {{"committed", committed_},
            {"aborted", aborted_},
            {"failed", failed_},
            {"refused", refused_},
            {"first_failure", first_failure_},
            {"ended", ended_},
            {"requests", requests_},
            {"gap_ms", std::chrono::duration<double, std::milli>(longest_gap_).count()},
            {"seconds", std::chrono::duration<double>(to_ - from_).count()},
            {"p50_us", latency_.Percentile(0.5)},
            {"latency", latency_.ToJson()},
            {"refusal", refusal_.ToJson()}};
  }
  Clock::time_point begin() const { return from_; }
  Clock::time_point end() const { return to_; }

 private:
  const Clock::time_point from_;
  const Clock::time_point to_;
  mutable Mutex mutex_;
  std::uint64_t committed_ ASSENT_GUARDED_BY(mutex_) = 0;
  std::uint64_t aborted_ ASSENT_GUARDED_BY(mutex_) = 0;
  std::uint64_t failed_ ASSENT_GUARDED_BY(mutex_) = 0;
  std::uint64_t refused_ ASSENT_GUARDED_BY(mutex_) = 0;
  std::uint64_t ended_ ASSENT_GUARDED_BY(mutex_) = 0;
  std::uint64_t requests_ ASSENT_GUARDED_BY(mutex_) = 0;
  std::string first_failure_ ASSENT_GUARDED_BY(mutex_);
  Histogram latency_ ASSENT_GUARDED_BY(mutex_);
  Histogram refusal_ ASSENT_GUARDED_BY(mutex_);
  Clock::time_point last_ ASSENT_GUARDED_BY(mutex_);
  Clock::duration longest_gap_ ASSENT_GUARDED_BY(mutex_){0};
};

}  // namespace assent::bench
