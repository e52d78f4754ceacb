// Figures as text.

#include "coordinator/metrics/text.h"

#include <sstream>
#include <string>

#include <gtest/gtest.h>

#include "coordinator/base/figure.h"

namespace assent::metrics {
namespace {

bool Has(const std::string& text, const std::string& line) {
  return ("\n" + text).find("\n" + line + "\n") != std::string::npos;
}

std::string TextOf(const Served& served, core::WallTime now = {}) {
  return Text({.version = "1", .now = now, .served = &served});
}

TEST(Histogram, AValueIsCountedUnderTheFirstBoundThatIsNotBelowIt) {
  base::Durations<base::Figure> durations;
  durations.Observe(std::chrono::microseconds(100));
  durations.Observe(std::chrono::microseconds(101));
  durations.Observe(std::chrono::hours(2));
  durations.Observe(std::chrono::milliseconds(-5));  // a clock was set back
  EXPECT_EQ(durations.counts.front(), 2U);
  EXPECT_EQ(durations.counts[1], 1U);
  EXPECT_EQ(durations.counts.back(), 1U);
  EXPECT_EQ(durations.sum, 7'200'000'201U);
}

TEST(Text, BucketsAddUpAndAreInSeconds) {
  Served served;
  served.log.commit_after.Observe(std::chrono::microseconds(90));
  served.log.commit_after.Observe(std::chrono::milliseconds(90));
  served.log.commit_after.Observe(std::chrono::hours(5));
  served.log.group_entries.Observe(3);
  const std::string text = TextOf(served);
  EXPECT_TRUE(Has(text, R"(assent_log_commit_seconds_bucket{le="0.0001"} 1)")) << text;
  EXPECT_TRUE(Has(text, R"(assent_log_commit_seconds_bucket{le="0.05"} 1)"));
  EXPECT_TRUE(Has(text, R"(assent_log_commit_seconds_bucket{le="0.1"} 2)"));
  EXPECT_TRUE(Has(text, R"(assent_log_commit_seconds_bucket{le="3600"} 2)"));
  EXPECT_TRUE(Has(text, R"(assent_log_commit_seconds_bucket{le="+Inf"} 3)"));
  EXPECT_TRUE(Has(text, "assent_log_commit_seconds_count 3"));
  EXPECT_TRUE(Has(text, "assent_log_commit_seconds_sum 18000.09009"));
  EXPECT_TRUE(Has(text, R"(assent_log_group_entries_bucket{le="4"} 1)"));
}

TEST(Text, AStateWithoutTransactionsHasNoAge) {
  Served served;
  served.shards.oldest_unix_s[static_cast<std::size_t>(engine::Aged::kCommitting)] = 1000;
  const std::string text = TextOf(served, core::WallTime(core::Millis(1'001'500)));
  EXPECT_TRUE(Has(text, R"(assent_transactions_oldest_age_seconds{state="committing"} 1.5)"));
  EXPECT_TRUE(Has(text, R"(assent_transactions_oldest_age_seconds{state="active"} 0)"));
  // The clock was set back.
  EXPECT_TRUE(Has(TextOf(served, core::WallTime(core::Millis(1))),
                  R"(assent_transactions_oldest_age_seconds{state="committing"} 0)"));
}

TEST(Text, ServicesAreLabelsAndTheRestIsOne) {
  Served served;
  served.services.resize(2);
  served.services[0].instances = 3;
  served.services[1].service = "bank";
  served.services[1].calls[static_cast<std::size_t>(core::Operation::kCompensate)]
                          [static_cast<std::size_t>(core::AttemptResult::kRetryLater)] = 7;
  served.waiting = {{.service = "mail", .transactions = 2}};
  const std::string text = TextOf(served);
  EXPECT_TRUE(Has(text, R"x(assent_participant_instances{service="(others)"} 3)x"));
  EXPECT_TRUE(Has(text, R"(assent_participant_calls_total{service="bank",operation="compensate",)"
                        R"(result="retry_later"} 7)"));
  EXPECT_EQ(text.find(R"x(calls_total{service="(others)")x"), std::string::npos)
      << "nothing called";
  EXPECT_TRUE(Has(text, R"(assent_participant_transactions_waiting{service="mail"} 2)"));
}

TEST(Text, EndsByProtocolAndOutcome) {
  Served served;
  served.shards.finished[static_cast<std::size_t>(core::Protocol::kSaga)]
                        [static_cast<std::size_t>(core::Outcome::kHazard)] = 5;
  served.shards.finished[0][static_cast<std::size_t>(core::Outcome::kCommitted)] = 6;
  const std::string text = TextOf(served);
  EXPECT_TRUE(
      Has(text, R"(assent_transactions_finished_total{protocol="saga",outcome="hazard"} 5)"));
  EXPECT_TRUE(
      Has(text, R"(assent_transactions_finished_total{protocol="mixed",outcome="committed"} 6)"));
}

TEST(Text, AStartHasItsProcessAndNothingThatIsNotKnown) {
  const std::string text = Text({.version = "1", .process = ReadProcess()});
  EXPECT_TRUE(Has(text, "assent_serving 0"));
  EXPECT_EQ(text.find("assent_transactions"), std::string::npos);
  EXPECT_NE(text.find("\nprocess_open_fds "), std::string::npos);
}

TEST(Process, IsThisOne) {
  const Process process = ReadProcess();
  EXPECT_GT(process.resident_bytes, 1U << 20);
  EXPECT_GT(process.virtual_bytes, process.resident_bytes);
  EXPECT_GE(process.open_files, 3U);
  EXPECT_GE(process.max_files, process.open_files);
  EXPECT_GE(process.threads, 1U);
  const auto now =
      std::chrono::duration<double>(std::chrono::system_clock::now().time_since_epoch());
  EXPECT_LT(process.started_unix_seconds, now.count() + 5);
  EXPECT_GT(process.started_unix_seconds, now.count() - 86'400);
}

}  // namespace
}  // namespace assent::metrics
