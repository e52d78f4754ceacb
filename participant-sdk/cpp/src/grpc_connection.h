#pragma once

#include <memory>

#include <assent/client.h>
#include <assent/connection.h>

namespace assent::internal {

// Talks to the coordinator that `options` name. Dials when first used.
std::shared_ptr<Connection> MakeGrpcConnection(const ClientOptions& options);

}  // namespace assent::internal
