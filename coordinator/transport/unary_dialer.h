#pragma once

// Participants that do not dial in: the coordinator calls assent.v1.Participant.Execute at addresses from its own
// configuration. One service may have several addresses; calls go round. Any language can serve it.

#include <cstddef>
#include <map>
#include <memory>
#include <string>
#include <vector>

#include "coordinator/transport/transport.h"

namespace assent::transport {

struct UnaryDialerOptions {
  // Service name to addresses ("host:port").
  std::map<std::string, std::vector<std::string>> services;
  // Calls under way to one address.
  std::size_t max_in_flight_per_target_count = 256;
  // Commands waiting for room, per service; beyond it a command comes back kNotSent.
  std::size_t max_queued_count = 65'536;
};

class UnaryDialer final : public Transport {
 public:
  UnaryDialer(UnaryDialerOptions options, Receiver& receiver);
  // Cancels what is under way and waits for it. Nobody may call Send any more.
  ~UnaryDialer() override;

  void Open(std::uint32_t coordinator_id);
  bool empty() const;  // no service is configured
  bool Serves(const std::string& service) const;
  void Send(std::vector<Command> commands) override;
  std::vector<ServiceInfo> List(const std::string& prefix) const;

 private:
  struct Impl;
  std::unique_ptr<Impl> impl_;
};

}  // namespace assent::transport
