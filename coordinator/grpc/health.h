#pragma once

// grpc.health.v1.Health, of the whole: Check alone. gRPC's own has Watch as well, which strangers
// may open without number, and which nobody counts; whoever misses it takes UNIMPLEMENTED for
// "healthy", as its specification has it.

#include <atomic>

#include <grpcpp/impl/service_type.h>

namespace assent::door {

// Thread-safe.
class HealthService final : public grpc::Service {
 public:
  HealthService();
  // What is answered from then on; at first it is not.
  void SetServing(bool serving) { serving_ = serving; }

 private:
  std::atomic<bool> serving_ = false;
};

}  // namespace assent::door
