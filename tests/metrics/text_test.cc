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

// All different, so that none can stand under another's name.
Served Figures() {
  Served served;
  engine::ShardStats& shards = served.shards;
  std::uint64_t next = 0;
  for (std::uint64_t* figure : {&shards.begun,
                                &shards.refused,
                                &shards.committed,
                                &shards.aborted,
                                &shards.active,
                                &shards.committing,
                                &shards.aborting,
                                &shards.needs_operator,
                                &shards.set_aside,
                                &served.log.finished_rows,
                                &shards.silent_shards,
                                &served.sessions,
                                &served.dispatched.expired,
                                &served.dispatched.mismatched_replies,
                                &served.dispatched.oversized_results,
                                &served.log.records,
                                &served.log.queued_entries,
                                &served.log.file_bytes,
                                &served.calls,
                                &served.pages,
                                &served.streams,
                                &served.unread_bytes,
                                &served.recovered,
                                &served.members,
                                &served.slots})
    *figure = ++next;
  shards.stale_replies = 100;
  served.dispatched.stale_replies = 1000;
  for (std::size_t aged = 0; aged < engine::kAgedCount; ++aged)
    shards.oldest_unix_s[aged] = 9990 - 10 * aged;
  shards.decided_after.Observe(std::chrono::seconds(1));
  shards.finished_after.Observe(std::chrono::seconds(2));
  shards.timers_late.Observe(std::chrono::seconds(3));
  served.log.write_after.Observe(std::chrono::seconds(4));
  served.log.commit_after.Observe(std::chrono::seconds(5));
  served.log.group_entries.Observe(6);
  served.log.full = true;
  served.recovery_seconds = 1.5;
  served.webhook = {
      .delivered = 54, .given_up = 55, .dropped = 56, .failed_tries = 57, .queued = 58};
  served.tracing = {.exported = 59,
                    .queue_full = 60,
                    .rejected = 61,
                    .gave_up = 62,
                    .failed_tries = 63,
                    .queued = 64};
  served.sealed = {
      .rows = {{"k1", 81}, {"plaintext", 82}}, .walking = true, .sealed_anew = 83, .unopened = 84};
  served.services = {{.service = "bank",
                      .instances = 31,
                      .queued = 32,
                      .in_flight = 33,
                      .retries = 34,
                      .moved = 35,
                      .hedged = 36,
                      .opened = 37,
                      .open = 38}};
  return served;
}

constexpr char kShown[] = R"(
assent_build_info{version="v"} 1
assent_serving 1
assent_refusing 0
assent_recovery_seconds 1.5
assent_recovered_transactions 23
assent_cluster_members 24
assent_cluster_slots 25
assent_transactions_begun_total 1
assent_transactions_refused_total 2
assent_transactions_decided_total{decision="commit"} 3
assent_transactions_decided_total{decision="abort"} 4
assent_transactions_in_flight{state="active"} 5
assent_transactions_in_flight{state="committing"} 6
assent_transactions_in_flight{state="aborting"} 7
assent_transactions_needing_operator 8
assent_transactions_oldest_age_seconds{state="active"} 10
assent_transactions_oldest_age_seconds{state="committing"} 20
assent_transactions_oldest_age_seconds{state="aborting"} 30
assent_transactions_oldest_age_seconds{state="needs_operator"} 40
assent_transactions_set_aside 9
assent_transactions_retained 10
assent_transaction_decision_seconds_count 1
assent_transaction_decision_seconds_sum 1
assent_transaction_duration_seconds_count 1
assent_transaction_duration_seconds_sum 2
assent_timer_lag_seconds_count 1
assent_timer_lag_seconds_sum 3
assent_silent_shards 11
assent_participant_retries_total{service="bank"} 34
assent_participant_moved_total{service="bank"} 35
assent_participant_hedged_total{service="bank"} 36
assent_participant_breakers_opened_total{service="bank"} 37
assent_participant_breakers_open{service="bank"} 38
assent_participant_instances{service="bank"} 31
assent_participant_commands_in_flight{service="bank"} 33
assent_participant_commands_queued{service="bank"} 32
assent_sessions 12
assent_commands_expired_total 13
assent_replies_ignored_total{reason="stale"} 1100
assent_replies_ignored_total{reason="mismatched"} 14
assent_replies_ignored_total{reason="oversized"} 15
assent_log_records_total 16
assent_log_group_entries_count 1
assent_log_group_entries_sum 6
assent_log_write_seconds_count 1
assent_log_write_seconds_sum 4
assent_log_commit_seconds_count 1
assent_log_commit_seconds_sum 5
assent_log_queued_records 17
assent_log_file_bytes 18
assent_log_full 1
assent_log_away 0
assent_webhook_events_total{result="delivered"} 54
assent_webhook_events_total{result="given_up"} 55
assent_webhook_events_total{result="dropped"} 56
assent_webhook_failed_tries_total 57
assent_webhook_queued_events 58
assent_trace_spans_exported_total 59
assent_trace_spans_dropped_total{reason="queue_full"} 60
assent_trace_spans_dropped_total{reason="rejected"} 61
assent_trace_spans_dropped_total{reason="gave_up"} 62
assent_trace_failed_tries_total 63
assent_trace_spans_queued 64
assent_log_rows{key="k1"} 81
assent_log_rows{key="plaintext"} 82
assent_log_walking 1
assent_log_rows_sealed_anew_total 83
assent_log_rows_unopened_total 84
assent_limited_total{limit="requests"} 71
assent_limited_total{limit="calls"} 72
assent_limited_total{limit="streams"} 73
assent_limited_total{limit="sessions"} 74
assent_limited_total{limit="transactions"} 75
assent_limited_total{limit="bytes"} 76
assent_calls{kind="call"} 19
assent_calls{kind="page"} 20
assent_calls{kind="stream"} 21
assent_unread_answer_bytes 22
assent_http_connections 51
assent_http_answers_total{code="200"} 52
assent_http_answers_total{code="404"} 53
assent_auth_failures_total{reason="bad_token"} 65
assent_auth_failures_total{reason="bad_jwt"} 66
assent_auth_failures_total{reason="expired"} 67
assent_auth_failures_total{reason="barred"} 68
assent_auth_failures_total{reason="denied"} 69
assent_auth_barred_addresses 70
process_cpu_seconds_total 41
process_start_time_seconds 42
process_resident_memory_bytes 43
process_virtual_memory_bytes 44
process_open_fds 45
process_max_fds 46
process_threads 47
)";

