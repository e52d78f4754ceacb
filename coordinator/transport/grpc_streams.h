#pragma once

// assent.v1.ParticipantSession over gRPC: each stream is handed to a StreamDoor. Frames are read as
// bytes, so that what does not parse can be looked at.

#include <memory>

#include "coordinator/transport/carrier.h"

namespace grpc {
class Service;
}  // namespace grpc

namespace assent::transport {

// `door` outlives the server that this is registered with.
std::unique_ptr<grpc::Service> MakeSessionService(StreamDoor& door);

}  // namespace assent::transport
