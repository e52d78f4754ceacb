#include "coordinator/daemon/server.h"

#include <algorithm>
#include <chrono>
#include <utility>
#include <vector>

#include <grpcpp/ext/proto_server_reflection_plugin.h>
#include <grpcpp/grpcpp.h>
#include <grpcpp/impl/service_type.h>
#include <spdlog/spdlog.h>

#include <assent/limits.h>
#include <assent/thread_safety.h>

#include "coordinator/base/clock.h"
#include "coordinator/daemon/acceptor.h"
#include "coordinator/daemon/audit_log.h"
#include "coordinator/daemon/auth.h"
#include "coordinator/daemon/certificates.h"
#include "coordinator/daemon/cluster_log.h"
#include "coordinator/daemon/engine_options.h"
#include "coordinator/daemon/etcd.h"
#include "coordinator/daemon/exposure.h"
#include "coordinator/daemon/grpc_limits.h"
#include "coordinator/daemon/http_port.h"
#include "coordinator/daemon/last_words.h"
#include "coordinator/daemon/listener.h"
#include "coordinator/daemon/no_reflection.h"
#include "coordinator/daemon/open_log.h"
#include "coordinator/daemon/pacing.h"
#include "coordinator/daemon/participants.h"
#include "coordinator/daemon/sealing.h"
#include "coordinator/daemon/self_dial.h"
#include "coordinator/daemon/shown_settings.h"
#include "coordinator/daemon/system_clock.h"
#include "coordinator/daemon/tracing.h"
#include "coordinator/daemon/version.h"
#include "coordinator/daemon/view_relay.h"
#include "coordinator/daemon/visitor_log.h"
#include "coordinator/daemon/webhook.h"
#include "coordinator/engine/engine.h"
#include "coordinator/grpc/call.h"
#include "coordinator/grpc/health.h"
#include "coordinator/grpc/peer_check.h"
#include "coordinator/grpc/peers.h"
#include "coordinator/grpc/transaction_service.h"
#include "coordinator/grpc/way.h"
#include "coordinator/log/epoch.h"
#include "coordinator/service/record.h"
#include "coordinator/service/service.h"
#include "coordinator/transport/grpc_streams.h"
#include "coordinator/transport/session_hub.h"
#include "coordinator/transport/switchboard.h"

namespace assent::daemon {
namespace {

constexpr std::chrono::seconds kLookForOurselves{10};

template <typename T>
Status Keep(Result<T> opened, T& kept) {
  if (opened.ok()) kept = std::move(opened).value();
  return opened.status();
}

}  // namespace

struct Server::Parts {
  explicit Parts(Config c) : config(std::move(c)), settings(config) {}
  Config config;
  ShownSettings settings;
  security::Guard guard;
  door::PeerCheck peer_check{guard, TellStranger};
  std::unique_ptr<Certificates> certificates;
  std::unique_ptr<HttpPort> http;  // nullptr: there is to be none
  Sealing sealing;
  std::string log_place;
  ClusterLog cluster_log;
  ViewRelay views;
  std::unique_ptr<log::Log> log;
  log::PostgresLog* shared_log = nullptr;  // `log`, if others share it
  std::unique_ptr<audit::Audit> audit;
  std::unique_ptr<DoorWitness> witness;
  std::unique_ptr<webhook::Sender> webhook;    // nullptr: there is to be none
  std::unique_ptr<tracing::Exporter> tracing;  // likewise
  std::unique_ptr<engine::Engine> engine;
  SystemClock clock;
  VisitorLog visitors;
  std::unique_ptr<transport::Switchboard> board;
  std::unique_ptr<transport::SessionHub> hub;
  std::shared_ptr<const traffic::Policies> policies;
  std::unique_ptr<Pacing> pacing;
  Ways ways;
  std::unique_ptr<Participants> dialled;
  std::unique_ptr<door::GrpcPeers> peers;  // with a shared log
  std::unique_ptr<service::Service> operations;
  std::unique_ptr<grpc::Service> service;
  std::unique_ptr<grpc::Service> cluster_service;
  std::unique_ptr<grpc::Service> batch_service;
  std::unique_ptr<grpc::Service> maintenance;
  std::unique_ptr<Listener> listener;
  std::unique_ptr<grpc::experimental::ExternalConnectionAcceptor> door;
  std::unique_ptr<grpc::Service> sessions;
  door::HealthService health;
  std::unique_ptr<grpc::Server> server;
  std::unique_ptr<Acceptor> acceptor;
  std::unique_ptr<SelfDial> self_dial;
  std::unique_ptr<discovery::etcd::Registration> registration;
  Mutex removing;  // the listener is made, and its file removed, by different threads
  Listener* made_listener ASSENT_GUARDED_BY(removing) = nullptr;

