#pragma once

// A participant as the rules see it, whichever way it is reached. Three forms: SessionPeer, which
// it dials, UnaryPeer and HttpPeer, which dial it.

#include <chrono>
#include <cstdint>
#include <future>
#include <optional>
#include <set>
#include <string>
#include <utility>
#include <vector>

#include <assent/status.h>

#include "assent/v1/participant.pb.h"
#include "tests/contract/verdict.h"

namespace assent::contract {

// What came of one sending. No reply: the outcome is unknown, `why` says what was seen instead.
struct Answer {
  std::optional<v1::BranchReply> reply;
  std::string why;
};

class SessionServer;

// Thread-safety: one thread calls, answers come on others.
class Peer {
 public:
  virtual ~Peer() = default;
  // The process has been started: it can be reached anew. False: not in time.
  virtual bool WaitReachable(std::chrono::milliseconds timeout) = 0;
  // The process was killed, or is about to end: the way to it is gone.
  virtual void Forget() = 0;
  // Sends once. Always becomes ready: with the reply, or when none can come any more; whoever waits
  // for a participant that is silent sets a limit.
  virtual std::future<Answer> Send(v1::BranchCommand command) = 0;
  // Sends these bytes in place of a command's (unary) or a frame's (session).
  virtual void SendBytes(std::string bytes) = 0;
  // The bytes that `command` would be sent as.
  virtual std::string OnTheWire(const v1::BranchCommand& command) = 0;
  // Sends `command` as somebody would who is no coordinator, in each way that there is here.
  struct Forged {
    std::string how;
    std::future<Answer> answer;
  };
  virtual std::vector<Forged> SendForged(const v1::BranchCommand&) { return {}; }
  // Loses the answers that are on their way: the calls are cancelled, the stream is cut.
  virtual void LoseAnswers() = 0;
  // What it has announced; empty: this transport announces nothing.
  virtual std::set<std::pair<std::string, v1::Protocol>> Offered() = 0;
  // How many commands it takes at once.
  virtual std::size_t MaxAtOnce() = 0;
  virtual std::vector<Fault> TakeFaults() = 0;
  // Of sessions alone.
  virtual SessionServer* sessions() { return nullptr; }
};

// What is wrong with a reply to `command`, by itself: names that are not echoed, an answer that the
// operation does not have, a result that is too large. Empty: nothing.
std::vector<Fault> ReplyFaults(const v1::BranchCommand& command, const v1::BranchReply& reply);

// "DONE {"balance": 5}", "REFUSED: why", "no answer: UNAVAILABLE".
std::string Shown(const v1::BranchReply& reply);
std::string Shown(const Answer& answer);

// The same, byte for byte, but for command_id.
bool SameReply(const v1::BranchReply& a, const v1::BranchReply& b);

}  // namespace assent::contract
