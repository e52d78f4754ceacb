#pragma once

#include <memory>
#include <string>

#include "participant-sdk/cpp/src/stream.h"

namespace grpc {
class Channel;
}

namespace assent::internal {

// Streams of one method over one channel. All reports come on one thread of its own, which blocks
// in a completion queue: gRPC's callback threads sleep 100 ms after each idle second (1.51), and a
// command that arrives then would wait for them.
std::unique_ptr<Dialer> MakeGrpcDialer(std::shared_ptr<grpc::Channel> channel, std::string method);

}  // namespace assent::internal
