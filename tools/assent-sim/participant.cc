#include "tools/assent-sim/participant.h"

#include <algorithm>
#include <utility>
#include <variant>

#include <assent/overload.h>
#include <assent/sqlite.h>

#include "proto/words/words.h"
#include "tools/assent-sim/planted.h"

namespace assent::sim {
namespace {

// The adapter's. Smaller ones make a service that cannot keep up with calls whose time limit is
// short: it answers each too late, for ever, which is a matter of capacity and not of protocol.
constexpr std::size_t kMaxGroup = sqlite::limits::kMaxGroupCount;

Time ToTime(internal::SteadyTime when) {
  if (when == internal::SteadyTime::max()) return -1;
  return std::chrono::duration_cast<std::chrono::microseconds>(when.time_since_epoch()).count() -
         kHour;
}

const char* Shown(Reply::Kind kind) {
  switch (kind) {
    case Reply::Kind::kDone: return "done";
    case Reply::Kind::kDoneReadOnly: return "done, read-only";
    case Reply::Kind::kRefused: return "refused";
    case Reply::Kind::kRetryLater: return "retry later";
  }
  return "?";
}

}  // namespace

Participant::Participant(Sim& sim, Ledger& ledger, Network& network, std::uint32_t service,
                         bool unary)
    : sim_(sim),
      ledger_(ledger),
      network_(network),
      service_(service),
      name_("s" + std::to_string(service)),
      unary_(unary),
      store_(sim, ledger, service) {}

internal::Session::Options Participant::SessionOptions(std::uint32_t line) const {
  internal::Session::Options options;
  options.index = line;
  options.endpoint = "sim";
  options.hello.set_version(1);
  options.hello.set_service(name_);
  options.hello.set_instance(name_);
  for (const v1::Protocol protocol : {v1::TWO_PHASE, v1::TCC, v1::SAGA}) {
    v1::ActionInfo* action = options.hello.add_actions();
    action->set_name("act");
    action->set_protocol(protocol);
  }
  options.hello.set_max_in_flight(sim_.options.router_in_flight);
  if (sim_.options.router_in_flight != 0) options.max_in_flight = sim_.options.router_in_flight;
  options.initial_backoff =
      std::chrono::milliseconds(1 + sim_.options.restart_max / 16 / kMillisecond);
  options.max_backoff = options.initial_backoff * 8;
  options.seed = sim_.dice.Next();
  return options;
}

// ---- Lives --------------------------------------------------------------------------------------

void Participant::Start() {
  ASSENT_CHECK(!life_);
  life_ = std::make_unique<Life>(1024);
  stopped_until_ = 0;
  life_->number = ++lives_;
  sim_.Say([&] { return name_ + " starts (life " + std::to_string(lives_) + ")"; });
  if (unary_) return;
  for (std::uint32_t line = 0; line < coordinator_lives_.size(); ++line) {
    life_->lines.emplace_back(SessionOptions(line), &life_->calls);
    internal::Actions actions;
    life_->lines.back().session.Start(sim_.Steady(), &actions);
    Do(line, std::move(actions));
  }
}

void Participant::Die(bool power) {
  if (!life_) return;
  if (life_->stage == GroupStage::kOpen) sim_.marks.Set(Mark::kParticipantDiedUncommitted);
  if (life_->stage == GroupStage::kCommitted) sim_.marks.Set(Mark::kParticipantDiedUnanswered);
  sim_.Say([&] {
    return name_ + (power ? " loses its power" : " dies") +
           (life_->stage == GroupStage::kOpen ? " with a local transaction open" : "") +
           (life_->stage == GroupStage::kCommitted ? " before it answers what it committed" : "");
  });
  if (store_.open()) store_.Rollback();
  store_.ForgetPrepared();
  network_.ParticipantDied(service_, life_->number, power);
  life_.reset();
}

bool Participant::CommitLocally(std::size_t txn) {
  store_.Begin();
  if (!store_.Enlist(txn) || full_) {
    store_.Rollback();
    return false;
  }
  store_.Commit();
  return true;
}

// ---- What the stream says -----------------------------------------------------------------------

void Participant::OnFrame(std::uint64_t number, v1::CoordinatorFrame* frame) {
  const Connection& c = network_.connection(number);
  if (!life_ || c.participant_life != life_->number) return;
  internal::Actions actions;
  life_->lines[c.session].session.OnFrame(c.dial, frame, sim_.Steady(), &actions);
  Do(c.session, std::move(actions));
}

void Participant::OnConnected(std::uint64_t number) {
  const Connection& c = network_.connection(number);
  if (!life_ || c.participant_life != life_->number || c.closed_at_participant) return;
  internal::Actions actions;
  life_->lines[c.session].session.OnStarted(c.dial, sim_.Steady(), &actions);
  Do(c.session, std::move(actions));
}

void Participant::OnWriteDone(std::uint64_t number) {
  const Connection& c = network_.connection(number);
  if (!life_ || c.participant_life != life_->number) return;
  internal::Actions actions;
  life_->lines[c.session].session.OnWritten(c.dial, sim_.Steady(), &actions);
  Do(c.session, std::move(actions));
}

void Participant::OnClosed(std::uint64_t number) {
  Connection& c = network_.connection(number);
  c.closed_at_participant = true;
  if (!life_ || c.participant_life != life_->number) return;
  internal::Actions actions;
  life_->lines[c.session].session.OnClosed(c.dial, Unavailable("closed"), sim_.Steady(), &actions);
  Do(c.session, std::move(actions));
}

void Participant::OnTick(std::uint64_t life) {
  if (!life_ || life_->number != life || life_->tick_at < 0 || life_->tick_at > sim_.now) return;
  life_->tick_at = -1;
  for (std::uint32_t line = 0; line < life_->lines.size(); ++line) {
    internal::Actions actions;
    life_->lines[line].session.OnTick(sim_.Steady(), &actions);
    Do(line, std::move(actions));
  }
}

void Participant::ArmTick() {
  if (!life_ || life_->lines.empty()) return;
  internal::SteadyTime first = internal::SteadyTime::max();
  for (const Life::Line& line : life_->lines) first = std::min(first, line.session.Due());
  const Time due = ToTime(first);
  if (due < 0 || life_->tick_at == due) return;
  life_->tick_at = std::max(due, sim_.now);
  sim_.At(life_->tick_at, EventKind::kParticipantTick, service_, life_->number);
}

// Which life of this coordinator answers; 0: none.
std::uint64_t Participant::Reached(std::uint32_t number) {
  if (network_.Reaches(service_, number)) return *coordinator_lives_[number];
  const auto& lines = life_->lines;
  if (std::any_of(lines.begin(), lines.end(), [](const auto& l) { return l.session.open(); }))
    sim_.marks.Set(Mark::kReachesSome);
  return 0;
}

void Participant::Do(std::uint32_t number, internal::Actions actions) {
  Life::Line& line = life_->lines[number];
  bool ask = false;
  for (internal::Action& action : actions) {
    std::visit(Overload{
                   [&](internal::act::Dial& dial) {
                     line.connection = network_.Dial(service_, life_->number, dial.connection,
                                                     Reached(number), number);
                   },
                   [&](internal::act::Send& send) {
                     network_.FromParticipant(line.connection, std::move(send.frame));
                   },
                   [&](internal::act::HalfClose&) { network_.CloseByParticipant(line.connection); },
                   [&](internal::act::Cancel&) { network_.CloseByParticipant(line.connection); },
                   [&](internal::act::Run& run) { Run(run.ticket); },
                   [&](internal::act::Deliver& deliver) {
                     Task task;
                     task.held = std::move(deliver.branch);
                     task.verdict = deliver.verdict;
                     task.finished = deliver.finished;
                     Enqueue(std::move(task));
                   },
                   [&](internal::act::Ask&) { ask = true; },
                   [&](internal::act::Log&) {},
               },
               action);
  }
  if (line.session.counters().joined > 0) sim_.marks.Set(Mark::kCallJoined);
  ArmTick();
  if (ask) Ask(true);
}

// ---- Questions ----------------------------------------------------------------------------------

void Participant::Ask(bool all) {
  if (!life_) return;
  bool open = false;
  for (const Life::Line& line : life_->lines) open = open || line.session.open();
  if (!open) return;
  const std::vector<HeldBranch> held = store_.Questions(sim_.options.retire_rows && all);
  for (std::uint32_t line = 0; line < life_->lines.size() && !held.empty(); ++line) {
    if (!life_->lines[line].session.open()) continue;
    internal::Actions actions;
    life_->lines[line].session.Question(held, sim_.Steady(), &actions);
    Do(line, std::move(actions));
  }
  ArmQuestions();
}

void Participant::AskAgain() { Ask(true); }

void Participant::ArmQuestions() {
  if (!life_ || unary_ || life_->question_at >= 0 || !store_.HoldsAny()) return;
  life_->question_at = sim_.now + sim_.options.question_interval;
  sim_.At(life_->question_at, EventKind::kQuestionRound, service_, life_->number);
}

void Participant::OnQuestionRound(std::uint64_t life) {
  if (!life_ || life_->number != life || life_->question_at < 0 || life_->question_at > sim_.now)
    return;
  life_->question_at = -1;
  Ask(true);
  ArmQuestions();
}

// ---- Calls --------------------------------------------------------------------------------------

// As ParticipantShell::Begin does for a resource.
void Participant::Run(internal::Ticket ticket) {
  std::optional<Call> call =
      life_->calls.Take(ticket, sim_.Steady(), [this](const internal::Waiter& waiter) {
        return life_->lines[waiter.session].session.Alive(waiter);
      });
  if (!call) return FinishCall(ticket, Reply::RetryLater("it waited too long"));
  Task task;
  task.call = std::move(*call);
  task.ticket = ticket;
  Enqueue(std::move(task));
}

void Participant::FinishCall(internal::Ticket ticket, const Reply& reply) {
  const internal::CallTable::Finished finished = life_->calls.Finish(ticket);
  for (const internal::Waiter& waiter : finished.waiters) {
    internal::Actions actions;
    life_->lines[waiter.session].session.Answer(waiter, finished.gid, finished.branch_id,
                                                finished.operation, reply, sim_.Steady(), &actions);
    Do(static_cast<std::uint32_t>(waiter.session), std::move(actions));
  }
  if (finished.next) Run(*finished.next);
}

void Participant::OnLetter(const Letter& letter) {
  if (!life_) return;
  const transport::Command& command = letter.command;
  Task task;
  task.call.gid = command.gid;
  task.call.branch_id = command.branch_id;
  task.call.operation = command.operation;
  task.call.protocol = command.protocol;
  task.call.service = command.service;
  task.call.action = command.action;
  task.call.payload = command.payload;
  for (const auto& [id, result] : command.results) task.call.results[id] = result;
  task.call.attempt = command.attempt;
  task.call.one_phase = command.one_phase;
  task.call.coordinator_id = 1;
  task.call.began_epoch = command.began_epoch;
  task.letter = letter;
  const std::size_t txn = ledger_.Find(command.gid);
  if (txn < ledger_.size() && ledger_.books(txn).ended) sim_.marks.Set(Mark::kUnaryHoursLate);
  Enqueue(std::move(task));
}

// ---- Group commit -------------------------------------------------------------------------------

void Participant::Enqueue(Task task) {
  life_->queue.push_back(std::move(task));
  if (life_->stage != GroupStage::kNone) return;
  life_->stage = GroupStage::kScheduled;
  const Time wait =
      sim_.Chance(sim_.options.slow_call) ? sim_.options.window : sim_.options.group_max;
  sim_.After(sim_.Draw(wait), EventKind::kGroupBegins, service_, life_->number);
}

void Participant::OnGroupBegins(std::uint64_t life) {
  if (!life_ || life_->number != life) return;
  life_->stage = GroupStage::kOpen;
  life_->group.clear();
  while (!life_->queue.empty() && life_->group.size() < kMaxGroup) {
    life_->group.push_back(std::move(life_->queue.front()));
    life_->queue.pop_front();
  }
  store_.Begin();
  for (Task& task : life_->group) {
    if (task.held) {
      store_.Answer(*task.held, task.verdict, task.finished);
      continue;
    }
    const bool only_said =
        Mutant(Planted::kFinishOnlySaid) && RoleOf(task.call.operation) == Role::kFinish;
    task.reply = only_said ? Reply::Done() : store_.Run(task.call);
    sim_.Say([&] {
      return name_ + " runs " + OperationName(task.call.operation) + " of " + task.call.gid + " " +
             task.call.branch_id + ": " + Shown(task.reply.kind) +
             (task.reply.reason.empty() ? "" : ", " + task.reply.reason);
    });
  }
  if (Mutant(Planted::kAckBeforeCommit)) AnswerGroup();
  sim_.After(sim_.Draw(sim_.options.commit_max), EventKind::kGroupCommits, service_, life_->number);
}

void Participant::OnGroupCommits(std::uint64_t life) {
  if (!life_ || life_->number != life) return;
  if (life_->stage == GroupStage::kCommitted) {  // time to answer
    life_->stage = GroupStage::kNone;
    AnswerGroup();
    if (life_ && life_->stage == GroupStage::kNone && !life_->queue.empty()) {
      life_->stage = GroupStage::kScheduled;
      sim_.After(sim_.Draw(sim_.options.group_max), EventKind::kGroupBegins, service_,
                 life_->number);
    }
    return;
  }
  if (sim_.Chance(sim_.options.commit_unknown)) {
    // COMMIT failed in a way that says nothing: it may have happened. The process stops.
    sim_.marks.Set(Mark::kParticipantUnknownCommit);
    const bool happened = sim_.dice.Chance(500);
    sim_.Say([&] {
      return name_ + ": COMMIT fails, outcome unknown (it " +
             (happened ? "happened" : "did not happen") + ")";
    });
    if (happened) store_.Commit();
    Die(false);
    sim_.After(sim_.Draw(sim_.options.restart_max), EventKind::kParticipantStarts, service_);
    return;
  }
  if (full_) {
    sim_.marks.Set(Mark::kParticipantFull);
    sim_.Say([&] { return name_ + ": disk full, nothing of this group happened"; });
    store_.Rollback();
    for (Task& task : life_->group) task.reply = Reply::RetryLater("disk full");
  } else {
    store_.Commit();
  }
  life_->stage = GroupStage::kCommitted;
  sim_.After(sim_.Draw(sim_.options.turn_max), EventKind::kGroupCommits, service_, life_->number);
}

void Participant::AnswerGroup() {
  std::vector<Task> group = std::exchange(life_->group, {});
  for (Task& task : group) {
    if (!task.held) Respond(task);
  }
  if (Mutant(Planted::kAckBeforeCommit)) life_->group = std::move(group);
  ArmQuestions();
}

void Participant::Respond(Task& task) {
  const std::size_t txn = ledger_.Find(task.call.gid);
  const std::size_t branch = ledger_.FindBranch(txn, task.call.branch_id);
  const bool done =
      task.reply.kind == Reply::Kind::kDone || task.reply.kind == Reply::Kind::kDoneReadOnly;
  if (task.reply.kind == Reply::Kind::kRetryLater && branch < ledger_.plan(txn).branches.size())
    ledger_.Touch(txn).branches[branch].said_later = true;
  if (branch < ledger_.plan(txn).branches.size() && done) {
    if (store_.Uncommitted(txn, branch)) ledger_.Touch(txn).branches[branch].acked_undurable = true;
    if (IsForward(task.call.operation)) {
      BranchBooks& books = ledger_.Touch(txn).branches[branch];
      if (books.answered && books.result != task.reply.result)
        books.answered_twice_differently = true;
      books.answered = true;
      books.result = task.reply.result;
    }
  }
  if (task.ticket) {
    if (!Mutant(Planted::kAckBeforeCommit) || store_.open()) FinishCall(*task.ticket, task.reply);
    return;
  }
  Letter& letter = *task.letter;
  letter.reply.set_gid(letter.command.gid);
  letter.reply.set_branch_id(letter.command.branch_id);
  letter.reply.set_operation(wire::ToWire(letter.command.operation));
  letter.reply.set_kind(wire::ToWire(task.reply.kind));
  letter.reply.set_result(task.reply.result);
  letter.reply.set_reason(task.reply.reason);
  letter.command = {};
  network_.SendReply(std::move(letter));
}

bool Participant::idle() const {
  return !life_ || (life_->stage == GroupStage::kNone && life_->queue.empty());
}

}  // namespace assent::sim
