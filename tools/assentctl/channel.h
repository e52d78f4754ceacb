#pragma once

// What every connection of this program has in common.

#include <memory>
#include <string>

#include <grpcpp/grpcpp.h>

#include <assent/status.h>

#include "proto/tls/bearer.h"
#include "tools/assentctl/command.h"

namespace assent::ctl {

struct Dialling {
  std::shared_ptr<grpc::ChannelCredentials> credentials = {};  // none: no TLS
  std::string server_name = {};
  std::shared_ptr<tls::Bearer> bearer = {};  // none: no token
};
// kInvalidArgument: a file cannot be used, or the token may not be shown to one of `endpoints`
// (with commas between).
Result<Dialling> MakeDialling(const std::string& endpoints, const TlsFlags& flags,
                              const TokenSource& token);

// Connects when first used, and again when the connection is lost.
std::shared_ptr<grpc::Channel> MakeChannel(const std::string& endpoint, const Dialling& dialling);

Code CodeOf(grpc::StatusCode code);

}  // namespace assent::ctl
