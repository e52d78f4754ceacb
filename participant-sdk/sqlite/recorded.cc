// Operations that the adapter finishes or undoes itself, by changeset: two-phase commit and automatic Sagas.
//
// All of them begin alike: the handler runs under a recording session and is rolled back; what remains is its changeset.
// Then the changeset is tried out (two-phase: kept aside) or applied (one phase, automatic Saga), so that what is
// promised is known to work, and all three mean the same.

#include "participant-sdk/sqlite/runner.h"

namespace assent::sqlite::internal {
namespace {

// A failure that will be the same next time is a no; any other may pass.
Reply ReplyFor(const Status& status) {
  const bool final =
      status.code() == Code::kFailedPrecondition || status.code() == Code::kInvalidArgument;
  return final ? Reply::Refused(status.message()) : NotNow(status);
}

}  // namespace

Status Runner::Record(const Handlers& handlers, const Call& call, Work& work, Reply& reply) {
  Savepoint savepoint(connection_);
  if (!savepoint.status().ok()) return savepoint.status();
  Status status = schema_.Refresh();
  if (!status.ok()) return status;
  std::set<std::string> tables;
  Db::Impl db(connection_, &schema_);
  {
    Recording recording(connection_);
    reply = RunHandler(handlers.forward, call, db);
    if (!IsDone(reply)) return OkStatus();
    tables = recording.tables();
    status = CheckRecordable(schema_, tables);
    if (!status.ok()) return status;
    Result<std::string> changeset = recording.Take();
    if (!changeset.ok()) return changeset.status();
    work.changeset = std::move(*changeset);
  }
  if (work.changeset.size() > limits::kMaxChangesetBytes) {
    return InvalidArgument("the changes have " + std::to_string(work.changeset.size()) +
                           " bytes; the limit is " + std::to_string(limits::kMaxChangesetBytes));
  }
  Result<std::vector<RowChange>> changes = ReadChangeset(work.changeset);
  if (!changes.ok()) return changes.status();
  work.changes = std::move(*changes);
  work.shape = ShapeOf(schema_, work.changes);
  work.claims = std::move(db.claims);
  status = AddClaims(schema_, work.changes, work.claims);
  if (!status.ok()) return status;
  status = savepoint.Rewind();
  return status.ok() ? CheckRecordable(schema_, tables) : status;
}

Reply Runner::RunRecorded(const Handlers& handlers, const Call& call) {
  Work work;
  Reply reply;
  const Status recorded = Record(handlers, call, work, reply);
  if (connection_.idle()) return recorded.ok() ? reply : NotNow(recorded);
  if (!recorded.ok()) reply = ReplyFor(recorded);
  if (IsDone(reply)) {
    auto conflict = any_claims_ ? claims_.Find(work.claims, call.gid, call.branch_id)
                                : Result<std::optional<ClaimTable::Conflict>>(std::nullopt);
    if (!conflict.ok()) return NotNow(conflict.status());
    if (!conflict->has_value()) {
      Savepoint savepoint(connection_);
      if (!savepoint.status().ok()) return NotNow(savepoint.status());
      reply = KeepWork(call, work, std::move(reply));
      if (IsDone(reply)) {
        Status kept = savepoint.Keep();
        return kept.ok() ? reply : NotNow(kept);
      }
    } else {
      reply = ReplyForConflict(**conflict, call.gid);
    }
  }
  return reply.kind == Reply::Kind::kRefused ? KeepRefusal(call, std::move(reply)) : reply;
}

Reply Runner::KeepWork(const Call& call, const Work& work, Reply reply) {
  reply.kind = Reply::Kind::kDone;
  if (call.operation != Operation::kPrepare || (call.one_phase && !work.changes.empty())) {
    return KeepApplied(call, work, std::move(reply));
  }
  if (work.claims.empty() || call.one_phase) {
    reply.kind = Reply::Kind::kDoneReadOnly;
    Status kept =
        barrier_.Put(call, {BranchState::kReadOnly, call.protocol, call.action, reply, {}}, Now());
    return kept.ok() ? reply : NotNow(kept);
  }
  return KeepPrepared(call, work, std::move(reply));
}

// Applies a changeset and takes it back.
Status Runner::TryOut(const std::string& changeset, const std::vector<RowChange>& changes,
                      const std::string& shape) {
  Savepoint trial(connection_);
  if (!trial.status().ok()) return trial.status();
  const Applied applied = ApplyChangeset(schema_, changeset, changes, shape);
  if (!applied.status.ok()) {
    return FailedPrecondition("the changes cannot be kept as a changeset: " +
                              applied.status.message());
  }
  if (!applied.conflict.empty()) {
    return FailedPrecondition("the changes cannot be kept as a changeset: " + applied.conflict);
  }
  return OkStatus();
}

Status Runner::CheckPreparedStillFit() {
  std::vector<std::int64_t> ids;
  Statement list(connection_, "SELECT id FROM assent_prepared ORDER BY id");
  while (list.Step()) ids.push_back(list.Int(0));
  if (!list.status().ok()) return list.status();
  for (std::int64_t id : ids) {
    Statement read(connection_, "SELECT changeset, shape, gid FROM assent_prepared WHERE id = ?1",
                   id);
    if (!read.Step()) return read.status();
    const std::string changeset = read.Text(0);
    Result<std::vector<RowChange>> changes = ReadChangeset(changeset);
    if (!changes.ok()) return changes.status();
    const Status fits = TryOut(changeset, *changes, read.Text(1));
    if (!fits.ok()) {
      return Unavailable("the schema cannot change like this while transaction " + read.Text(2) +
                         " is prepared: " + fits.message());
    }
  }
  return OkStatus();
}

Reply Runner::KeepPrepared(const Call& call, const Work& work, Reply reply) {
  // Yes is a promise: what cannot be applied now (two rows that swap a unique value) must not be promised.
  Status status = TryOut(work.changeset, work.changes, work.shape);
  if (!status.ok()) return ReplyFor(status);
  status = Statement(connection_,
                     "INSERT INTO assent_prepared(gid, branch_id, coordinator_id, began_epoch, "
                     "changeset, shape, prepared_ms) "
                     "VALUES(?1, ?2, ?3, ?4, ?5, ?6, ?7)",
                     call.gid, call.branch_id, call.coordinator_id, call.began_epoch,
                     Blob{work.changeset}, work.shape, Now())
               .Finish();
  if (!status.ok()) return NotNow(status);
  status = claims_.Insert(work.claims, sqlite3_last_insert_rowid(connection_.handle()));
  any_claims_ = true;
  if (status.ok()) status = SkipSequences(work.changes);
  if (status.ok()) {
    status =
        barrier_.Put(call, {BranchState::kPrepared, call.protocol, call.action, reply, {}}, Now());
  }
  return status.ok() ? reply : NotNow(status);
}

// AUTOINCREMENT never hands out a number twice, not even one that a prepared branch took and nobody sees yet.
Status Runner::SkipSequences(const std::vector<RowChange>& changes) {
  for (const RowChange& change : changes) {
    const TableInfo* table = schema_.Find(change.table);
    if (table == nullptr || !table->autoincrement || change.kind != RowChange::Kind::kInsert)
      continue;
    const std::int64_t id =
        change.after[static_cast<std::size_t>(table->primary_key[0])].value_or(Value()).integer;
    Status status =
        Statement(connection_, "UPDATE main.sqlite_sequence SET seq = max(seq, ?2) WHERE name = ?1",
                  table->name, id)
            .Finish();
    if (status.ok() && sqlite3_changes64(connection_.handle()) == 0) {
      status = Statement(connection_, "INSERT INTO main.sqlite_sequence(name, seq) VALUES(?1, ?2)",
                         table->name, id)
                   .Finish();
    }
    if (!status.ok()) return status;
  }
  return OkStatus();
}

// One phase, or an automatic Saga step: in force at once.
Reply Runner::KeepApplied(const Call& call, const Work& work, Reply reply) {
  const Applied applied = ApplyChangeset(schema_, work.changeset, work.changes, work.shape);
  if (!applied.status.ok() || !applied.conflict.empty()) {
    return Reply::Refused("the changes cannot be kept as a changeset: " +
                          (applied.conflict.empty() ? applied.status.message() : applied.conflict));
  }
  Status status;
  if (call.operation == Operation::kAction) {
    Result<std::string> inverse = InvertChangeset(work.changeset);
    if (!inverse.ok()) return NotNow(inverse.status());
    Result<std::vector<RowChange>> changes = ReadChangeset(*inverse);
    if (!changes.ok()) return NotNow(changes.status());
    status = TryOut(*inverse, *changes, work.shape);
    if (!status.ok()) return ReplyFor(status);
    status = Statement(
                 connection_,
                 "INSERT INTO assent_undo(gid, branch_id, changeset, shape) VALUES(?1, ?2, ?3, ?4)",
                 call.gid, call.branch_id, Blob{work.changeset}, work.shape)
                 .Finish();
    if (!status.ok()) return NotNow(status);
  }
  const BranchState state =
      call.operation == Operation::kAction ? BranchState::kDone : BranchState::kFinished;
  status = barrier_.Put(call, {state, call.protocol, call.action, reply, {}}, Now());
  return status.ok() ? reply : NotNow(status);
}

Reply Runner::Commit(std::string_view gid, std::string_view branch_id) {
  Savepoint savepoint(connection_);
  if (!savepoint.status().ok()) return NotNow(savepoint.status());
  std::int64_t id = 0;
  std::string changeset;
  std::string shape;
  std::string known_hazard;
  {
    Statement read(connection_,
                   "SELECT id, changeset, shape, hazard FROM assent_prepared WHERE gid = ?1 AND "
                   "branch_id = ?2",
                   gid, branch_id);
    if (!read.Step()) {
      return read.status().ok() ? Reply::Refused("HAZARD: the prepared work is lost")
                                : NotNow(read.status());
    }
    id = read.Int(0);
    changeset = read.Text(1);
    shape = read.Text(2);
    known_hazard = read.Text(3);
  }
  Result<std::vector<RowChange>> changes = ReadChangeset(changeset);
  if (!changes.ok()) return Reply::Refused("HAZARD: " + changes.status().message());
  Status status = schema_.Refresh();
  if (!status.ok()) return NotNow(status);
  Applied applied = ApplyChangeset(schema_, changeset, *changes, shape);
  if (!applied.status.ok()) return NotNow(applied.status);
  if (applied.conflict.empty()) {
    status = DropPrepared(id);
    if (status.ok()) status = barrier_.Advance(gid, branch_id, BranchState::kFinished, {}, Now());
    if (status.ok()) status = savepoint.Keep();
    return status.ok() ? Reply::Done() : NotNow(status);
  }
  // Kept, with its claims: a person may mend the row and ask again, or roll back.
  if (applied.conflict != known_hazard) {
    status = Statement(connection_, "UPDATE assent_prepared SET hazard = ?2 WHERE id = ?1", id,
                       applied.conflict)
                 .Finish();
    if (status.ok()) status = savepoint.Keep();
    if (!status.ok()) return NotNow(status);
  }
  return Reply::Refused("HAZARD: " + applied.conflict);
}

Reply Runner::Rollback(std::string_view gid, std::string_view branch_id) {
  Savepoint savepoint(connection_);
  if (!savepoint.status().ok()) return NotNow(savepoint.status());
  std::int64_t id = 0;
  Status status;
  {
    Statement read(connection_, "SELECT id FROM assent_prepared WHERE gid = ?1 AND branch_id = ?2",
                   gid, branch_id);
    if (read.Step()) id = read.Int(0);
    status = read.status();
  }
  if (status.ok() && id != 0) status = DropPrepared(id);
  if (status.ok()) status = barrier_.Advance(gid, branch_id, BranchState::kUndone, {}, Now());
  if (status.ok()) status = savepoint.Keep();
  return status.ok() ? Reply::Done() : NotNow(status);
}

Status Runner::DropPrepared(std::int64_t id) {
  Status status = claims_.Drop(id);
  if (status.ok())
    status = Statement(connection_, "DELETE FROM assent_prepared WHERE id = ?1", id).Finish();
  released_ = true;
  return status;
}

Reply Runner::CompensateRecorded(const Call& call) {
  Savepoint savepoint(connection_);
  if (!savepoint.status().ok()) return NotNow(savepoint.status());
  std::string changeset;
  std::string shape;
  {
    Statement read(connection_,
                   "SELECT changeset, shape FROM assent_undo WHERE gid = ?1 AND branch_id = ?2",
                   call.gid, call.branch_id);
    if (!read.Step()) {
      return read.status().ok() ? Reply::Refused("HAZARD: what the action changed is lost")
                                : NotNow(read.status());
    }
    changeset = read.Text(0);
    shape = read.Text(1);
  }
  Result<std::string> inverse = InvertChangeset(changeset);
  if (!inverse.ok()) return Reply::Refused("HAZARD: " + inverse.status().message());
  Result<std::vector<RowChange>> changes = ReadChangeset(*inverse);
  if (!changes.ok()) return Reply::Refused("HAZARD: " + changes.status().message());
  Status status = schema_.Refresh();
  if (!status.ok()) return NotNow(status);
  ClaimSet claims;
  status = AddClaims(schema_, *changes, claims);
  if (status.code() == Code::kNotFound) return Reply::Refused("HAZARD: " + status.message());
  if (!status.ok()) return NotNow(status);
  auto conflict = claims_.Find(claims, call.gid, call.branch_id);
  if (!conflict.ok()) return NotNow(conflict.status());
  if (conflict->has_value()) {
    Reply claimed = ReplyForConflict(**conflict, call.gid);
    claimed.kind = Reply::Kind::kRetryLater;
    return claimed;
  }
  const Applied applied = ApplyChangeset(schema_, *inverse, *changes, shape);
  if (!applied.status.ok()) return NotNow(applied.status);
  if (!applied.conflict.empty()) return Reply::Refused("HAZARD: " + applied.conflict);
  status = Statement(connection_, "DELETE FROM assent_undo WHERE gid = ?1 AND branch_id = ?2",
                     call.gid, call.branch_id)
               .Finish();
  if (status.ok())
    status = barrier_.Advance(call.gid, call.branch_id, BranchState::kUndone, {}, Now());
  if (status.ok()) status = savepoint.Keep();
  return status.ok() ? Reply::Done() : NotNow(status);
}

}  // namespace assent::sqlite::internal
