#pragma once

#include <memory>
#include <string>

#include "participant-sdk/cpp/src/stream.h"

namespace grpc {
class Channel;
}

namespace assent::internal {

// The one thread on which streams report, to however many endpoints. It blocks in a completion
// queue: gRPC's callback threads sleep 100 ms after each idle second (1.51), and a command that
// arrives then would wait for them. The dialers hold it, and it ends with the last of them.
class StreamLoop;
std::shared_ptr<StreamLoop> MakeStreamLoop();

// Streams of one method over one channel, reported on that thread.
std::unique_ptr<Dialer> MakeGrpcDialer(std::shared_ptr<StreamLoop> loop,
                                       std::shared_ptr<grpc::Channel> channel, std::string method);

}  // namespace assent::internal
