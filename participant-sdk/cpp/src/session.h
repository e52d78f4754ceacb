#pragma once

// One participant's conversation with one coordinator, as a pure state machine: what happened goes
// in, what is to be done comes out. No gRPC, clock, thread or randomness of its own; tests and
// simulators drive it as the shell does.
//
//   kWaiting --due--> kDialing --first frame: Welcome--> kOpen --goodbye of either side--> kDraining
//      ^                 |                                 |                                  |
//      +---- closed -----+---------------- closed ---------+------------- closed -------------+--stopping--> kStopped
//
// Invariant: a reply is sent only on the connection that its command came on, at most once, and at
// most one write is under way. Whatever breaks, the coordinator asks again, and the call table
// answers the second asking with the first's run.

#include <chrono>
#include <cstddef>
#include <cstdint>
#include <deque>
#include <map>
#include <string>
#include <utility>
#include <variant>
#include <vector>

#include <assent/call.h>
#include <assent/resource.h>
#include <assent/status.h>

#include "assent/v1/participant.pb.h"
#include "participant-sdk/cpp/src/backoff.h"
#include "participant-sdk/cpp/src/call_table.h"

namespace assent::internal {

// What the shell is to do. `connection` counts dials; a later one makes earlier ones meaningless.
namespace act {
struct Dial {  // open a stream; report OnStarted, OnFrame, OnWritten, OnClosed with this number
  std::uint64_t connection;
};
struct Send {  // start the one write; OnWritten when it is done
  v1::ParticipantFrame frame;
};
struct HalfClose {};  // no more writes; the coordinator then ends the stream
struct Cancel {};     // tear the stream down; OnClosed follows
struct Run {          // the call may run: CallTable::Take it, and CallTable::Finish it
  Ticket ticket;
};
struct Deliver {  // to the resource that asked
  HeldBranch branch;
  Verdict verdict;
  bool finished;
};
struct Ask {};  // newly welcomed: ask the resources for their questions now
struct Log {
  std::string line;
};
}  // namespace act
using Action = std::variant<act::Dial, act::Send, act::HalfClose, act::Cancel, act::Run,
                            act::Deliver, act::Ask, act::Log>;
using Actions = std::vector<Action>;

class Session {
 public:
  struct Options {
    std::size_t index = 0;  // which session of the participant; goes into each Waiter
    std::string endpoint;   // for log lines
    v1::Hello hello;
    std::uint32_t max_in_flight = 1024;
    std::size_t max_questions = 1024;
    std::chrono::milliseconds initial_backoff{50};
    std::chrono::milliseconds max_backoff{2000};
    // How long the coordinator may take to say Welcome, and to end a stream that we have
    // half-closed.
    std::chrono::milliseconds patience{10'000};
    std::uint64_t seed = 0;
  };
  enum class State : std::uint8_t { kWaiting, kDialing, kOpen, kDraining, kStopped };
  struct Counters {
    std::uint64_t commands = 0;
    std::uint64_t joined = 0;
    std::uint64_t replies = 0;
    std::uint64_t dropped_replies = 0;
    std::uint64_t stale_commands = 0;
    std::uint64_t connections = 0;
  };

  // The table is shared by the sessions of one participant and outlives them.
  Session(Options options, CallTable* calls);

  void Start(SteadyTime now, Actions* out);
  // Says goodbye, answers what it has, and ends in kStopped. `Abandon` ends it without the answers.
  void Stop(SteadyTime now, Actions* out);
  void Abandon(Actions* out);
  // It leads nowhere any more: when its connection has ended there is no other one, and its state
  // is kStopped. `Keep` takes that back.
  void Retire(Actions* out);
  void Keep() { retired_ = false; }
  // From the next dial on.
  void SetMaxInFlight(std::uint32_t max) { wanted_max_in_flight_ = max; }

  // What the stream reports. `connection` is the number of the dial; reports of earlier ones are
  // ignored.
  void OnStarted(std::uint64_t connection, SteadyTime now, Actions* out);
  void OnFrame(std::uint64_t connection, v1::CoordinatorFrame* frame, SteadyTime now, Actions* out);
  void OnMalformed(std::uint64_t connection, const std::string& why, Actions* out);
  void OnWritten(std::uint64_t connection, SteadyTime now, Actions* out);
  void OnClosed(std::uint64_t connection, const Status& why, SteadyTime now, Actions* out);

  // The answer to one waiter of this session.
  void Answer(const Waiter& waiter, const std::string& gid, const std::string& branch_id,
              Operation operation, const Reply& reply, SteadyTime now, Actions* out);
  // Asks the coordinator about these; beyond max_questions unanswered ones, and while not open,
  // they are dropped (they come again with the next round).
  void Question(const std::vector<HeldBranch>& branches, SteadyTime now, Actions* out);

  // Time has passed. `Due` says when to call it next (SteadyTime::max(): not needed).
  void OnTick(SteadyTime now, Actions* out);
  SteadyTime Due() const { return due_; }

  bool Alive(const Waiter& waiter) const;
  const std::string& endpoint() const { return options_.endpoint; }
  State state() const { return state_; }
  bool open() const { return state_ == State::kOpen; }
  std::uint32_t coordinator_id() const { return coordinator_id_; }
  // What the Welcome said.
  std::uint64_t epoch() const { return epoch_; }
  bool clustered() const { return clustered_; }
  std::size_t in_flight() const { return in_flight_; }
  std::size_t unsent() const { return replies_.size() + queries_.size(); }
  const Counters& counters() const { return counters_; }
  // What the last connection ended with; OK while none has.
  const Status& last_failure() const { return last_failure_; }

 private:
  using QuestionKey = std::pair<std::string, std::string>;
  void Dial(SteadyTime now, Actions* out);
  void OnWelcome(const v1::Welcome& welcome, SteadyTime now, Actions* out);
  bool IsStale(const v1::BranchCommand& command, Actions* out);
  void OnCommand(v1::BranchCommand* command, SteadyTime now, Actions* out);
  void OnAnswer(const v1::OutcomeAnswer& answer, Actions* out);
  void BeginDraining();
  void QueueReply(v1::BranchReply reply);
  // Sends what is queued, if nothing is under way; ends a drained conversation.
  void Pump(SteadyTime now, Actions* out);
  v1::ParticipantFrame NextFrame();
  void LogLine(const std::string& text, Actions* out) const;

  Options options_;
  CallTable* const calls_;
  std::uint32_t wanted_max_in_flight_;
  Backoff backoff_;

  State state_ = State::kWaiting;
  bool stopping_ = false;
  bool retired_ = false;
  SteadyTime due_ = SteadyTime::max();  // the next dial, or the end of our patience
  Status last_failure_;
  Counters counters_;

  // Of the current connection; cleared when it closes.
  std::uint64_t connection_ = 0;
  SteadyTime opened_at_{};
  std::uint32_t coordinator_id_ = 0;
  std::uint64_t epoch_ = 0;
  bool clustered_ = false;
  bool stands_ = false;  // there is one
  bool writing_ = false;
  bool hello_due_ = false;
  bool goodbye_due_ = false;
  bool half_closed_ = false;
  bool cancelled_ = false;
  bool told_stale_ = false;
  std::size_t in_flight_ = 0;  // commands whose reply is not queued yet
  std::deque<v1::BranchReply> replies_;
  std::deque<HeldBranch> queries_;
  std::map<QuestionKey, HeldBranch> asked_;
};

}  // namespace assent::internal
