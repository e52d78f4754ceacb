// Instances: who is there, what they offer, whether they can be reached.

#include <algorithm>
#include <iterator>

#include "coordinator/traffic/policy_file.h"
#include "coordinator/transport/dispatcher.h"
#include "coordinator/transport/dispatcher_state.h"

namespace assent::transport {
namespace {

constexpr std::size_t kMaxShownActionsBytes = 200;

BreakerInfo ShownBreaker(const traffic::Breaker& breaker) {
  return {.state = std::string(traffic::Name(breaker.Shown())),
          .why = breaker.why(),
          .held = breaker.held() != traffic::Breaker::Held::kAuto,
          .opened = breaker.opened_count()};
}

std::string Shown(const std::pair<std::string, core::Protocol>& action) {
  return std::string(core::Name(action.second)) + ":" + action.first;
}

}  // namespace

// ---- Coming -------------------------------------------------------------------------------------

Status Dispatcher::Attach(InstanceId id, const SessionHello& hello, const std::string& address,
                          core::WallTime now, Effects& effects) {
  Status status = CheckHello(hello);
  if (!status.ok()) return status;
  const auto known = services_.find(hello.service);
  status = CheckRoom(hello, known == services_.end() ? nullptr : &known->second);
  if (!status.ok()) return status;
  auto actions = hello.actions;
  std::sort(actions.begin(), actions.end());
  Service& service = ServiceOf(hello.service);
  const std::size_t in_flight =
      hello.max_in_flight == 0
          ? limits_.default_in_flight_count
          : std::min<std::size_t>(hello.max_in_flight, limits_.max_in_flight_count);
  Instance& instance = Add(id, service, VariantOf(service, std::move(actions)), in_flight);
  instance.name = hello.instance.empty() ? "session-" + std::to_string(id) : hello.instance;
  instance.agent = hello.agent;
  instance.address = address;
  instance.connected_at = now;
  ++sessions_;
  Join(instance);
  Begin(instance);
  Gain(instance, effects);
  Refresh(instance);
  Fill(instance, effects);
  return OkStatus();
}

Status Dispatcher::CheckRoom(const SessionHello& hello, const Service* service) const {
  if (service != nullptr && service->dialled) {
    return FailedPrecondition(
        "service " + hello.service + " is dialled" +
        (service->instances.empty()
             ? std::string(": this coordinator's configuration")
             : ": this coordinator's configuration has " +
                   service->instances.begin()->second->address + " for it,") +
        " and it takes no sessions. Take it out of `unary` there, or do not dial in");
  }
  if (sessions_ >= limits_.max_sessions_count) {
    return ResourceExhausted("this coordinator has " + std::to_string(sessions_) +
                             " sessions, the limit is " +
                             std::to_string(limits_.max_sessions_count));
  }
  if (service != nullptr && service->variants.size() >= limits_.max_variants_count) {
    auto actions = hello.actions;
    std::sort(actions.begin(), actions.end());
    if (std::none_of(service->variants.begin(), service->variants.end(),
                     [&](const Variant& v) { return v.actions == actions; })) {
      return ResourceExhausted("the instances of service " + hello.service + " offer " +
                               std::to_string(service->variants.size()) +
                               " different sets of actions, which is the limit: stop those of " +
                               "older releases first");
    }
  }
  std::size_t bytes = 0;
  for (const auto& [name, protocol] : hello.actions) bytes += name.size();
  if (actions_bytes_ + bytes > limits_.max_actions_bytes) {
    return ResourceExhausted("the names of all actions of all services take " +
                             std::to_string(actions_bytes_) + " bytes, the limit is " +
                             std::to_string(limits_.max_actions_bytes));
  }
  return OkStatus();
}

ServiceFigures& Dispatcher::FiguresOf(const std::string& service) {
  const bool counted =
      figures_.contains(service) || figures_.size() < limits_.max_counted_services_count;
  return figures_[counted ? service : ""];
}

Dispatcher::Variant& Dispatcher::VariantOf(
    Service& service, std::vector<std::pair<std::string, core::Protocol>> actions) {
  for (Variant& variant : service.variants) {
    if (variant.actions == actions) return variant;
  }
  Variant& variant = service.variants.emplace_back();
  variant.service = &service;
  MakeChoosers(variant);
  variant.actions = std::move(actions);
  for (const auto& action : variant.actions) {
    variant.action_bytes += action.first.size();
    Lane& lane = service.lanes[action];
    if (!lane.queue.empty()) variant.ready.emplace(lane.queue.front().id, &lane);
    lane.variants.push_back(&variant);
    variant.lanes.push_back(&lane);
  }
  actions_bytes_ += variant.action_bytes;
  return variant;
}

Dispatcher::Instance& Dispatcher::Add(InstanceId id, Service& service, Variant& variant,
                                      std::size_t max_in_flight) {
  Instance& instance = *instances_.emplace(id, std::make_unique<Instance>()).first->second;
  instance.id = id;
  instance.service = &service;
  instance.variant = &variant;
  instance.limit = traffic::Limit({}, max_in_flight);
  ++variant.instances;
  service.instances.emplace(id, &instance);
  return instance;
}

void Dispatcher::Declare(const std::string& name, const std::string& why) {
  Service& service = ServiceOf(name);
  service.dialled = service.declared = true;
  if (service.waitable == 0) service.why_down = why;
}

void Dispatcher::AddDialled(InstanceId id, const std::string& name, const Endpoint& endpoint,
                            std::size_t max_in_flight, Effects& effects) {
  Service& service = ServiceOf(name);
  service.dialled = true;
  // One lane for whatever is asked: what a target can do, only it knows.
  Instance& instance =
      Add(id, service, VariantOf(service, {{"", core::Protocol{}}}), max_in_flight);
  instance.session = false;
  instance.reach = Reach::kConnecting;
  instance.name = instance.address = endpoint.address;
  instance.source = endpoint.source;
  Join(instance);
  // Until a command has been looked at nobody has been told that somebody is absent: it would be
  // news to nobody, and make whoever asks next look again in vain.
  Effects unheard;
  Gain(instance, counters_.steps == 0 ? unheard : effects);
}

void Dispatcher::SetSource(InstanceId id, const std::string& source) {
  const auto found = instances_.find(id);
  if (found != instances_.end()) found->second->source = source;
}

// It is in the list where it belongs.
void Dispatcher::Refresh(Instance& instance) {
  traffic::Candidate& candidate = instance.candidate;
  candidate.in_flight = instance.in_flight();
  const bool free = !instance.draining && !instance.gone && instance.reach == Reach::kReady &&
                    candidate.in_flight < instance.limit.value() &&
                    instance.outbox.size() < limits_.max_outbox_count &&
                    instance.outbox_bytes < limits_.max_outbox_bytes && instance.breaker.Admits();
  if (free == candidate.free) return;
  instance.chooser().SetFree(candidate, free);
  candidate.free = free;
}

// It is reached: what it gets begins small.
void Dispatcher::Begin(Instance& instance) {
  instance.limit.Start(now_);
  Plan(*instance.service, instance.limit.wakes_at());
}

void Dispatcher::Gain(Instance& instance, Effects& effects) {
  Service& service = *instance.service;
  Variant& variant = *instance.variant;
  // What could not be sent can be: it is the first of its service, or the first with one of its
  // actions.
  const bool appeared =
      service.waitable == 0 ||
      (variant.waitable == 0 && std::any_of(variant.lanes.begin(), variant.lanes.end(),
                                            [](const Lane* lane) { return !lane->waitable(); }));
  ++service.waitable;
  ++variant.waitable;
  if (appeared) effects.appeared.push_back(service.name);
}

Visitor Dispatcher::VisitorOf(const Instance& instance) {
  return {instance.service->name, instance.name, instance.address, instance.agent,
          !instance.session};
}

std::optional<Dispatcher::ReachChange> Dispatcher::SetReach(InstanceId id, Reach reach,
                                                            const std::string& why,
                                                            core::WallTime now, Effects& effects) {
  const auto found = instances_.find(id);
  if (found == instances_.end() || found->second->retired) return {};
  Instance& instance = *found->second;
  if (reach == Reach::kDown) instance.service->why_down = why;
  // Down until it is reached: another try is no better news.
  if (instance.reach == Reach::kDown && reach == Reach::kConnecting) return {};
  if (instance.reach == reach) return {};
  const Reach before = std::exchange(instance.reach, reach);
  if (reach != Reach::kReady) {
    instance.connected_at = core::WallTime{};
    Withdraw(instance, reach == Reach::kDown, effects);
    return ReachChange{before, VisitorOf(instance)};
  }
  instance.connected_at = now;
  instance.service->why_down.clear();
  if (before == Reach::kDown) Gain(instance, effects);
  Begin(instance);
  Refresh(instance);
  Fill(instance, effects);
  return ReachChange{before, VisitorOf(instance)};
}

// ---- Going --------------------------------------------------------------------------------------

void Dispatcher::Withdraw(Instance& instance, bool lost, Effects& effects) {
  Service& service = *instance.service;
  Variant& variant = *instance.variant;
  Entries left;
  left.swap(instance.outbox);
  instance.outbox_bytes = 0;
  for (Entry& entry : left) Left(entry, traffic::CallEnd::kNeutral);
  Refresh(instance);
  if (lost) {
    --service.waitable;
    --variant.waitable;
    if (service.waitable == 0) {
      for (auto& [action, lane] : service.lanes) GiveBack(lane, effects);
    } else if (variant.waitable == 0) {
      for (Lane* lane : variant.lanes) {
        if (!lane->waitable()) GiveBack(*lane, effects);
      }
    }
  }
  // From the back to the front of their lanes, so that their order stays.
  while (!left.empty()) {
    const auto at = std::prev(left.end());
    if (at->lane->waitable()) {
      Place(left, at, /*front=*/true, effects);
      continue;
    }
    Conclude(*at,
             service.waitable == 0 ? Absent(&service, at->command)
                                   : NoSuchAction(service, true, at->command),
             effects);
    instance.outbox.splice(instance.outbox.end(), left, at);
    instance.outbox_bytes = at->bytes;
    Erase(at);
  }
}

void Dispatcher::Drain(InstanceId id, Effects& effects) {
  const auto found = instances_.find(id);
  if (found == instances_.end() || found->second->draining) return;
  Instance& instance = *found->second;
  const bool waited_for = instance.waitable();
  instance.draining = true;
  if (waited_for) Withdraw(instance, /*lost=*/true, effects);
}

std::optional<Dispatcher::ReachChange> Dispatcher::Retire(InstanceId id, Effects& effects) {
  const auto found = instances_.find(id);
  if (found == instances_.end() || found->second->retired) return {};
  Instance& instance = *found->second;
  const ReachChange change{instance.reach, VisitorOf(instance)};
  Drain(id, effects);
  instance.retired = true;
  if (instance.out.empty()) Settle(instance, effects);
  return change;
}

void Dispatcher::Detach(InstanceId id, Effects& effects) {
  const auto found = instances_.find(id);
  if (found == instances_.end()) return;
  Instance& instance = *found->second;
  Service& service = *instance.service;
  Variant& variant = *instance.variant;
  const bool waited_for = instance.waitable();
  instance.gone = true;
  while (!instance.out.empty()) {
    Count(instance.out.front(), core::AttemptResult::kUnknown);
    Conclude(instance.out.front(), Lost(instance.out.front()), effects);
    Erase(instance.out.begin());
  }
  if (waited_for) Withdraw(instance, /*lost=*/true, effects);
  service.held_bytes -= instance.writing_bytes;
  held_bytes_ -= instance.writing_bytes;
  Refresh(instance);  // it is gone: nobody's choice any more
  instance.chooser().Leave(instance.candidate);
  service.instances.erase(id);
  if (instance.session) --sessions_;
  instances_.erase(found);
  if (--variant.instances == 0) RemoveVariant(variant);
  if (!service.instances.empty() || service.declared) return;
  wakes_.erase({service.wakes_at, service.name});
  std::erase(changed_services_, &service);
  services_.erase(services_.find(service.name));
}

void Dispatcher::RemoveVariant(Variant& variant) {
  Service& service = *variant.service;
  actions_bytes_ -= variant.action_bytes;
  for (std::size_t i = 0; i < variant.lanes.size(); ++i) {
    auto& variants = variant.lanes[i]->variants;
    variants.erase(std::find(variants.begin(), variants.end(), &variant));
    if (variants.empty()) service.lanes.erase(variant.actions[i]);
  }
  service.variants.remove_if([&](const Variant& v) { return &v == &variant; });
}

// ---- Looking ------------------------------------------------------------------------------------

Dispatcher::Lane* Dispatcher::LaneOf(Service& service, const Command& command) {
  if (service.dialled) return &service.lanes.begin()->second;
  const auto found =
      service.lanes.find(std::pair(std::string_view(command.action), command.protocol));
  return found == service.lanes.end() ? nullptr : &found->second;
}

// Nobody of its service can be reached. A name that nobody had since the start may be misspelt;
// with more names than have figures it is not known.
Reply Dispatcher::Absent(const Service* service, const Command& command) const {
  const bool has_words = service != nullptr && !service->why_down.empty();
  const bool never_here = service == nullptr && !figures_.contains(command.service) &&
                          figures_.size() < limits_.max_counted_services_count;
  Reply reply =
      NotSent(command, has_words ? service->why_down
                                 : "no participant " + command.service + " is connected" +
                                       (never_here ? ", nor was any since the start" : ""));
  reply.service_absent = true;
  if (PolicyOf(command.service).absence == traffic::Absence::kRefuse &&
      IsFirstForwardAttempt(command)) {
    reply.result = core::AttemptResult::kRefused;
    reply.service_absent = false;
  }
  return reply;
}

// A first forward attempt at an action that nobody offers is a no: nothing has happened and nothing
// can. Anything later may concern what an instance with other actions did, so it waits for one that
// knows; as does what only such instances offer as are about to leave (`known`).
Reply Dispatcher::NoSuchAction(const Service& service, bool known, const Command& command) {
  std::string offered;
  for (const auto& [action, lane] : service.lanes) {
    if (!lane.waitable()) continue;
    if (offered.size() > kMaxShownActionsBytes) {
      offered += ", …";
      break;
    }
    offered += (offered.empty() ? "" : ", ") + Shown(action);
  }
  Reply reply = NotSent(command, "participant " + service.name + " has no action " +
                                     Shown({command.action, command.protocol}) + "; it offers " +
                                     (offered.empty() ? "none" : offered));
  if (!known && IsFirstForwardAttempt(command)) reply.result = core::AttemptResult::kRefused;
  return reply;
}

std::vector<ServiceFigures> Dispatcher::Figures() const {
  std::map<std::string, ServiceFigures> now = figures_;
  for (const auto& [name, service] : services_) {
    ServiceFigures& figures = now[figures_.contains(name) ? name : ""];
    figures.queued += service.queued;
    for (const auto& [id, instance] : service.instances) {
      figures.instances += instance->waitable() && instance->reach == Reach::kReady ? 1 : 0;
      figures.in_flight += instance->in_flight();
      figures.open += instance->breaker.Shown() == traffic::Breaker::State::kClosed ? 0 : 1;
    }
  }
  std::vector<ServiceFigures> list;
  for (auto& [name, figures] : now) {
    figures.service = name;
    list.push_back(std::move(figures));
  }
  return list;
}

std::vector<ServiceInfo> Dispatcher::List(const std::string& prefix) const {
  std::vector<ServiceInfo> list;
  for (auto it = services_.lower_bound(prefix);
       it != services_.end() && it->first.compare(0, prefix.size(), prefix) == 0; ++it) {
    const Service& service = it->second;
    ServiceInfo info{it->first, {}, {}, service.queued};
    info.policy = traffic::Describe(service.policy);
    info.breaker = ShownBreaker(service.breaker);
    for (const auto& [action, lane] : service.lanes) {
      if (!service.dialled) info.actions.push_back(Shown(action));
    }
    for (const auto& [id, instance] : service.instances) {
      info.instances.push_back({instance->name,
                                instance->address,
                                instance->agent,
                                instance->connected_at,
                                instance->in_flight(),
                                !instance->session,
                                {},
                                instance->source});
      info.instances.back().breaker = ShownBreaker(instance->breaker);
      info.instances.back().limit = instance->limit.value();
      info.instances.back().latency = instance->latency;
      if (service.variants.size() < 2) continue;
      for (const auto& action : instance->variant->actions)
        info.instances.back().actions.push_back(Shown(action));
    }
    list.push_back(std::move(info));
  }
  return list;
}

}  // namespace assent::transport
