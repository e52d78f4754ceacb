#pragma once

// Participant sessions over gRPC: a mutex and bidirectional streams around SessionRouter. On each stream there is one read
// and one write in flight; whatever has gathered while a write was under way travels in the next frame.

#include <cstdint>
#include <memory>
#include <mutex>
#include <string>
#include <unordered_map>
#include <vector>

#include "coordinator/transport/session_router.h"
#include "coordinator/transport/transport.h"

namespace grpc {
class Service;
}  // namespace grpc

namespace assent::transport {

struct SessionHubOptions {
  RouterLimits limits;
};

class SessionHub final : public Transport {
 public:
  // `receiver` outlives the hub and the gRPC server that serves it.
  SessionHub(SessionHubOptions options, Receiver& receiver);
  ~SessionHub() override;

  // Register this with the server. Streams that come before Open are answered UNAVAILABLE.
  grpc::Service& service();
  // Recovery is done: who we are goes into every Welcome and command.
  void Open(std::uint32_t coordinator_id, std::uint64_t epoch);
  // Says goodbye to every participant and ends every stream. Call before the server's Shutdown.
  void Close();
  // Housekeeping; call about once a second.
  void Tick(core::MonoTime now);

  void Send(std::vector<Command> commands) override;
  std::vector<ServiceInfo> List(const std::string& prefix) const;
  RouterCounters counters() const;
  std::size_t session_count() const;

 private:
  class Stream;
  class ServiceImpl;
  void Kick(std::vector<SessionId> touched);

  Receiver& receiver_;
  std::unique_ptr<ServiceImpl> service_;

  mutable std::mutex mutex_;
  SessionRouter router_;  // guarded by mutex_
  std::unordered_map<SessionId, std::shared_ptr<Stream>>
      streams_;                       // guarded by mutex_; attached ones
  SessionId next_session_ = 1;        // guarded by mutex_
  std::uint32_t coordinator_id_ = 0;  // guarded by mutex_
  std::uint64_t epoch_ = 0;           // guarded by mutex_
  bool open_ = false;                 // guarded by mutex_
};

}  // namespace assent::transport
