#pragma once

#include <string>
#include <utility>
#include <vector>

#include "coordinator/transport/session_hub.h"
#include "coordinator/transport/unary_dialer.h"

namespace assent::transport {

// Services with a configured address are dialled; all others are expected to dial in.
class RoutingTransport final : public Transport {
 public:
  RoutingTransport(SessionHub& hub, UnaryDialer& dialer) : hub_(hub), dialer_(dialer) {}

  void Send(std::vector<Command> commands) override {
    if (dialer_.empty()) return hub_.Send(std::move(commands));
    std::vector<Command> dialled;
    std::vector<Command> sessions;
    for (Command& command : commands) {
      (dialer_.Serves(command.service) ? dialled : sessions).push_back(std::move(command));
    }
    if (!sessions.empty()) hub_.Send(std::move(sessions));
    if (!dialled.empty()) dialer_.Send(std::move(dialled));
  }

  std::vector<ServiceInfo> List(const std::string& prefix) const {
    std::vector<ServiceInfo> list = hub_.List(prefix);
    for (ServiceInfo& info : dialer_.List(prefix)) list.push_back(std::move(info));
    return list;
  }

 private:
  SessionHub& hub_;
  UnaryDialer& dialer_;
};

}  // namespace assent::transport
