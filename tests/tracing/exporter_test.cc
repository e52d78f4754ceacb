// The bounds of the queue, where nobody takes anything.

#include "coordinator/tracing/otlp/exporter.h"

#include <atomic>
#include <chrono>
#include <sched.h>
#include <string>
#include <thread>
#include <utility>
#include <vector>

#include <gtest/gtest.h>

namespace assent::tracing {
namespace {

using std::chrono::milliseconds;

// Nobody listens there.
ExporterOptions ToNobody() {
  ExporterOptions options;
  options.target = post::ParseUrl("http://127.0.0.1:1/v1/traces").value();
  options.agent = "test";
  options.max_batch_wait = milliseconds(0);
  options.first_pause = milliseconds(0);
  return options;
}

Span Some(std::size_t text_bytes = 1) {
  Span span;
  span.trace_id.fill(1);
  span.span_id.fill(2);
  span.name = std::string(text_bytes, 'x');
  return span;
}

template <typename Condition>
void Until(const Condition& condition) {
  const auto end = std::chrono::steady_clock::now() + std::chrono::seconds(30);
  while (!condition()) {
    ASSERT_LT(std::chrono::steady_clock::now(), end);
    ::sched_yield();
  }
}

TEST(Exporter, DropsWhatDoesNotFit) {
  ExporterOptions options = ToNobody();
  options.max_queued_spans_count = 3;
  std::vector<std::string> said;
  options.on_trouble = [&](TracingTrouble trouble, const std::string& words) {
    EXPECT_EQ(trouble, TracingTrouble::kFull);
    said.push_back(words);
  };
  Exporter exporter(std::move(options));
  for (int i = 0; i < 5; ++i) exporter.Offer(Some());
  EXPECT_EQ(exporter.Figures().queued, 3U);
  EXPECT_EQ(exporter.Figures().queue_full, 2U);
  EXPECT_EQ(said, std::vector<std::string>{"3"});
  EXPECT_EQ(exporter.Close(), 3U);
  EXPECT_EQ(exporter.Figures().queued, 0U);
  EXPECT_EQ(exporter.Figures().gave_up, 3U);
  EXPECT_EQ(exporter.Close(), 0U);
  exporter.Offer(Some());
  EXPECT_EQ(exporter.Figures().gave_up, 4U);
}

// Few spans may be large.
TEST(Exporter, DropsWhatDoesNotFitIntoMemory) {
  ExporterOptions options = ToNobody();
  options.max_queued_spans_bytes = 2 * Fit(Some(kMaxTextBytes)).bytes;
  Exporter exporter(std::move(options));
  exporter.Offer(Some(2 * kMaxTextBytes));
  exporter.Offer(Some(kMaxTextBytes));
  EXPECT_EQ(exporter.Figures().queue_full, 0U);
  exporter.Offer(Some());
  EXPECT_EQ(exporter.Figures().queued, 2U);
  EXPECT_EQ(exporter.Figures().queue_full, 1U);
}

TEST(Exporter, CountsWhatNobodyCouldReadAsRejected) {
  Exporter exporter(ToNobody());
  exporter.Offer(Span{});
  EXPECT_EQ(exporter.Figures().rejected, 1U);
  EXPECT_EQ(exporter.Close(), 0U);
}

TEST(Exporter, GivesUpAfterSoManyTries) {
  ExporterOptions options = ToNobody();
  std::atomic<int> away = 0, gave_up = 0;
  options.on_trouble = [&](TracingTrouble trouble, const std::string& words) {
    if (trouble == TracingTrouble::kAway) ++away;
    if (trouble == TracingTrouble::kGaveUp) {
      EXPECT_EQ(words, "1");
      ++gave_up;
    }
  };
  Exporter exporter(std::move(options));
  exporter.Open({});
  exporter.Offer(Some());
  Until([&] { return exporter.Figures().gave_up == 1; });
  EXPECT_EQ(exporter.Figures().failed_tries, kMaxBatchTriesCount);
  exporter.Offer(Some());
  Until([&] { return exporter.Figures().gave_up == 2; });
  EXPECT_EQ(exporter.Figures().failed_tries, 2 * kMaxBatchTriesCount);
  EXPECT_EQ(exporter.Figures().queued, 0U);
  EXPECT_EQ(away, 1);
  EXPECT_EQ(gave_up, 1);
}

// A pause would be longer than a request may live: it is not waited for.
TEST(Exporter, GivesUpWhatWouldBeTooOld) {
  ExporterOptions options = ToNobody();
  options.first_pause = milliseconds(kFirstSpansPauseMs);
  options.max_age = milliseconds(kFirstSpansPauseMs / 4);
  Exporter exporter(std::move(options));
  exporter.Open({});
  exporter.Offer(Some());
  Until([&] { return exporter.Figures().gave_up == 1; });
  EXPECT_EQ(exporter.Figures().failed_tries, 1U);
}

// The first request that is given up says how many spans it had.
TEST(Exporter, ARequestIsBoundedByMemory) {
  const auto largest = [] {
    Span span = Some(kMaxTextBytes);
    for (std::size_t i = 0; i < kMaxAttributesCount; ++i)
      span.attributes.push_back({"k", std::string(kMaxTextBytes, 'x')});
    return span;
  };
  const std::size_t fit = kMaxBatchBytes / Fit(largest()).bytes;
  ASSERT_LT(fit, kMaxBatchSpansCount);
  ExporterOptions options = ToNobody();
  options.first_pause = milliseconds(kFirstSpansPauseMs);
  options.max_age = milliseconds(0);
  std::atomic<std::size_t> in_the_first = 0;
  options.on_trouble = [&](TracingTrouble trouble, const std::string& words) {
    if (trouble == TracingTrouble::kGaveUp) in_the_first = std::stoul(words);
  };
  Exporter exporter(std::move(options));
  for (std::size_t i = 0; i < fit + 1; ++i) exporter.Offer(largest());
  EXPECT_EQ(exporter.Figures().queue_full, 0U);
  exporter.Open({});
  Until([&] { return in_the_first > 0; });
  EXPECT_EQ(in_the_first, fit);
}

// However long it has been away: what may not live for so long is given up, what may waits.
TEST(Exporter, APauseHasALimit) {
  const auto after_one_try = [](std::int64_t max_age_ms) {
    ExporterOptions options = ToNobody();
    options.first_pause = milliseconds(100 * kMaxSpansPauseMs);
    options.max_age = milliseconds(max_age_ms);
    Exporter exporter(std::move(options));
    exporter.Open({});
    exporter.Offer(Some());
    Until([&] { return exporter.Figures().failed_tries == 1; });
    return exporter.Figures();
  };
  // Up to half of it less; and the try itself takes a moment.
  EXPECT_EQ(after_one_try(kMaxSpansPauseMs / 2 - 1).gave_up, 1U);
  EXPECT_EQ(after_one_try(kMaxSpansPauseMs + kSpansTryMs).gave_up, 0U);
}

// Whatever happens at once, each span is counted once.
TEST(Exporter, LosesNoCount) {
  constexpr std::uint64_t kEach = 3'000;
  ExporterOptions options = ToNobody();
  options.max_queued_spans_count = 1'000;
  Exporter exporter(std::move(options));
  exporter.Open({});
  std::vector<std::thread> threads;
  for (int i = 0; i < 4; ++i) {
    threads.emplace_back([&exporter] {
      for (std::uint64_t n = 0; n < kEach; ++n) exporter.Offer(Some());
    });
  }
  Until([&] { return exporter.Figures().failed_tries > 0; });
  exporter.Close();
  for (std::thread& thread : threads) thread.join();
  const ExporterFigures figures = exporter.Figures();
  EXPECT_EQ(figures.queue_full + figures.gave_up, 4 * kEach);
  EXPECT_EQ(figures.exported + figures.rejected + figures.queued, 0U);
}

TEST(Fit, IsWithinTheLimits) {
  Span span = Some(kMaxTextBytes + 1);
  span.message = std::string(kMaxTextBytes + 1, 'x');
  span.tracestate = std::string(kMaxTracestateBytes, 'x');
  for (std::size_t i = 0; i < kMaxAttributesCount + 2; ++i)
    span.attributes.push_back({"k", std::string(kMaxTextBytes + 1, 'x')});
  const FittedSpan fitted = Fit(std::move(span));
  EXPECT_EQ(fitted.span.name.size(), kMaxTextBytes);
  EXPECT_EQ(fitted.span.message.size(), kMaxTextBytes);
  EXPECT_EQ(fitted.span.tracestate.size(), kMaxTracestateBytes);
  EXPECT_EQ(fitted.span.attributes.size(), kMaxAttributesCount);
  EXPECT_EQ(std::get<std::string>(fitted.span.attributes[0].value).size(), kMaxTextBytes);
  EXPECT_EQ(fitted.dropped_attributes, 2U);
  EXPECT_EQ(fitted.bytes, sizeof(FittedSpan) + 2 * kMaxTextBytes + kMaxTracestateBytes +
                              kMaxAttributesCount * (sizeof(Attribute) + kMaxTextBytes));
}

}  // namespace
}  // namespace assent::tracing
