#pragma once

// One participant: the SDK's own session state machine and call table, with the barrier's own
// rules, around a modelled database. Its process dies and comes back; its database stays.

#include <cstdint>
#include <deque>
#include <memory>
#include <optional>
#include <string>
#include <utility>
#include <vector>

#include "participant-sdk/cpp/src/call_table.h"
#include "participant-sdk/cpp/src/session.h"
#include "tools/assent-sim/network.h"
#include "tools/assent-sim/store.h"

namespace assent::sim {

class Participant {
 public:
  Participant(Sim& sim, Ledger& ledger, Network& network, std::uint32_t service, bool unary);

  void Start();
  void Die(bool power);
  bool up() const { return life_ != nullptr; }
  bool unary() const { return unary_; }
  const std::string& name() const { return name_; }
  std::uint64_t life() const { return lives_; }
  const Store& store() const { return store_; }
  void SetFull(bool full) { full_ = full; }
  // The local transaction of an initiator on the same database. False: it was rolled back.
  bool CommitLocally(std::size_t txn);
  // SIGSTOP, and SIGCONT then.
  void Stop(Time until) { stopped_until_ = until; }
  Time stopped_until() const { return life_ ? stopped_until_ : 0; }
  // Which life of a coordinator a dial to it reaches now; 0: none. One session for each.
  void AddCoordinatorLife(const std::uint64_t* life) { coordinator_lives_.push_back(life); }
  // Asks about everything that is old, whatever its timers say.
  void AskAgain();
  bool idle() const;

  void OnFrame(std::uint64_t connection, v1::CoordinatorFrame* frame);
  void OnConnected(std::uint64_t connection);
  void OnWriteDone(std::uint64_t connection);
  void OnClosed(std::uint64_t connection);
  void OnLetter(const Letter& letter);
  void OnTick(std::uint64_t life);
  void OnGroupBegins(std::uint64_t life);
  void OnGroupCommits(std::uint64_t life);
  void OnQuestionRound(std::uint64_t life);

 private:
  // Something to run in a local transaction.
  struct Task {
    Call call;
    std::optional<internal::Ticket> ticket;  // of a session
    std::optional<Letter> letter;            // of a unary call
    std::optional<HeldBranch> held;          // the coordinator's word on a held branch
    Verdict verdict = Verdict::kUndecided;
    bool finished = false;
    Reply reply;
  };
  enum class GroupStage : std::uint8_t { kNone, kScheduled, kOpen, kCommitted };
  struct Life {
    std::uint64_t number = 0;
    internal::CallTable calls;
    struct Line {
      Line(internal::Session::Options options, internal::CallTable* calls)
          : session(std::move(options), calls) {}
      internal::Session session;
      std::uint64_t connection = 0;
    };
    std::deque<Line> lines;  // by coordinator
    Time tick_at = -1;
    Time question_at = -1;
    std::deque<Task> queue;
    std::vector<Task> group;
    GroupStage stage = GroupStage::kNone;
    explicit Life(std::size_t max_calls) : calls(max_calls) {}
  };

  std::uint64_t Reached(std::uint32_t line);
  void Do(std::uint32_t line, internal::Actions actions);
  void Run(internal::Ticket ticket);
  void FinishCall(internal::Ticket ticket, const Reply& reply);
  void Enqueue(Task task);
  void AnswerGroup();
  void Respond(Task& task);
  void Ask(bool all);
  void ArmTick();
  void ArmQuestions();
  internal::Session::Options SessionOptions(std::uint32_t line) const;

  Sim& sim_;
  Ledger& ledger_;
  Network& network_;
  const std::uint32_t service_;
  const std::string name_;
  const bool unary_;
  Store store_;
  bool full_ = false;
  Time stopped_until_ = 0;
  std::uint64_t lives_ = 0;
  std::vector<const std::uint64_t*> coordinator_lives_;
  std::unique_ptr<Life> life_;
};

}  // namespace assent::sim
