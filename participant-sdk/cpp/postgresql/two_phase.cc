#include "participant-sdk/cpp/postgresql/two_phase.h"

#include <optional>
#include <utility>

#include "participant-sdk/cpp/postgresql/names.h"
#include "participant-sdk/cpp/postgresql/watch.h"

namespace assent::postgresql::internal {

using barrier::Move;
using barrier::State;

namespace {

constexpr std::string_view kNoSuchPrepared = "42704";

constexpr char kIsPrepared[] =
    "SELECT EXISTS(SELECT FROM pg_prepared_xacts WHERE gid = $1 AND database = current_database())";
constexpr char kIsMarked[] =
    "SELECT EXISTS(SELECT FROM assent_marker WHERE gid = $1 AND branch_id = $2)";
constexpr char kDropAge[] =
    "DELETE FROM assent_age a WHERE gid = $1 AND NOT EXISTS(SELECT FROM assent_barrier b WHERE "
    "b.gid "
    "= a.gid AND b.state = 4)";
static_assert(static_cast<int>(State::kPrepared) == 4);

}  // namespace

TwoPhase::TwoPhase(Connection& connection, const Context& context, Watch& watch, TaskPtr task)
    : connection_(connection),
      context_(context),
      watch_(watch),
      task_(std::move(task)),
      name_(NameOf(task_->branch())) {}

RunEnd TwoPhase::Run() {
  Known known;
  if (Look(known)) {
    if (task_->kind == Task::Kind::kAnswer && known.row.state == State::kNone) {
      SettleUnpromised(known);
    } else if (call().operation == Operation::kPrepare) {
      Prepare(known);
    } else {
      Settle(known);
    }
  }
  if (!connection_.broken()) (void)connection_.Query("SELECT pg_advisory_unlock_all()");
  return std::move(end_);
}

bool TwoPhase::Look(Known& known) {
  AddLock(connection_, Lock::kSession, {task_->branch()});
  AddFind(connection_, {task_->branch()});
  connection_.Add(kIsPrepared, {Param::Text(name_)});
  connection_.Add(kIsMarked, {Param::Text(call().gid), Param::Text(call().branch_id)});
  const std::vector<postgresql::internal::Answer> answers = connection_.Exchange();
  for (const auto& answer : answers) {
    if (answer.ok()) continue;
    if (answer.failure != Failure::kLocked) {
      Failed(answer);
    } else {
      NotDone(Unavailable("another process works on this branch: " + answer.message));
    }
    return false;
  }
  if (answers[1].table.rows() > 0) {
    Result<barrier::Row> row = ReadRow(answers[1].table, 0);
    if (!row.ok()) {
      NotDone(row.status());
      return false;
    }
    known.row = std::move(*row);
  }
  known.is_prepared = answers[2].table.Int(0, 0) == 1;
  known.is_marked = answers[3].table.Int(0, 0) == 1;
  if (task_->kind != Task::Kind::kAnswer) return true;
  // As if the coordinator had sent the operation.
  task_->call.protocol = Protocol::kTwoPhase;
  task_->call.action = known.row.action;
  task_->call.operation =
      task_->verdict == Verdict::kCommit ? Operation::kCommit : Operation::kRollback;
  return true;
}

void TwoPhase::Prepare(const Known& known) {
  barrier::Opening opening = barrier::Open(call(), known.row);
  if (opening.move != Move::kRun) return Answer(std::move(opening.reply));
  std::string why;
  const DbHandler* const handler = context_.HandlerOf(call(), why);
  if (handler == nullptr) return NotDone(Unavailable(why));
  // Whoever prepared it died, or lost its connection, before it could answer.
  if (known.is_prepared && !EndPrepared(false)) return;
  connection_.Add(context_.begin());
  if (RunPrepare(*handler)) MakeDurable();
}

// True when there is something to be kept.
bool TwoPhase::RunPrepare(const DbHandler& handler) {
  Db::Impl db(connection_);
  db.prepares = true;
  Watch::Guard guard(watch_, call(), connection_.backend_pid());
  Reply reply = RunHandler(handler, call(), db);
  if (db.failure == Failure::kAgain || db.failure == Failure::kLost || connection_.broken()) {
    Rollback();
    PutAgain(std::move(task_), db.status, end_);
    return false;
  }
  if (db.failure == Failure::kLocked || db.failure == Failure::kCancelled)
    reply = barrier::Normalized(guard.InVain(db.status.message()), Role::kForward);
  if (!barrier::IsDone(reply)) {
    Rollback();
    const bool refused = reply.kind == Reply::Kind::kRefused;
    refused ? KeepRow(State::kRefused, std::move(reply)) : Answer(std::move(reply));
    return false;
  }
  const postgresql::internal::Answer wrote =
      connection_.Query("SELECT pg_current_xact_id_if_assigned() IS NOT NULL");
  if (!wrote.ok()) {
    Rollback();
    Failed(wrote);
    return false;
  }
  const bool has_written = wrote.table.Int(0, 0) == 1;
  reply.kind = has_written ? Reply::Kind::kDone : Reply::Kind::kDoneReadOnly;
  if (!has_written) {
    Rollback();
    KeepRow(barrier::After(call(), reply, false), std::move(reply));
    return false;
  }
  task_->reply = std::move(reply);
  return true;
}

void TwoPhase::MakeDurable() {
  context_.Reach("prepare:before");
  connection_.Add("INSERT INTO assent_marker(gid, branch_id) VALUES($1, $2)",
                  {Param::Text(call().gid), Param::Text(call().branch_id)});
  const auto prepared = connection_.Query("PREPARE TRANSACTION '" + name_ + "'");
  if (prepared.ok() && prepared.table.tag() == "PREPARE TRANSACTION") {
    context_.Reach("prepare:prepared");
    return KeepPrepared();
  }
  // "Nothing happened" would leave it prepared for ever, if it is.
  if (prepared.failure == Failure::kLost || prepared.failure == Failure::kCancelled)
    return Unknown(prepared.status());
  Rollback();
  if (prepared.ok()) return NotDone(Unavailable("PREPARE TRANSACTION rolled back"));
  const bool cannot = prepared.sqlstate.starts_with("0A");  // temporary tables, NOTIFY
  if (cannot || prepared.failure == Failure::kConstraint)
    return KeepRow(State::kRefused,
                   barrier::Normalized(Reply::Refused(prepared.message), Role::kForward));
  Failed(prepared);
}

void TwoPhase::KeepPrepared() {
  connection_.Add("BEGIN");
  connection_.Add(
      "INSERT INTO assent_age(gid, began_unix_ms, coordinator_id) VALUES($1, $2, $3) ON CONFLICT "
      "(gid) DO NOTHING",
      {Param::Text(call().gid), Param::Int(call().began_unix_ms),
       Param::Int(call().coordinator_id)});
  AddInsert(connection_, call(), State::kPrepared, task_->reply, context_.now());
  connection_.Add("COMMIT");
  for (const auto& answer : connection_.Exchange()) {
    if (answer.ok()) continue;
    Rollback();
    return Unknown(answer.status());
  }
  Answer(std::move(task_->reply));
}

void TwoPhase::Settle(const Known& known) {
  barrier::Opening opening = barrier::Open(call(), known.row);
  if (opening.move == Move::kBury) {
    if (known.is_prepared && !EndPrepared(false)) return;
    return KeepRow(State::kTombstone, std::move(opening.reply));
  }
  if (opening.move != Move::kRun) return Answer(std::move(opening.reply));
  const bool commits = call().operation == Operation::kCommit;
  context_.Reach("settle:before");
  if (known.is_prepared) {
    if (!EndPrepared(commits)) return;
  } else if (known.is_marked != commits) {
    return Answer(Reply::Refused(
        std::string("HAZARD: its prepared work is gone from pg_prepared_xacts: it was ") +
        (known.is_marked ? "committed" : "rolled back") + " by somebody else"));
  }
  context_.Reach("settle:settled");
  KeepSettled(commits);
}

void TwoPhase::SettleUnpromised(const Known& known) {
  if (task_->verdict == Verdict::kAbort && known.is_prepared && !EndPrepared(false)) return;
  Answer({});
}

bool TwoPhase::EndPrepared(bool commits) {
  const auto ended =
      connection_.Run(std::string(commits ? "COMMIT" : "ROLLBACK") + " PREPARED '" + name_ + "'");
  if (ended.ok()) return true;
  if (ended.sqlstate == kNoSuchPrepared) {
    NotDone(Unavailable("its prepared work was ended by somebody else at this moment"));
  } else if (ended.failure == Failure::kLost || ended.failure == Failure::kCancelled) {
    Unknown(ended.status());
  } else {
    Failed(ended);
  }
  return false;
}

void TwoPhase::KeepSettled(bool commits) {
  const Params branch = {Param::Text(call().gid), Param::Text(call().branch_id)};
  connection_.Add("BEGIN");
  AddAdvance(connection_, task_->branch(), State::kPrepared,
             commits ? State::kFinished : State::kUndone, {}, context_.now());
  connection_.Add("DELETE FROM assent_marker WHERE gid = $1 AND branch_id = $2", branch);
  connection_.Add(kDropAge, {branch.front()});
  connection_.Add("COMMIT");
  // What was prepared is settled in any case; who asks again finds how.
  if (CommitAdded()) Answer(Reply::Done());
}

void TwoPhase::KeepRow(State state, Reply reply) {
  connection_.Add("BEGIN");
  AddInsert(connection_, call(), state, reply, context_.now());
  connection_.Add("COMMIT");
  if (CommitAdded()) Answer(std::move(reply));
}

bool TwoPhase::CommitAdded() {
  const auto answers = connection_.Exchange();
  for (const auto& answer : answers) {
    if (answer.ok()) continue;
    const auto& last = answers.back();
    const bool unknown = last.failure == Failure::kLost || last.failure == Failure::kCancelled;
    Rollback();
    unknown ? Unknown(answer.status()) : Failed(answer);
    return false;
  }
  return true;
}

void TwoPhase::Answer(Reply reply) {
  ++end_.committed;
  ++end_.groups;
  task_->reply = std::move(reply);
  task_->Answer();
  end_.done.push_back(std::move(task_));
}

void TwoPhase::NotDone(const Status& why) {
  task_->NotDone(why);
  end_.done.push_back(std::move(task_));
}

void TwoPhase::Unknown(const Status& why) {
  ++end_.unknown;
  task_->Unknown(why);
  end_.done.push_back(std::move(task_));
}

void TwoPhase::Failed(const postgresql::internal::Answer& answer) {
  const bool again = answer.failure == Failure::kAgain || answer.failure == Failure::kLost;
  if (!again) return NotDone(answer.status());
  PutAgain(std::move(task_), answer.status(), end_);
}

void TwoPhase::Rollback() {
  connection_.DropAdded();
  if (!connection_.broken() && !connection_.IsIdle()) (void)connection_.Run("ROLLBACK");
}

}  // namespace assent::postgresql::internal
