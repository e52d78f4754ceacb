#pragma once

// The coordinators at the other end of gRPC channels. Behind it, channel and event_streams alone
// know gRPC.

#include <memory>
#include <string>

#include <assent/status.h>

#include "tools/assentctl/command.h"
#include "tools/assentctl/service.h"

namespace assent::ctl {

// Connects when first used, and again when the connection is lost. `endpoints` as from
// NormalEndpoints; the first that answers is used, and another when it has gone. What changes
// something is sent to one of them, once.
std::unique_ptr<Service> Connect(const std::string& endpoints);
// Over TLS, if there is anything in `tls`, and with the token, if there is one. kInvalidArgument: a
// file cannot be used, or the token may not be shown there.
Result<std::unique_ptr<Service>> Connect(const std::string& endpoints, const TlsFlags& tls,
                                         const TokenSource& token);

}  // namespace assent::ctl
