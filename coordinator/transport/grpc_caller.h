#pragma once

// assent.v1.Participant.Execute over gRPC. One completion queue and one thread that empties it:
// what has ended meanwhile is handed on together, so that a busy coordinator is woken once for many
// answers.

#include <chrono>
#include <cstdint>
#include <memory>

#include "coordinator/transport/carrier.h"

namespace grpc {
class ChannelCredentials;
}

namespace assent::transport {

struct GrpcCallerOptions {
  // How often each target is asked whether it serves (grpc.health.v1.Health/Check). One that says
  // NOT_SERVING cannot be reached; whatever else is said, or not, it can. 0: it is not asked.
  std::chrono::milliseconds health_interval{0};
};

class GrpcCaller final : public Caller {
 public:
  // `credentials`: with which addresses that begin with "tls:" are dialled.
  explicit GrpcCaller(std::shared_ptr<grpc::ChannelCredentials> credentials = nullptr,
                      GrpcCallerOptions options = {});
  ~GrpcCaller() override;
  void Start(std::uint32_t coordinator_id, CallSink& sink) override;
  void Add(std::size_t target, const Endpoint& endpoint) override;
  void Remove(std::size_t target) override;
  bool Call(std::size_t target, std::uint64_t call, Command& command) override;
  void Stop() override;

 private:
  struct Impl;
  std::unique_ptr<Impl> impl_;
};

}  // namespace assent::transport
