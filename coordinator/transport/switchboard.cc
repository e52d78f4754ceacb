#include "coordinator/transport/switchboard.h"

#include <algorithm>
#include <iterator>
#include <optional>
#include <utility>

namespace assent::transport {
namespace {

// Expired commands that are settled in one breath of the lock.
constexpr std::size_t kExpiredAtOnceCount = 1024;

}  // namespace

Switchboard::Switchboard(DispatcherLimits limits, Receiver& receiver, const Clock& clock,
                         Witness* witness)
    : receiver_(receiver), clock_(clock), witness_(witness), dispatcher_(limits) {}
Switchboard::~Switchboard() = default;

template <typename Change>
void Switchboard::Do(const Change& change) {
  Dispatcher::Effects effects;
  std::vector<std::shared_ptr<Line>> touched;
  std::vector<std::shared_ptr<Line>> gone;
  {
    const MutexLock lock(mutex_);
    dispatcher_.At(clock_.Mono());
    change(dispatcher_, effects);
    TellOfWake();
    DeliverInOrder(effects);
    touched.reserve(effects.touched.size());
    for (const InstanceId id : effects.touched) {
      const auto line = lines_.find(id);
      if (line != lines_.end()) touched.push_back(line->second);
    }
    for (const InstanceId id : effects.gone) gone.push_back(lines_.extract(id).mapped());
  }
  if (!effects.replies.empty()) receiver_.OnReplies(std::move(effects.replies));
  for (const std::shared_ptr<Line>& line : touched) line->Kick();
  for (const std::shared_ptr<Line>& line : gone) line->Gone();
}

void Switchboard::TellOfWake() {
  const core::MonoTime at = dispatcher_.next_wake();
  if (at == told_ || !alarm_) return;
  told_ = at;
  alarm_(at);
}

void Switchboard::SetAlarm(std::function<void(core::MonoTime)> alarm) { alarm_ = std::move(alarm); }

void Switchboard::SetPolicies(std::shared_ptr<const traffic::Policies> policies) {
  Do([&](Dispatcher& dispatcher, auto& effects) {
    dispatcher.SetPolicies(std::move(policies), effects);
  });
}

std::size_t Switchboard::HoldBreakers(const std::string& service, const std::string& instance,
                                      traffic::Breaker::Held held) {
  std::size_t count = 0;
  Do([&](Dispatcher& dispatcher, auto& effects) {
    count = dispatcher.HoldBreakers(service, instance, held, effects);
  });
  return count;
}

void Switchboard::DeliverInOrder(Dispatcher::Effects& effects) {
  const auto absent =
      std::stable_partition(effects.replies.begin(), effects.replies.end(),
                            [](const Reply& reply) { return !reply.service_absent; });
  if (absent != effects.replies.end()) {
    std::vector<Reply> replies(std::make_move_iterator(absent),
                               std::make_move_iterator(effects.replies.end()));
    effects.replies.erase(absent, effects.replies.end());
    receiver_.OnReplies(std::move(replies));
  }
  for (const std::string& service : effects.appeared) receiver_.OnServiceAppeared(service);
}

void Switchboard::Send(std::vector<Command> commands) {
  Do([&](Dispatcher& dispatcher, auto& effects) { dispatcher.Send(std::move(commands), effects); });
}

std::vector<ServiceInfo> Switchboard::List(const std::string& prefix) const {
  const MutexLock lock(mutex_);
  return dispatcher_.List(prefix);
}

DispatcherCounters Switchboard::counters() const {
  const MutexLock lock(mutex_);
  return dispatcher_.counters();
}

std::vector<ServiceFigures> Switchboard::Figures() const {
  const MutexLock lock(mutex_);
  return dispatcher_.Figures();
}

std::size_t Switchboard::session_count() const {
  const MutexLock lock(mutex_);
  return dispatcher_.session_count();
}

void Switchboard::Tick() {
  Do([](Dispatcher& dispatcher, auto& effects) { dispatcher.Wake(effects); });
  for (bool more = true; more;) {
    Do([&](Dispatcher& dispatcher, auto& effects) {
      more = dispatcher.Expire(kExpiredAtOnceCount, effects);
    });
  }
}

Status Switchboard::Attach(const std::shared_ptr<Line>& line, const SessionHello& hello,
                           const std::string& address, InstanceId& id) {
  Status status;
  Do([&](Dispatcher& dispatcher, auto& effects) {
    mutex_.AssertHeld();
    const InstanceId number = next_id_++;
    status = dispatcher.Attach(number, hello, address, clock_.Wall(), effects);
    if (!status.ok()) return;
    id = number;
    lines_.emplace(number, line);
  });
  if (status.ok() && witness_ != nullptr)
    witness_->OnCame({hello.service, hello.instance, address, hello.agent, false});
  return status;
}

void Switchboard::Refuse(const Visitor& visitor, const std::string& why) {
  if (witness_ != nullptr) witness_->OnRefused(visitor, why);
}

void Switchboard::Drain(InstanceId id) {
  Do([&](Dispatcher& dispatcher, auto& effects) { dispatcher.Drain(id, effects); });
}

void Switchboard::Leave(InstanceId id, const Visitor& visitor, const std::string& why) {
  Do([&](Dispatcher& dispatcher, auto& effects) {
    mutex_.AssertHeld();
    lines_.erase(id);
    dispatcher.Detach(id, effects);
  });
  if (witness_ != nullptr) witness_->OnLeft(visitor, why);
}

void Switchboard::OnReplies(InstanceId id, std::vector<SessionReply> replies) {
  Do([&](Dispatcher& dispatcher, auto& effects) {
    dispatcher.OnReplies(id, std::move(replies), effects);
  });
}

void Switchboard::Declare(const std::string& service, const std::string& why) {
  const MutexLock lock(mutex_);
  dispatcher_.Declare(service, why);
}

InstanceId Switchboard::AddDialled(const std::shared_ptr<Line>& line, const std::string& service,
                                   const Endpoint& endpoint, std::size_t max_in_flight) {
  InstanceId id = 0;
  Do([&](Dispatcher& dispatcher, auto& effects) {
    mutex_.AssertHeld();
    id = next_id_++;
    lines_.emplace(id, line);
    dispatcher.AddDialled(id, service, endpoint, max_in_flight, effects);
  });
  return id;
}

void Switchboard::SetSource(InstanceId id, const std::string& source) {
  const MutexLock lock(mutex_);
  dispatcher_.SetSource(id, source);
}

void Switchboard::SetReach(InstanceId id, Reach reach, const std::string& why) {
  std::optional<Dispatcher::ReachChange> change;
  Do([&](Dispatcher& dispatcher, auto& effects) {
    change = dispatcher.SetReach(id, reach, why, clock_.Wall(), effects);
  });
  if (!change || witness_ == nullptr) return;
  if (reach == Reach::kReady) return witness_->OnCame(change->who);
  change->before == Reach::kReady ? witness_->OnLeft(change->who, why)
                                  : witness_->OnUnreachable(change->who, why);
}

void Switchboard::Retire(InstanceId id) {
  std::optional<Dispatcher::ReachChange> change;
  Do([&](Dispatcher& dispatcher, auto& effects) { change = dispatcher.Retire(id, effects); });
  if (change && change->before == Reach::kReady && witness_ != nullptr)
    witness_->OnLeft(change->who, "it is not named any more");
}

void Switchboard::OnEnded(std::vector<Ended> ended) {
  Do([&](Dispatcher& dispatcher, auto& effects) {
    for (Ended& one : ended) {
      if (!one.reply.empty()) dispatcher.OnReplies(one.id, std::move(one.reply), effects);
      dispatcher.End(one.id, one.command_id, one.words, effects, one.retry_after);
    }
  });
}

void Switchboard::Return(InstanceId id, Dispatcher::Outgoing outgoing) {
  Do([&](Dispatcher& dispatcher, auto& effects) {
    dispatcher.Return(id, std::move(outgoing), effects);
  });
}

std::vector<Dispatcher::Outgoing> Switchboard::Take(InstanceId id, std::size_t max_count,
                                                    std::size_t max_bytes) {
  Dispatcher::Effects effects;
  std::vector<Dispatcher::Outgoing> taken;
  {
    const MutexLock lock(mutex_);
    dispatcher_.At(clock_.Mono());
    taken = dispatcher_.Take(id, max_count, max_bytes, effects);
    TellOfWake();
  }
  if (!effects.replies.empty()) receiver_.OnReplies(std::move(effects.replies));
  return taken;
}

}  // namespace assent::transport
