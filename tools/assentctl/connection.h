#pragma once

// The coordinator at the other end of a gRPC channel. The only file here that knows gRPC.

#include <memory>
#include <string>

#include "tools/assentctl/service.h"

namespace assent::ctl {

// Connects when first used, and again when the connection is lost. `endpoint` as from
// NormalEndpoint.
std::unique_ptr<Service> Connect(const std::string& endpoint);

}  // namespace assent::ctl
