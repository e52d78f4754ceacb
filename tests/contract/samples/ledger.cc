#include "tests/contract/samples/ledger.h"

#include <algorithm>
#include <stdexcept>
#include <utility>

#include <assent/limits.h>

#include "tests/contract/samples/payload.h"
#include "tests/contract/samples/sql.h"

namespace assent::contract::samples {
namespace {

using Reply = v1::BranchReply;

// A handler says it to say no.
struct Refusal : std::runtime_error {
  using std::runtime_error::runtime_error;
};

v1::Operation ForwardOf(v1::Operation operation) {
  switch (operation) {
    case v1::PREPARE:
    case v1::COMMIT:
    case v1::ROLLBACK: return v1::PREPARE;
    case v1::TRY:
    case v1::CONFIRM:
    case v1::CANCEL: return v1::TRY;
    case v1::ACTION:
    case v1::COMPENSATE: return v1::ACTION;
    default: return v1::OPERATION_UNSPECIFIED;  // the wire may hold any number
  }
}
v1::Operation FinishOf(v1::Operation forward) {
  if (forward == v1::PREPARE) return v1::COMMIT;
  return forward == v1::TRY ? v1::CONFIRM : v1::OPERATION_UNSPECIFIED;
}
v1::Operation UndoOf(v1::Operation forward) {
  if (forward == v1::PREPARE) return v1::ROLLBACK;
  return forward == v1::TRY ? v1::CANCEL : v1::COMPENSATE;
}
bool IsForward(v1::Operation operation) { return ForwardOf(operation) == operation; }

bool Knows(const v1::BranchCommand& command) {
  if (command.action() == "add") return true;
  const bool saga = ForwardOf(command.operation()) == v1::ACTION;
  return saga &&
         (command.action() == "read" || command.action() == "echo" || command.action() == "bytes");
}

Reply ReplyTo(const v1::BranchCommand& command, Reply::Kind kind) {
  Reply reply;
  reply.set_gid(command.gid());
  reply.set_branch_id(command.branch_id());
  reply.set_operation(command.operation());
  reply.set_command_id(command.command_id());
  reply.set_kind(kind);
  return reply;
}

// Valid UTF-8, and not too long: what is not ASCII becomes a question mark.
std::string ReasonOf(std::string text) {
  text.resize(std::min<std::size_t>(text.size(), limits::kMaxReasonBytes));
  for (char& c : text) c = static_cast<unsigned char>(c) < 0x80 ? c : '?';
  return text;
}

}  // namespace

const std::vector<Mistake>& Mistakes() {
  static const std::vector<Mistake> mistakes = {
      {"no-barrier", "It does not remember what it has done."},
      {"answer-made-anew", "It remembers what it has done, and computes the answer again."},
      {"looks-before-it-locks", "It looks whether it has done it, and then takes the lock."},
      {"gid-alone", "It knows branches by their gid."},
      {"empty-undo-refused", "It refuses to undo what never came."},
      {"empty-undo-forgotten", "It undoes what never came, and forgets that it has."},
      {"commits-blindly", "It finishes without having looked at what is prepared or tried."},
      {"refusal-forgotten", "It does not remember a refusal."},
      {"refusal-keeps-what-it-wrote", "It refuses without rolling back."},
      {"failure-is-a-no", "It takes a failure for a business no."},
      {"unknown-is-done", "It is done with what it does not know."},
      {"answers-before-commit", "It answers before its local commit."},
      {"prepared-in-memory", "It keeps prepared work in memory."},
      {"payload-is-text", "It takes a payload for a text."},
      {"drops-trace", "It does not hand the trace on."},
      {"never-reconnects", "Once its session has ended it waits for ever. Session."},
      {"asks-nothing", "It does not ask about prepared work. Session."},
      {"drops-when-busy", "It drops what it has no thread for. Session."},
      {"leaves-at-once", "On SIGTERM it ends without a goodbye. Session."},
      {"hears-former-owners", "It does what a slot's former owner asks. Session."},
      {"knows-one-coordinator", "It does not dial the others of a cluster. Session."},
      {"echoes-no-branch", "It leaves branch_id out of its replies. Session."},
      {"dies-of-a-large-frame", "It ends with a stream that brought a frame too large. Session."},
  };
  return mistakes;
}

LedgerParticipant::LedgerParticipant(const std::string& path, std::string mistake)
    : mistake_(std::move(mistake)) {
  if (sqlite3_open(path.c_str(), &db_) != SQLITE_OK) throw std::runtime_error(path);
  for (const char* sql :
       {"PRAGMA busy_timeout = 5000", "PRAGMA journal_mode = WAL", "PRAGMA synchronous = FULL",
        "CREATE TABLE IF NOT EXISTS ledger(account TEXT PRIMARY KEY NOT NULL,"
        " balance INT NOT NULL, held INT NOT NULL)",
        "CREATE TABLE IF NOT EXISTS barrier(branch TEXT, operation INT, kind INT NOT NULL,"
        " result BLOB, reason TEXT, PRIMARY KEY(branch, operation)) WITHOUT ROWID",
        "CREATE TABLE IF NOT EXISTS prepared(branch TEXT PRIMARY KEY, gid TEXT, branch_id TEXT,"
        " coordinator_id INT, began_epoch INT, account TEXT, amount INT)"})
    RunSql(db_, sql);
  // As if it had been kept in memory.
  if (Makes("prepared-in-memory")) {
    RunSql(db_, "DELETE FROM barrier WHERE branch IN (SELECT branch FROM prepared)");
    RunSql(db_, "DELETE FROM prepared");
  }
}

LedgerParticipant::~LedgerParticipant() { sqlite3_close(db_); }

v1::BranchReply LedgerParticipant::Execute(const v1::BranchCommand& command) {
  if (command.gid().empty() || command.branch_id().empty() ||
      ForwardOf(command.operation()) == v1::OPERATION_UNSPECIFIED)
    throw std::invalid_argument("no command of this contract");
  if (!Knows(command)) {
    Reply reply =
        ReplyTo(command, IsForward(command.operation()) ? Reply::REFUSED : Reply::RETRY_LATER);
    if (Makes("unknown-is-done")) reply.set_kind(Reply::DONE);
    reply.set_reason("there is no such action here");
    return reply;
  }
  if (Makes("looks-before-it-locks") && IsForward(command.operation())) LookFirst(command);
  const std::scoped_lock lock(mutex_);
  // An earlier answer that came before its commit: the transaction is still open.
  const bool open = sqlite3_get_autocommit(db_) == 0;
  if (!open) RunSql(db_, "BEGIN IMMEDIATE");
  RunSql(db_, "SAVEPOINT operation");
  try {
    Reply reply = Decide(command);
    RunSql(db_, "RELEASE operation");
    if (!Makes("answers-before-commit")) RunSql(db_, "COMMIT");
    return reply;
  } catch (const std::exception& error) {
    RunSql(db_, "ROLLBACK TO operation");
    RunSql(db_, "RELEASE operation");
    if (!Makes("answers-before-commit")) RunSql(db_, "ROLLBACK");
    Reply reply = ReplyTo(command, Reply::RETRY_LATER);
    if (Makes("failure-is-a-no")) reply.set_kind(Reply::REFUSED);
    reply.set_reason(ReasonOf(error.what()));
    return reply;
  }
}

void LedgerParticipant::LookFirst(const v1::BranchCommand& command) {
  {
    const std::scoped_lock lock(mutex_);
    if (Find(command, command.operation()).found) return;
    // From here on it believes to be the first, until it has run.
    looked_.insert(Key(command));
  }
  if (command.action() == "add") {
    AddPayload wait;
    wait.wait_ms = ParseAdd(command.payload()).wait_ms;
    WaitCrashOrFail(wait);
  }
}

v1::BranchReply LedgerParticipant::Decide(const v1::BranchCommand& command) {
  const Row row = Find(command, command.operation());
  const auto believed = looked_.find(Key(command));
  const bool first = believed != looked_.end() && IsForward(command.operation());
  if (first) looked_.erase(believed);
  if (row.found && !first && !Makes("no-barrier")) {
    Reply reply = ReplyTo(command, static_cast<Reply::Kind>(row.kind));
    reply.set_result(row.result);
    reply.set_reason(row.reason);
    if (Makes("answer-made-anew") && command.action() == "add" && IsForward(command.operation()) &&
        row.kind == Reply::DONE)
      reply.set_result(LedgerOf(AccountOf(command.payload())));
    return reply;
  }
  const v1::Operation forward = ForwardOf(command.operation());
  if (command.operation() == forward) return Forward(command);
  return command.operation() == FinishOf(forward) ? Finish(command) : Undo(command);
}

v1::BranchReply LedgerParticipant::Refuse(const v1::BranchCommand& command,
                                          const std::string& reason) {
  Reply reply = ReplyTo(command, Reply::REFUSED);
  reply.set_reason(ReasonOf(reason));
  if (IsForward(command.operation()) && !Makes("refusal-forgotten")) Store(command, reply);
  return reply;
}

v1::BranchReply LedgerParticipant::Forward(const v1::BranchCommand& command) {
  const v1::Operation undo = UndoOf(command.operation());
  if (Find(command, undo).found) return Refuse(command, "it was undone before it came");
  RunSql(db_, "SAVEPOINT business");
  Reply reply = ReplyTo(command, Reply::DONE);
  try {
    reply.set_result(Run(command));
    if (reply.result().size() > limits::kMaxResultBytes)
      throw std::length_error("the result is over its limit");
  } catch (const Refusal& no) {
    if (!Makes("refusal-keeps-what-it-wrote")) RunSql(db_, "ROLLBACK TO business");
    return Refuse(command, no.what());
  }
  Store(command, reply);
  if (command.one_phase()) Finish(command);
  return reply;
}

v1::BranchReply LedgerParticipant::Finish(const v1::BranchCommand& command) {
  const v1::Operation forward = ForwardOf(command.operation());
  const bool blindly = Makes("commits-blindly");
  if (Find(command, UndoOf(forward)).found) return Refuse(command, "it was undone");
  if (!IsDone(command, forward) && !blindly) return Refuse(command, "nothing is there to finish");
  const AddPayload add = ParseAdd(command.payload());
  if (forward == v1::PREPARE) {
    Change(add.account, add.amount, 0);
    Sql(db_, "DELETE FROM prepared WHERE branch = ?").Bind(Key(command)).Step();
  } else {
    Change(add.account, add.amount, -add.amount);
  }
  v1::BranchCommand finish = command;
  finish.set_operation(FinishOf(forward));
  Reply reply = ReplyTo(finish, Reply::DONE);
  Store(finish, reply);
  return reply;
}

v1::BranchReply LedgerParticipant::Undo(const v1::BranchCommand& command) {
  const v1::Operation forward = ForwardOf(command.operation());
  const v1::Operation finish = FinishOf(forward);
  if (finish != v1::OPERATION_UNSPECIFIED && Find(command, finish).found)
    return Refuse(command, "it was finished");
  Reply reply = ReplyTo(command, Reply::DONE);
  if (IsDone(command, forward)) {
    if (command.action() == "add") {
      const AddPayload add = ParseAdd(command.payload());
      if (forward == v1::TRY) Change(add.account, 0, -add.amount);
      if (forward == v1::ACTION) Change(add.account, -add.amount, 0);
      Sql(db_, "DELETE FROM prepared WHERE branch = ?").Bind(Key(command)).Step();
    }
  } else if (Makes("empty-undo-refused") && !Find(command, forward).found) {
    reply.set_kind(Reply::REFUSED);
    reply.set_reason("there is nothing to undo");
    return reply;
  } else if (Makes("empty-undo-forgotten") && !Find(command, forward).found) {
    return reply;
  }
  Store(command, reply);
  return reply;
}

std::vector<Prepared> LedgerParticipant::Questions() {
  const std::scoped_lock lock(mutex_);
  std::vector<Prepared> questions;
  Sql find(db_, "SELECT gid, branch_id, coordinator_id, began_epoch FROM prepared");
  while (find.Step()) {
    questions.push_back({find.Text(0), find.Text(1), static_cast<std::uint32_t>(find.Int(2)),
                         static_cast<std::uint64_t>(find.Int(3))});
  }
  return questions;
}

void LedgerParticipant::Answer(const v1::OutcomeAnswer& answer) {
  const bool commit = answer.verdict() == v1::OutcomeAnswer::COMMIT;
  if (!commit && answer.verdict() != v1::OutcomeAnswer::ABORT) return;  // keep holding
  v1::BranchCommand command;
  command.set_gid(answer.gid());
  command.set_branch_id(answer.branch_id());
  command.set_action("add");
  command.set_operation(commit ? v1::COMMIT : v1::ROLLBACK);
  {
    const std::scoped_lock lock(mutex_);
    Sql find(db_, "SELECT account, amount FROM prepared WHERE branch = ?");
    find.Bind(Key(command));
    if (!find.Step()) return;
    command.set_payload(AddJson(find.Text(0), find.Int(1)));
  }
  Execute(command);
}

std::string LedgerParticipant::Run(const v1::BranchCommand& command) {
  if (command.action() == "add") return Add(command);
  if (command.action() == "read") return LedgerOf(AccountOf(command.payload()));
  if (command.action() == "bytes") {
    // Text, as far as the first NUL.
    return Makes("payload-is-text") ? command.payload().c_str() : command.payload();
  }
  return EchoJson({command.headers().begin(), command.headers().end()},
                  {command.results().begin(), command.results().end()},
                  Makes("drops-trace") ? "" : command.traceparent(),
                  Makes("drops-trace") ? "" : command.tracestate());
}

std::string LedgerParticipant::Add(const v1::BranchCommand& command) {
  const AddPayload add = ParseAdd(command.payload());
  std::string result;
  if (command.operation() == v1::PREPARE) {
    // What is prepared is kept as an intent. Checked as if all were committed that takes away.
    Change(add.account, add.amount, 0);
    result = LedgerOf(add.account);
  } else {
    Change(add.account, command.operation() == v1::ACTION ? add.amount : 0,
           command.operation() == v1::TRY ? add.amount : 0);
    result = LedgerOf(add.account);
  }
  Sql sum(db_,
          "SELECT balance + held + (SELECT coalesce(sum(min(amount, 0)), 0) FROM prepared"
          " WHERE prepared.account = ledger.account) FROM ledger WHERE account = ?");
  sum.Bind(add.account);
  if (sum.Step() && sum.Int(0) < 0) throw Refusal("not enough");
  WaitCrashOrFail(add);
  if (add.refuse) throw Refusal(add.reason);
  if (command.operation() == v1::PREPARE) {
    Change(add.account, -add.amount, 0);
    Sql(db_, "INSERT OR REPLACE INTO prepared VALUES(?, ?, ?, ?, ?, ?, ?)")
        .Bind(Key(command))
        .Bind(command.gid())
        .Bind(command.branch_id())
        .Bind(command.coordinator_id())
        .Bind(static_cast<std::int64_t>(command.began_epoch()))
        .Bind(add.account)
        .Bind(add.amount)
        .Step();
  }
  return result;
}

std::string LedgerParticipant::Key(const v1::BranchCommand& command) const {
  return Makes("gid-alone") ? command.gid() : command.gid() + "/" + command.branch_id();
}

LedgerParticipant::Row LedgerParticipant::Find(const v1::BranchCommand& command,
                                               v1::Operation operation) {
  Sql find(db_, "SELECT kind, result, reason FROM barrier WHERE branch = ? AND operation = ?");
  find.Bind(Key(command)).Bind(std::int64_t{operation});
  if (!find.Step()) return {};
  return {true, static_cast<int>(find.Int(0)), find.Text(1), find.Text(2)};
}

bool LedgerParticipant::IsDone(const v1::BranchCommand& command, v1::Operation operation) {
  const Row row = Find(command, operation);
  return row.found && row.kind == Reply::DONE;
}

void LedgerParticipant::Store(const v1::BranchCommand& command, const v1::BranchReply& reply) {
  Sql(db_, "INSERT OR REPLACE INTO barrier VALUES(?, ?, ?, ?, ?)")
      .Bind(Key(command))
      .Bind(std::int64_t{command.operation()})
      .Bind(std::int64_t{reply.kind()})
      .Bind(reply.result())
      .Bind(reply.reason())
      .Step();
}

void LedgerParticipant::Change(const std::string& account, std::int64_t balance,
                               std::int64_t held) {
  Sql(db_,
      "INSERT INTO ledger VALUES(?1, ?2, ?3) ON CONFLICT(account) DO UPDATE SET"
      " balance = balance + ?2, held = held + ?3")
      .Bind(account)
      .Bind(balance)
      .Bind(held)
      .Step();
}

std::string LedgerParticipant::LedgerOf(const std::string& account) {
  Sql read(db_, "SELECT balance, held FROM ledger WHERE account = ?");
  read.Bind(account);
  return read.Step() ? LedgerJson(read.Int(0), read.Int(1)) : LedgerJson(0, 0);
}

}  // namespace assent::contract::samples
