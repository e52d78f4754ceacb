#pragma once

// The lock around the dispatcher, and who is told what it brings about. Sessions and dialled
// targets hang on it as `Line`s.
//
// A reply that says "absent" and the news that a service appeared reach the receiver in the order
// in which they became true: both are delivered under the lock, so that nobody goes to wait for
// news that has just passed.

#include <cstdint>
#include <functional>
#include <memory>
#include <string>
#include <unordered_map>
#include <vector>

#include <assent/thread_safety.h>

#include "coordinator/transport/dispatcher.h"
#include "coordinator/transport/transport.h"

namespace assent::transport {

// One instance's way out.
class Line {
 public:
  virtual ~Line() = default;
  // There is something to take. Called without any lock.
  virtual void Kick() = 0;
  // It was retired, and what was out on it has ended: it is on the board no more. Without any lock.
  virtual void Gone() {}
};

class Switchboard final : public Transport {
 public:
  // All of these outlive it. `witness` may be null.
  Switchboard(DispatcherLimits limits, Receiver& receiver, const Clock& clock,
              Witness* witness = nullptr);
  ~Switchboard() override;

  void Send(std::vector<Command> commands) override;
  std::vector<ServiceInfo> List(const std::string& prefix) const;
  DispatcherCounters counters() const;
  std::vector<ServiceFigures> Figures() const;
  std::size_t session_count() const;
  // Housekeeping; call about once a second, and when the alarm says so.
  void Tick();
  // `alarm` hears when Tick has something to do, whenever that changes. On any thread, under the
  // lock: it must be quick, and calls nothing here. Before anything else is called.
  void SetAlarm(std::function<void(core::MonoTime at)> alarm);

  // How services are treated from now on.
  void SetPolicies(std::shared_ptr<const traffic::Policies> policies);
  // As Dispatcher::HoldBreakers.
  std::size_t HoldBreakers(const std::string& service, const std::string& instance,
                           traffic::Breaker::Held held);

  Receiver& receiver() { return receiver_; }
  const Clock& clock() const { return clock_; }

  // ---- For lines. `id` is 0 if it was refused.
  Status Attach(const std::shared_ptr<Line>& line, const SessionHello& hello,
                const std::string& address, InstanceId& id);
  void Refuse(const Visitor& visitor, const std::string& why);
  void Drain(InstanceId id);
  void Leave(InstanceId id, const Visitor& visitor, const std::string& why);
  void OnReplies(InstanceId id, std::vector<SessionReply> replies);

  // A service that is dialled, though nobody knows yet where. `why`: for people.
  void Declare(const std::string& service, const std::string& why);
  // `line` knows its number when it is first kicked: once it is reached.
  InstanceId AddDialled(const std::shared_ptr<Line>& line, const std::string& service,
                        const Endpoint& endpoint, std::size_t max_in_flight);
  void SetSource(InstanceId id, const std::string& source);
  void SetReach(InstanceId id, Reach reach, const std::string& why);
  // It gets nothing new, and goes when what is out on it has ended.
  void Retire(InstanceId id);
  // The end of calls: each with the reply, if there was one, and the words, if there was none or it
  // was about something else.
  struct Ended {
    InstanceId id = 0;
    std::uint64_t command_id = 0;
    std::vector<SessionReply> reply;  // one or none
    std::string words;
    core::Millis retry_after{0};
  };
  void OnEnded(std::vector<Ended> ended);
  void Return(InstanceId id, Dispatcher::Outgoing outgoing);

  // Kicks nobody: who takes is there already.
  std::vector<Dispatcher::Outgoing> Take(InstanceId id, std::size_t max_count,
                                         std::size_t max_bytes);

 private:
  template <typename Change>
  void Do(const Change& change);
  void TellOfWake() ASSENT_REQUIRES(mutex_);
  // What must be in order.
  void DeliverInOrder(Dispatcher::Effects& effects) ASSENT_REQUIRES(mutex_);

  Receiver& receiver_;
  const Clock& clock_;
  Witness* const witness_;
  std::function<void(core::MonoTime)> alarm_;

  mutable Mutex mutex_;
  core::MonoTime told_ ASSENT_GUARDED_BY(mutex_) = core::kNever;
  Dispatcher dispatcher_ ASSENT_GUARDED_BY(mutex_);
  std::unordered_map<InstanceId, std::shared_ptr<Line>> lines_ ASSENT_GUARDED_BY(mutex_);
  InstanceId next_id_ ASSENT_GUARDED_BY(mutex_) = 1;
};

}  // namespace assent::transport