TEST(Text, EachFigureIsUnderItsName) {
  Served served = Figures();
  Snapshot snapshot{.version = "v",
                    .now = core::WallTime(std::chrono::seconds(10'000)),
                    .process = {.cpu_seconds = 41,
                                .started_unix_seconds = 42,
                                .resident_bytes = 43,
                                .virtual_bytes = 44,
                                .open_files = 45,
                                .max_files = 46,
                                .threads = 47},
                    .http_connections = 51,
                    .http_answers = {{200, 52}, {404, 53}},
                    .refused = {.bad_tokens = 65,
                                .bad_jwts = 66,
                                .expired = 67,
                                .denied = 69,
                                .barred = 68,
                                .barred_addresses = 70},
                    .limited = {71, 72, 73, 74, 75, 76},
                    .served = &served};
  std::istringstream page(Text(snapshot));
  std::string shown = "\n";
  for (std::string line; std::getline(page, line);) {
    const bool other = line.starts_with('#') || line.find("_bucket{") != std::string::npos ||
                       line.find("_finished_total{") != std::string::npos;
    if (!other) shown += line + "\n";
  }
  EXPECT_EQ(shown, kShown);
  served.refusing = served.log.away = true;
  served.log.full = false;
  const std::string text = Text(snapshot);
  EXPECT_TRUE(Has(text, "assent_refusing 1"));
  EXPECT_TRUE(Has(text, "assent_log_away 1"));
  EXPECT_TRUE(Has(text, "assent_log_full 0"));
}

TEST(Text, EndsAndCallsHaveAllTheirNames) {
  Served served;
  std::uint64_t next = 0;
  for (auto& by_outcome : served.shards.finished)
    for (std::uint64_t& count : by_outcome) count = next++;
  served.services.resize(1);
  for (auto& by_result : served.services[0].calls)
    for (std::uint64_t& count : by_result) count = next++;
  const std::string text = TextOf(served);
  int lines = 0;
  for (const std::string protocol : {"mixed", "2pc", "tcc", "saga"}) {
    for (const std::string outcome : {"", "committed", "aborted", "mixed", "hazard"}) {
      const std::string line = "assent_transactions_finished_total{protocol=\"" + protocol +
                               "\",outcome=\"" + outcome + "\"} " + std::to_string(lines++);
      EXPECT_EQ(Has(text, line), !outcome.empty()) << line;
    }
  }
  const std::string calls = R"x(assent_participant_calls_total{service="(others)",operation=)x";
  EXPECT_TRUE(Has(text, calls + R"("prepare",result="in_flight"} 29)")) << text;
  EXPECT_TRUE(Has(text, calls + R"("compensate",result="not_sent"} 91)")) << text;
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
