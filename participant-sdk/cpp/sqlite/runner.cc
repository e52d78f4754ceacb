#include "participant-sdk/cpp/sqlite/runner.h"

#include <exception>
#include <utility>

namespace assent::sqlite::internal {

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
  Result<barrier::Row> row = barrier_.Find(call.gid, call.branch_id);
  if (!row.ok()) return NotNow(row.status());
  barrier::Opening opening = barrier::Open(call, *row);
  if (opening.move == barrier::Move::kRun) return Dispatch(call);
  if (opening.move != barrier::Move::kBury) return std::move(opening.reply);
  Status kept = barrier_.Put(call, State::kTombstone, opening.reply, Now());
  return kept.ok() ? std::move(opening.reply) : NotNow(kept);
}

Reply Runner::Dispatch(const Call& call) {
  // Finishing prepared work needs no handler, which may be gone from a newer version of the
  // service.
  if (call.operation == Operation::kCommit) return Commit(call.gid, call.branch_id);
  if (call.operation == Operation::kRollback) return Rollback(call.gid, call.branch_id);
  auto found = registry_.find({call.action, call.protocol});
  if (found == registry_.end()) {
    return Reply::RetryLater("no " + std::string(Name(call.protocol)) + " action " + call.action +
                             " is registered here");
  }
  const Handlers& handlers = found->second;
  switch (RoleOf(call.operation)) {
    case Role::kForward:
      return handlers.recorded ? RunRecorded(handlers, call) : RunPlain(handlers.forward, call);
    case Role::kFinish: return RunPlain(handlers.finish, call);
    case Role::kUndo: break;
  }
  return handlers.recorded ? CompensateRecorded(call) : RunPlain(handlers.undo, call);
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
  const Role role = RoleOf(call.operation);
  const Status end = EndOfHandler(db);
  if (!end.ok() && IsDone(reply)) {
    const bool said_no = end.code() == Code::kFailedPrecondition && role == Role::kForward;
    reply = said_no ? Reply::Refused(end.message()) : NotNow(end);
  }
  return barrier::Normalized(std::move(reply), role);
}

// A claim stands in the way: wait for the holder, or not.
Reply Runner::Blocked(const Call& call, const barrier::Holder& holder) {
  barrier::Obstacle obstacle = barrier::InTheWay(call, holder);
  if (obstacle.waits) blocked_by_ = holder.gid;
  tells_ = obstacle.tells;
  return std::move(obstacle.reply);
}

Result<std::optional<barrier::Holder>> Runner::FindConflict(std::string_view gid,
                                                            std::string_view branch_id,
                                                            const Connection::Touched& touched,
                                                            const ClaimSet& asked) {
  if (!any_claims_) return std::optional<barrier::Holder>();
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

Status Runner::Keep(const Call& call, const Reply& reply, bool wrote) {
  const State state = barrier::After(call, reply, wrote);
  if (state == State::kNone) return OkStatus();
  return RoleOf(call.operation) == Role::kForward
             ? barrier_.Put(call, state, reply, Now())
             : barrier_.Advance(call.gid, call.branch_id, state, reply.result, Now());
}

Reply Runner::KeepRefusal(const Call& call, Reply reply) {
  if (reply.kind != Reply::Kind::kRefused || connection_.idle()) return reply;
  reply = barrier::Normalized(std::move(reply), RoleOf(call.operation));
  Status kept = Keep(call, reply);
  return kept.ok() ? std::move(reply) : NotNow(kept);
}

Reply Runner::RunPlain(const DbHandler& handler, const Call& call) {
  Reply reply;
  {
    Savepoint savepoint(connection_);
    if (!savepoint.status().ok()) return NotNow(savepoint.status());
    Db::Impl db(connection_, &schema_);
    Connection::Touched touched{{}, kMaxWatchedCount, false};
    if (any_claims_) connection_.StartWatching(&touched);
    reply = RunHandler(handler, call, db);
    connection_.StopWatching();
    if (IsDone(reply)) {
      reply.kind = Reply::Kind::kDone;
      auto conflict = FindConflict(call.gid, call.branch_id, touched, db.claims);
      if (!conflict.ok()) return NotNow(conflict.status());
      if (!conflict->has_value()) {
        Status kept = Keep(call, reply);
        if (kept.ok()) kept = savepoint.Keep();
        return kept.ok() ? reply : NotNow(kept);
      }
      reply = Blocked(call, **conflict);
    }
  }
  return KeepRefusal(call, std::move(reply));
}

}  // namespace assent::sqlite::internal
