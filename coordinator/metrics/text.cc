#include "coordinator/metrics/text.h"

#include <algorithm>
#include <cctype>
#include <chrono>
#include <deque>
#include <iterator>
#include <string_view>
#include <utility>
#include <vector>

#include <prometheus/metric_family.h>
#include <prometheus/text_serializer.h>

#include <assent/operation.h>
#include <assent/states.h>

#include "coordinator/base/figure.h"

namespace assent::metrics {
namespace {

using prometheus::ClientMetric;
using prometheus::MetricFamily;
using prometheus::MetricType;
using Labels = std::vector<ClientMetric::Label>;

constexpr double kMicrosPerSecond = 1e6;
// No service has such a name.
constexpr char kOthers[] = "(others)";

std::string Lower(std::string_view word) {
  std::string lower(word);
  for (char& c : lower) c = static_cast<char>(std::tolower(static_cast<unsigned char>(c)));
  return lower;
}

// One metric, with all of its labels.
class Family {
 public:
  Family(MetricFamily& family, MetricType type) : family_(family), type_(type) {}

  Family& Add(double value, Labels labels = {}) {
    ClientMetric& metric = family_.metric.emplace_back();
    metric.label = std::move(labels);
    (type_ == MetricType::Counter ? metric.counter.value : metric.gauge.value) = value;
    return *this;
  }
  Family& Add(std::uint64_t value, Labels labels = {}) {
    return Add(static_cast<double>(value), std::move(labels));
  }
  Family& Add(bool value) { return Add(value ? 1.0 : 0.0); }
  // `per`: so many of the histogram's numbers are one of those that are shown.
  template <const auto& kBounds>
  void Add(const base::Histogram<std::uint64_t, kBounds>& histogram, double per) {
    auto& shown = family_.metric.emplace_back().histogram;
    std::uint64_t count = 0;
    for (std::size_t i = 0; i < kBounds.size(); ++i) {
      count += histogram.counts[i];
      shown.bucket.push_back({count, static_cast<double>(kBounds[i]) / per});
    }
    shown.sample_count = count + histogram.counts.back();
    shown.sample_sum = static_cast<double>(histogram.sum) / per;
  }

 private:
  MetricFamily& family_;
  const MetricType type_;
};

class Page {
 public:
  Family Counter(const char* name, const char* help) {
    return Make(name, help, MetricType::Counter);
  }
  Family Gauge(const char* name, const char* help) { return Make(name, help, MetricType::Gauge); }
  Family Histogram(const char* name, const char* help) {
    return Make(name, help, MetricType::Histogram);
  }
  std::string Text() {
    return prometheus::TextSerializer().Serialize(
        {std::make_move_iterator(families_.begin()), std::make_move_iterator(families_.end())});
  }

