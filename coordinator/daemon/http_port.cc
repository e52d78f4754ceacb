#include "coordinator/daemon/http_port.h"

#include <algorithm>
#include <utility>

#include <sys/resource.h>

#include <assent/slot.h>

#include "coordinator/base/clock.h"
#include "coordinator/daemon/certificates.h"
#include "coordinator/daemon/config_checks.h"
#include "coordinator/daemon/version.h"
#include "coordinator/metrics/text.h"

namespace assent::daemon {
namespace {

// A write that changes nothing: it waits for its turn, and is committed like any other. A log that
// others share commits behind each look into it, and no slot can be lost between.
void Write(const engine::Engine& engine, log::Log& log, bool shared,
           std::function<void(const Status&)> done) {
  std::string gid = engine.IssueGid();
  if (shared) {
    return log.Find(std::move(gid), [done = std::move(done)](const Result<log::Found>& found) {
      done(found.status());
    });
  }
  log::Entry nothing;
  nothing.kind = log::EntryKind::kForget;
  nothing.gid = std::move(gid);
  log.Append({std::move(nothing)},
             [done = std::move(done)](const log::AppendResult& result) { done(result.status); });
}

metrics::Webhook FiguresOf(const webhook::Sender* sender) {
  if (sender == nullptr) return {};
  const webhook::SenderFigures figures = sender->Figures();
  return {.delivered = figures.delivered,
          .given_up = figures.given_up,
          .dropped = figures.dropped,
          .failed_tries = figures.failed_tries,
          .queued = figures.queued};
}

metrics::Tracing FiguresOf(const tracing::Exporter* exporter) {
  if (exporter == nullptr) return {};
  const tracing::ExporterFigures figures = exporter->Figures();
  return {.exported = figures.exported,
          .queue_full = figures.queue_full,
          .rejected = figures.rejected,
          .gave_up = figures.gave_up,
          .failed_tries = figures.failed_tries,
          .queued = figures.queued};
}

metrics::Limited FiguresOf(const security::Guard& guard, const engine::Engine& engine) {
  const security::Guard::Figures figures = guard.figures();
  const engine::Initiators::Refused held = engine.initiators().refused();
  const auto seats = [&](security::Seated what) {
    return figures.refused_seats.at(static_cast<std::size_t>(what));
  };
  return {.requests = figures.refused_requests,
          .calls = seats(security::Seated::kCall),
          .streams = seats(security::Seated::kStream),
          .sessions = seats(security::Seated::kSession),
          .transactions = held.transactions,
          .bytes = held.bytes};
}

metrics::Sealed FiguresOf(const log::SealReport* report) {
  if (report == nullptr) return {};
  log::SealReport::Now now = report->Get();
  return {.rows = std::move(now.rows),
          .walking = now.walking,
          .sealed_anew = now.sealed_anew,
          .unopened = now.unopened};
}

metrics::Certificates FiguresOf(const Certificates& certificates) {
  metrics::Certificates all{.webhook_ca = certificates.WebhookCaExpires(),
                            .trace_ca = certificates.TraceCaExpires()};
  if (certificates.keeper() == nullptr) return all;
  const tls::MaterialPtr now = certificates.keeper()->Current();
  all.server = now->expires;
  all.client_ca = now->client_ca_expires;
  return all;
}

metrics::Refused FiguresOf(const security::Guard& guard) {
  const security::Guard::Figures figures = guard.figures();
  return {.bad_tokens = figures.bad_tokens,
          .bad_jwts = figures.bad_jwts,
          .expired = figures.expired,
          .denied = figures.denied,
          .barred = figures.barred,
          .barred_addresses = guard.BarredCount(base::UnixNowMs())};
}

std::function<std::shared_ptr<ssl_ctx_st>()> ContextOf(const Certificates& certificates) {
  return [&keeper = *certificates.keeper()] { return keeper.Current()->context; };
}

}  // namespace

std::size_t HttpConnections(const Config& config) {
  const auto wanted = static_cast<std::size_t>(config.max_http_connections);
  rlimit files{};
  if (config.HttpAddress().empty() || ::getrlimit(RLIMIT_NOFILE, &files) != 0)
    return config.HttpAddress().empty() ? 0 : wanted;
  return std::max<std::size_t>(1, std::min<std::size_t>(wanted, files.rlim_max / 4));
}

Result<std::unique_ptr<HttpPort>> HttpPort::Open(const Config& config,
                                                 const Certificates& certificates,
                                                 security::Guard& guard) {
  if (config.HttpAddress().empty()) return std::unique_ptr<HttpPort>();
  // The door sees to it what its answers' readers take, and of a slow one TCP says that it is gone.
  auto listener = Listener::Open(config.HttpAddress(),
                                 {.setting = "--http-listen (none: no HTTP)",
                                  .user_timeout_ms = 0,
                                  .keepalive_seconds = static_cast<int>(config.keepalive_seconds)});
  if (!listener.ok()) return listener.status();
  if (const Status listening = (*listener)->Listen(); !listening.ok()) return listening;
  return std::make_unique<HttpPort>(config, certificates, std::move(listener).value(), guard);
}

HttpPort::HttpPort(const Config& config, const Certificates& certificates,
                   std::unique_ptr<Listener> listener, security::Guard& guard)
    : listener_(std::move(listener)),
      certificates_(certificates),
      guard_(guard),
      tls_(HttpHasTls(config)),
      desk_({.health = {.look = [this] { return Look(); }},
             .metrics = [this] { return Metrics(); },
             .metrics_type = metrics::kTextType,
             .version = kVersion,
             .loopback = IsLoopback(config.HttpAddress()),
             .guard = &guard}),
      door_({.max_connections_count = HttpConnections(config),
             .max_connections_per_address_count =
                 static_cast<std::size_t>(config.max_http_connections_per_address),
             .tls = tls_ ? ContextOf(certificates) : nullptr},
            listener_->descriptors(), desk_) {}

void HttpPort::Serve(const Behind& behind, std::unique_ptr<service::Way> way) {
  way_ = std::move(way);
  behind_.emplace(behind);
  desk_.health().SetWrite([behind](std::function<void(const Status&)> done) {
    Write(behind.service.engine(), behind.log, behind.shared, std::move(done));
  });
  desk_.Open({.service = behind.service, .way = way_.get()});
  serving_ = true;
}

std::string HttpPort::Metrics() const {
  const http::DoorFigures door = door_.Figures();
  metrics::Snapshot snapshot{.version = kVersion,
                             .now = base::WallNow(),
                             .process = metrics::ReadProcess(),
                             .http_connections = door.connections,
                             .http_answers = door.answers,
                             .certificates = FiguresOf(certificates_),
                             .refused = FiguresOf(guard_)};
  if (!serving_) return metrics::Text(snapshot);
  const engine::Engine& engine = behind_->service.engine();
  if (const security::Guard* guard = behind_->service.guard())
    snapshot.limited = FiguresOf(*guard, engine);
  const service::Holdings& holdings = behind_->service.holdings();
  const cluster::ViewPtr view = behind_->service.router().view();
  const metrics::Served served{
      .shards = engine.Stats(),
      .log = engine.LogStats(),
      .services = behind_->board.Figures(),
      .waiting = engine.Waiting("", metrics::kMaxWaitedServicesCount),
      .dispatched = behind_->board.counters(),
      .sessions = behind_->board.session_count(),
      .calls = holdings.Count(service::Held::kCall),
      .pages = holdings.Count(service::Held::kPage),
      .streams = holdings.Count(service::Held::kStream),
      .unread_bytes = holdings.unread_bytes(),
      .slots = engine.served_slots(),
      .members = view == nullptr ? 1 : view->members.size(),
      .recovery_seconds = std::chrono::duration<double>(behind_->recovered_in).count(),
      .recovered = engine.recovered().live_rows,
      .refusing = !engine.refusing().empty() || engine.away(),
      .webhook = FiguresOf(behind_->webhook),
      .tracing = FiguresOf(behind_->tracing),
      .sealed = FiguresOf(behind_->sealed),
  };
  snapshot.served = &served;
  return metrics::Text(snapshot);
}

std::vector<http::Check> HttpPort::Look() const {
  const engine::Engine* const engine = engine_;
  http::Check started{.name = "start", .ok = serving_, .said = "done"};
  if (engine == nullptr) {
    started.said = "the log is being opened";
  } else if (!started.ok) {
    started.said = "recovering: " + std::to_string(engine->rows_read()) +
                   " unfinished transactions have been read so far";
  }
  if (!started.ok) return {std::move(started)};
  const std::string refusing = engine->refusing();
  http::Check work{.name = "work", .ok = refusing.empty() && !engine->away(), .said = "taken"};
  if (!refusing.empty()) {
    work.said = "refused: " + refusing;
  } else if (!work.ok) {
    work.said = "refused: the database does not answer";
  }
  http::Check drain{.name = "drain", .ok = !draining_, .said = "no"};
  if (!drain.ok) {
    const engine::ShardStats stats = engine->Stats();
    drain.said = "stopping: " + std::to_string(stats.unfinished()) +
                 " unfinished transactions are left here";
  }
  return {std::move(started), std::move(work), std::move(drain)};
}

}  // namespace assent::daemon
