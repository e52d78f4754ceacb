#pragma once

// The coordinators at the other end of gRPC channels. Behind it, channel and event_streams alone
// know gRPC.

#include <memory>
#include <string>

#include "tools/assentctl/service.h"

namespace assent::ctl {

// Connects when first used, and again when the connection is lost. `endpoints` as from
// NormalEndpoints; the first that answers is used, and another when it has gone. What changes
// something is sent to one of them, once.
std::unique_ptr<Service> Connect(const std::string& endpoints);

}  // namespace assent::ctl
