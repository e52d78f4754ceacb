#include "tools/assentctl/channel.h"

#include <sstream>
#include <utility>

#include "proto/tls/channel_credentials.h"

namespace assent::ctl {

Result<Dialling> MakeDialling(const std::string& endpoints, const TlsFlags& flags,
                              const TokenSource& token) {
  Dialling dialling;
  if (!flags.empty()) {
    auto credentials = tls::MakeChannelCredentials(
        {.ca_file = flags.ca, .cert_file = flags.cert, .key_file = flags.key});
    if (!credentials.ok()) return credentials.status();
    dialling = {std::move(credentials).value(), flags.server_name};
  }
  auto bearer = tls::Bearer::Open({token.token, token.file, token.over_plain});
  if (!bearer.ok()) return bearer.status();
  dialling.bearer = std::move(bearer).value();
  if (dialling.bearer == nullptr) return dialling;
  std::istringstream each(endpoints);
  for (std::string endpoint; std::getline(each, endpoint, ',');) {
    const Status shown = dialling.bearer->Check(endpoint, dialling.credentials != nullptr);
    if (!shown.ok()) return InvalidArgument(shown.message() + " (--token-over-plain)");
  }
  return dialling;
}

std::shared_ptr<grpc::Channel> MakeChannel(const std::string& endpoint, const Dialling& dialling) {
  grpc::ChannelArguments arguments;
  arguments.SetMaxReceiveMessageSize(-1);
  arguments.SetInt(GRPC_ARG_ENABLE_HTTP_PROXY, 0);
  arguments.SetInt(GRPC_ARG_INITIAL_RECONNECT_BACKOFF_MS, 100);
  arguments.SetInt(GRPC_ARG_MAX_RECONNECT_BACKOFF_MS, 1'000);
  arguments.SetInt(GRPC_ARG_KEEPALIVE_TIME_MS, 30'000);
  arguments.SetInt(GRPC_ARG_KEEPALIVE_TIMEOUT_MS, 10'000);
  // A watch may be silent for hours; a coordinator that is gone without a word is noticed all the
  // same.
  arguments.SetInt(GRPC_ARG_HTTP2_MAX_PINGS_WITHOUT_DATA, 0);
  if (!dialling.server_name.empty())
    arguments.SetString(GRPC_SSL_TARGET_NAME_OVERRIDE_ARG, dialling.server_name);
  return tls::CreateChannel(endpoint, dialling.credentials, arguments, dialling.bearer);
}

Code CodeOf(grpc::StatusCode code) {
  switch (code) {
    case grpc::StatusCode::OK: return Code::kOk;
    case grpc::StatusCode::CANCELLED: return Code::kCancelled;
    case grpc::StatusCode::UNKNOWN: return Code::kInternal;
    case grpc::StatusCode::INVALID_ARGUMENT: return Code::kInvalidArgument;
    case grpc::StatusCode::DEADLINE_EXCEEDED: return Code::kDeadlineExceeded;
    case grpc::StatusCode::NOT_FOUND: return Code::kNotFound;
    case grpc::StatusCode::ALREADY_EXISTS: return Code::kAlreadyExists;
    case grpc::StatusCode::PERMISSION_DENIED: return Code::kPermissionDenied;
    case grpc::StatusCode::UNAUTHENTICATED: return Code::kUnauthenticated;
    case grpc::StatusCode::RESOURCE_EXHAUSTED: return Code::kResourceExhausted;
    case grpc::StatusCode::FAILED_PRECONDITION: return Code::kFailedPrecondition;
    case grpc::StatusCode::ABORTED: return Code::kAborted;
    case grpc::StatusCode::OUT_OF_RANGE: return Code::kOutOfRange;
    case grpc::StatusCode::UNIMPLEMENTED: return Code::kUnimplemented;
    case grpc::StatusCode::INTERNAL: return Code::kInternal;
    case grpc::StatusCode::UNAVAILABLE: return Code::kUnavailable;
    case grpc::StatusCode::DATA_LOSS: return Code::kDataLoss;
    case grpc::StatusCode::DO_NOT_USE: break;
  }
  return Code::kInternal;
}

}  // namespace assent::ctl
