#pragma once

#include <memory>

#include "coordinator/grpc/peers.h"
#include "coordinator/service/service.h"
#include "coordinator/service/way.h"

namespace assent::door {

// Both outlive it, and what is under way.
std::unique_ptr<service::Way> MakeWay(service::Service& service, GrpcPeers* peers);

}  // namespace assent::door
