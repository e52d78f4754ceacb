#pragma once

namespace assent::internal {

// As announced in Hello, and as the user agent of gRPC calls: "assent-cpp/0.1.0".
const char* AgentName();

}  // namespace assent::internal
