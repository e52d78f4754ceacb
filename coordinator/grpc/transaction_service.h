#pragma once

// The gRPC door for initiators and operators: it translates, and does nothing else.

#include <memory>

#include "coordinator/service/service.h"

namespace grpc {
class Service;
}  // namespace grpc

namespace assent::door {

class GrpcPeers;

// Both live longer than the server. `peers`: the way to other coordinators; it outlives the
// service. nullptr: there are none, or none can be reached.
std::unique_ptr<grpc::Service> MakeTransactionService(service::Service& service,
                                                      GrpcPeers* peers = nullptr);
std::unique_ptr<grpc::Service> MakeClusterService(service::Service& service);
std::unique_ptr<grpc::Service> MakeBatchService(service::Service& service);

}  // namespace assent::door
