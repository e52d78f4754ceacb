#include "participant-sdk/cpp/sqlite/runner.h"

#include <exception>

#include <assent/limits.h>

#include "participant-sdk/cpp/src/who_waits.h"

namespace assent::sqlite::internal {
namespace {

using assent::internal::Meet;
using assent::internal::Meeting;

// Where the coordinator's doubling of the wait starts for who was told that a row is taken.
constexpr std::chrono::milliseconds kAskAgain{5};

Protocol ProtocolOf(Operation operation) {
  switch (operation) {
    case Operation::kPrepare:
    case Operation::kCommit:
    case Operation::kRollback: return Protocol::kTwoPhase;
    case Operation::kTry:
    case Operation::kConfirm:
    case Operation::kCancel: return Protocol::kTcc;
    case Operation::kAction:
    case Operation::kCompensate: return Protocol::kSaga;
  }
  ASSENT_CHECK(!"an operation");
  return Protocol::kSaga;
}

void CutReason(std::string& reason) {
  if (reason.size() <= assent::limits::kMaxReasonBytes) return;
  std::size_t end = assent::limits::kMaxReasonBytes;
  while (end > 0 && (static_cast<unsigned char>(reason[end]) & 0xc0U) == 0x80U)
    --end;  // not inside a UTF-8 character
  reason.resize(end);
}

// The form in which a reply is kept and given, so that the first and every later one are equal byte
// for byte.
Reply Normalized(Reply reply, Phase phase) {
  CutReason(reply.reason);
  switch (reply.kind) {
    case Reply::Kind::kDone:
    case Reply::Kind::kDoneReadOnly:
      reply.reason.clear();
      reply.retry_after = {};
      if (reply.result.size() <= assent::limits::kMaxResultBytes) return reply;
      if (phase == Phase::kForward) {
        return Reply::Refused("the handler's result has " + std::to_string(reply.result.size()) +
                              " bytes; the limit is " +
                              std::to_string(assent::limits::kMaxResultBytes));
      }
      reply.result.clear();
      return reply;
    case Reply::Kind::kRefused:
      reply.result.clear();
      reply.retry_after = {};
      return reply;
    case Reply::Kind::kRetryLater: reply.result.clear(); return reply;
  }
  return Reply::RetryLater("the handler gave no kind of reply");
}

}  // namespace

const char* NameOf(Protocol protocol) {
  switch (protocol) {
    case Protocol::kTwoPhase: return "2pc";
    case Protocol::kTcc: return "tcc";
    case Protocol::kSaga: return "saga";
  }
  return "?";
}

Runner::Runner(Connection& connection, const Registry& registry, Settings settings)
    : connection_(connection),
      registry_(registry),
      settings_(std::move(settings)),
      schema_(connection, settings_.foreign_keys),
      barrier_(connection),
      claims_(connection) {}

Status Runner::BeginGroup() {
  released_.clear();
  Result<bool> any = claims_.Any();
  any_claims_ = !any.ok() || *any;
  return settings_.clock->Tick(connection_);
}

Reply Runner::Run(const Call& call) {
  blocked_by_.clear();
  tells_ = false;
  if (ProtocolOf(call.operation) != call.protocol) {
    return Reply::Refused(std::string("not an operation of a ") + NameOf(call.protocol) +
                          " branch");
  }
  if (call.gid.empty() || call.gid.size() > assent::limits::kMaxGidBytes ||
      call.branch_id.size() > assent::limits::kMaxBranchIdBytes) {
    return Reply::Refused("gid or branch id is empty or too long");
  }
  Result<BranchRow> row = barrier_.Find(call.gid, call.branch_id);
  if (!row.ok()) return NotNow(row.status());
  if (row->state != BranchState::kNone &&
      (row->protocol != call.protocol || row->action != call.action)) {
    return Reply::Refused("HAZARD: this branch was seen as " + std::string(NameOf(row->protocol)) +
                          " " + row->action + ", not " + NameOf(call.protocol) + " " + call.action);
  }
  switch (MoveFor(row->state, PhaseOf(call.operation))) {
    case Move::kRun: return Dispatch(call);
    case Move::kReplay: return row->first;
    case Move::kRepeat: return Reply::Done(row->second_result);
    case Move::kNothing: return Reply::Done();
    case Move::kRefuse: return Reply::Refused(RefusalFor(row->state, call.operation));
    case Move::kBury: break;
  }
  BranchRow tombstone{BranchState::kTombstone, call.protocol, call.action, Reply::Done(), {}};
  Status kept = barrier_.Put(call, tombstone, Now());
  return kept.ok() ? Reply::Done() : NotNow(kept);
}

Reply Runner::Dispatch(const Call& call) {
  // Finishing prepared work needs no handler, which may be gone from a newer version of the
  // service.
  if (call.operation == Operation::kCommit) return Commit(call.gid, call.branch_id);
  if (call.operation == Operation::kRollback) return Rollback(call.gid, call.branch_id);
  auto found = registry_.find({call.action, call.protocol});
  if (found == registry_.end()) {
    return Reply::RetryLater(std::string("no ") + NameOf(call.protocol) + " action " + call.action +
                             " is registered here");
  }
  const Handlers& handlers = found->second;
  switch (PhaseOf(call.operation)) {
    case Phase::kForward:
      return handlers.recorded ? RunRecorded(handlers, call) : RunForward(handlers, call);
    case Phase::kFinish: return RunSecond(handlers.finish, call, BranchState::kFinished);
    case Phase::kUndo: break;
  }
  return handlers.recorded ? CompensateRecorded(call)
                           : RunSecond(handlers.undo, call, BranchState::kUndone);
}

// Why what the handler did cannot be kept, whatever it answered.
Status Runner::EndOfHandler(Db::Impl& db) {
  if (db.has_stray) connection_.ResetStray();
  if (connection_.idle())
    return Unavailable("rolled back");  // the executor has the sentence for it
  if (!db.status.ok()) return db.status;
  int unresolved = 0;
  int highest = 0;
  sqlite3_db_status(connection_.handle(), SQLITE_DBSTATUS_DEFERRED_FKS, &unresolved, &highest, 0);
  if (unresolved != 0) return FailedPrecondition("FOREIGN KEY constraint failed (deferred)");
  return OkStatus();
}

Reply Runner::RunHandler(const DbHandler& handler, const Call& call, Db::Impl& db) {
  Reply reply;
  try {
    Connection::ModeGuard as_branch(connection_, Mode::kBranch);
    reply = handler(db.db, call);
  } catch (const std::exception& thrown) {
    reply = Reply::RetryLater(std::string("the handler threw: ") + thrown.what());
  } catch (...) {
    reply = Reply::RetryLater("the handler threw");
  }
  const Phase phase = PhaseOf(call.operation);
  const Status end = EndOfHandler(db);
  if (!end.ok() && IsDone(reply)) {
    const bool said_no = end.code() == Code::kFailedPrecondition && phase == Phase::kForward;
    reply = said_no ? Reply::Refused(end.message()) : NotNow(end);
  }
  return Normalized(std::move(reply), phase);
}

// A claim stands in the way: wait for the holder, or not (who_waits.h).
Reply Runner::Blocked(const Call& call, const ClaimTable::Conflict& conflict) {
  if (conflict.gid == call.gid && PhaseOf(call.operation) == Phase::kForward) {
    // Waiting would be for ever: the holder ends only with the transaction.
    return Reply::Refused(conflict.what + " is held by branch " + conflict.branch_id +
                          " of this same transaction: let one branch write it");
  }
  const std::string held = conflict.what + " is held by branch " + conflict.branch_id +
                           " of transaction " + conflict.gid;
  const Meeting meeting =
      assent::internal::MayHoldOthersUp(call.operation, call.one_phase)
          ? Meet({call.gid, call.began_unix_ms, call.coordinator_id},
                 {conflict.gid, conflict.began_unix_ms, conflict.coordinator_id})
          : Meeting::kWait;
  switch (meeting) {
    case Meeting::kWait: break;
    case Meeting::kTell: tells_ = true; break;
    case Meeting::kRefuse:
      return Reply::Refused(held + ", which is prepared, younger, and of coordinator " +
                            std::to_string(conflict.coordinator_id) +
                            ": an older transaction does not wait for it, or both might for ever");
  }
  blocked_by_ = conflict.gid;
  Reply reply = Reply::RetryLater(
      held + (tells_ ? ", which is prepared, and younger" : ", which is prepared"));
  if (call.began_unix_ms != 0 && PhaseOf(call.operation) == Phase::kForward) {
    reply.blocked_by = conflict.gid;
    reply.retry_after = kAskAgain;
  }
  return reply;
}

Result<std::optional<ClaimTable::Conflict>> Runner::FindConflict(std::string_view gid,
                                                                 std::string_view branch_id,
                                                                 const Connection::Touched& touched,
                                                                 const ClaimSet& asked) {
  if (!any_claims_) return std::optional<ClaimTable::Conflict>();
  if (touched.overflow) {
    return ResourceExhausted(
        "more than " + std::to_string(kMaxWatchedCount) +
        " rows written while branches are prepared: try again when they have ended");
  }
  Status status = schema_.Refresh();
  ClaimSet claims = asked;
  if (status.ok()) status = AddClaims(schema_, touched.rows, claims);
  if (!status.ok()) return status;
  return claims_.Find(claims, gid, branch_id);
}

Reply Runner::KeepRefusal(const Call& call, Reply refusal) {
  CutReason(refusal.reason);
  BranchRow row{BranchState::kRefused, call.protocol, call.action, refusal, {}};
  Status kept = barrier_.Put(call, row, Now());
  return kept.ok() ? std::move(refusal) : NotNow(kept);
}

Reply Runner::RunForward(const Handlers& handlers, const Call& call) {
  Reply reply;
  {
    Savepoint savepoint(connection_);
    if (!savepoint.status().ok()) return NotNow(savepoint.status());
    Db::Impl db(connection_, &schema_);
    Connection::Touched touched{{}, kMaxWatchedCount, false};
    if (any_claims_) connection_.StartWatching(&touched);
    reply = RunHandler(handlers.forward, call, db);
    connection_.StopWatching();
    if (IsDone(reply)) {
      reply.kind = Reply::Kind::kDone;
      auto conflict = FindConflict(call.gid, call.branch_id, touched, db.claims);
      if (!conflict.ok()) return NotNow(conflict.status());
      if (conflict->has_value()) {
        reply = Blocked(call, **conflict);
      } else {
        Status kept =
            barrier_.Put(call, {BranchState::kDone, call.protocol, call.action, reply, {}}, Now());
        if (kept.ok()) kept = savepoint.Keep();
        return kept.ok() ? reply : NotNow(kept);
      }
    }
  }
  if (reply.kind == Reply::Kind::kRefused && !connection_.idle())
    return KeepRefusal(call, std::move(reply));
  return reply;
}

Reply Runner::RunSecond(const DbHandler& handler, const Call& call, BranchState next) {
  Savepoint savepoint(connection_);
  if (!savepoint.status().ok()) return NotNow(savepoint.status());
  Db::Impl db(connection_, &schema_);
  Connection::Touched touched{{}, kMaxWatchedCount, false};
  if (any_claims_) connection_.StartWatching(&touched);
  Reply reply = RunHandler(handler, call, db);
  connection_.StopWatching();
  // A refusal here is not kept: there is no way but forward, and asking again may find it mended.
  if (!IsDone(reply)) return reply;
  reply.kind = Reply::Kind::kDone;
  auto conflict = FindConflict(call.gid, call.branch_id, touched, db.claims);
  if (!conflict.ok()) return NotNow(conflict.status());
  if (conflict->has_value()) return Blocked(call, **conflict);
  Status kept = barrier_.Advance(call.gid, call.branch_id, next, reply.result, Now());
  if (kept.ok()) kept = savepoint.Keep();
  return kept.ok() ? reply : NotNow(kept);
}

}  // namespace assent::sqlite::internal
