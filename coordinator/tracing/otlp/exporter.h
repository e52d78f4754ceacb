#pragma once

// Spans on their way to a collector: a queue with a bound, and a thread that sends, by OTLP over
// HTTP.

#include <chrono>
#include <cstddef>
#include <cstdint>
#include <deque>
#include <functional>
#include <string>
#include <thread>
#include <vector>

#include <assent/random.h>
#include <assent/thread_safety.h>

#include "coordinator/post/poster.h"
#include "coordinator/tracing/otlp/encode.h"
#include "coordinator/tracing/otlp/fit.h"
#include "coordinator/tracing/otlp/headers.h"
#include "coordinator/tracing/otlp/verdict.h"
#include "coordinator/tracing/span.h"

namespace assent::tracing {

// Spans that wait for the collector, by number and memory.
inline constexpr std::size_t kMaxQueuedSpansCount = 16'384;
inline constexpr std::size_t kMaxQueuedSpansBytes = 33'554'432;
// Of one request.
inline constexpr std::size_t kMaxBatchSpansCount = 512;
inline constexpr std::size_t kMaxBatchBytes = 4'194'304;
// That a span waits for others to be sent with it.
inline constexpr std::int64_t kMaxBatchWaitMs = 1'000;
// Of one request, after which its spans are given up.
inline constexpr std::uint32_t kMaxBatchTriesCount = 32;
inline constexpr std::int64_t kMaxBatchAgeMs = 300'000;
// Of one try.
inline constexpr std::int64_t kSpansTryMs = 10'000;
// After a try that failed: doubled up to the second, less up to half of it by chance; or what the
// collector asks for, up to the third.
inline constexpr std::int64_t kFirstSpansPauseMs = 1'000;
inline constexpr std::int64_t kMaxSpansPauseMs = 30'000;
inline constexpr std::int64_t kMaxRetryAfterMs = 300'000;
// At a stop, for what waits.
inline constexpr std::int64_t kLastSpansMs = 2'000;

struct ExporterFigures {
  std::uint64_t exported = 0;
  std::uint64_t queue_full = 0;  // never tried
  std::uint64_t rejected = 0;    // by the collector, or because nobody could read them
  std::uint64_t gave_up = 0;     // tried in vain, or left at a stop
  std::uint64_t failed_tries = 0;
  std::uint64_t queued = 0;  // or with the collector
};

enum class TracingTrouble : std::uint8_t { kNone, kAway, kFull, kGaveUp, kRejected, kRemark };

struct ExporterOptions {
  post::Target target;
  post::Dialling dialling = {};  // of a secure target
  Headers headers{};
  std::string agent;
  std::size_t max_queued_spans_count = kMaxQueuedSpansCount;
  std::size_t max_queued_spans_bytes = kMaxQueuedSpansBytes;
  std::chrono::milliseconds max_batch_wait{kMaxBatchWaitMs};
  std::chrono::milliseconds first_pause{kFirstSpansPauseMs};
  std::chrono::milliseconds max_age{kMaxBatchAgeMs};
  // For people, once for each bout: what is wrong (kNone: nothing any more), and the words that go
  // with it, which may be the collector's. Any thread.
  std::function<void(TracingTrouble trouble, const std::string& said)> on_trouble{};
};

// Thread-safety: all of it, from any thread, and nothing but Close waits.
class Exporter {
 public:
  explicit Exporter(ExporterOptions options);
  ~Exporter() { Close(); }
  Exporter(const Exporter&) = delete;
  Exporter& operator=(const Exporter&) = delete;

  // It is known whose spans they are: from now on they are sent.
  void Open(Resource resource) ASSENT_EXCLUDES(mutex_);
  // It is sent, or counted as dropped. Never waits.
  void Offer(Span&& span) ASSENT_EXCLUDES(mutex_);
  // What waits is tried once more. What is left is given up; so many.
  std::size_t Close() ASSENT_EXCLUDES(mutex_);
  ExporterFigures Figures() const ASSENT_EXCLUDES(mutex_);

 private:
  using TimePoint = std::chrono::time_point<std::chrono::steady_clock, std::chrono::microseconds>;

  bool HasRoom(std::size_t bytes) const ASSENT_REQUIRES(mutex_);
  void Run() ASSENT_EXCLUDES(mutex_);
  bool WaitForBatch(std::vector<FittedSpan>& batch) ASSENT_EXCLUDES(mutex_);
  void TakeBatch(std::vector<FittedSpan>& batch) ASSENT_REQUIRES(mutex_);
  void Export(const std::vector<FittedSpan>& batch) ASSENT_EXCLUDES(mutex_);
  bool WaitForTurn() ASSENT_EXCLUDES(mutex_);
  void PauseAfter(const Verdict& verdict);
  void Settle(std::size_t sent, const Verdict& verdict) ASSENT_EXCLUDES(mutex_);
  void CountFailedTry(std::size_t given_up, bool last) ASSENT_EXCLUDES(mutex_);
  void Say(TracingTrouble trouble, const std::string& said) const;

  const ExporterOptions options_;
  post::Poster poster_;

  // The thread's, once it runs.
  Resource resource_;
  post::Poster::Headers headers_;
  SplitMix64 random_;
  std::uint32_t failures_ = 0;  // since the last answer that was none
  TimePoint not_before_{};      // the collector is not asked
  bool troubled_ = false;       // something was said that is not taken back yet
  bool rejecting_ = false;
  bool giving_up_ = false;
  bool remarking_ = false;

  mutable Mutex mutex_;
  CondVar changed_;
  std::deque<FittedSpan> queue_ ASSENT_GUARDED_BY(mutex_);
  std::size_t queued_bytes_ ASSENT_GUARDED_BY(mutex_) = 0;
  TimePoint since_ ASSENT_GUARDED_BY(mutex_){};          // the first of the queue came
  std::size_t under_way_ ASSENT_GUARDED_BY(mutex_) = 0;  // spans that have left the queue
  ExporterFigures figures_ ASSENT_GUARDED_BY(mutex_);
  bool full_ ASSENT_GUARDED_BY(mutex_) = false;  // until half of it has gone
  bool closing_ ASSENT_GUARDED_BY(mutex_) = false;
  bool hopeless_ ASSENT_GUARDED_BY(mutex_) = false;  // a last try has failed
  bool ended_ ASSENT_GUARDED_BY(mutex_) = true;
  std::thread thread_;
};

}  // namespace assent::tracing
