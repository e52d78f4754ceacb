#include "coordinator/daemon/grpc_limits.h"

#include <cstddef>

#include <grpcpp/resource_quota.h>
#include <spdlog/spdlog.h>

#include <assent/limits.h>

#include "coordinator/daemon/certificates.h"
#include "coordinator/daemon/http_port.h"
#include "coordinator/daemon/participants.h"
#include "proto/tls/uncompressed.h"

namespace assent::daemon {
namespace {

// Log, libraries, standard streams; and the connections of each dialled address.
constexpr std::size_t kOwnFiles = 64;
constexpr std::size_t kFilesPerDialledAddress = 2;
// How long a connection may take from its first byte to being one of HTTP/2.
constexpr int kHandshakeTimeoutMs = 10'000;

// Of HTTP/2. More than the calls and streams that a connection may have (service/holdings.h), so
// that whoever has too many is told.
constexpr int kMaxStreamsPerConnection = 8'192;
// The only service that needs a thread for each stream.
constexpr int kMaxReflectionThreads = 16;

}  // namespace

int KeepaliveTimeoutMs(std::int64_t keepalive_seconds) {
  return static_cast<int>(keepalive_seconds) * 1000 / 3 * 2;
}

AcceptorOptions ConnectionLimits(const Config& config) {
  AcceptorOptions options;
  options.tls = HasTls(config);
  options.max_connections_count = config.max_connections;
  options.max_connections_per_address_count = config.max_connections_per_address;
  const std::size_t reserve =
      kOwnFiles + kFilesPerDialledAddress * config.unary.size() +
      CountHttpParticipants(config) * static_cast<std::size_t>(config.unary_max_in_flight) +
      HttpConnections(config);
  if (!FitToFileLimit(reserve, options)) {
    spdlog::warn(
        "event=few_files connections={} max_connections={} hint=\"the limit on open files leaves "
        "so many: raise it (ulimit -n, LimitNOFILE=), or lower --max-connections\"",
        options.max_connections_count, config.max_connections);
  }
  return options;
}

void SetLimits(grpc::ServerBuilder& builder, const Config& config) {
  builder.SetMaxReceiveMessageSize(static_cast<int>(limits::kMaxOversizedFrameBytes));
  // Who sends it is not known yet when gRPC would inflate it.
  builder.AddChannelArgument(GRPC_COMPRESSION_CHANNEL_ENABLED_ALGORITHMS_BITSET,
                             tls::kUncompressedAlone);
  builder.AddChannelArgument(GRPC_ARG_ENABLE_PER_MESSAGE_DECOMPRESSION, 0);
  builder.AddChannelArgument(GRPC_ARG_MAX_METADATA_SIZE, 16 * 1024);
  builder.AddChannelArgument(GRPC_ARG_MAX_CONCURRENT_STREAMS, kMaxStreamsPerConnection);
  grpc::ResourceQuota quota("assentd");
  quota.Resize(config.max_transport_mib << 20);
  quota.SetMaxThreads(kMaxReflectionThreads);
  builder.SetResourceQuota(quota);
  builder.AddChannelArgument(GRPC_ARG_SERVER_HANDSHAKE_TIMEOUT_MS, kHandshakeTimeoutMs);
  // A peer that vanished without a word is noticed (by default) within half a minute; participants
  // may ping as often.
  const auto keepalive_ms = static_cast<int>(config.keepalive_seconds) * 1000;
  builder.AddChannelArgument(GRPC_ARG_KEEPALIVE_TIME_MS, keepalive_ms);
  builder.AddChannelArgument(GRPC_ARG_KEEPALIVE_TIMEOUT_MS,
                             KeepaliveTimeoutMs(config.keepalive_seconds));
  builder.AddChannelArgument(GRPC_ARG_KEEPALIVE_PERMIT_WITHOUT_CALLS, 1);
  builder.AddChannelArgument(GRPC_ARG_HTTP2_MIN_RECV_PING_INTERVAL_WITHOUT_DATA_MS,
                             keepalive_ms / 3);
}

}  // namespace assent::daemon
