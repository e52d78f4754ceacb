#pragma once

// What every connection of this program has in common.

#include <memory>
#include <string>

#include <grpcpp/grpcpp.h>

#include <assent/status.h>

#include "tools/assentctl/command.h"

namespace assent::ctl {

struct Dialling {
  std::shared_ptr<grpc::ChannelCredentials> credentials = {};  // none: no TLS
  std::string server_name = {};
};
// kInvalidArgument: a file cannot be used.
Result<Dialling> MakeDialling(const TlsFlags& flags);

// Connects when first used, and again when the connection is lost.
std::shared_ptr<grpc::Channel> MakeChannel(const std::string& endpoint, const Dialling& dialling);

Code CodeOf(grpc::StatusCode code);

}  // namespace assent::ctl
