#pragma once

// The end of a call that is refused before anybody has it.

#include <grpcpp/grpcpp.h>

#include <assent/status.h>

#include "coordinator/transport/grpc_status.h"

namespace assent::transport {

template <typename Reactor>
class Refused final : public Reactor {
 public:
  explicit Refused(const Status& why) { this->Finish(ToGrpc(why)); }
  void OnDone() override { delete this; }
};
using RefusedUnary = Refused<grpc::ServerUnaryReactor>;
template <typename Part>
using RefusedReader = Refused<grpc::ServerWriteReactor<Part>>;
template <typename In, typename Out>
using RefusedStream = Refused<grpc::ServerBidiReactor<In, Out>>;

}  // namespace assent::transport
