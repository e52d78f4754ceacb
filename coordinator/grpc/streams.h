#pragma once

#include <cstddef>
#include <string>

#include <grpcpp/grpcpp.h>

#include "coordinator/grpc/journey.h"
#include "coordinator/grpc/stay.h"
#include "coordinator/service/service.h"

namespace assent::door {

// Submits of one stream that are not answered yet; beyond it the stream is read no further until
// half of them are.
inline constexpr std::size_t kMaxStreamOutstandingCount = 16'384;

// All speak bytes (call.h says why): frames of assent.v1. `stay`: nullptr where nobody is asked;
// what it refuses ends the stream with its words.
grpc::ServerBidiReactor<grpc::ByteBuffer, grpc::ByteBuffer>* StartSubmitStream(
    service::Service& service, const Ways& ways, service::Caller caller, StayPtr stay,
    grpc::CallbackServerContext* context);
grpc::ServerWriteReactor<grpc::ByteBuffer>* StartWatch(service::Service& service, const Ways& ways,
                                                       const service::Caller& caller,
                                                       const StayPtr& stay,
                                                       grpc::CallbackServerContext* context,
                                                       const grpc::ByteBuffer& request);

// The same of a transaction that another coordinator has: its stream, as it is. It ends when the
// transaction moves on.
grpc::ServerWriteReactor<grpc::ByteBuffer>* RelayWatch(service::Service& service, const Ways& ways,
                                                       const std::string& gid,
                                                       const service::Caller& caller,
                                                       const StayPtr& stay,
                                                       grpc::CallbackServerContext* context,
                                                       const grpc::ByteBuffer& request);
grpc::ServerWriteReactor<grpc::ByteBuffer>* StartEvents(service::Service& service,
                                                        const service::Caller& caller,
                                                        const StayPtr& stay,
                                                        grpc::CallbackServerContext* context,
                                                        const grpc::ByteBuffer& request);
grpc::ServerWriteReactor<grpc::ByteBuffer>* StartClusterWatch(service::Service& service,
                                                              const service::Caller& caller,
                                                              const StayPtr& stay,
                                                              grpc::CallbackServerContext* context,
                                                              const grpc::ByteBuffer& request);

}  // namespace assent::door
