#pragma once

// Participants that do not dial in: the coordinator calls assent.v1.Participant.Execute where its
// settings, or who was asked by them (coordinator/discovery), say that they are. One service may be
// at several endpoints, which come and go; calls go round those that are connected.
//
// What is known of a call: while there is no connection of ours, nothing is handed on, and the
// command waits or comes back as certainly not sent. From then on only a reply about this very
// command counts. No code, text or trailer is evidence of anything: whoever executed it may have
// said it (a handler that passes on its own downstream's UNAVAILABLE, or UNIMPLEMENTED).

#include <cstddef>
#include <cstdint>
#include <functional>
#include <map>
#include <memory>
#include <string>
#include <vector>

#include <assent/thread_safety.h>

#include "coordinator/transport/carrier.h"
#include "coordinator/transport/switchboard.h"

namespace assent::transport {

struct UnaryDialerOptions {
  // Calls under way to one endpoint.
  std::size_t max_in_flight_per_target_count = 256;
  // One of the service's endpoints is not reached: said again as long as that is so. By a thread of
  // the caller's, without any lock.
  std::function<void(const std::string& service)> on_unreachable = {};
};

class UnaryDialer final : public CallSink {
 public:
  // `caller` and `board` outlive it.
  UnaryDialer(Caller& caller, Switchboard& board, UnaryDialerOptions options = {});
  // Ends what is under way, and waits for it. Nobody may send on the board or call Set any more.
  ~UnaryDialer() override;

  // The service is at these endpoints from now on. Where it is no more nothing new is sent, and
  // what is under way ends as it does. Any thread.
  void Set(const std::string& service, const std::vector<Endpoint>& endpoints)
      ASSENT_EXCLUDES(mutex_);
  // Begins to dial: until then what is sent waits.
  void Open(std::uint32_t coordinator_id) ASSENT_EXCLUDES(mutex_);

  void OnConnecting(std::size_t target) override;
  void OnConnected(std::size_t target) override;
  void OnUnreachable(std::size_t target, const std::string& words) override;
  void OnEnded(std::vector<CallEnd> ended) override;

 private:
  class Target;
  void Forget(InstanceId id) ASSENT_EXCLUDES(mutex_);
  using Targets = std::map<Endpoint, std::shared_ptr<Target>>;

  Caller& caller_;
  Switchboard& board_;
  const UnaryDialerOptions options_;

  Mutex mutex_;
  bool open_ ASSENT_GUARDED_BY(mutex_) = false;
  std::map<std::string, Targets> services_ ASSENT_GUARDED_BY(mutex_);
  std::map<InstanceId, std::string> service_of_ ASSENT_GUARDED_BY(mutex_);
};

}  // namespace assent::transport
