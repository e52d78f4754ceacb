#pragma once

// What every connection of this program has in common.

#include <memory>
#include <string>

#include <grpcpp/grpcpp.h>

#include <assent/status.h>

namespace assent::ctl {

// Connects when first used, and again when the connection is lost.
std::shared_ptr<grpc::Channel> MakeChannel(const std::string& endpoint);

Code CodeOf(grpc::StatusCode code);

}  // namespace assent::ctl
