// Which coordinators the participant is connected to, and how it learns of others.

#include <algorithm>
#include <chrono>
#include <cstddef>
#include <cstdint>
#include <memory>
#include <string>
#include <utility>
#include <vector>

#include <assent/limits.h>

#include "assent/v1/participant.pb.h"
#include "participant-sdk/cpp/src/participant_shell.h"
#include "participant-sdk/cpp/src/version.h"
#include "proto/words/words.h"

namespace assent::internal {
namespace {

// Of each coordinator, however many there are.
constexpr std::uint32_t kMinInFlightCount = 32;

SteadyTime Now() { return std::chrono::steady_clock::now(); }

v1::Hello HelloOf(const ParticipantOptions& options, const ActionTable& actions) {
  v1::Hello hello;
  hello.set_version(1);
  hello.set_service(options.service);
  hello.set_instance(options.instance);
  for (const OfferedAction& action : actions.Actions()) {
    v1::ActionInfo* info = hello.add_actions();
    info->set_name(action.name);
    info->set_protocol(wire::ToWire(action.protocol));
  }
  hello.set_max_in_flight(options.max_in_flight);
  hello.set_agent(AgentName());
  return hello;
}

}  // namespace

void ParticipantShell::AddLink(const std::string& endpoint, Todos* todos) {
  const std::size_t index = next_link_++;
  Session::Options session;
  session.index = index;
  session.endpoint = endpoint;
  session.hello = HelloOf(options_, *actions_);
  session.max_in_flight = options_.max_in_flight;
  session.max_questions = limits::kMaxFrameMessagesCount;
  session.initial_backoff = options_.reconnect_initial_backoff;
  session.max_backoff = options_.reconnect_max_backoff;
  session.seed = seed_ + index;
  Link& link = links_.try_emplace(index, std::move(session), &calls_).first->second;
  link.dialer = dialers_.session(endpoint);
  ShareInFlight();
  Actions actions;
  link.session.Start(Now(), &actions);
  Collect(index, std::move(actions), todos);
}

void ParticipantShell::RemoveStopped(Todos* todos) {
  for (auto at = links_.begin(); at != links_.end();) {
    const Session& session = at->second.session;
    if (session.state() != Session::State::kStopped) {
      ++at;
      continue;
    }
    const Session::Counters& counters = session.counters();
    of_removed_.commands += counters.commands;
    of_removed_.joined += counters.joined;
    of_removed_.stale_commands += counters.stale_commands;
    of_removed_.replies += counters.replies;
    of_removed_.dropped_replies += counters.dropped_replies;
    of_removed_.connections += counters.connections;
    todos->push_back({nullptr, Discard{std::move(at->second.dialer)}});
    at = links_.erase(at);
  }
}

void ParticipantShell::Reconcile(Todos* todos) {
  if (stopping_) return;
  RemoveStopped(todos);
  std::vector<Roster::Link> links;
  for (const auto& [index, link] : links_) {
    const Session& session = link.session;
    const bool known = session.open() && session.clustered();
    const Roster::Identity who{session.coordinator_id(), known ? session.epoch() : 0};
    links.push_back({index, session.endpoint(), session.open(), who});
    if (session.open()) roster_.Met(session.endpoint(), who);
  }
  const Roster::Plan plan = roster_.Decide(links);
  const auto each = [&](const Ids& ids, const auto& act) {
    mutex_.AssertHeld();
    for (const std::size_t index : ids) {
      Actions actions;
      act(links_.at(index).session, &actions);
      Collect(index, std::move(actions), todos);
    }
  };
  each(plan.keep, [](Session& session, Actions*) { session.Keep(); });
  each(plan.retire, [](Session& session, Actions* out) { session.Retire(out); });
  each(plan.stop, [](Session& session, Actions* out) { session.Stop(Now(), out); });
  RemoveStopped(todos);
  for (const std::string& endpoint : plan.dial) AddLink(endpoint, todos);
  ShareInFlight();
}

// What one coordinator of several may have unanswered here is its part of the whole.
void ParticipantShell::ShareInFlight() {
  for (auto& [index, link] : links_) {
    const std::size_t count = roster_.CountAt(link.session.endpoint());
    if (count == 0) continue;
    const auto part = static_cast<std::uint32_t>(options_.max_in_flight / count);
    link.session.SetMaxInFlight(
        std::max(part, std::min(options_.max_in_flight, kMinInFlightCount)));
  }
}

void ParticipantShell::Watch(const WatchCluster& cluster) {
  std::shared_ptr<MapWatcher> watcher;
  bool is_new = false;
  {
    const MutexLock lock(mutex_);
    if (stopping_) return;
    std::shared_ptr<MapWatcher>& known = watchers_[cluster.coordinator_id];
    is_new = known == nullptr;
    if (is_new) {
      MapKeeper::Options keeper;
      keeper.seeds = {cluster.endpoint};
      keeper.seed = seed_;
      known = std::make_shared<MapWatcher>(std::move(keeper), dialers_.watch,
                                           [weak = weak_from_this()](const MapWatcher::News& news) {
                                             if (const auto self = weak.lock()) self->OnNews(news);
                                           });
    }
    watcher = known;
  }
  if (is_new) {
    watcher->Start();
  } else {
    watcher->AddSeed(cluster.endpoint);
  }
}

void ParticipantShell::OnNews(const MapWatcher::News& news) {
  if (!news.map) return;
  Todos todos;
  {
    const MutexLock lock(mutex_);
    const std::uint32_t log = news.map->coordinator_id();
    std::uint64_t& latest = news_numbers_[log];
    if (stopping_ || news.number <= latest) return;
    latest = news.number;
    const std::string members = news.map->AddressList();
    if (std::exchange(known_members_[log], members) != members) {
      todos.push_back({nullptr, act::Log{"cluster coordinator=" + std::to_string(log) +
                                         " members=" + members}});
    }
    roster_.SetMap(news.map);
    Reconcile(&todos);
  }
  Do(std::move(todos));
}

}  // namespace assent::internal
