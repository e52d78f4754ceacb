#include "participant-sdk/cpp/mariadb/two_phase.h"

#include <algorithm>
#include <string>
#include <utility>
#include <vector>

#include "participant-sdk/cpp/mariadb/xid.h"

namespace assent::mariadb::internal {

using barrier::Move;
using barrier::State;

namespace {

bool IsUnknown(Failure failure) {
  return failure == Failure::kLost || failure == Failure::kCancelled;
}

// Of a row that is locked, to who does not wait.
constexpr unsigned kIsLocked = 1205;

}  // namespace

TwoPhase::TwoPhase(Connection& main, Sessions& sessions, const Context& context, TaskPtr task)
    : main_(main),
      sessions_(sessions),
      context_(context),
      task_(std::move(task)),
      name_(task_->call.gid + "/" + task_->call.branch_id),
      xid_(XidOf(task_->branch())),
      is_branch_(IsBranch(task_->branch())),
      work_lock_(WorkLockOf(task_->branch())) {}

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
  if (is_kept_) {
    sessions_.Keep(name_, std::move(work_));
  } else {
    sessions_.PutIdle(std::move(work_));
  }
  main_.DropAdded();
  if (!main_.broken() && !main_.Run(kUnlockAll).ok()) main_.Break();
  return std::move(end_);
}

bool TwoPhase::Look(Known& known) {
  if (!LookOnce(known)) return false;
  work_ = sessions_.Take(name_);
  // It would have what is prepared: so it is not what it was.
  if (known.mark != Mark::kHeld) work_.reset();
  is_kept_ = work_ != nullptr;
  if (!is_kept_ && known.session != 0) {
    if (!EndSession(known.session)) return false;
    known = {};
    if (!LookOnce(known)) return false;
  }
  if (task_->kind != Task::Kind::kAnswer) return true;
  // As if the coordinator had sent the operation.
  task_->call.protocol = Protocol::kTwoPhase;
  task_->call.action = known.row.action;
  task_->call.operation =
      task_->verdict == Verdict::kCommit ? Operation::kCommit : Operation::kRollback;
  return true;
}

bool TwoPhase::LookOnce(Known& known) {
  const std::chrono::seconds wait = context_.options.lock_timeout;
  main_.AddLockWait(wait);
  AddLock(main_, {task_->branch()}, wait);
  main_.Add("SELECT IS_USED_LOCK(" + work_lock_ + ")");
  AddFind(main_, {task_->branch()});
  const std::vector<mariadb::internal::Answer> answers = main_.Exchange();
  for (const auto& answer : answers) {
    if (answer.ok()) continue;
    Failed(answer);
    return false;
  }
  // Whether the first of them was a setting is nobody's business.
  const Table& lock = answers[answers.size() - 3].table;
  const Table& used = answers[answers.size() - 2].table;
  const Table& found = answers.back().table;
  if (lock.Int(0, 0) != 1) {
    NotDone(Unavailable("another process works on this branch"));
    return false;
  }
  known.session = used.Int(0, 0);
  if (found.rows() > 0) {
    Result<barrier::Row> row = ReadRow(found, 0);
    if (!row.ok()) {
      NotDone(row.status());
      return false;
    }
    known.row = std::move(*row);
  }
  return ReadMark(known.mark);
}

// The client has gone, or is another process: under the lock of the branch no session works.
bool TwoPhase::EndSession(std::int64_t session) {
  const auto killed = main_.Run("KILL CONNECTION " + std::to_string(session));
  // If it has ended by itself meanwhile, or is another user's, its lock says so.
  if (killed.failure == Failure::kLost) {
    Failed(killed);
    return false;
  }
  const auto free = main_.Run("SELECT " + GetLock(work_lock_, context_.options.lock_timeout) +
                              "; DO RELEASE_LOCK(" + work_lock_ + ")");
  if (!free.ok()) {
    Failed(free);
    return false;
  }
  const auto used = main_.Run("SELECT IS_USED_LOCK(" + work_lock_ + ")");
  if (used.ok() && used.table.IsNull(0, 0)) return true;
  NotDone(Unavailable("the session that worked on this branch has not ended yet"));
  return false;
}

void TwoPhase::Prepare(const Known& known) {
  barrier::Opening opening = barrier::Open(call(), known.row);
  if (opening.move != Move::kRun) return Answer(std::move(opening.reply));
  std::string why;
  const DbHandler* const handler = context_.HandlerOf(call(), why);
  if (handler == nullptr) return NotDone(Unavailable(why));
  // Whoever prepared it died, or lost its connection, before it could answer.
  if (known.mark == Mark::kHeld && !EndPrepared(false)) return;
  if (Start() && RunPrepare(*handler)) MakeDurable();
}

