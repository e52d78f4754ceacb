#pragma once

// For services: own branches of transactions.
//
//   assent::Participant inventory({.service = "inventory"});
//   inventory.Tcc("reserve", {.try_ = Reserve, .confirm = Deduct, .cancel = Release});
//   return inventory.Run().ok() ? 0 : 1;                     // until SIGTERM or SIGINT
//
// The participant dials the coordinator (several, if there are several), keeps the connection, and
// needs no port. Of coordinators that share a log it needs to be told some; it learns of the
// others, of those that come and of those that go.
//
// What the SDK promises to handlers: an exception is a failed attempt ("retry later" with its
// what()), never a crash; two operations of one branch never run at the same time in one process; a
// command that comes again while the first is running gets the first one's answer.
//
// What plain handlers promise, because only their database can: the same call again has no second
// effect and gets the same answer; done means durable; an undo that comes before, or without, its
// forward operation is done, and the forward operation is then refused for good. The adapters
// (assent/sqlite.h) keep all of this for you, inside your own local transaction: prefer them.
// assent/testkit.h checks handlers against it.

#include <chrono>
#include <cstddef>
#include <cstdint>
#include <functional>
#include <memory>
#include <string>
#include <string_view>
#include <vector>

#include <assent/call.h>
#include <assent/resource.h>
#include <assent/status.h>
#include <assent/tls.h>
#include <assent/token.h>

namespace assent {

struct ParticipantOptions {
  // The name under which transactions find it: 1 to 128 of [A-Za-z0-9._:/-]. Instances may share
  // one; a command goes to one that registered its action, so that a new version with more actions
  // can be rolled out beside the old.
  std::string service = {};
  // Coordinators, each "host:port", all of them dialled, and those that share a log with one of
  // them (up to 32) as well. Empty: ASSENT_ENDPOINT (several: separated by commas), or
  // 127.0.0.1:7400.
  std::vector<std::string> endpoints = {};
  // Tells instances apart in `assentctl participants`; at most 128 bytes. Empty: host name and
  // process id.
  std::string instance = {};
  // Threads that run plain handlers. 0: as many as the machine has. A handler that blocks occupies
  // one.
  std::size_t worker_threads = 0;
  // Threads added while all of those are in handlers that wait for a transaction (Client::Submit,
  // Wait, …), which may itself need this service. When they are used up such a call fails with
  // kFailedPrecondition, before anything is begun.
  std::size_t max_extra_workers = 64;
  // Commands that a coordinator may have unanswered here; it sends no more. Coordinators that share
  // a log share it (32 for each at the least).
  std::uint32_t max_in_flight = 1024;
  // Calls waiting for a worker, all coordinators together. One more is answered "retry later".
  std::size_t max_queued_calls = 8192;
  // Wait before dialling again: doubles each time, with full jitter, up to the second.
  std::chrono::milliseconds reconnect_initial_backoff{50};
  std::chrono::milliseconds reconnect_max_backoff{2000};
  // A silent connection is probed this often and given up soon after. 0: never.
  std::chrono::milliseconds keepalive{20'000};
  // A file that cannot be used is a failure of Start.
  TlsOptions tls = {};
  // What is no token, or may not be shown to an endpoint, likewise.
  TokenOptions token = {};
  // How often attached resources are asked for branches whose outcome they want to know (and on
  // each connection).
  std::chrono::milliseconds question_interval{5000};
  // Stop: how long to wait for running handlers before leaving without their answers (they will be
  // asked again).
  std::chrono::milliseconds stop_grace{10'000};
  // State changes, one line each, "key=value" style: "connected endpoint=… session=…". Never a
  // payload. Called from SDK threads. Empty: nothing is written.
  std::function<void(std::string_view line)> log = {};
};

// prepare: check and make durable, invisible. commit / rollback: finish or drop what was prepared.
// A transaction with one branch alone is committed in one phase: the SDK then calls prepare and
// commit one after the other.
struct TwoPhaseHandlers {
  Handler prepare = {};
  Handler commit = {};
  Handler rollback = {};
};
// try: reserve. confirm / cancel: consume or release what was reserved.
struct TccHandlers {
  Handler try_ = {};
  Handler confirm = {};
  Handler cancel = {};
};
// action: do it. compensate: undo it. Empty compensate: a step that has nothing to undo.
struct SagaHandlers {
  Handler action = {};
  Handler compensate = {};
};

struct ParticipantStats {
  std::size_t connected = 0;      // coordinators
  std::size_t running_calls = 0;  // with a handler or a resource now
  std::size_t queued_calls = 0;   // waiting for a worker
  std::uint64_t commands = 0;     // received
  std::uint64_t joined = 0;       // of those, came again while the first was running
  // Of those, dropped unanswered: from a coordinator that has lost the transaction to another, and
  // did not know yet.
  std::uint64_t stale_commands = 0;
  std::uint64_t replies = 0;  // sent
  // Computed for a stream that was lost (asked again by the coordinator).
  std::uint64_t dropped_replies = 0;
  std::uint64_t connections = 0;  // successful dials
};

// Thread-safety: registration (TwoPhase, Tcc, Saga, Attach) before Start, from one thread;
// everything else from any. Handlers and resources must outlive it. The destructor stops it and
// waits for handlers that still run: not to be called from one.
class Participant {
 public:
  explicit Participant(ParticipantOptions options);
  ~Participant();
  Participant(const Participant&) = delete;
  Participant& operator=(const Participant&) = delete;

  // Registers an action. What is wrong with a registration (an empty or over-long name, a name
  // taken, a handler missing) is reported by Start.
  Participant& TwoPhase(std::string action, TwoPhaseHandlers handlers);
  Participant& Tcc(std::string action, TccHandlers handlers);
  Participant& Saga(std::string action, SagaHandlers handlers);
  // Wires in an adapter's actions. Does not own it; it must outlive the participant.
  Participant& Attach(Resource& resource);

  // Begins to dial, and returns: an unreachable coordinator is not a failure, it is dialled until
  // reached. kInvalidArgument: options or registrations are wrong. kFailedPrecondition: started
  // before.
  Status Start();
  // Until at least one coordinator has welcomed us. kDeadlineExceeded says what the last attempt
  // met.
  Status WaitConnected(std::chrono::milliseconds timeout);
  // Says goodbye, answers what it has, leaves. Idempotent. Returns when that is done or the grace
  // is over; a handler that takes longer goes on, unheard. Not from a handler.
  void Stop();
  // Start, then until SIGTERM, SIGINT or Stop, then Stop. A second signal ends the process at once.
  // Signal dispositions are put back on return. One Run at a time in a process.
  Status Run();

  // Everything registered and attached, as one Resource: what assent/testkit.h drives, without
  // Start or a coordinator. Lives as long as the participant.
  Resource& AsResource();
  const std::string& service() const;
  ParticipantStats Stats() const;

 private:
  class Impl;
  std::unique_ptr<Impl> impl_;
};

}  // namespace assent
