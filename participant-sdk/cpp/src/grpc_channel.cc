#include "participant-sdk/cpp/src/grpc_channel.h"

#include <algorithm>
#include <chrono>
#include <cstddef>
#include <cstdlib>
#include <memory>
#include <string>
#include <string_view>
#include <utility>
#include <vector>

#include <grpc/grpc.h>
#include <grpcpp/channel.h>
#include <grpcpp/security/credentials.h>
#include <grpcpp/support/channel_arguments.h>
#include <grpcpp/support/status.h>

#include <assent/limits.h>

#include "participant-sdk/cpp/src/version.h"
#include "participant-sdk/cpp/src/wire.h"
#include "proto/tls/bearer.h"
#include "proto/tls/channel_credentials.h"

namespace assent::internal {
namespace {

constexpr const char* kDefaultEndpoint = "127.0.0.1:7400";
// gRPC's own waits between attempts to connect (a second and more) would hide a daemon that is back
// already.
constexpr int kMinReconnectMs = 20;
constexpr int kMaxReconnectMs = 1000;
constexpr int kConnectTimeoutMs = 5000;
constexpr int kMaxKeepaliveTimeoutMs = 10'000;
constexpr int kMessageSlackBytes = 64 * 1024;

// gRPC ends itself when its last object goes, and joins its threads, of which one that has seen to
// an unfinished write sleeps for up to ten seconds: whoever lets go of the last client would wait
// for it. So gRPC stays until the process ends.
void KeepGrpc() {
  static const bool kept = [] {
    grpc_init();
    return true;
  }();
  static_cast<void>(kept);
}

std::string Environment(const char* name) {
  const char* const value = std::getenv(name);
  return value == nullptr ? "" : value;
}

TlsOptions TlsOfEnvironment() {
  return {.ca_file = Environment("ASSENT_TLS_CA"),
          .cert_file = Environment("ASSENT_TLS_CERT"),
          .key_file = Environment("ASSENT_TLS_KEY"),
          .server_name = Environment("ASSENT_TLS_SERVER_NAME")};
}

Result<std::shared_ptr<tls::Bearer>> MakeBearer(const TokenOptions& options) {
  if (!options.token.empty() || !options.file.empty())
    return tls::Bearer::Open({options.token, options.file, options.over_plain});
  return tls::Bearer::Open(
      {.token = Environment("ASSENT_TOKEN"),
       .file = Environment("ASSENT_TOKEN_FILE"),
       .over_plain = options.over_plain || Environment("ASSENT_TOKEN_OVER_PLAIN") == "1"});
}

bool IsEmpty(const TlsOptions& one) {
  return one.ca_file.empty() && one.cert_file.empty() && one.key_file.empty() &&
         one.server_name.empty();
}

}  // namespace

std::vector<std::string> DefaultEndpoints() {
  const char* given = std::getenv("ASSENT_ENDPOINT");
  std::string_view rest = given == nullptr ? "" : given;
  std::vector<std::string> endpoints;
  while (!rest.empty()) {
    const std::size_t comma = rest.find(',');
    const std::string_view one = rest.substr(0, comma);
    if (!one.empty()) endpoints.emplace_back(one);
    rest.remove_prefix(comma == std::string_view::npos ? rest.size() : comma + 1);
  }
  if (endpoints.empty()) endpoints.emplace_back(kDefaultEndpoint);
  return endpoints;
}

Result<Dialling> MakeDialling(const TlsOptions& options, const TokenOptions& token,
                              const std::vector<std::string>& endpoints,
                              std::chrono::milliseconds keepalive) {
  KeepGrpc();
  Dialling dialling{keepalive};
  if (const TlsOptions tls = IsEmpty(options) ? TlsOfEnvironment() : options; !IsEmpty(tls)) {
    auto credentials = tls::MakeChannelCredentials(
        {.ca_file = tls.ca_file, .cert_file = tls.cert_file, .key_file = tls.key_file});
    if (!credentials.ok()) return credentials.status();
    dialling.credentials = std::move(credentials).value();
    dialling.server_name = tls.server_name;
  }
  auto bearer = MakeBearer(token);
  if (!bearer.ok()) return bearer.status();
  dialling.bearer = std::move(bearer).value();
  if (dialling.bearer == nullptr) return dialling;
  for (const std::string& endpoint : endpoints) {
    const Status shown = dialling.bearer->Check(endpoint, dialling.credentials != nullptr);
    if (!shown.ok()) return shown;
  }
  return dialling;
}

std::shared_ptr<grpc::Channel> MakeChannel(const std::string& endpoint, const Dialling& dialling) {
  KeepGrpc();
  const std::chrono::milliseconds keepalive = dialling.keepalive;
  grpc::ChannelArguments arguments;
  arguments.SetUserAgentPrefix(AgentName());
  arguments.SetInt(GRPC_ARG_USE_LOCAL_SUBCHANNEL_POOL, 1);
  // A coordinator is never reached through a web proxy that happens to be in the environment.
  arguments.SetInt(GRPC_ARG_ENABLE_HTTP_PROXY, 0);
  arguments.SetInt(GRPC_ARG_INITIAL_RECONNECT_BACKOFF_MS, kMinReconnectMs);
  arguments.SetInt(GRPC_ARG_MAX_RECONNECT_BACKOFF_MS, kMaxReconnectMs);
  // Named "minimum" by gRPC, it also bounds one attempt to connect.
  arguments.SetInt(GRPC_ARG_MIN_RECONNECT_BACKOFF_MS, kConnectTimeoutMs);
  // A transaction in full, with payloads, results and attempts, is larger than a frame.
  arguments.SetMaxReceiveMessageSize(4 * static_cast<int>(limits::kMaxFrameBytes));
  arguments.SetMaxSendMessageSize(static_cast<int>(limits::kMaxFrameBytes) + kMessageSlackBytes);
  // Retries are ours: they know what is idempotent, and they are seen.
  arguments.SetInt(GRPC_ARG_ENABLE_RETRIES, 0);
  if (keepalive.count() > 0) {
    const auto every_ms = static_cast<int>(keepalive.count());
    arguments.SetInt(GRPC_ARG_KEEPALIVE_TIME_MS, every_ms);
    arguments.SetInt(GRPC_ARG_KEEPALIVE_TIMEOUT_MS, std::min(every_ms, kMaxKeepaliveTimeoutMs));
    arguments.SetInt(GRPC_ARG_HTTP2_MAX_PINGS_WITHOUT_DATA, 0);
  }
  if (!dialling.server_name.empty())
    arguments.SetString(GRPC_SSL_TARGET_NAME_OVERRIDE_ARG, dialling.server_name);
  return tls::CreateChannel(endpoint, dialling.credentials, arguments, dialling.bearer);
}

bool AwaitConnection(grpc::Channel& channel, std::chrono::system_clock::time_point deadline) {
  while (true) {
    const grpc_connectivity_state state = channel.GetState(/*try_to_connect=*/true);
    switch (state) {
      case GRPC_CHANNEL_READY: return true;
      case GRPC_CHANNEL_TRANSIENT_FAILURE:
      case GRPC_CHANNEL_SHUTDOWN: return false;
      case GRPC_CHANNEL_IDLE:
      case GRPC_CHANNEL_CONNECTING: break;
    }
    if (!channel.WaitForStateChange(state, deadline)) return false;
  }
}

Status StatusOf(const grpc::Status& status) {
  if (status.ok()) return OkStatus();
  if (status.error_code() == grpc::StatusCode::UNAVAILABLE)
    return {CodeOf(status.error_code()), tls::Explained(status.error_message())};
  return {CodeOf(status.error_code()), status.error_message()};
}

}  // namespace assent::internal
