#pragma once

// How the SDK dials: one connection per client or per coordinator of a participant.

#include <chrono>
#include <memory>
#include <string>
#include <vector>

#include <assent/status.h>
#include <assent/tls.h>
#include <assent/token.h>

namespace assent::tls {
class Bearer;
}

namespace grpc {
class Channel;
class ChannelCredentials;
class Status;
}  // namespace grpc

namespace assent::internal {

// $ASSENT_ENDPOINT, split at commas, or the daemon's default address.
std::vector<std::string> DefaultEndpoints();

// What all channels of one client or participant have in common.
struct Dialling {
  std::chrono::milliseconds keepalive{0};
  std::shared_ptr<grpc::ChannelCredentials> credentials = {};  // none: no TLS
  std::string server_name = {};
  std::shared_ptr<tls::Bearer> bearer = {};  // none: no token
};
// By the options, or the environment. kInvalidArgument: a file cannot be used, or a token may not
// be shown to one of these endpoints.
Result<Dialling> MakeDialling(const TlsOptions& options, const TokenOptions& token,
                              const std::vector<std::string>& endpoints,
                              std::chrono::milliseconds keepalive);
// Dials nothing yet.
std::shared_ptr<grpc::Channel> MakeChannel(const std::string& endpoint, const Dialling& dialling);
// Until the channel has a connection; false when an attempt to get one has failed, or the deadline
// has come. A call that is not made until this says yes cannot have been seen by anybody: the one
// way to be certain with gRPC, whose "unavailable" is said of both, and which names the peer of a
// call only after the first answer.
bool AwaitConnection(grpc::Channel& channel, std::chrono::system_clock::time_point deadline);
// How long a call may take that is to be told why there is no connection; as a rule it is at once.
inline constexpr std::chrono::milliseconds kWhyPatience{1'000};
// The same code and message in our words; codes that we do not have become kInternal.
Status StatusOf(const grpc::Status& status);

}  // namespace assent::internal
