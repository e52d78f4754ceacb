#pragma once

// Participants that do not dial in: the coordinator calls assent.v1.Participant.Execute at
// addresses from its own configuration. One service may have several addresses; calls go round
// those that are connected.
//
// What is known of a call: while there is no connection of ours, nothing is handed on, and the
// command waits or comes back as certainly not sent. From then on only a reply about this very
// command counts. No code, text or trailer is evidence of anything: whoever executed it may have
// said it (a handler that passes on its own downstream's UNAVAILABLE, or UNIMPLEMENTED).

#include <cstddef>
#include <cstdint>
#include <map>
#include <memory>
#include <string>
#include <vector>

#include "coordinator/transport/carrier.h"
#include "coordinator/transport/switchboard.h"

namespace assent::transport {

struct UnaryDialerOptions {
  // Service name to addresses ("host:port").
  std::map<std::string, std::vector<std::string>> services;
  // Calls under way to one address.
  std::size_t max_in_flight_per_target_count = 256;
};

class UnaryDialer final : public CallSink {
 public:
  // Puts the targets on the board. `caller` and `board` outlive it.
  UnaryDialer(UnaryDialerOptions options, Caller& caller, Switchboard& board);
  // Ends what is under way, and waits for it. Nobody may send on the board any more.
  ~UnaryDialer() override;

  // Begins to dial.
  void Open(std::uint32_t coordinator_id);

  void OnConnecting(std::size_t target) override;
  void OnConnected(std::size_t target) override;
  void OnUnreachable(std::size_t target, const std::string& words) override;
  void OnEnded(std::vector<CallEnd> ended) override;

 private:
  class Target;
  void SetReach(std::size_t target, Reach reach, const std::string& why);

  Caller& caller_;
  Switchboard& board_;
  std::vector<std::shared_ptr<Target>> targets_;
};

}  // namespace assent::transport
