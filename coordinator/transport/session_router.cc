#include "coordinator/transport/session_router.h"

#include <algorithm>
#include <set>
#include <tuple>

#include <assent/limits.h>

#include "coordinator/base/mutants.h"
#include "coordinator/core/spec.h"
#include "coordinator/core/text.h"

namespace assent::transport {
namespace {

constexpr std::uint32_t kProtocolVersion = 1;

// No answer is not an answer.
core::AttemptResult WhatIsLost() {
  if (Mutant(Planted::kLostIsRefused)) return core::AttemptResult::kRefused;
  if (Mutant(Planted::kLostIsNotSent)) return core::AttemptResult::kNotSent;
  return core::AttemptResult::kUnknown;
}

Status CheckHello(const SessionHello& hello) {
  if (hello.version != kProtocolVersion) {
    return InvalidArgument("hello.version is " + std::to_string(hello.version) +
                           ": this coordinator speaks version " + std::to_string(kProtocolVersion));
  }
  Status named = core::CheckServiceName(hello.service, "hello.service");
  if (!named.ok()) return named;
  if (hello.instance.size() > limits::kMaxInstanceNameBytes) {
    return InvalidArgument("hello.instance has " + std::to_string(hello.instance.size()) +
                           " bytes, the limit is " + std::to_string(limits::kMaxInstanceNameBytes));
  }
  if (hello.agent.size() > limits::kMaxAgentBytes) {
    return InvalidArgument("hello.agent has " + std::to_string(hello.agent.size()) +
                           " bytes, the limit is " + std::to_string(limits::kMaxAgentBytes));
  }
  if (hello.actions.size() > limits::kMaxActionsPerParticipantCount) {
    return InvalidArgument("hello.actions has " + std::to_string(hello.actions.size()) +
                           " entries, the limit is " +
                           std::to_string(limits::kMaxActionsPerParticipantCount));
  }
  std::set<std::string> names;
  for (const auto& [name, protocol] : hello.actions) {
    named = core::CheckActionName(name, "hello.actions.name");
    if (!named.ok()) return named;
    if (protocol < core::Protocol::kTwoPhase || protocol > core::Protocol::kSaga) {
      return InvalidArgument("hello.actions: the protocol of " + name +
                             " is unknown: it takes TWO_PHASE, TCC or SAGA");
    }
    if (!names.insert(std::string(core::Name(protocol)) + ":" + name).second) {
      return InvalidArgument("hello.actions names " + std::string(core::Name(protocol)) + ":" +
                             name + " twice");
    }
  }
  return OkStatus();
}

// About what a command takes on the wire.
std::size_t BytesOf(const Command& command) {
  std::size_t bytes = 256 + command.payload.size();
  for (const auto& [id, result] : command.results) bytes += id.size() + result.size() + 16;
  for (const auto& [key, value] : command.headers) bytes += key.size() + value.size() + 16;
  return bytes;
}

}  // namespace

Status SessionRouter::Attach(SessionId id, const SessionHello& hello, const std::string& address,
                             core::WallTime now, bool& first_of_service) {
  Status status = CheckHello(hello);
  if (!status.ok()) return status;
  if (sessions_.size() >= limits_.max_sessions_count) {
    return ResourceExhausted("this coordinator has " + std::to_string(sessions_.size()) +
                             " sessions, the limit is " +
                             std::to_string(limits_.max_sessions_count));
  }
  auto actions = hello.actions;
  std::sort(actions.begin(), actions.end());
  Service& service = services_[hello.service];
  if (!service.sessions.empty() && service.actions != actions) {
    return FailedPrecondition("service " + hello.service +
                              " is connected with other actions: all instances of a service must " +
                              "offer the same ones (to change them, stop the old instances first)");
  }
  first_of_service = service.sessions.empty();
  service.actions = std::move(actions);
  service.sessions.push_back(id);
  Session& session = sessions_[id];
  session.service = hello.service;
  session.instance = hello.instance.empty() ? "session-" + std::to_string(id) : hello.instance;
  session.agent = hello.agent;
  session.address = address;
  session.connected_at = now;
  session.max_in_flight =
      hello.max_in_flight == 0
          ? limits_.default_in_flight_count
          : std::min<std::size_t>(hello.max_in_flight, limits_.max_in_flight_count);
  return OkStatus();
}

std::vector<Reply> SessionRouter::Detach(SessionId id) {
  std::vector<Reply> replies;
  const auto found = sessions_.find(id);
  if (found == sessions_.end()) return replies;
  Session& session = found->second;
  Service& service = services_[session.service];
  service.sessions.erase(std::remove(service.sessions.begin(), service.sessions.end(), id),
                         service.sessions.end());
  for (auto& [command_id, command] : session.outbox) {
    session.in_flight.erase(command_id);
    replies.push_back(
        NotSent(command, "the session of " + session.service + " ended before this was written"));
  }
  for (auto& [command_id, flight] : session.in_flight) {
    replies.push_back(Reply{std::move(flight.gid),
                            flight.branch,
                            flight.operation,
                            flight.attempt,
                            WhatIsLost(),
                            {},
                            "the session of " + session.service + " was lost before it answered",
                            core::Millis(0)});
  }
  if (service.sessions.empty()) {
    for (const Service::Queued& queued : service.queue) {
      replies.push_back(
          NotSent(queued.command, "no participant " + session.service + " is connected"));
    }
    services_.erase(session.service);
  }
  sessions_.erase(found);
  // Hash order is nobody's business: replies come in an order that is the same in every run.
  std::sort(replies.begin(), replies.end(), [](const Reply& a, const Reply& b) {
    return std::tie(a.gid, a.branch, a.attempt) < std::tie(b.gid, b.branch, b.attempt);
  });
  return replies;
}

void SessionRouter::Drain(SessionId id) {
  const auto found = sessions_.find(id);
  if (found != sessions_.end()) found->second.draining = true;
}

std::vector<Reply> SessionRouter::Send(std::vector<Command> commands, core::MonoTime now,
                                       std::vector<SessionId>& touched) {
  std::vector<Reply> refused;
  for (Command& command : commands) {
    const auto found = services_.find(command.service);
    if (found == services_.end() || found->second.sessions.empty()) {
      refused.push_back(NotSent(command, "no participant " + command.service + " is connected"));
      continue;
    }
    Service& service = found->second;
    if (!Offers(service, command)) {
      refused.push_back(NoSuchAction(service, command));
      continue;
    }
    SessionId id = 0;
    Session* session = PickSession(service, id);
    if (session != nullptr) {
      Assign(*session, std::move(command), now);
      touched.push_back(id);
    } else if (service.queue.size() < limits_.max_queued_count) {
      const core::MonoTime expires_at = now + command.timeout;
      service.queue.push_back({std::move(command), expires_at});
    } else {
      refused.push_back(NotSent(command, "participant " + command.service + " is overloaded: " +
                                             std::to_string(service.queue.size()) +
                                             " commands wait for it"));
    }
  }
  return refused;
}

std::vector<Reply> SessionRouter::OnReplies(SessionId id, std::vector<SessionReply> replies,
                                            core::MonoTime now, std::vector<SessionId>& touched) {
  std::vector<Reply> accepted;
  const auto found = sessions_.find(id);
  if (found == sessions_.end()) return accepted;
  Session& session = found->second;
  accepted.reserve(replies.size());
  for (SessionReply& reply : replies) {
    const auto slot = session.in_flight.find(reply.command_id);
    if (slot == session.in_flight.end()) {
      ++counters_.stale_replies;
      continue;
    }
    InFlight& flight = slot->second;
    if ((flight.gid != reply.gid || flight.branch_id != reply.branch_id ||
         flight.operation != reply.operation) &&
        !Mutant(Planted::kTrustReply)) {
      ++counters_.mismatched_replies;
      continue;
    }
    Reply out{std::move(flight.gid),   flight.branch,    flight.operation,
              flight.attempt,          reply.result,     std::move(reply.bytes),
              std::move(reply.reason), reply.retry_after};
    out.blocked_by = std::move(reply.blocked_by);
    if (out.bytes.size() > limits::kMaxResultBytes) {
      ++counters_.oversized_results;
      out.result = core::AttemptResult::kUnknown;
      out.reason = "the result has " + std::to_string(out.bytes.size()) + " bytes, the limit is " +
                   std::to_string(limits::kMaxResultBytes);
      out.bytes.clear();
    }
    out.reason.resize(core::CutReason(out.reason).size());
    session.in_flight.erase(slot);
    accepted.push_back(std::move(out));
  }
  const auto service = services_.find(session.service);
  if (service != services_.end()) Refill(service->second, now, touched);
  return accepted;
}

std::vector<std::pair<std::uint64_t, Command>> SessionRouter::TakeOutbox(SessionId id,
                                                                         std::size_t max_count,
                                                                         std::size_t max_bytes) {
  std::vector<std::pair<std::uint64_t, Command>> taken;
  const auto found = sessions_.find(id);
  if (found == sessions_.end()) return taken;
  auto& outbox = found->second.outbox;
  std::size_t bytes = 0;
  while (!outbox.empty() && taken.size() < max_count) {
    bytes += BytesOf(outbox.front().second);
    if (!taken.empty() && bytes > max_bytes) break;
    taken.push_back(std::move(outbox.front()));
    outbox.pop_front();
  }
  return taken;
}

void SessionRouter::ExpireSlots(core::MonoTime now, std::vector<SessionId>& touched) {
  std::set<std::string> freed;
  for (auto& [id, session] : sessions_) {
    for (auto it = session.in_flight.begin(); it != session.in_flight.end();) {
      if (it->second.expires_at > now) {
        ++it;
        continue;
      }
      const std::uint64_t command_id = it->first;
      auto& outbox = session.outbox;
      outbox.erase(std::remove_if(outbox.begin(), outbox.end(),
                                  [&](const auto& entry) { return entry.first == command_id; }),
                   outbox.end());
      it = session.in_flight.erase(it);
      freed.insert(session.service);
    }
  }
  for (const std::string& name : freed) Refill(services_[name], now, touched);
}

std::vector<ServiceInfo> SessionRouter::List(const std::string& prefix) const {
  std::vector<ServiceInfo> list;
  for (auto it = services_.lower_bound(prefix);
       it != services_.end() && it->first.compare(0, prefix.size(), prefix) == 0; ++it) {
    ServiceInfo info{it->first, {}, {}, it->second.queue.size()};
    for (const auto& [name, protocol] : it->second.actions)
      info.actions.push_back(std::string(core::Name(protocol)) + ":" + name);
    for (const SessionId id : it->second.sessions) {
      const Session& session = sessions_.at(id);
      info.instances.push_back({session.instance, session.address, session.agent,
                                session.connected_at, session.in_flight.size(), false});
    }
    list.push_back(std::move(info));
  }
  return list;
}

SessionRouter::Session* SessionRouter::PickSession(Service& service, SessionId& id) {
  for (std::size_t tried = 0; tried < service.sessions.size(); ++tried) {
    id = service.sessions[service.next++ % service.sessions.size()];
    Session& session = sessions_.at(id);
    if (!session.draining && session.in_flight.size() < session.max_in_flight) return &session;
  }
  return nullptr;
}

void SessionRouter::Assign(Session& session, Command command, core::MonoTime now) {
  const std::uint64_t command_id = next_command_id_++;
  session.in_flight.emplace(
      command_id, InFlight{command.gid, command.branch_id, command.branch, command.operation,
                           command.attempt, now + command.timeout});
  session.outbox.emplace_back(command_id, std::move(command));
}

void SessionRouter::Refill(Service& service, core::MonoTime now, std::vector<SessionId>& touched) {
  while (!service.queue.empty()) {
    if (service.queue.front().expires_at <= now) {
      service.queue.pop_front();
      continue;
    }
    SessionId id = 0;
    Session* session = PickSession(service, id);
    if (session == nullptr) return;
    Assign(*session, std::move(service.queue.front().command), now);
    service.queue.pop_front();
    touched.push_back(id);
  }
}

bool SessionRouter::Offers(const Service& service, const Command& command) {
  return std::binary_search(service.actions.begin(), service.actions.end(),
                            std::pair(command.action, command.protocol));
}

// A first forward attempt at an action that nobody offers is a no: nothing has happened and nothing can. Anything later may
// concern what an instance with other actions did, so it waits for one that knows.
Reply SessionRouter::NoSuchAction(const Service& service, const Command& command) {
  std::string offered;
  for (const auto& [name, protocol] : service.actions) {
    if (offered.size() > 200) {
      offered += ", …";
      break;
    }
    offered += (offered.empty() ? "" : ", ") + std::string(core::Name(protocol)) + ":" + name;
  }
  Reply reply =
      NotSent(command, "participant " + command.service + " has no action " +
                           std::string(core::Name(command.protocol)) + ":" + command.action +
                           "; it offers " + (offered.empty() ? "none" : offered));
  if (IsFirstForwardAttempt(command)) reply.result = core::AttemptResult::kRefused;
  return reply;
}

Reply SessionRouter::NotSent(const Command& command, std::string why) {
  return Reply{command.gid,
               command.branch,
               command.operation,
               command.attempt,
               core::AttemptResult::kNotSent,
               {},
               std::move(why),
               core::Millis(0)};
}

}  // namespace assent::transport