 private:
  Family Make(const char* name, const char* help, MetricType type) {
    MetricFamily& family = families_.emplace_back();
    family.name = name;
    family.help = help;
    family.type = type;
    return {family, type};
  }
  std::deque<MetricFamily> families_;  // each stays where it is
};

double AgeSeconds(const Served& served, engine::Aged aged, core::WallTime now) {
  const std::uint64_t began = served.shards.oldest_unix_s[static_cast<std::size_t>(aged)];
  if (began == 0) return 0;
  const auto age = now.time_since_epoch().count() - static_cast<std::int64_t>(began) * 1000;
  return static_cast<double>(std::max<std::int64_t>(age, 0)) / 1000;
}

void Transactions(const Served& served, core::WallTime now, Page& page) {
  const engine::ShardStats& shards = served.shards;
  page.Counter("assent_transactions_begun_total", "Transactions that have begun").Add(shards.begun);
  page.Counter("assent_transactions_refused_total", "Transactions refused for want of room")
      .Add(shards.refused);
  page.Counter("assent_transactions_decided_total", "Transactions by their durable decision")
      .Add(shards.committed, {{"decision", "commit"}})
      .Add(shards.aborted, {{"decision", "abort"}});
  Family finished = page.Counter("assent_transactions_finished_total",
                                 "Transactions that have finished, by the protocol of their "
                                 "branches (mixed: several, or none) and outcome");
  for (std::size_t protocol = 0; protocol < engine::kProtocolsCount; ++protocol) {
    const std::string name =
        protocol == 0 ? "mixed" : std::string(Name(static_cast<core::Protocol>(protocol)));
    for (std::size_t outcome = 1; outcome < engine::kOutcomesCount; ++outcome) {
      finished.Add(
          shards.finished[protocol][outcome],
          {{"protocol", name}, {"outcome", Lower(Name(static_cast<core::Outcome>(outcome)))}});
    }
  }
  page.Gauge("assent_transactions_in_flight", "Unfinished transactions by state")
      .Add(shards.active, {{"state", "active"}})
      .Add(shards.committing, {{"state", "committing"}})
      .Add(shards.aborting, {{"state", "aborting"}});
  page.Gauge("assent_transactions_needing_operator",
             "Unfinished transactions that do not go on without a person")
      .Add(shards.needs_operator);
  page.Gauge("assent_transactions_oldest_age_seconds",
             "Time since the oldest unfinished transaction of a state began; 0: there is none")
      .Add(AgeSeconds(served, engine::Aged::kActive, now), {{"state", "active"}})
      .Add(AgeSeconds(served, engine::Aged::kCommitting, now), {{"state", "committing"}})
      .Add(AgeSeconds(served, engine::Aged::kAborting, now), {{"state", "aborting"}})
      .Add(AgeSeconds(served, engine::Aged::kNeedsOperator, now), {{"state", "needs_operator"}});
  page.Gauge("assent_transactions_set_aside", "Rows of the log that cannot be carried on")
      .Add(shards.set_aside);
  page.Gauge("assent_transactions_retained", "Finished transactions that the log still has")
      .Add(served.log.finished_rows);
  page.Histogram("assent_transaction_decision_seconds",
                 "Time from the beginning of a transaction to its durable decision")
      .Add(shards.decided_after, kMicrosPerSecond);
  page.Histogram("assent_transaction_duration_seconds",
                 "Time from the beginning of a transaction to its end")
      .Add(shards.finished_after, kMicrosPerSecond);
  page.Histogram("assent_timer_lag_seconds",
                 "Time by which the latest of the timers that were due at once was late")
      .Add(shards.timers_late, kMicrosPerSecond);
  page.Gauge("assent_silent_shards", "Shards that have not looked at what they were asked")
      .Add(shards.silent_shards);
}

std::string NameOf(const transport::ServiceFigures& service) {
  return service.service.empty() ? kOthers : service.service;
}

void Participants(const Served& served, Page& page) {
  using core::AttemptResult;
  Family calls = page.Counter("assent_participant_calls_total",
                              "Commands that have left, by what came of them (unknown: no answer)");
  for (const transport::ServiceFigures& service : served.services) {
    for (std::size_t operation = 1; operation < service.calls.size(); ++operation) {
      for (std::size_t result = 0; result < transport::kAttemptResultsCount; ++result) {
        const std::uint64_t count = service.calls[operation][result];
        if (count == 0) continue;
        calls.Add(count, {{"service", NameOf(service)},
                          {"operation", Lower(Name(static_cast<core::Operation>(operation)))},
                          {"result", Lower(Name(static_cast<AttemptResult>(result)))}});
      }
    }
  }
  const auto each = [&](Family family, std::uint64_t transport::ServiceFigures::*figure) {
    for (const transport::ServiceFigures& service : served.services)
      family.Add(service.*figure, {{"service", NameOf(service)}});
  };
  each(page.Counter("assent_participant_retries_total",
                    "Commands that were not the first of their branch"),
       &transport::ServiceFigures::retries);
  each(page.Counter("assent_participant_moved_total",
                    "Commands that went to another instance after a \"not now\""),
       &transport::ServiceFigures::moved);
  each(page.Counter("assent_participant_hedged_total",
                    "Commands of which a second instance got a copy, for want of an answer"),
       &transport::ServiceFigures::hedged);
  each(page.Counter("assent_participant_breakers_opened_total",
                    "How often the breaker of an instance, or of the service, has opened"),
       &transport::ServiceFigures::opened);
  each(page.Gauge("assent_participant_breakers_open",
                  "Instances whose breaker is open, or half open"),
       &transport::ServiceFigures::open);
  each(page.Gauge("assent_participant_instances", "Instances of a service that can be reached"),
       &transport::ServiceFigures::instances);
  each(page.Gauge("assent_participant_commands_in_flight",
                  "Commands that are on their way to a service, or with it"),
       &transport::ServiceFigures::in_flight);
  each(page.Gauge("assent_participant_commands_queued",
                  "Commands that wait because no instance has room"),
       &transport::ServiceFigures::queued);
  Family waiting = page.Gauge("assent_participant_transactions_waiting",
                              "Unfinished transactions that wait for a service that is not there");
  for (const engine::WaitingFor& one : served.waiting)
    waiting.Add(one.transactions, {{"service", one.service}});
  page.Gauge("assent_sessions", "Participants that are connected by a session")
      .Add(served.sessions);
  page.Counter("assent_commands_expired_total", "Commands whose time was over before an answer")
      .Add(served.dispatched.expired);
  page.Counter("assent_replies_ignored_total",
               "Replies that were not believed (stale: nobody waits for it; mismatched: it names "
               "another command; oversized: its result is too large)")
      .Add(served.dispatched.stale_replies + served.shards.stale_replies, {{"reason", "stale"}})
      .Add(served.dispatched.mismatched_replies, {{"reason", "mismatched"}})
      .Add(served.dispatched.oversized_results, {{"reason", "oversized"}});
}

void TheLog(const Served& served, Page& page) {
  const log::Stats& log = served.log;
  page.Counter("assent_log_records_total", "Records that are durable").Add(log.records);
  page.Histogram("assent_log_group_entries", "Records in a group commit").Add(log.group_entries, 1);
  page.Histogram("assent_log_write_seconds", "Time for the statements of a group commit")
      .Add(log.write_after, kMicrosPerSecond);
  page.Histogram("assent_log_commit_seconds",
                 "Time for making a group commit durable: of SQLite, its synchronisation")
      .Add(log.commit_after, kMicrosPerSecond);
  page.Gauge("assent_log_queued_records", "Records that wait for a group commit")
      .Add(log.queued_entries);
  page.Gauge("assent_log_file_bytes", "Size of the log's files; 0: it is in PostgreSQL")
      .Add(log.file_bytes);
  page.Gauge("assent_log_full", "1: the disk has no room for new transactions").Add(log.full);
  page.Gauge("assent_log_away", "1: the database does not answer").Add(log.away);
}

void TheSeals(const Sealed& sealed, Page& page) {
  Family rows = page.Gauge("assent_log_rows",
                           "Rows of the log by the key that they are under, as of the last walk "
                           "over all of them");
  for (const auto& [key, count] : sealed.rows) rows.Add(count, {{"key", key}});
  page.Gauge("assent_log_walking",
             "1: a walk is under way that seals anew what is under other keys")
      .Add(sealed.walking);
  page.Counter("assent_log_rows_sealed_anew_total", "Rows that a walk has sealed anew")
      .Add(sealed.sealed_anew);
  page.Counter("assent_log_rows_unopened_total",
               "Rows that did not open: a key is missing, or they were changed")
      .Add(sealed.unopened);
}

void TheCertificates(const Certificates& certificates, Page& page) {
  Family expiry = page.Gauge("assent_tls_certificate_expiry_timestamp_seconds",
                             "When the first certificate expires of those that are served, or "
                             "that clients and receivers are held to");
  const auto add = [&expiry](const auto& expires, const char* which) {
    if (!expires.has_value()) return;
    expiry.Add(std::chrono::duration<double>(expires->time_since_epoch()).count(),
               {{"certificate", which}});
  };
  add(certificates.server, "server");
  add(certificates.client_ca, "client_ca");
  add(certificates.webhook_ca, "webhook_ca");
  add(certificates.trace_ca, "trace_ca");
}

void TheRefused(const Refused& refused, Page& page) {
  page.Counter("assent_auth_failures_total",
               "Calls refused for who made them (bad_token, bad_jwt: it is none; expired: it was "
               "one; barred: too many of its address were none, and it was not looked at; denied: "
               "no rule allows it)")
      .Add(refused.bad_tokens, {{"reason", "bad_token"}})
      .Add(refused.bad_jwts, {{"reason", "bad_jwt"}})
      .Add(refused.expired, {{"reason", "expired"}})
      .Add(refused.barred, {{"reason", "barred"}})
      .Add(refused.denied, {{"reason", "denied"}});
  page.Gauge("assent_auth_barred_addresses", "Addresses whose new credentials are not looked at")
      .Add(refused.barred_addresses);
}

void TheWebhook(const Webhook& webhook, Page& page) {
  page.Counter("assent_webhook_events_total",
               "Events for people by what became of them (given_up: tried in vain; dropped: too "
               "many waited)")
      .Add(webhook.delivered, {{"result", "delivered"}})
      .Add(webhook.given_up, {{"result", "given_up"}})
      .Add(webhook.dropped, {{"result", "dropped"}});
  page.Counter("assent_webhook_failed_tries_total", "Tries that the receiver has not taken")
      .Add(webhook.failed_tries);
  page.Gauge("assent_webhook_queued_events", "Events that wait for the receiver")
      .Add(webhook.queued);
}

void TheTracing(const Tracing& tracing, Page& page) {
  page.Counter("assent_trace_spans_exported_total", "Spans that the collector has taken")
      .Add(tracing.exported);
  page.Counter("assent_trace_spans_dropped_total",
               "Spans that it has not (queue_full: too many waited; rejected: it did not take "
               "them; gave_up: tried in vain)")
      .Add(tracing.queue_full, {{"reason", "queue_full"}})
      .Add(tracing.rejected, {{"reason", "rejected"}})
      .Add(tracing.gave_up, {{"reason", "gave_up"}});
  page.Counter("assent_trace_failed_tries_total", "Requests to the collector that were in vain")
      .Add(tracing.failed_tries);
  page.Gauge("assent_trace_spans_queued", "Spans that wait for the collector").Add(tracing.queued);
}

void Callers(const Snapshot& snapshot, Page& page) {
  const Limited& limited = snapshot.limited;
  page.Counter("assent_limited_total",
               "What was refused because one identity had as much as its rules allow (requests in "
               "a second; calls, streams and sessions at once; unfinished transactions, and their "
               "bytes)")
      .Add(limited.requests, {{"limit", "requests"}})
      .Add(limited.calls, {{"limit", "calls"}})
      .Add(limited.streams, {{"limit", "streams"}})
      .Add(limited.sessions, {{"limit", "sessions"}})
      .Add(limited.transactions, {{"limit", "transactions"}})
      .Add(limited.bytes, {{"limit", "bytes"}});
  if (const Served* served = snapshot.served) {
    page.Gauge("assent_calls", "Calls under way, those that gather a page, and streams")
        .Add(served->calls, {{"kind", "call"}})
        .Add(served->pages, {{"kind", "page"}})
        .Add(served->streams, {{"kind", "stream"}});
    page.Gauge("assent_unread_answer_bytes", "Answers that their callers have not taken yet")
        .Add(served->unread_bytes);
  }
  page.Gauge("assent_http_connections", "Connections of HTTP").Add(snapshot.http_connections);
  Family answers = page.Counter("assent_http_answers_total", "Answers of HTTP by code");
  for (const auto& [code, count] : snapshot.http_answers)
    answers.Add(count, {{"code", std::to_string(code)}});
}

void Coordinator(const Snapshot& snapshot, Page& page) {
  page.Gauge("assent_build_info", "1, with the version").Add(1.0, {{"version", snapshot.version}});
  page.Gauge("assent_serving", "1: the start is done").Add(snapshot.served != nullptr);
  if (const Served* served = snapshot.served) {
    page.Gauge("assent_refusing", "1: new transactions are refused").Add(served->refusing);
    page.Gauge("assent_recovery_seconds", "Time that the start took to read the log")
        .Add(served->recovery_seconds);
    page.Gauge("assent_recovered_transactions", "Unfinished transactions that the start has found")
        .Add(served->recovered);
    page.Gauge("assent_cluster_members", "Coordinators that share the log, this one among them")
        .Add(served->members);
    page.Gauge("assent_cluster_slots", "Slots that this coordinator serves").Add(served->slots);
  }
}

void TheProcess(const Process& process, Page& page) {
  page.Counter("process_cpu_seconds_total", "CPU time of this process").Add(process.cpu_seconds);
  page.Gauge("process_start_time_seconds", "When this process started, since 1970")
      .Add(process.started_unix_seconds);
  page.Gauge("process_resident_memory_bytes", "Memory that it has").Add(process.resident_bytes);
  page.Gauge("process_virtual_memory_bytes", "Addresses that it has").Add(process.virtual_bytes);
  page.Gauge("process_open_fds", "Files and sockets that it has open").Add(process.open_files);
  page.Gauge("process_max_fds", "So many it may have open").Add(process.max_files);
  page.Gauge("process_threads", "Threads that it has").Add(process.threads);
}

}  // namespace

std::string Text(const Snapshot& snapshot) {
  Page page;
  Coordinator(snapshot, page);
  if (const Served* served = snapshot.served) {
    Transactions(*served, snapshot.now, page);
    Participants(*served, page);
    TheLog(*served, page);
    TheWebhook(served->webhook, page);
    TheTracing(served->tracing, page);
    TheSeals(served->sealed, page);
  }
  Callers(snapshot, page);
  TheCertificates(snapshot.certificates, page);
  TheRefused(snapshot.refused, page);
  TheProcess(snapshot.process, page);
  return page.Text();
}

}  // namespace assent::metrics
