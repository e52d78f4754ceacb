#pragma once

// TLS of the gRPC door.

#include <memory>

#include <grpcpp/security/server_credentials.h>

#include "coordinator/tls/keeper.h"

namespace assent::door {

// Each new connection is served with what the keeper has then. `keeper` outlives the server, whose
// connections have to be handed over by one thread.
std::shared_ptr<grpc::ServerCredentials> MakeServerCredentials(const tls::Keeper& keeper);

}  // namespace assent::door