bool TwoPhase::Start() {
  if (work_ == nullptr) {
    Result<std::unique_ptr<Connection>> opened = sessions_.Open();
    if (!opened.ok()) {
      NotDone(opened.status());
      return false;
    }
    work_ = std::move(*opened);
  }
  if (work_->identity() != main_.identity()) {
    // One address, and behind it two servers: a promise would be in one, its row in the other.
    const std::string both = main_.identity() + " and " + work_->identity();
    main_.Break();
    work_->Break();
    NotDone(Unavailable("two connections have found two servers, " + both));
    return false;
  }
  work_->AddLockWait(context_.options.lock_timeout);
  work_->Add("SELECT " + GetLock(work_lock_, context_.options.lock_timeout));
  work_->Add("XA START " + xid_);
  const auto answers = work_->Exchange();
  const auto& locked = answers[answers.size() - 2];
  if (answers.back().ok() && locked.table.Int(0, 0) == 1) return true;
  AbandonWork();
  if (answers.back().ok()) {
    NotDone(Unavailable("another session works on this branch"));
  } else {
    Failed(answers.back());
  }
  return false;
}

// True when there is something to be kept.
bool TwoPhase::RunPrepare(const DbHandler& handler) {
  Db::Impl db(*work_);
  Reply reply = RunHandler(handler, call(), db);
  if (db.failure == Failure::kAgain || db.failure == Failure::kLost || work_->broken()) {
    AbandonWork();
    PutAgain(std::move(task_), db.status, end_);
    return false;
  }
  if (db.failure == Failure::kLocked || db.failure == Failure::kCancelled)
    reply = Reply::RetryLater("a row is locked by another transaction: " + db.status.message());
  if (!barrier::IsDone(reply)) {
    AbandonWork();
    const bool refused = reply.kind == Reply::Kind::kRefused;
    refused ? KeepRow(State::kRefused, std::move(reply)) : Answer(std::move(reply));
    return false;
  }
  if (reply.kind == Reply::Kind::kDoneReadOnly && !db.may_have_written) {
    AbandonWork();
    KeepRow(barrier::After(call(), reply, false), std::move(reply));
    return false;
  }
  reply.kind = Reply::Kind::kDone;
  task_->reply = std::move(reply);
  return true;
}

void TwoPhase::AbandonWork() {
  work_->DropAdded();
  // XA END fails where there is no transaction, or one that is to be rolled back already.
  if (!work_->broken()) (void)work_->Run("XA END " + xid_);
  if (!work_->broken()) {
    const auto undone = work_->Run("XA ROLLBACK " + xid_);
    const bool is_gone = undone.ok() || undone.number == kNoSuchXa;
    if (is_gone && work_->Run(kUnlockAll).ok()) return;
  }
  work_.reset();  // the server rolls it back when it sees that we have gone
}

void TwoPhase::MakeDurable() {
  context_.Reach("prepare:before");
  work_->Add("INSERT INTO assent_marker(gid, branch_id) VALUES(" + Quoted(call().gid) + ", " +
             Quoted(call().branch_id) + ")");
  work_->Add("XA END " + xid_);
  work_->Add("XA PREPARE " + xid_);
  const auto answers = work_->Exchange();
  const auto failed =
      std::find_if(answers.begin(), answers.end(), [](const auto& answer) { return !answer.ok(); });
  if (failed == answers.end()) {
    is_kept_ = true;
    context_.Reach("prepare:prepared");
    return KeepPrepared();
  }
  // "Nothing happened" would leave it prepared for ever, if it is.
  const bool is_last = failed + 1 == answers.end();
  if (failed->failure == Failure::kLost || (is_last && failed->failure != Failure::kAgain)) {
    work_.reset();
    return Unknown(failed->status());
  }
  AbandonWork();
  Failed(*failed);
}

void TwoPhase::KeepPrepared() {
  main_.Add("START TRANSACTION");
  AddInsert(main_, call(), State::kPrepared, task_->reply, context_.now());
  main_.Add("COMMIT");
  for (const auto& answer : main_.Exchange()) {
    if (answer.ok()) continue;
    main_.Break();  // with what it has begun
    return Unknown(answer.status());
  }
  Answer(std::move(task_->reply));
}

