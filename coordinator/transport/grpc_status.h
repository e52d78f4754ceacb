#pragma once

#include <grpcpp/support/status.h>

#include <assent/status.h>

namespace assent::transport {

// kUnknownOutcome has no canonical code of its own: it travels as ABORTED's cousin UNKNOWN (2),
// which clients must not take for a no.
inline grpc::Status ToGrpc(const Status& status) {
  if (status.ok()) return grpc::Status::OK;
  if (status.code() == Code::kUnknownOutcome) return {grpc::StatusCode::UNKNOWN, status.message()};
  if (status.code() == Code::kElsewhere) return {grpc::StatusCode::UNAVAILABLE, status.message()};
  return {static_cast<grpc::StatusCode>(status.code()), status.message()};
}

}  // namespace assent::transport
