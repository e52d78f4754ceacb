#pragma once

// How the SDK dials: one connection per client or per coordinator of a participant.

#include <chrono>
#include <memory>
#include <string>
#include <vector>

#include <assent/status.h>

namespace grpc {
class Channel;
class Status;
}  // namespace grpc

namespace assent::internal {

// $ASSENT_ENDPOINT, split at commas, or the daemon's default address.
std::vector<std::string> DefaultEndpoints();
// Dials nothing yet.
std::shared_ptr<grpc::Channel> MakeChannel(const std::string& endpoint,
                                           std::chrono::milliseconds keepalive);
// Until the channel has a connection; false when an attempt to get one has failed, or the deadline
// has come. A call that is not made until this says yes cannot have been seen by anybody: the one
// way to be certain with gRPC, whose "unavailable" is said of both, and which names the peer of a
// call only after the first answer.
bool AwaitConnection(grpc::Channel& channel, std::chrono::system_clock::time_point deadline);
// The same code and message in our words; codes that we do not have become kInternal.
Status StatusOf(const grpc::Status& status);

}  // namespace assent::internal