void TwoPhase::Settle(const Known& known) {
  barrier::Opening opening = barrier::Open(call(), known.row);
  if (opening.move == Move::kBury) {
    if (known.mark == Mark::kHeld && !EndPrepared(false)) return;
    return KeepRow(State::kTombstone, std::move(opening.reply));
  }
  if (opening.move != Move::kRun) return Answer(std::move(opening.reply));
  const bool commits = call().operation == Operation::kCommit;
  context_.Reach("settle:before");
  if (known.mark == Mark::kHeld) {
    if (!EndPrepared(commits)) return;
  } else if ((known.mark == Mark::kCommitted) != commits) {
    return Answer(
        Reply::Refused(std::string("HAZARD: its prepared work is gone from XA RECOVER: it was ") +
                       (commits ? "rolled back" : "committed") + " by somebody else"));
  }
  context_.Reach("settle:settled");
  KeepSettled(commits);
}

void TwoPhase::SettleUnpromised(const Known& known) {
  const bool is_over = task_->verdict == Verdict::kAbort && known.mark == Mark::kHeld;
  if (is_over && !EndPrepared(false)) return;
  Answer({});
}

bool TwoPhase::EndPrepared(bool commits) {
  return is_kept_ ? EndInSession(commits) : EndDetached(commits);
}

bool TwoPhase::EndInSession(bool commits) {
  is_kept_ = false;
  const auto ended = work_->Run((commits ? "XA COMMIT " : "XA ROLLBACK ") + xid_);
  if (ended.ok()) {
    if (!work_->Run(kUnlockAll).ok()) work_->Break();
    return true;
  }
  // The session ends; who asks again finds what has become of it.
  work_.reset();
  NotDone(ended.status());
  return false;
}

bool TwoPhase::EndDetached(bool commits) {
  sessions_.WaitDetached(name_);
  const auto ended = main_.Run((commits ? "XA COMMIT " : "XA ROLLBACK ") + xid_);
  if (IsUnknown(ended.failure)) {
    main_.Break();
    Unknown(ended.status());
    return false;
  }
  Mark mark = Mark::kHeld;
  if (!ReadMark(mark)) return false;
  if (mark == (commits ? Mark::kCommitted : Mark::kAbsent)) {
    sessions_.ForgetDetached(name_);
    return true;
  }
  const std::string said = ended.ok() ? "OK" : ended.message;
  NotDone(Unavailable(
      mark == Mark::kHeld
          ? "it is still prepared, but MariaDB said to its end: " + said +
                " -- if this lasts, end the session that prepared it, or restart MariaDB, which "
                "finds it again"
          : "it was ended by somebody else at this moment"));
  return false;
}

bool TwoPhase::ReadMark(Mark& mark) {
  const auto found = main_.Run("SELECT gid FROM assent_marker FORCE INDEX(PRIMARY) WHERE " +
                               is_branch_ + " LOCK IN SHARE MODE NOWAIT");
  if (!found.ok() && found.number != kIsLocked) {
    Failed(found);
    return false;
  }
  mark = !found.ok() ? Mark::kHeld : found.table.rows() == 0 ? Mark::kAbsent : Mark::kCommitted;
  return true;
}

void TwoPhase::KeepSettled(bool commits) {
  main_.Add("START TRANSACTION");
  AddAdvance(main_, task_->branch(), State::kPrepared, commits ? State::kFinished : State::kUndone,
             {}, context_.now());
  main_.Add("DELETE FROM assent_marker WHERE " + is_branch_);
  main_.Add("COMMIT");
  // What was prepared is settled in any case; who asks again finds how.
  if (CommitAdded()) Answer(Reply::Done());
}

void TwoPhase::KeepRow(State state, Reply reply) {
  main_.Add("START TRANSACTION");
  AddInsert(main_, call(), state, reply, context_.now());
  main_.Add("COMMIT");
  if (CommitAdded()) Answer(std::move(reply));
}

bool TwoPhase::CommitAdded() {
  const auto answers = main_.Exchange();
  const auto failed =
      std::find_if(answers.begin(), answers.end(), [](const auto& answer) { return !answer.ok(); });
  if (failed == answers.end()) return true;
  // Before COMMIT nothing is kept, and the server has not looked at COMMIT.
  const bool is_commit = failed + 1 == answers.end();
  const bool unknown =
      failed->failure == Failure::kLost || (is_commit && failed->failure != Failure::kAgain);
  if (unknown) {
    main_.Break();
    Unknown(failed->status());
    return false;
  }
  if (!main_.Run("ROLLBACK").ok()) main_.Break();
  Failed(*failed);
  return false;
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

void TwoPhase::Failed(const mariadb::internal::Answer& answer) {
  const bool again = answer.failure == Failure::kAgain || answer.failure == Failure::kLost;
  if (!again) return NotDone(answer.status());
  PutAgain(std::move(task_), answer.status(), end_);
}

}  // namespace assent::mariadb::internal
