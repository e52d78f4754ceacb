#pragma once

// The state machine of participant sessions: who is connected, which command is on which stream, what waits for room. Frames
// in, frames out; no gRPC, no thread, no lock: session_hub.h puts a mutex and streams around it, the simulator does not.
//
// Invariant: every command handed to Send is, at any time, in exactly one place (a service's queue, a session's outbox, or a
// session's in-flight table) until it has produced exactly one Reply or its slot has expired.

#include <cstddef>
#include <cstdint>
#include <deque>
#include <map>
#include <string>
#include <unordered_map>
#include <utility>
#include <vector>

#include <assent/status.h>

#include "coordinator/transport/transport.h"

namespace assent::transport {

using SessionId = std::uint64_t;

struct SessionHello {
  std::uint32_t version = 0;
  std::string service;
  std::string instance;
  std::vector<std::pair<std::string, core::Protocol>> actions;
  std::uint32_t max_in_flight = 0;
  std::string agent;
};

// A reply as a participant put it.
struct SessionReply {
  std::string gid;
  std::string branch_id;
  core::Operation operation = core::Operation::kNone;
  std::uint64_t command_id = 0;
  core::AttemptResult result = core::AttemptResult::kUnknown;
  std::string bytes;
  std::string reason;
  core::Millis retry_after{0};
  std::string blocked_by = {};
};

struct RouterLimits {
  std::size_t max_sessions_count = 10'000;
  std::size_t default_in_flight_count = 1024;
  std::size_t max_in_flight_count = 65'536;
  // Commands waiting for room, per service. Beyond it a command comes back kNotSent and has its backoff.
  std::size_t max_queued_count = 65'536;
};

// How often participants broke the rules of the wire; each was ignored.
struct RouterCounters {
  std::uint64_t stale_replies = 0;       // for a command that is not in flight on this stream
  std::uint64_t mismatched_replies = 0;  // its gid, branch or operation is not the command's: a lie
  std::uint64_t oversized_results = 0;
};

class SessionRouter {
 public:
  explicit SessionRouter(RouterLimits limits = {}) : limits_(limits) {}

  // Takes a session in, or says why not (kInvalidArgument, kFailedPrecondition, kResourceExhausted). `first_of_service`: it
  // is the only one, so that what could not be sent is due.
  Status Attach(SessionId id, const SessionHello& hello, const std::string& address,
                core::WallTime now, bool& first_of_service);

  // The stream is gone: what was in flight is unknown, what was still in the outbox is queued again or was not sent.
  std::vector<Reply> Detach(SessionId id);

  // Said goodbye: no new commands; what is in flight may still be answered.
  void Drain(SessionId id);

  // Routes commands to sessions with room, or queues them, or gives them back. `touched` collects sessions with something
  // to write.
  std::vector<Reply> Send(std::vector<Command> commands, core::MonoTime now,
                          std::vector<SessionId>& touched);

  // Checks replies against what is in flight, frees room, and fills it from the service's queue.
  std::vector<Reply> OnReplies(SessionId id, std::vector<SessionReply> replies, core::MonoTime now,
                               std::vector<SessionId>& touched);

  // Commands to write now, at most `max_count` and `max_bytes` (one alone may be larger), each with
  // its command id.
  std::vector<std::pair<std::uint64_t, Command>> TakeOutbox(SessionId id, std::size_t max_count,
                                                            std::size_t max_bytes);

  // Frees the slots of commands whose time is long over (the sender has given up on them and asks again).
  void ExpireSlots(core::MonoTime now, std::vector<SessionId>& touched);

  std::vector<ServiceInfo> List(const std::string& prefix) const;
  const RouterCounters& counters() const { return counters_; }
  std::size_t session_count() const { return sessions_.size(); }

 private:
  struct InFlight {
    std::string gid;
    std::string branch_id;
    core::BranchIndex branch = 0;
    core::Operation operation = core::Operation::kNone;
    std::uint32_t attempt = 0;
    core::MonoTime expires_at{};
  };
  struct Session {
    std::string service;
    std::string instance;
    std::string agent;
    std::string address;
    core::WallTime connected_at;
    std::size_t max_in_flight = 0;
    bool draining = false;
    std::deque<std::pair<std::uint64_t, Command>> outbox;
    // Everything sent or in the outbox, by command id.
    std::unordered_map<std::uint64_t, InFlight> in_flight;
  };
  struct Service {
    std::vector<SessionId> sessions;
    std::vector<std::pair<std::string, core::Protocol>> actions;  // sorted
    struct Queued {
      Command command;
      core::MonoTime expires_at;  // the sender has given up on it by then, and asks again
    };
    std::deque<Queued> queue;
    std::size_t next = 0;  // round robin
  };

  Session* PickSession(Service& service, SessionId& id);
  void Assign(Session& session, Command command, core::MonoTime now);
  void Refill(Service& service, core::MonoTime now, std::vector<SessionId>& touched);
  static bool Offers(const Service& service, const Command& command);
  static Reply NoSuchAction(const Service& service, const Command& command);
  static Reply NotSent(const Command& command, std::string why);

  RouterLimits limits_;
  RouterCounters counters_;
  std::uint64_t next_command_id_ = 1;
  std::map<std::string, Service> services_;
  std::unordered_map<SessionId, Session> sessions_;
};

}  // namespace assent::transport
