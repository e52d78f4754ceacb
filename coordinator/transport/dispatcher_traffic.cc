// What policies say: second copies, breakers, limits, and when to look again.

#include <algorithm>
#include <utility>

#include "coordinator/transport/dispatcher.h"
#include "coordinator/transport/dispatcher_state.h"

namespace assent::transport {
namespace {

using traffic::Breaker;
using traffic::CallEnd;

// What a retry budget gives without any answer.
constexpr double kRetriesPerSecond = 10;
constexpr double kMaxSavedRetries = 100;
// A burst of what comes at a limited rate: what comes in so long.
constexpr double kBurstSeconds = 0.1;

bool IsConclusive(core::AttemptResult result) {
  return result == core::AttemptResult::kDone || result == core::AttemptResult::kDoneReadOnly ||
         result == core::AttemptResult::kRefused;
}

}  // namespace

// ---- Copies -------------------------------------------------------------------------------------

void Dispatcher::Conclude(Entry& entry, Reply reply, Effects& effects) {
  if (entry.silent) return;
  if (Entry* const twin = entry.twin) {
    if (!IsConclusive(reply.result)) return;
    twin->twin = entry.twin = nullptr;
    twin->silent = true;
    if (twin->state != Entry::State::kOut) Erase(entries_.at(twin->id));
  }
  // Of another copy, or at another instance, it may have arrived.
  if (reply.result == core::AttemptResult::kNotSent && entry.maybe_sent) {
    reply.result = core::AttemptResult::kUnknown;
    reply.service_absent = false;
  }
  effects.replies.push_back(std::move(reply));
}

void Dispatcher::KeepCopy(Entry& entry) {
  Service& service = *entry.service;
  const bool hedged = service.policy.hedge_after.count() > 0 && entry.twin == nullptr;
  const bool moved = service.policy.not_now == traffic::NotNow::kNext;
  if ((!hedged && !moved) || service.instances.size() < 2) return;
  entry.copy = std::make_unique<Command>(entry.command);
  if (!hedged) return;
  service.hedges.emplace_back(now_ + service.policy.hedge_after, entry.id);
  Plan(service, service.hedges.front().first);
}

Dispatcher::Instance* Dispatcher::PickOther(const Entry& entry) {
  Instance& with = *entry.instance;
  const bool free = with.candidate.free;
  const auto set = [&](bool now) {
    if (!free) return;
    with.chooser().SetFree(with.candidate, now);
    with.candidate.free = now;
  };
  set(false);
  Instance* const other = Pick(*entry.lane, entry.key);
  set(true);
  return other;
}

bool Dispatcher::AskNext(Entries::iterator at, const SessionReply& reply, Effects& effects) {
  Service& service = *at->service;
  if (reply.result != core::AttemptResult::kRetryLater || at->copy == nullptr ||
      service.policy.not_now != traffic::NotNow::kNext)
    return false;
  // Whoever holds what it needs holds it from the others too.
  if (at->silent || at->twin != nullptr || !reply.blocked_by.empty()) return false;
  if (at->asked + 1U >= std::min(limits_.max_asked_count, service.waitable) ||
      at->expires_at <= now_ || waiting_.contains(Branch(*at)))
    return false;
  Instance* const other = PickOther(*at);
  if (other == nullptr) return false;
  ++service.figures->moved;
  Count(*at, reply.result);
  at->maybe_sent = true;
  ++at->asked;
  Entries moved = TakeBack(at, std::move(*at->copy), CallEnd::kAnswered);
  Assign(*other, moved, at, effects);
  return true;
}

void Dispatcher::Hedge(Service& service, Effects& effects) {
  for (; !service.hedges.empty() && service.hedges.front().first <= now_;
       service.hedges.pop_front()) {
    ++counters_.steps;
    const auto found = entries_.find(service.hedges.front().second);
    if (found == entries_.end()) continue;
    Entry& entry = *found->second;
    if (entry.state != Entry::State::kOut || entry.copy == nullptr || entry.silent ||
        entry.expires_at <= now_ || waiting_.contains(Branch(entry)) ||
        service.held_bytes + entry.bytes > limits_.max_held_bytes ||
        held_bytes_ + entry.bytes > limits_.max_all_held_bytes)
      continue;
    Instance* const other = PickOther(entry);
    if (other == nullptr) continue;
    ++service.figures->hedged;
    Entries fresh = Accept({.command = std::move(*entry.copy),
                            .hash = entry.hash,
                            .expires_at = entry.expires_at,
                            .bytes = entry.bytes,
                            .service = &service,
                            .lane = entry.lane,
                            .key = entry.key});
    entry.copy = nullptr;  // its bytes are counted until it has ended
    fresh.front().twin = &entry;
    entry.twin = &fresh.front();
    Assign(*other, fresh, fresh.begin(), effects);
  }
}

// ---- Policies -----------------------------------------------------------------------------------

const traffic::Policy& Dispatcher::PolicyOf(const std::string& service) const {
  static const traffic::Policy usual;
  return policies_ == nullptr ? usual : policies_->Of(service);
}

Dispatcher::Service& Dispatcher::ServiceOf(const std::string& name) {
  const auto [at, fresh] = services_.try_emplace(name);
  Service& service = at->second;
  if (!fresh) return service;
  service.name = name;
  service.figures = &FiguresOf(name);
  service.policy = PolicyOf(name);
  Treat(service);
  return service;
}

void Dispatcher::Treat(Service& service) {
  const traffic::Policy& policy = service.policy;
  traffic::BreakerSettings breaker = policy.breaker;
  breaker.on = breaker.on && breaker.of_service;
  service.breaker.Set(breaker);
  service.rate.reset();
  service.retries.reset();
  if (policy.rate_per_second > 0) {
    service.rate.emplace(policy.rate_per_second,
                         std::max(policy.rate_per_second * kBurstSeconds, 1.0));
    service.rate->Refill(now_);
  }
  if (policy.retry_percent > 0) {
    service.retries.emplace(kRetriesPerSecond, kMaxSavedRetries);
    service.retries->Refill(now_);
  }
}

void Dispatcher::MakeChoosers(Variant& variant) {
  for (auto& chooser : variant.choosers)
    chooser = traffic::Chooser::Make(variant.service->policy.select, random_);
}

void Dispatcher::Join(Instance& instance) {
  const traffic::Policy& policy = instance.service->policy;
  traffic::Candidate& candidate = instance.candidate;
  candidate.id = instance.id;
  candidate.name = traffic::HashOf(instance.name);
  candidate.weight = policy.WeightOf(instance.name, instance.address);
  candidate.free = false;
  const bool near = policy.IsNear(instance.name, instance.address);
  instance.tier = candidate.weight == 0 ? 2 : near ? 0 : 1;
  instance.breaker.Set(policy.breaker);
  instance.limit.Set(policy.limit);
  instance.chooser().Join(candidate);
}

void Dispatcher::SetPolicies(std::shared_ptr<const traffic::Policies> policies, Effects& effects) {
  policies_ = std::move(policies);
  for (auto& [name, service] : services_) {
    if (service.policy == PolicyOf(name)) continue;
    service.policy = PolicyOf(name);
    Treat(service);
    for (Variant& variant : service.variants) MakeChoosers(variant);
    for (auto& [id, instance] : service.instances) {
      Join(*instance);
      Refresh(*instance);
      Plan(service, instance->limit.wakes_at());
    }
    Pump(service, effects);
  }
}

std::size_t Dispatcher::HoldBreakers(const std::string& name, const std::string& which,
                                     Breaker::Held held, Effects& effects) {
  const auto found = services_.find(name);
  if (found == services_.end()) return 0;
  Service& service = found->second;
  std::size_t count = 0;
  if (which.empty()) {
    service.breaker.Hold(held);
    changed_services_.push_back(&service);
    count = 1;
  }
  for (auto& [id, instance] : service.instances) {
    if (which.empty() || (instance->name != which && instance->address != which)) continue;
    instance->breaker.Hold(held);
    changed_.push_back(id);
    ++count;
  }
  React(effects);
  return count;
}

std::uint64_t Dispatcher::KeyOf(const traffic::Policy& policy, const Command& command) {
  if (policy.select != traffic::Select::kHash) return 0;
  for (const auto& [key, value] : command.headers) {
    if (!policy.hash_header.empty() && key == policy.hash_header) return traffic::HashOf(value);
  }
  return traffic::HashOf(command.gid);
}

bool Dispatcher::MayRetry(Service& service) {
  if (!service.retries) return true;
  service.retries->Refill(now_);
  if (!service.retries->Has()) return false;
  service.retries->Take();
  return true;
}

std::string Dispatcher::OverBudget(const Service& service) {
  return "the retry budget of participant " + service.name + " (retry-percent " +
         std::to_string(service.policy.retry_percent) + ") is used up: it was not sent";
}

std::string Dispatcher::Held(const Service& service) {
  const auto open = [](const Breaker& breaker, const std::string& whose) {
    if (breaker.Shown() != Breaker::State::kOpen) return std::string();
    return "; the breaker of " + whose +
           " is open: " + (breaker.why().empty() ? "a person has opened it" : breaker.why());
  };
  std::string words = open(service.breaker, "the service");
  for (auto at = service.instances.begin(); words.empty() && at != service.instances.end(); ++at)
    words = open(at->second->breaker, at->second->name);
  return words;
}

// ---- To an instance, and back -------------------------------------------------------------------

void Dispatcher::Leave(Entry& entry) {
  Service& service = *entry.service;
  Instance& instance = *entry.instance;
  instance.candidate.last_used = next_use_++;
  instance.candidate.in_flight = instance.in_flight();
  instance.chooser().Used(instance.candidate);
  entry.ticket = instance.breaker.Leave();
  entry.service_ticket = service.breaker.Leave();
  if (service.rate) service.rate->Take();
}

void Dispatcher::Left(Entry& entry, CallEnd end) {
  Service& service = *entry.service;
  Instance& instance = *entry.instance;
  const core::Micros latency =
      end == CallEnd::kNeutral ? core::Micros(0) : core::Micros(now_ - entry.left_at);
  if (instance.breaker.End(entry.ticket, end, latency, now_)) changed_.push_back(instance.id);
  if (service.breaker.End(entry.service_ticket, end, latency, now_))
    changed_services_.push_back(&service);
  instance.limit.End(end, latency, instance.in_flight());
  if (end != CallEnd::kAnswered) return;
  instance.latency += instance.latency.count() == 0 ? latency : (latency - instance.latency) / 8;
  if (service.retries) service.retries->Give(service.policy.retry_percent / 100.0);
}

// ---- Later --------------------------------------------------------------------------------------

void Dispatcher::React(Effects& effects) {
  while (!changed_.empty()) {
    const auto found = instances_.find(changed_.back());
    changed_.pop_back();
    if (found == instances_.end() || found->second->gone) continue;
    Instance& instance = *found->second;
    switch (instance.breaker.Shown()) {
      case Breaker::State::kOpen:
        ++instance.service->figures->opened;
        Plan(*instance.service, instance.breaker.wakes_at());
        Refresh(instance);
        if (!instance.draining) Withdraw(instance, /*lost=*/false, effects);
        break;
      case Breaker::State::kClosed: Begin(instance); [[fallthrough]];
      case Breaker::State::kHalfOpen: Refresh(instance); Fill(instance, effects);
    }
  }
  while (!changed_services_.empty()) {
    Service& service = *changed_services_.back();
    changed_services_.pop_back();
    Plan(service, service.breaker.wakes_at());
    if (service.breaker.Shown() == Breaker::State::kOpen) ++service.figures->opened;
    Pump(service, effects);
  }
}

void Dispatcher::Pump(Service& service, Effects& effects) {
  for (auto& [action, lane] : service.lanes) {
    while (!lane.queue.empty()) {
      Instance* const instance = Pick(lane, lane.queue.front().key);
      if (instance == nullptr) break;
      AssignHead(lane, *instance, effects);
    }
  }
}

void Dispatcher::Plan(Service& service, core::MonoTime at) {
  if (at >= service.wakes_at) return;
  wakes_.erase({service.wakes_at, service.name});
  service.wakes_at = at;
  wakes_.emplace(std::pair(at, std::string_view(service.name)), &service);
}

void Dispatcher::Wake(Effects& effects) {
  while (!wakes_.empty() && wakes_.begin()->first.first <= now_) {
    Service& service = *wakes_.begin()->second;
    wakes_.erase(wakes_.begin());
    service.wakes_at = core::kNever;
    WakeService(service, effects);
  }
  React(effects);
}

void Dispatcher::WakeService(Service& service, Effects& effects) {
  if (service.rate) service.rate->Refill(now_);
  if (service.breaker.Wake(now_)) changed_services_.push_back(&service);
  Plan(service, service.breaker.wakes_at());
  for (auto& [id, instance] : service.instances) {
    ++counters_.steps;
    if (instance->breaker.Wake(now_)) changed_.push_back(id);
    instance->limit.Wake(now_);
    Plan(service, std::min(instance->breaker.wakes_at(), instance->limit.wakes_at()));
    Refresh(*instance);
  }
  Hedge(service, effects);
  if (!service.hedges.empty()) Plan(service, service.hedges.front().first);
  Pump(service, effects);
  if (service.rate && service.queued > 0) Plan(service, service.rate->NextAt());
}

}  // namespace assent::transport
