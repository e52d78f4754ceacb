#include "participant-sdk/cpp/mariadb/group.h"

#include <algorithm>
#include <string>
#include <utility>

#include "participant-sdk/cpp/mariadb/undo_log.h"

namespace assent::mariadb::internal {

using barrier::IsDone;
using barrier::Move;
using barrier::State;
using std::chrono_literals::operator""s;

Group::Group(Connection& connection, const Context& context, Tasks tasks)
    : connection_(connection),
      context_(context),
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

// What cannot be undone is told to one of them, and the next might do the same unseen.
bool Group::Full() const {
  return connection_.WroteForGood() || std::chrono::steady_clock::now() >= close_at_;
}

bool Group::Begin() {
  std::vector<BranchKey> branches;
  for (const TaskPtr& task : tasks_) {
    if (task->has_branch()) branches.push_back(task->branch());
  }
  // Nobody waits while it holds others' rows.
  const std::chrono::seconds wait = alone_ ? context_.options.lock_timeout : 0s;
  connection_.AddLockWait(wait);
  connection_.Add("START TRANSACTION");
  // One that was lost may have left it.
  if (!context_.options.undo_tables.empty()) connection_.Add(kStepOff);
  AddLock(connection_, branches, wait);
  AddFind(connection_, branches);
  return ReadBegun(connection_.Exchange());
}

bool Group::ReadBegun(std::vector<Answer> answers) {
  for (const Answer& answer : answers) {
    if (answer.ok()) continue;
    if (answer.failure == Failure::kLost || answer.failure == Failure::kAgain || !alone_) {
      AllAgain(answer.status(), kNobody);
    } else {
      AloneNotDone(answer.status());
    }
    return false;
  }
  std::vector<std::size_t> numbers;  // of those that have a branch
  for (std::size_t i = 0; i < tasks_.size(); ++i) {
    if (tasks_[i]->has_branch()) numbers.push_back(i);
  }
  const Table& locks = answers[answers.size() - 2].table;
  const Table& found = answers.back().table;
  for (std::size_t i = 0; i < numbers.size(); ++i)
    locked_[numbers[i]] = locks.Int(0, static_cast<int>(i)) == 1;
  if (alone_ && !locked_.front()) {
    AloneNotDone(Unavailable("another process works on this branch"));
    return false;
  }
  for (int i = 0; i < found.rows(); ++i) {
    const auto is_its = [&](std::size_t number) {
      return tasks_[number]->call.gid == found.Text(i, 0) &&
             tasks_[number]->call.branch_id == found.Text(i, 1);
    };
    const std::size_t number = *std::find_if(numbers.begin(), numbers.end(), is_its);
    Result<barrier::Row> row = ReadRow(found, i);
    if (row.ok()) {
      rows_[number] = std::move(*row);
    } else {
      damaged_[number] = row.status();
    }
  }
  return true;
}

void Group::AloneNotDone(const Status& why) {
  Rollback();
  tasks_.front()->NotDone(why);
  end_.done.push_back(std::move(tasks_.front()));
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
  if (opening.move == Move::kBury)
    kept_.Insert(task.call, State::kTombstone, opening.reply, context_.now());
  if (opening.move != Move::kRun) {
    task.reply = std::move(opening.reply);
    return Trace::kKept;
  }
  std::string why;
  const DbHandler* const handler = context_.HandlerOf(task.call, why);
  if (handler != nullptr) return RunHandlerOf(task, *handler, row);
  task.reply = Reply::RetryLater(why);
  return Trace::kKept;
}

// The savepoint of the next operation takes the place of this one's, and COMMIT that of the last.
Group::Trace Group::RunHandlerOf(Task& task, const DbHandler& handler, const barrier::Row& row) {
  const std::uint64_t before = connection_.exchanges();
  connection_.Add("SAVEPOINT assent_op");
  Db::Impl db(connection_);
  task.reply = RunHandler(handler, task.call, db);
  const bool in_vain = db.failure == Failure::kLocked || db.failure == Failure::kCancelled;
  if (alone_ && in_vain) {
    task.reply =
        Reply::RetryLater("a row is locked by another transaction: " + db.status.message());
  }
  const bool was_sent = connection_.exchanges() != before;
  if (const std::optional<Trace> trace = TraceOfFailure(task, db, was_sent)) return *trace;
  if (IsDone(task.reply)) {
    task.reply.kind = Reply::Kind::kDone;
    if (!was_sent) connection_.TakeBack();
    KeepRow(task.call, row, task.reply);
  } else {
    Undo(was_sent);
    KeepRow(task.call, row, task.reply);
  }
  return Trace::kKept;
}

std::optional<Group::Trace> Group::TraceOfFailure(Task& task, Db::Impl& db, bool was_sent) {
  const bool lost =
      db.failure == Failure::kAgain || db.failure == Failure::kLost || connection_.broken();
  if (lost || !connection_.InTransaction()) {
    why_ = db.status.ok() ? Unavailable("the local transaction was ended") : db.status;
    return Trace::kAllLost;
  }
  const bool in_vain = db.failure == Failure::kLocked || db.failure == Failure::kCancelled;
  if (!in_vain || alone_) return std::nullopt;
  Undo(was_sent);
  task.reply = {};
  return Trace::kSetAside;
}

void Group::KeepRow(const Call& call, const barrier::Row& row, const Reply& reply) {
  const State state = barrier::After(call, reply);
  if (state == State::kNone) return;
  if (RoleOf(call.operation) == Role::kForward) {
    kept_.Insert(call, state, reply, context_.now());
  } else {
    kept_.Advance({call.gid, call.branch_id}, row.state, state, reply.result, context_.now());
  }
}

void Group::Undo(bool was_sent) {
  if (!was_sent) return connection_.TakeBack();
  connection_.Add("ROLLBACK TO SAVEPOINT assent_op");
}

Group::Trace Group::RunLocal(Task& task) {
  const std::uint64_t before = connection_.exchanges();
  connection_.Add("SAVEPOINT assent_op");
  Db::Impl db(connection_);
  task.status = RunWriter(*task.write, db);
  const bool was_sent = connection_.exchanges() != before;
  if (const std::optional<Trace> trace = TraceOfFailure(task, db, was_sent)) return *trace;
  if (!task.status.ok()) {
    Undo(was_sent);
  } else if (!was_sent) {
    connection_.TakeBack();
  }
  return Trace::kKept;
}

void Group::RunAnswer(Task& task, const barrier::Row& row) {
  const std::int64_t retain = context_.options.retain.count();
  // Prepared work, or such that has no row, which XA RECOVER knows: not for a transaction.
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
  kept_.AddTo(connection_);
  connection_.Add("COMMIT");
  connection_.Add(kUnlockAll);
  const std::vector<Answer> answers = connection_.Exchange();
  const Answer& commit = answers[answers.size() - 2];
  RestAgain(count);
  if (!commit.ok()) {
    const auto failed = std::find_if(answers.begin(), answers.end(),
                                     [](const Answer& answer) { return !answer.ok(); });
    // What comes before it keeps the server from looking at it.
    const bool refused = &*failed != &commit || commit.failure == Failure::kAgain;
    if (failed->failure == Failure::kLost || !refused) return CommitUnknown(failed->status());
    return CommitRefused(failed->status());
  }
  // It might keep the locks of the branches.
  if (!answers.back().ok()) connection_.Break();
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

void Group::CommitUnknown(const Status& why) {
  connection_.Break();
  for (TaskPtr& task : tasks_) {
    if (task == nullptr) continue;
    ++end_.unknown;
    task->Unknown(why);
    end_.done.push_back(std::move(task));
  }
}

void Group::CommitRefused(const Status& why) {
  Rollback();
  for (TaskPtr& task : tasks_) {
    if (task == nullptr) continue;
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
  if (connection_.broken()) return;
  const Answer undone = connection_.Run(std::string("ROLLBACK; ") + kUnlockAll);
  if (!undone.ok()) connection_.Break();
}

}  // namespace assent::mariadb::internal
