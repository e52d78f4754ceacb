#pragma once

// How the SDK dials: one connection per client or per coordinator of a participant.

#include <chrono>
#include <memory>
#include <string>
#include <vector>

#include <assent/status.h>

namespace grpc {
class Channel;
class ClientContext;
class Status;
}  // namespace grpc

namespace assent::internal {

// $ASSENT_ENDPOINT, split at commas, or the daemon's default address.
std::vector<std::string> DefaultEndpoints();
// Dials nothing yet.
std::shared_ptr<grpc::Channel> MakeChannel(const std::string& endpoint,
                                           std::chrono::milliseconds keepalive);
// Did the call ever get a connection? If not, nobody has seen a byte of it.
bool Reached(const grpc::ClientContext& context);
// The same code and message in our words; codes that we do not have become kInternal.
Status StatusOf(const grpc::Status& status);

}  // namespace assent::internal
