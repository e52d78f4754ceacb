#pragma once

// What gRPC may hold, by the settings.

#include <cstdint>

#include <grpcpp/server_builder.h>

#include "coordinator/daemon/acceptor.h"
#include "coordinator/daemon/config.h"

namespace assent::daemon {

int KeepaliveTimeoutMs(std::int64_t keepalive_seconds);
// Says in the log if the limit on open files leaves fewer.
AcceptorOptions ConnectionLimits(const Config& config);
void SetLimits(grpc::ServerBuilder& builder, const Config& config);

}  // namespace assent::daemon
