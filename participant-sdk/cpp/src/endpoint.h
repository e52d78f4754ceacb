#pragma once

// Where a coordinator listens, as a developer writes it.

#include <string>
#include <string_view>

#include <assent/status.h>

namespace assent::internal {

// OK for "host:port" ("127.0.0.1:7400", "[::1]:7400", "coordinator.example:7400"), "unix:/path",
// and gRPC's own names ("dns:///…", "ipv4:…"). Anything else would be dialled for ever, as a name
// that nobody has; so it is kInvalidArgument, with a sentence that says how to write it. `field`:
// for the sentence.
Status CheckEndpoint(std::string_view field, const std::string& endpoint);

}  // namespace assent::internal
