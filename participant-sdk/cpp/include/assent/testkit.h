#pragma once

// Test handlers, adapters and initiators in process: no daemon, no network, no thread, no waiting.
//
//   assent::testkit::Coordinator kit;
//   kit.Serve(inventory);                               // a Participant (not started), a Resource
//   auto report = kit.client().Submit(order);           // the whole transaction, here and now
//
//   kit.LoseNext(assent::Operation::kTry, testkit::Loss::kReply);  // it happened, nobody heard
//   kit.CrashAt(testkit::CrashPoint::kAfterDecision);   // … and Restart() brings it to its end
//   kit.Advance(60s);                                   // deadlines, retries, by hand
//
// What is decided is decided by the daemon's own state machine: deadlines, backoff, pivots, one
// phase, the order of compensation, giving way, and what a crash leaves are as they are there. What
// is not here is its log, its network and its threads: messages go one at a time, in the order of
// the branches. Its clock goes on by itself, to the next try, up to a second in each call; beyond
// that it is moved with Advance.

#include <chrono>
#include <cstdint>
#include <map>
#include <memory>
#include <string>
#include <vector>

#include <assent/client.h>
#include <assent/participant.h>
#include <assent/resource.h>

namespace assent::testkit {

// What happens to one message.
enum class Loss : std::uint8_t {
  kCommand,    // the command never arrives
  kReply,      // it is executed, and the answer is lost: it will be asked again
  kDuplicate,  // the command arrives twice; the answers must be equal
  kLate,       // the command is lost now and arrives after the transaction has finished. Of an
               // undecided one the deadline passes first: it aborts, if that is possible
};

// Where the coordinator dies. What it had not made durable is gone; Restart() goes on from there.
// A restart takes until the deadline of what was undecided, which therefore aborts; except a pivot
// that may have happened, and a branch in one phase, which are asked.
enum class CrashPoint : std::uint8_t {
  kAfterFirstForward,  // one branch has executed, undecided
  kBeforeDecision,     // every branch has executed, and the decision to commit is not durable
  kAfterDecision,      // decided, nobody told: the restart finishes
  kAfterFirstFinish,   // one branch has finished or undone: the restart asks that one again
};

// One thing that was asked and answered, in order.
struct Event {
  Call call = {};
  Reply reply = {};
  bool delivered = true;  // false: the command was lost, `reply` says nothing
  bool heard = true;      // false: the answer was lost
};

class Coordinator {
 public:
  Coordinator();
  // What was planned (CrashAt, LoseNext), never happened and was not read from violations() either
  // ends the process with a sentence: a test that passed because its fault never came has shown
  // nothing.
  ~Coordinator();
  Coordinator(const Coordinator&) = delete;
  Coordinator& operator=(const Coordinator&) = delete;

  // Branches of that service go there. Neither is owned.
  Coordinator& Serve(Participant& participant) {
    return Serve(participant.service(), participant.AsResource());
  }
  Coordinator& Serve(std::string service, Resource& resource);

  // Runs transactions here, in the calling thread. Submit answers kUnknownOutcome if the
  // coordinator crashes on the way.
  Client client();

  // Applies to the next message of this operation (of this branch, unless empty).
  void LoseNext(Operation operation, Loss loss, std::string branch_id = {});
  // The next transaction to get there crashes the coordinator.
  void CrashAt(CrashPoint point);
  bool crashed() const;
  // Recovers from what was durable: undecided transactions abort, decided ones are carried out.
  // Also lets resources ask what they hold.
  void Restart();
  // Moves its clock: open transactions past their deadline abort, what waits for a retry is tried
  // again.
  void Advance(std::chrono::milliseconds by);
  // Delivers what Loss::kLate held back. The answers are in history().
  void DeliverLate();

  const std::vector<Event>& history() const;
  // Everything that was not as the contract says (two different answers to the same call, an answer
  // of a kind that the operation does not allow, no answer at all), and each crash or loss that was
  // planned and has not happened yet, as sentences. For the end of a test:
  // EXPECT_TRUE(kit.violations().empty()).
  const std::vector<std::string>& violations() const;

 private:
  class Impl;
  std::shared_ptr<Impl> impl_;
};

// One action to be checked: a payload with which its forward operation succeeds every time.
struct Probe {
  std::string service = "probe";
  std::string action = {};
  Protocol protocol = Protocol::kTcc;
  std::string payload = {};
  std::map<std::string, std::string> headers = {};
};

// What CheckContract found.
struct ContractReport {
  std::vector<std::string> broken = {};  // one sentence each; empty: the contract is kept
  std::uint32_t committed = 0;           // branches that took effect for good, each exactly once
  std::uint32_t undone = 0;              // branches that must have left no trace
  bool ok() const { return broken.empty(); }
  std::string ToString() const;
};

// Drives a resource through everything that a coordinator and a network may do to one branch (run
// to the end, undo, each operation twice, undo before forward, forward after undo, finish without
// forward), with fresh gids, and checks that the same call is always answered the same. That
// effects happened once is for the caller to check, in its own database, against the counts in the
// report.
ContractReport CheckContract(Resource& resource, const Probe& probe);

}  // namespace assent::testkit
