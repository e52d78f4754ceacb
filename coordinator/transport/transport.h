#pragma once

// Words to and from participants, whatever carries them. Plain values: no gRPC, no protobuf.
//
// Invariant: a transport never invents an answer. What it reports as kNotSent certainly never left;
// what may have left and has no answer is kUnknown, or is not reported at all (the sender has a
// timeout of its own).

#include <array>
#include <cstddef>
#include <cstdint>
#include <functional>
#include <string>
#include <utility>
#include <vector>

#include <assent/slot.h>
#include <assent/status.h>

#include "coordinator/core/types.h"

namespace assent::transport {

// One operation to ask of one branch.
struct Command {
  std::string gid;
  core::BranchIndex branch = 0;  // ours; not on the wire
  std::string branch_id;
  core::Operation operation = kNoOperation;
  core::Protocol protocol = core::Protocol::kTcc;
  std::string service;
  std::string action;
  std::string payload;
  core::StringPairs results;  // by branch id
  core::StringPairs headers;
  std::uint32_t attempt = 0;
  bool one_phase = false;
  core::Millis timeout{0};
  std::uint64_t began_epoch = 0;
  // No earlier attempt can have reached a participant: each was certainly not sent.
  bool never_sent = false;
  // Its initiator does it by itself, and may have done so: it is only asked about.
  bool check_back = false;
  core::WallTime began_at = {};
  // Under which of its owners the slot of the transaction is; 0: it has one owner for ever.
  Slot slot = 0;
  std::uint64_t slot_epoch = 0;
  // W3C Trace Context of what is done for it; empty: none.
  std::string traceparent = {};
  std::string tracestate = {};
};

// Nothing can have happened yet: only of such a command may a transport say that it is refused, in
// a participant's place.
inline bool IsFirstForwardAttempt(const Command& command) {
  return (command.attempt == 1 || command.never_sent) && IsForward(command.operation) &&
         !command.check_back;
}

// What became of a command. `gid`, `branch`, `operation` and `attempt` are those of the command, as
// remembered here: a participant's own claims are checked against them and never trusted.
struct Reply {
  std::string gid;
  core::BranchIndex branch = 0;
  core::Operation operation = kNoOperation;
  std::uint32_t attempt = 0;
  core::AttemptResult result = core::AttemptResult::kUnknown;
  std::string bytes;
  std::string reason;
  core::Millis retry_after{0};
  // With kNotSent only: nobody of this service can be reached now, so asking again is of no use
  // before OnServiceAppeared. Of anything less (no room, an action that is not offered, one
  // instance of several is gone) it is false. The two reach a receiver in the order in which they
  // became true.
  bool service_absent = false;
  // kRetryLater: the transaction that, by the participant's word, has prepared what this branch
  // needs.
  std::string blocked_by = {};
};

// A participant asks what became of what it holds.
struct OutcomeQuestion {
  std::string gid;
  std::string branch_id;
  std::uint32_t coordinator_id = 0;
  std::uint64_t began_epoch = 0;
  // Whether whoever asks may speak for the branch's service; nothing: he may for all. On any
  // thread; must be quick.
  std::function<Status(const std::string& service)> may_know = {};
};

using assent::Verdict;

struct OutcomeAnswer {
  std::string gid;
  std::string branch_id;
  Verdict verdict = Verdict::kUndecided;
  bool finished = false;
};

// Where a transport delivers. Called from any of its threads; must be quick and must not block.
class Receiver {
 public:
  virtual ~Receiver() = default;
  virtual void OnReplies(std::vector<Reply> replies) = 0;
  // A participant of this service can be reached now and could not before.
  virtual void OnServiceAppeared(const std::string& service) = 0;
  // Each question is answered once through `answer`, from any thread.
  virtual void OnQuestion(OutcomeQuestion question, std::function<void(OutcomeAnswer)> answer) = 0;
};

// Thread-safety: Send from any thread; it never blocks and takes everything (what it cannot carry
// comes back kNotSent).
class Transport {
 public:
  virtual ~Transport() = default;
  virtual void Send(std::vector<Command> commands) = 0;
};

// What transports read the time on.
class Clock {
 public:
  virtual ~Clock() = default;
  virtual core::MonoTime Mono() const = 0;
  virtual core::WallTime Wall() const = 0;
};

// Told of participants that come, go, or are turned away, for the log. From any thread; must be
// quick and must not block.
struct Visitor {
  std::string service;
  std::string instance;
  std::string address;
  std::string agent;
  bool unary = false;
};
class Witness {
 public:
  virtual ~Witness() = default;
  virtual void OnCame(const Visitor& visitor) = 0;
  virtual void OnLeft(const Visitor& visitor, const std::string& why) = 0;
  // It is dialled, and was not there to leave.
  virtual void OnUnreachable(const Visitor& visitor, const std::string& why) = 0;
  // It dialled in and was turned away. What it said of itself is unchecked, and empty if it said
  // nothing.
  virtual void OnRefused(const Visitor& visitor, const std::string& why) = 0;
};

// For listings.
struct BreakerInfo {
  std::string state = {};  // "closed", "open", "half open"
  std::string why = {};    // if it is not closed
  bool held = false;       // a person has said so
  std::uint64_t opened = 0;
};
struct InstanceInfo {
  std::string instance;
  std::string address;
  std::string agent;
  core::WallTime connected_at;  // zero: it is dialled, and cannot be reached
  std::size_t in_flight = 0;
  bool unary = false;
  std::vector<std::string> actions = {};  // if the instances of the service differ in them
  std::string source = {};                // of one that is dialled: which settings name it
  BreakerInfo breaker = {};
  std::size_t limit = 0;    // so many may be under way at it now
  core::Micros latency{0};  // smoothed, of what it answered; 0: nothing yet
};
struct ServiceInfo {
  std::string service;
  std::vector<InstanceInfo> instances;
  std::vector<std::string> actions;
  std::size_t queued = 0;
  std::string policy = {};  // what of its policy is not as usual
  BreakerInfo breaker = {};
};

inline constexpr std::size_t kOperationsCount = 9;
inline constexpr std::size_t kAttemptResultsCount = 8;
// Of one service, since the start. Commands are counted by operation and by what came of them once
// they had left: what a participant said, or kUnknown.
struct ServiceFigures {
  std::string service{};        // "": all of those beyond the limit together
  std::uint64_t instances = 0;  // that can be reached
  std::uint64_t queued = 0;
  std::uint64_t in_flight = 0;
  std::uint64_t retries = 0;  // commands that were not the first of their branch
  std::uint64_t moved = 0;    // went to another instance, which was asked after a "not now"
  std::uint64_t hedged = 0;   // went to a second instance, for want of an answer
  std::uint64_t opened = 0;   // breakers
  std::uint64_t open = 0;     // instances whose breaker is not closed
  std::array<std::array<std::uint64_t, kAttemptResultsCount>, kOperationsCount> calls{};
};

}  // namespace assent::transport
