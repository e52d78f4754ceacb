#pragma once

// assent.v1.ParticipantSession over gRPC: each stream is handed to a StreamDoor. Frames are read as
// bytes, so that what does not parse can be looked at.

#include <functional>
#include <memory>

#include "coordinator/transport/carrier.h"

namespace grpc {
class CallbackServerContext;
class Service;
}  // namespace grpc

namespace assent::transport {

// Who may open a stream, and for which services; nothing: everybody, for all. Who is refused may be
// told more in the call's trailers.
using AdmitStream = std::function<Result<StreamPeer>(grpc::CallbackServerContext&)>;

// `door` outlives the server that this is registered with.
std::unique_ptr<grpc::Service> MakeSessionService(StreamDoor& door, AdmitStream admit = {});

}  // namespace assent::transport