  // Others take its slots one by one, and whoever comes meanwhile is served or handed on.
  bool HasHeirs() const { return shared_log != nullptr && views.members() > 1; }
  std::unique_ptr<grpc::Service> MakeMaintenance(door::MakeBackup backup);
  Status OpenReceivers();
  void Look(cluster::ViewPtr view);
  void MakeEngine();
  void MakeTransports(const log::Recovered& recovered);
  void MakeService(const log::Recovered& recovered);
  Status TakeAddress();
  Status BuildServer();
  void LetIn();
  void DialOurselves();
  void LookForOurselves();
};

Server::Server(Config config) : parts_(std::make_unique<Parts>(std::move(config))) {}
Server::~Server() { Stop(); }

Status Server::Start(int& exit_code) {
  Parts& p = *parts_;
  exit_code = kExitUsage;
  if (const Status opened = p.OpenReceivers(); !opened.ok()) return opened;
  if (const Status read = p.sealing.Start(p.config); !read.ok()) return read;
  exit_code = kExitAddressInUse;
  Result<std::unique_ptr<HttpPort>> http = HttpPort::Open(p.config, *p.certificates, p.guard);
  if (!http.ok()) return http.status();
  p.http = std::move(http).value();
  const auto look = [&p](cluster::ViewPtr view) { p.Look(std::move(view)); };
  Result<OpenedLog> opened =
      OpenLog(p.config, {DieOfLog, DieFenced, DieRegressed, look}, p.sealing.Wrap(), exit_code);
  if (!opened.ok()) return opened.status();
  p.log = std::move(opened->log);
  p.shared_log = opened->shared;
  p.log_place = std::move(opened->place);
  p.maintenance = p.MakeMaintenance(std::move(opened->make_backup));

  // Before anything of a shared log is taken, which would end a coordinator of our name that runs
  // at this address.
  exit_code = kExitAddressInUse;
  if (const Status taken = p.TakeAddress(); !taken.ok()) return taken;

  p.MakeEngine();
  if (p.http) p.http->Recovering(*p.engine);
  const auto began = base::MonoNow();
  const Result<log::Recovered> recovered = p.engine->Recover();
  if (!recovered.ok()) {
    exit_code = ExitOfJoin(p.config, recovered.status());
    return recovered.status();
  }
  if (p.shared_log != nullptr) WarnOfSlots(p.config, recovered->slots_count);
  const auto recovered_in = base::MonoNow() - began;
  spdlog::info("event=recovered unfinished={} retained={} start={} epoch={} ms={}",
               recovered->live_rows, recovered->finished_rows, log::StartNumber(recovered->epoch),
               recovered->epoch,
               std::chrono::duration_cast<std::chrono::milliseconds>(recovered_in).count());

  p.MakeTransports(*recovered);
  p.MakeService(*recovered);

  exit_code = kExitAddressInUse;
  if (const Status listening = p.listener->Listen(); !listening.ok()) return listening;
  const Status built = p.BuildServer();
  if (!built.ok()) return built;
  if (p.webhook)
    p.webhook->Open(TellerOf(p.config, recovered->log_id, p.http ? p.http->url() : ""));
  if (p.tracing) p.tracing->Open(ResourceOf(p.config, recovered->log_id));
  p.engine->Start(*p.board);
  if (p.shared_log != nullptr) p.shared_log->StartEvents();
  p.hub->Open(recovered->log_id, recovered->epoch);
  p.health.SetServing(true);
  p.LetIn();
  if (p.http) {
    p.http->Serve({.service = *p.operations,
                   .log = *p.log,
                   .shared = p.shared_log != nullptr,
                   .board = *p.board,
                   .webhook = p.webhook.get(),
                   .tracing = p.tracing.get(),
                   .sealed = &p.sealing.report(),
                   .recovered_in = recovered_in},
                  door::MakeWay(*p.operations, p.peers.get()));
  }
  p.DialOurselves();
  p.registration = RegisterInEtcd(p.config, p.ways.etcd, p.listener->address());
  if (p.peers) p.LookForOurselves();
  exit_code = kExitOk;
  return OkStatus();
}

Status Server::Parts::OpenReceivers() {
  if (const Status rules = EnforceRules(config, guard); !rules.ok()) return rules;
  Status kept = Keep(Certificates::Open(config, peer_check.Verifier()), certificates);
  if (kept.ok()) kept = Keep(OpenWebhook(config, *certificates), webhook);
  if (kept.ok()) kept = Keep(OpenTracing(config, *certificates), tracing);
  if (kept.ok()) kept = Keep(OpenWays(config, *certificates), ways);
  if (kept.ok()) kept = Keep(ReadServicePolicies(config), policies);
  if (!kept.ok()) return kept;
  WarnOfExposure(config);
  return OkStatus();
}

void Server::Parts::Look(cluster::ViewPtr view) {
  cluster_log.SetView(view, shared_log->epoch());
  views.Take(std::move(view));
}

void Server::Parts::MakeEngine() {
  engine::EngineOptions options = EngineOptions(config, webhook.get(), tracing.get());
  if (shared_log != nullptr) {
    options.on_taken_up = [this](const auto& slots, std::chrono::microseconds took) {
      cluster_log.TakenUp(slots, took);
    };
  }
  engine = std::make_unique<engine::Engine>(std::move(options), *log, DieOfLog);
}

void Server::Parts::MakeTransports(const log::Recovered& recovered) {
  transport::DispatcherLimits board_limits;
  board_limits.max_sessions_count = config.max_sessions;
  board = std::make_unique<transport::Switchboard>(board_limits, *engine, clock, &visitors);
  pacing = std::make_unique<Pacing>(*board, clock, std::move(policies));
  hub = std::make_unique<transport::SessionHub>(transport::SessionHubOptions{}, *board);
  sessions = transport::MakeSessionService(*hub, door::AdmitSessions(&guard));
  dialled = std::make_unique<Participants>(config, *certificates, ways, *board);
  dialled->Open(recovered.log_id);
}

void Server::Parts::MakeService(const log::Recovered& recovered) {
  service::ServiceOptions service_options;
  service_options.version = kVersion;
  service_options.data_file = log_place;
  service_options.trace_url = config.trace_url;
  service_options.started_unix_ms = base::WallNow().time_since_epoch().count();
  const std::size_t unread_mib = config.max_unread_mib;
  service_options.holdings.unread_bytes = {unread_mib << 20, unread_mib << 19, unread_mib << 18};
  service_options.participants = [this](const std::string& prefix) { return board->List(prefix); };
  service_options.hold_breakers = [this](const auto& name, const auto& instance, auto held) {
    return board->HoldBreakers(name, instance, held);
  };
  if (shared_log != nullptr) {
    service_options.control = &shared_log->control();
    service_options.on_control = [this](const std::string& what, const core::Actor& by) {
      cluster_log.Asked(what, by.who, by.reason);
    };
    service_options.lease = std::chrono::seconds(config.lease_seconds);
    peers = std::make_unique<door::GrpcPeers>(door::PeersOptions{
        .on_broken = [this](std::uint64_t epoch) { shared_log->OnLine(epoch, /*broken=*/true); },
        .on_standing = [this](std::uint64_t epoch) { shared_log->OnLine(epoch, /*broken=*/false); },
        .credentials = certificates->OfPeers()});
    service_options.peers = peers.get();
  }
  audit = OpenAudit(config, recovered.epoch);
  service_options.audit = audit.get();
  witness = std::make_unique<DoorWitness>(*audit);
  guard.SetWitness(witness.get());
  certificates->SetListener(
      [this](const Status& read) { NoteReload(*audit, "certificates", read); });
  service_options.guard = &guard;
  operations = std::make_unique<service::Service>(std::move(service_options), *engine);
  views.SetListener([this, self = recovered.epoch](const cluster::ViewPtr& view) {
    operations->SetView(view, self);
    hub->SetClusterVersion(view->version);
  });
  service = door::MakeTransactionService(*operations, peers.get());
  cluster_service = door::MakeClusterService(*operations);
  batch_service = door::MakeBatchService(*operations);
}

Status Server::Parts::TakeAddress() {
  ListenerOptions options;
  options.user_timeout_ms = KeepaliveTimeoutMs(config.keepalive_seconds);
  auto opened = Listener::Open(config.listen, options);
  if (!opened.ok()) return opened.status();
  listener = std::move(opened).value();
  const MutexLock lock(removing);
  made_listener = listener.get();
  return OkStatus();
}

Status Server::Parts::BuildServer() {
  grpc::reflection::InitProtoReflectionServerBuilderPlugin();
  grpc::ServerBuilder builder;
  if (!config.reflection || guard.enforces()) builder.SetOption(std::make_unique<NoReflection>());
  SetLimits(builder, config);
  builder.RegisterService(service.get());
  builder.RegisterService(cluster_service.get());
  builder.RegisterService(batch_service.get());
  builder.RegisterService(maintenance.get());
  builder.RegisterService(sessions.get());
  builder.RegisterService(&health);
  door = builder.experimental().AddExternalConnectionAcceptor(
      grpc::ServerBuilder::experimental_type::ExternalConnectionType::FROM_FD,
      HasTls(config) ? certificates->OfServer() : grpc::InsecureServerCredentials());
  server = builder.BuildAndStart();
  return server ? OkStatus() : Internal("gRPC cannot start a server");
}

std::unique_ptr<grpc::Service> Server::Parts::MakeMaintenance(door::MakeBackup backup) {
  return door::MakeMaintenanceService(
      {.backup = std::move(backup),
       .record_backup =
           [this](const service::Caller& caller, const std::function<Status()>& make) {
             return service::WhileOnRecord(
                 *audit,
                 {.verb = "backup", .who = caller.on_behalf_of(), .address = caller.address}, make);
           },
       .settings = [this] { return settings.Get(); },
       .metrics = [this]() -> Result<std::string> {
         if (http != nullptr) return http->Metrics();
         return FailedPrecondition("there are no metrics without --http-listen");
       },
       .audit = [this](const v1::ReadAuditRequest& request,
                       auto done) { service::ReadChain(*audit, request, done); },
       .guard = &guard});
}

void Server::Parts::LetIn() {
  AcceptorOptions limits = ConnectionLimits(config);
  limits.guard = &guard;
  acceptor = std::make_unique<Acceptor>(limits, listener->descriptors(), [this](int descriptor) {
    grpc::experimental::ExternalConnectionAcceptor::NewConnectionParameters connection;
    connection.fd = descriptor;
    door->HandleNewConnection(&connection);
  });
}

void Server::Parts::DialOurselves() {
  if (config.self_dial_seconds == 0) return;
  SelfDialOptions options;
  options.pause = std::chrono::seconds(config.self_dial_seconds);
  self_dial = std::make_unique<SelfDial>(
      options, SelfDial::Actions{
                   [this](std::chrono::milliseconds patience, int stop) {
                     if (!listener->CanBeFound()) return DialVerdict::kNobodyThere;
                     return DialOnce(listener->dial_address(), patience, stop, HasTls(config));
                   },
                   [this] {
                     const Status again = listener->ListenAgain();
                     if (again.ok())
                       return spdlog::warn("event=listening_again address={}", listener->address());
                     spdlog::warn("event=listening_failed error=\"{}\"", again.message());
                   },
                   [this] { DieUnreachable(listener->address()); }});
}

// Where all others are told that this coordinator is. It is no reason not to serve: from here there
// may be no way to what everybody else reaches.
void Server::Parts::LookForOurselves() {
  const auto warn = [address = config.AdvertisedAddress()](const std::string& why) {
    spdlog::warn(
        "event=advertised_elsewhere address={} why=\"{}\" hint=\"participants and the other "
        "coordinators are told to reach this one there: correct --advertise, unless it is reached "
        "from everywhere but here\"",
        address, why);
  };
  peers->AskWhoIsAt(config.AdvertisedAddress(), kLookForOurselves,
                    [warn, self = engine->recovered().epoch](const Result<std::uint64_t>& epoch) {
                      if (!epoch.ok())
                        return warn("nobody answers there: " + epoch.status().message());
                      if (epoch.value() != self) warn("another one answers there");
                    });
}

const std::string& Server::address() const { return parts_->listener->address(); }

std::string Server::Card() const {
  const Parts& p = *parts_;
  const log::Recovered& recovered = p.engine->recovered();
  std::string card;
  card += "assentd " + std::string(kVersion) + "\n";
  card += "  listening    " + address() + " (gRPC" + (HasTls(p.config) ? " over TLS" : "") +
          "; initiators, operators, participants)\n";
  if (p.http) {
    card += "  http         " + p.http->url() + "/v1, /livez, /readyz, /metrics\n";
    card += "  console      " + p.http->url() + "/\n";
  }
  card += "  log          " + p.log_place + "\n";
  card += "  coordinator  " + std::to_string(recovered.log_id) + ", start " +
          std::to_string(log::StartNumber(recovered.epoch)) + "\n";
  if (p.shared_log != nullptr) {
    card += "  node         " + p.config.NodeName() + " at " + p.config.AdvertisedAddress() + ", " +
            std::to_string(p.engine->served_slots()) + " of " +
            std::to_string(recovered.slots_count) + " slots; one of " +
            std::to_string(std::max<std::size_t>(1, p.views.members())) + "\n";
  }
  card += "  unfinished   " + std::to_string(recovered.live_rows) +
          (recovered.live_rows == 1 ? " transaction" : " transactions") + " to go on with\n";
  for (const auto& [name, addresses] : p.config.UnaryServices()) {
    for (const std::string& address : addresses)
      card += "  dials        " + name + " at " + address + "\n";
  }
  card += "  see          assentctl --endpoint " + address() + " list\n";
  return card;
}

void Server::Tick() {
  parts_->board->Tick();
  parts_->hub->Tick();
  parts_->visitors.Tick();
  parts_->certificates->Look();
  TellFailures(parts_->guard);
}

std::string Server::Reload(const Config& config) {
  std::string failed;
  const auto note = [&](const char* what) {
    failed.append(failed.empty() ? "" : ",").append(what);
  };
  parts_->acceptor->SetLimits(ConnectionLimits(config));
  parts_->settings.Set(config);
  NoteReload(*parts_->audit, "settings", OkStatus());
  const Status rules = ReloadRules(config, parts_->guard);
  if (!config.auth_rules.empty()) NoteReload(*parts_->audit, "rules and tokens", rules);
  if (!rules.ok()) note("rules or tokens");
  const Status keys = parts_->sealing.Reload(config);
  if (!config.encryption_keys.empty()) NoteReload(*parts_->audit, "encryption keys", keys);
  if (!keys.ok()) note("encryption-keys");
  if (!parts_->certificates->Reload()) note("certificates");
  if (!parts_->pacing->Reload(config).ok()) note("service-policies");
  return failed;
}

void Server::BeginDrain() {
  Parts& p = *parts_;
  if (p.http) p.http->Draining();
  p.health.SetServing(false);
  if (p.registration) p.registration->Leave();
  if (!p.HasHeirs()) return p.engine->Refuse("it is stopping");
  p.shared_log->control().SetDraining(p.config.NodeName(), true, {}, [](const Status& status) {
    if (!status.ok()) spdlog::warn("event=drain_refused error=\"{}\"", status.message());
  });
}

std::optional<std::uint64_t> Server::Drained() {
  if (parts_->HasHeirs() && parts_->engine->refusing().empty())
    return parts_->engine->served_slots() == 0 ? std::optional<std::uint64_t>(0) : std::nullopt;
  const engine::ShardStats stats = parts_->engine->Stats();
  if (stats.silent_shards > 0 || stats.unfinished() > stats.resting) return std::nullopt;
  return stats.unfinished();
}

void Server::Stop() {
  Parts& p = *parts_;
  p.registration.reset();
  p.self_dial.reset();
  p.acceptor.reset();  // before what it hands connections to
  if (p.http) p.http->Close();
  if (p.server) {
    p.hub->Close();
    p.operations->router().Close();
    p.operations->event_hub().Close();
    p.server->Shutdown(std::chrono::system_clock::now() + std::chrono::seconds(1));
    p.server->Wait();
  }
  p.views.SetListener({});
  if (p.peers) p.peers->Close();
  if (p.engine) p.engine->Stop();  // before what its shards send through
  if (p.webhook) CloseWebhook(*p.webhook);
  if (p.tracing) CloseTracing(*p.tracing);
  if (p.audit) CloseAudit(*p.audit);  // who waited for it has been told by the engine
  p.dialled.reset();                  // its last callbacks go to the engine, which is still there
  p.log.reset();                      // likewise
  p.server.reset();
  p.door.reset();
  RemoveSocket();
  {
    const MutexLock lock(p.removing);
    p.made_listener = nullptr;
  }
  p.listener.reset();
  p.sessions.reset();
  p.hub.reset();
  p.board.reset();
  p.service.reset();
  p.batch_service.reset();
  p.cluster_service.reset();
  p.operations.reset();
  p.peers.reset();
  p.engine.reset();
  p.http.reset();  // the last that its callers had asked of the engine has gone with it
}

void Server::RemoveSocket() {
  const MutexLock lock(parts_->removing);
  if (parts_->made_listener != nullptr) parts_->made_listener->RemoveFile();
}

}  // namespace assent::daemon
