#include "participant-sdk/cpp/postgresql/group.h"

#include <algorithm>
#include <string>
#include <tuple>
#include <utility>

#include "participant-sdk/cpp/postgresql/watch.h"

namespace assent::postgresql::internal {

using barrier::IsDone;
using barrier::Move;
using barrier::State;

namespace {

// The executor puts a branch's second operation behind its first.
bool AllDiffer(std::vector<BranchKey> branches) {
  const auto parts = [](const BranchKey& one) { return std::tie(one.gid, one.branch_id); };
  const auto before = [&](const BranchKey& a, const BranchKey& b) { return parts(a) < parts(b); };
  const auto equal = [&](const BranchKey& a, const BranchKey& b) { return parts(a) == parts(b); };
  std::sort(branches.begin(), branches.end(), before);
  return std::adjacent_find(branches.begin(), branches.end(), equal) == branches.end();
}

}  // namespace

Group::Group(Connection& connection, const Context& context, Watch& watch, Tasks tasks)
    : connection_(connection),
      context_(context),
      watch_(watch),
      alone_(tasks.size() == 1 && tasks.front()->alone),
      tasks_(std::move(tasks)),
      rows_(tasks_.size()),
      damaged_(tasks_.size()),
      locked_(tasks_.size(), true),
      close_at_(std::chrono::steady_clock::now() + context.options.max_group_time) {}

RunEnd Group::Run() {
  if (!Begin()) return std::move(end_);
  context_.Reach("group:began");
  std::size_t next = 0;
  Tasks kept;
  for (bool open = true; open && next < tasks_.size(); ++next) {
    if (!locked_[next]) {  // another process works on this branch
      tasks_[next]->alone = true;
      end_.again.push_back(std::move(tasks_[next]));
      continue;
    }
    switch (RunOne(next)) {
      case Trace::kKept: break;
      case Trace::kSetAside:
        ++end_.undone;
        tasks_[next]->alone = true;
        end_.again.push_back(std::move(tasks_[next]));
        open = false;
        break;
      case Trace::kAllLost: AllAgain(why_, next); return std::move(end_);
    }
    open = open && !Full();
  }
  Commit(next);
  return std::move(end_);
}

bool Group::Full() const {
  return savepoints_ >= limits::kMaxSavepointsPerGroupCount ||
         std::chrono::steady_clock::now() >= close_at_;
}

bool Group::Begin() {
  std::vector<BranchKey> branches;
  for (const TaskPtr& task : tasks_) {
    if (task->has_branch()) branches.push_back(task->branch());
  }
  ASSENT_CHECK(AllDiffer(branches));
  connection_.Add(context_.begin());
  if (!alone_) {
    connection_.Add("SELECT set_config('lock_timeout', $1, true)",
                    {Param::Int(context_.options.group_lock_wait.count())});
  }
  AddLock(connection_, alone_ ? Lock::kWait : Lock::kTry, branches);
  AddFind(connection_, branches);
  return ReadBegun(connection_.Exchange());
}

bool Group::ReadBegun(std::vector<Answer> answers) {
  for (const Answer& answer : answers) {
    if (answer.ok()) continue;
    if (answer.failure == Failure::kLost || answer.failure == Failure::kAgain || !alone_) {
      AllAgain(answer.status(), kNobody);
    } else {
      Rollback();
      const bool waited = answer.failure == Failure::kLocked;
      tasks_.front()->NotDone(
          waited ? Unavailable("another process works on this branch: " + answer.message)
                 : answer.status());
      end_.done.push_back(std::move(tasks_.front()));
    }
    return false;
  }
  std::vector<std::size_t> numbers;  // of those that have a branch
  for (std::size_t i = 0; i < tasks_.size(); ++i) {
    if (tasks_[i]->has_branch()) numbers.push_back(i);
  }
  const Table& locks = answers[answers.size() - 2].table;
  const Table& found = answers.back().table;
  for (int i = 0; !alone_ && i < locks.rows(); ++i)
    locked_[numbers[static_cast<std::size_t>(i)]] = locks.Int(i, 0) == 1;
  for (int i = 0; i < found.rows(); ++i) {
    const std::size_t number = numbers[static_cast<std::size_t>(found.Int(i, 0)) - 1];
    Result<barrier::Row> row = ReadRow(found, i);
    if (row.ok()) {
      rows_[number] = std::move(*row);
    } else {
      damaged_[number] = row.status();
    }
  }
  return true;
}

Group::Trace Group::RunOne(std::size_t number) {
  Task& task = *tasks_[number];
  if (!damaged_[number].ok()) {
    task.reply = Reply::RetryLater(damaged_[number].ToString());
    return Trace::kKept;
  }
  switch (task.kind) {
    case Task::Kind::kCall: return RunCall(task, rows_[number]);
    case Task::Kind::kLocal: return RunLocal(task);
    case Task::Kind::kAnswer: RunAnswer(task, rows_[number]); break;
  }
  return Trace::kKept;
}

Group::Trace Group::RunCall(Task& task, const barrier::Row& row) {
  barrier::Opening opening = barrier::Open(task.call, row);
  if (opening.move != Move::kRun) {
    task.reply = std::move(opening.reply);
    if (opening.move == Move::kBury)
      writes_.push_back({&task.call, State::kNone, State::kTombstone, &task.reply});
    return Trace::kKept;
  }
  if (task.refusal) {
    task.reply = barrier::Normalized(Reply::Refused(*task.refusal), Role::kForward);
    KeepRow(task, row);
    return Trace::kKept;
  }
  std::string why;
  const DbHandler* const handler = context_.HandlerOf(task.call, why);
  if (handler != nullptr) return RunHandlerOf(task, *handler, row);
  task.reply = Reply::RetryLater(why);
  return Trace::kKept;
}

Group::Trace Group::RunHandlerOf(Task& task, const DbHandler& handler, const barrier::Row& row) {
  const std::uint64_t before = connection_.exchanges();
  connection_.Add("SAVEPOINT assent_op");
  ++savepoints_;
  Db::Impl db(connection_);
  {
    std::optional<Watch::Guard> guard;
    if (alone_) guard.emplace(watch_, task.call, connection_.backend_pid());
    task.reply = RunHandler(handler, task.call, db);
    const bool in_vain = db.failure == Failure::kLocked || db.failure == Failure::kCancelled;
    if (alone_ && in_vain) task.reply = guard->InVain(db.status.message());
  }
  const bool was_sent = connection_.exchanges() != before;
  if (const std::optional<Trace> trace = TraceOfFailure(task, db, was_sent)) return *trace;
  if (IsDone(task.reply)) {
    task.reply.kind = Reply::Kind::kDone;
    Release(was_sent);
  } else {
    Undo(was_sent);
  }
  KeepRow(task, row);
  return Trace::kKept;
}

std::optional<Group::Trace> Group::TraceOfFailure(Task& task, Db::Impl& db, bool was_sent) {
  savepoints_ += db.savepoints;
  const bool lost =
      db.failure == Failure::kAgain || db.failure == Failure::kLost || connection_.broken();
  const bool ended = !connection_.InTransaction() && !connection_.InFailedTransaction();
  if (lost || ended) {
    why_ = db.status.ok() ? Unavailable("the local transaction was ended") : db.status;
    return Trace::kAllLost;
  }
  const bool in_vain = db.failure == Failure::kLocked || db.failure == Failure::kCancelled;
  if (!in_vain || alone_) return std::nullopt;
  Undo(was_sent);
  task.reply = {};
  return Trace::kSetAside;
}

void Group::KeepRow(const Task& task, const barrier::Row& row) {
  const State state = barrier::After(task.call, task.reply);
  if (state == State::kNone) return;
  ASSENT_CHECK(IsForward(task.call.operation) == (row.state == State::kNone));
  writes_.push_back({&task.call, row.state, state, &task.reply});
}

void Group::Release(bool was_sent) {
  if (!was_sent) return connection_.TakeBack();
  connection_.Add("RELEASE SAVEPOINT assent_op");
}

void Group::Undo(bool was_sent) {
  if (!was_sent) return connection_.TakeBack();
  connection_.Add("ROLLBACK TO SAVEPOINT assent_op");
  connection_.Add("RELEASE SAVEPOINT assent_op");
}

Group::Trace Group::RunLocal(Task& task) {
  const std::uint64_t before = connection_.exchanges();
  connection_.Add("SAVEPOINT assent_op");
  ++savepoints_;
  Db::Impl db(connection_);
  task.status = RunWriter(*task.write, db);
  const bool was_sent = connection_.exchanges() != before;
  if (const std::optional<Trace> trace = TraceOfFailure(task, db, was_sent)) return *trace;
  task.status.ok() ? Release(was_sent) : Undo(was_sent);
  return Trace::kKept;
}

void Group::RunAnswer(Task& task, const barrier::Row& row) {
  const std::int64_t retain = context_.options.retain.count();
  // Prepared work, or such that has no row, which pg_prepared_xacts knows: not for a transaction.
  if (row.state == State::kNone || row.state == State::kPrepared) {
    task.settle = true;
    return;
  }
  switch (barrier::UpkeepFor(row, task.verdict, task.finished)) {
    case barrier::Upkeep::kForget:
      AddForget(connection_, task.branch(), row.state, context_.now(), retain);
      break;
    case barrier::Upkeep::kOrphan:
      AddOrphan(connection_, task.branch(), context_.now(), retain);
      break;
    case barrier::Upkeep::kKeep:
    case barrier::Upkeep::kCommit:
    case barrier::Upkeep::kRollback: break;
  }
}

// The first `count` tasks have run, but for those that were taken out.
void Group::Commit(std::size_t count) {
  context_.Reach("group:before-commit");
  AddWrites(connection_, writes_, context_.now());
  connection_.Add("COMMIT");
  std::vector<Answer> answers = connection_.Exchange();
  const auto failed = std::find_if(answers.begin(), answers.end(),
                                   [](const Answer& answer) { return !answer.ok(); });
  // A transaction that has failed is rolled back by COMMIT, which then says so.
  const bool committed = failed == answers.end() && answers.back().table.tag() == "COMMIT";
  RestAgain(count);
  if (!committed) {
    const Answer& last = answers.back();
    const bool unknown = last.failure == Failure::kLost || last.failure == Failure::kCancelled;
    return CommitRefused(failed == answers.end() ? last : *failed, unknown);
  }
  context_.Reach("group:committed");
  ++end_.groups;
  for (TaskPtr& task : tasks_) {
    if (task == nullptr) continue;
    if (task->settle) {
      end_.again.push_back(std::move(task));
      continue;
    }
    ++end_.committed;
    task->Answer();
    end_.done.push_back(std::move(task));
  }
}

// An error that left the connection alive came before the commit record was written. That of a
// cancellation may be about a wait for a standby, after it.
void Group::CommitRefused(const Answer& answer, bool unknown) {
  const Status why = answer.ok() ? Unavailable("COMMIT rolled back") : answer.status();
  if (unknown) {
    for (TaskPtr& task : tasks_) {
      if (task == nullptr) continue;
      ++end_.unknown;
      task->Unknown(why);
      end_.done.push_back(std::move(task));
    }
    return Rollback();
  }
  Rollback();
  for (TaskPtr& task : tasks_) {
    if (task == nullptr) continue;
    const bool is_its_fault = alone_ && answer.failure == Failure::kConstraint;
    const bool is_forward = task->kind == Task::Kind::kCall && IsForward(task->call.operation);
    if (is_its_fault && !is_forward) {
      task->NotDone(why);
      end_.done.push_back(std::move(task));
      continue;
    }
    if (is_its_fault) task->refusal = answer.message;
    task->alone = true;
    PutAgain(std::move(task), why, end_);
  }
}

void Group::AllAgain(const Status& why, std::size_t culprit) {
  const bool lost = connection_.broken();
  const bool nobody_knows = connection_.TakeEarlierFailed() && !lost;
  if (nobody_knows) culprit = kNobody;
  Rollback();
  for (std::size_t i = 0; i < tasks_.size(); ++i) {
    if (tasks_[i] == nullptr) continue;
    // A connection may be lost for what one of them does: whoever runs often enough is answered.
    if (i == culprit || lost || culprit == kNobody) {
      tasks_[i]->alone = tasks_[i]->alone || i == culprit || nobody_knows;
      PutAgain(std::move(tasks_[i]), why, end_);
    } else {
      ++end_.undone;
      end_.again.push_back(std::move(tasks_[i]));
    }
  }
}

// Those behind a group that was closed.
void Group::RestAgain(std::size_t first) {
  for (std::size_t i = first; i < tasks_.size(); ++i) {
    if (tasks_[i] != nullptr) end_.again.push_back(std::move(tasks_[i]));
  }
}

void Group::Rollback() {
  connection_.DropAdded();
  if (!connection_.broken()) (void)connection_.Run("ROLLBACK");
}

}  // namespace assent::postgresql::internal
