#pragma once

// The gRPC door for initiators and operators: it translates, and does nothing else.

#include <memory>

#include "coordinator/service/service.h"

namespace grpc {
class Service;
}  // namespace grpc

namespace assent::door {

// Both live longer than the server.
std::unique_ptr<grpc::Service> MakeTransactionService(service::Service& service);
std::unique_ptr<grpc::Service> MakeClusterService(service::Service& service);

}  // namespace assent::door
