#include "coordinator/daemon/server.h"

#include <cerrno>
#include <chrono>
#include <cstdlib>
#include <cstring>
#include <filesystem>
#include <system_error>
#include <unistd.h>
#include <utility>

#include <grpcpp/ext/proto_server_reflection_plugin.h>
#include <grpcpp/grpcpp.h>
#include <grpcpp/health_check_service_interface.h>
#include <grpcpp/impl/service_type.h>
#include <spdlog/spdlog.h>

#include <assent/limits.h>

#include "coordinator/api/transaction_service.h"
#include "coordinator/base/clock.h"
#include "coordinator/daemon/version.h"
#include "coordinator/engine/engine.h"
#include "coordinator/log/sqlite_log.h"
#include "coordinator/transport/routing_transport.h"
#include "coordinator/transport/session_hub.h"
#include "coordinator/transport/unary_dialer.h"

namespace assent::daemon {
namespace {

// An append that may or may not have happened, or a row that makes no sense: nobody may be told anything any more, not even
// goodbye. The next start learns what is true of the first; the second stays as it is, and no supervisor shall try again.
[[noreturn]] void DieOfLog(const Status& status) {
  const bool damaged = status.code() == Code::kDataLoss;
  spdlog::critical("event=log_failed error=\"{}\" action=\"stopping at once; {}\"",
                   status.ToString(),
                   damaged ? "the log is damaged" : "the next start learns what is true");
  spdlog::default_logger()->flush();
  _exit(damaged ? kExitDamaged : kExitLogFailed);
}

log::SqliteOptions LogOptions(const Config& config, const std::string& path) {
  log::SqliteOptions options;
  options.path = path;
  options.retention_age = std::chrono::hours(config.retention_hours);
  options.retention_bytes = static_cast<std::uint64_t>(config.retention_mib) << 20;
  options.reserve_bytes = static_cast<std::uint64_t>(config.reserve_mib) << 20;
  options.pinned_outcomes = engine::PinnedOutcomes();
  options.on_poisoned = DieOfLog;
  options.on_replay = [](std::uint64_t rows, std::uint64_t of) {
    spdlog::info("event=recovering read={} of={} percent={}", rows, of, rows * 100 / of);
  };
  return options;
}

void SetLimits(grpc::ServerBuilder& builder, std::int64_t keepalive_seconds) {
  builder.SetMaxReceiveMessageSize(static_cast<int>(limits::kMaxFrameBytes));
  builder.AddChannelArgument(GRPC_ARG_MAX_METADATA_SIZE, 16 * 1024);
  builder.AddChannelArgument(GRPC_ARG_MAX_CONCURRENT_STREAMS, 100'000);
  // A second daemon on the same port must fail, not share it.
  builder.AddChannelArgument(GRPC_ARG_ALLOW_REUSEPORT, 0);
  // A peer that vanished without a word is noticed (by default) within half a minute; participants may ping as often.
  const auto keepalive_ms = static_cast<int>(keepalive_seconds) * 1000;
  builder.AddChannelArgument(GRPC_ARG_KEEPALIVE_TIME_MS, keepalive_ms);
  builder.AddChannelArgument(GRPC_ARG_KEEPALIVE_TIMEOUT_MS, keepalive_ms / 3 * 2);
  builder.AddChannelArgument(GRPC_ARG_KEEPALIVE_PERMIT_WITHOUT_CALLS, 1);
  builder.AddChannelArgument(GRPC_ARG_HTTP2_MIN_RECV_PING_INTERVAL_WITHOUT_DATA_MS,
                             keepalive_ms / 3);
}

}  // namespace

struct Server::Parts {
  explicit Parts(Config c) : config(std::move(c)) {}
  Config config;
  std::string data_file;
  std::string address;  // as bound
  std::unique_ptr<log::SqliteLog> log;
  std::unique_ptr<engine::Engine> engine;
  std::unique_ptr<transport::SessionHub> hub;
  std::unique_ptr<transport::UnaryDialer> dialer;
  std::unique_ptr<transport::RoutingTransport> transport;
  std::unique_ptr<grpc::Service> service;
  std::unique_ptr<grpc::Server> server;
};

Server::Server(Config config) : parts_(std::make_unique<Parts>(std::move(config))) {}
Server::~Server() { Stop(); }

Status Server::Start(int& exit_code) {
  Parts& p = *parts_;
  exit_code = kExitDataFolder;
  std::error_code error;
  std::filesystem::create_directories(p.config.data, error);
  if (error)
    return Unavailable("cannot create the data folder " + p.config.data + ": " + error.message() +
                       "; choose another with --data");
  p.data_file = (std::filesystem::path(p.config.data) / "assent.db").string();
  auto opened = log::SqliteLog::Open(LogOptions(p.config, p.data_file));
  if (!opened.ok()) {
    const Code code = opened.status().code();
    // Neither gets better by trying again.
    if (code == Code::kDataLoss || code == Code::kUnimplemented) exit_code = kExitDamaged;
    return opened.status();
  }
  p.log = std::move(opened).value();

  engine::EngineOptions engine_options;
  engine_options.shards_count = p.config.shards;
  engine_options.shard.max_live_count = p.config.max_transactions / p.config.shards + 1;
  engine_options.shard.max_live_bytes = (p.config.max_payload_mib << 20) / p.config.shards;
  engine_options.shard.on_set_aside = [](const std::string& sentence) {
    spdlog::error(
        "event=set_aside what=\"{}\" hint=\"everything else goes on; keep the files, and "
        "report it\"",
        sentence);
  };
  engine_options.shard.seed =
      static_cast<std::uint64_t>(base::WallNow().time_since_epoch().count());
  p.engine = std::make_unique<engine::Engine>(engine_options, *p.log, DieOfLog);
  const auto began = base::MonoNow();
  const Result<log::Recovered> recovered = p.engine->Recover();
  if (!recovered.ok()) {
    exit_code = recovered.status().code() == Code::kDataLoss ? kExitDamaged : kExitLogFailed;
    return recovered.status();
  }
  spdlog::info(
      "event=recovered unfinished={} retained={} start={} epoch={} ms={}", recovered->live_rows,
      recovered->finished_rows, log::StartNumber(recovered->epoch), recovered->epoch,
      std::chrono::duration_cast<std::chrono::milliseconds>(base::MonoNow() - began).count());

  transport::SessionHubOptions hub_options;
  hub_options.limits.max_sessions_count = p.config.max_sessions;
  p.hub = std::make_unique<transport::SessionHub>(hub_options, *p.engine);
  transport::UnaryDialerOptions dialer_options;
  dialer_options.services = p.config.UnaryServices();
  dialer_options.max_in_flight_per_target_count = p.config.unary_max_in_flight;
  p.dialer = std::make_unique<transport::UnaryDialer>(dialer_options, *p.engine);
  p.dialer->Open(recovered->coordinator_id);
  p.transport = std::make_unique<transport::RoutingTransport>(*p.hub, *p.dialer);

  api::ServiceOptions service_options;
  service_options.version = kVersion;
  service_options.data_file = std::filesystem::absolute(p.data_file).string();
  service_options.started_unix_ms = base::WallNow().time_since_epoch().count();
  service_options.participants = [&p](const std::string& prefix) {
    return p.transport->List(prefix);
  };
  p.service = api::MakeTransactionService(std::move(service_options), *p.engine);

  grpc::EnableDefaultHealthCheckService(true);
  grpc::reflection::InitProtoReflectionServerBuilderPlugin();
  grpc::ServerBuilder builder;
  int port = 0;
  SetLimits(builder, p.config.keepalive_seconds);
  builder.AddListeningPort(p.config.listen, grpc::InsecureServerCredentials(), &port);
  builder.RegisterService(p.service.get());
  builder.RegisterService(&p.hub->service());
  p.server = builder.BuildAndStart();
  if (!p.server || (port == 0 && p.config.listen.rfind("unix:", 0) != 0)) {
    exit_code = kExitAddressInUse;
    return Unavailable(
        "cannot listen on " + p.config.listen +
        ": the address is in use or not ours; another assentd may be running. Choose another "
        "with --listen");
  }
  p.address =
      p.config.listen.rfind("unix:", 0) == 0
          ? p.config.listen
          : p.config.listen.substr(0, p.config.listen.rfind(':') + 1) + std::to_string(port);
  p.engine->Start(*p.transport);
  p.hub->Open(recovered->coordinator_id, recovered->epoch);
  p.server->GetHealthCheckService()->SetServingStatus(true);
  exit_code = kExitOk;
  return OkStatus();
}

const std::string& Server::address() const { return parts_->address; }

std::string Server::Card() const {
  const Parts& p = *parts_;
  const log::Recovered& recovered = p.engine->recovered();
  std::string card;
  card += "assentd " + std::string(kVersion) + "\n";
  card += "  listening    " + p.address + " (gRPC; initiators, operators, participants)\n";
  card += "  log          " + std::filesystem::absolute(p.data_file).string() + "\n";
  card += "  coordinator  " + std::to_string(recovered.coordinator_id) + ", start " +
          std::to_string(log::StartNumber(recovered.epoch)) + "\n";
  card += "  unfinished   " + std::to_string(recovered.live_rows) +
          (recovered.live_rows == 1 ? " transaction" : " transactions") + " to go on with\n";
  for (const auto& [name, addresses] : p.config.UnaryServices()) {
    for (const std::string& address : addresses)
      card += "  dials        " + name + " at " + address + "\n";
  }
  card += "  see          assentctl --endpoint " + p.address + " list\n";
  return card;
}

void Server::Tick() { parts_->hub->Tick(base::MonoNow()); }

void Server::BeginDrain() {
  parts_->server->GetHealthCheckService()->SetServingStatus(false);
  parts_->engine->Refuse("it is stopping");
}

bool Server::Drained() {
  const engine::ShardStats stats = parts_->engine->Stats();
  return stats.silent_shards == 0 && stats.active + stats.committing + stats.aborting == 0;
}

void Server::Stop() {
  Parts& p = *parts_;
  if (p.server) {
    p.hub->Close();
    p.server->Shutdown(std::chrono::system_clock::now() + std::chrono::seconds(1));
    p.server->Wait();
  }
  if (p.engine) p.engine->Stop();  // before what its shards send through
  p.dialer.reset();                // its last callbacks go to the engine, which is still there
  p.log.reset();                   // likewise
  p.server.reset();
  p.transport.reset();
  p.hub.reset();
  p.service.reset();
  p.engine.reset();
}

}  // namespace assent::daemon
