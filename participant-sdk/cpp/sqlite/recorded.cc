// Operations that the adapter finishes or undoes itself, by changeset: two-phase commit and
// automatic Sagas.
//
// All of them begin alike: the handler runs under a recording session and is rolled back; what
// remains is its changeset. Then the changeset is tried out (two-phase: kept aside) or applied (one
// phase, automatic Saga), so that what is promised is known to work, and all three mean the same.

#include "participant-sdk/cpp/sqlite/runner.h"

namespace assent::sqlite::internal {
namespace {

// A failure that will be the same next time is a no; any other may pass.
Reply ReplyFor(const Status& status) {
  const bool final =
      status.code() == Code::kFailedPrecondition || status.code() == Code::kInvalidArgument;
  return final ? Reply::Refused(status.message()) : NotNow(status);
}

// What was promised cannot be kept, or cannot be read right now.
Reply ReplyForLost(const Status& status) {
  const bool lost = status.code() == Code::kNotFound || status.code() == Code::kDataLoss;
  return lost ? Reply::Refused("HAZARD: " + status.message()) : NotNow(status);
}

}  // namespace

Status Runner::Record(const Handlers& handlers, const Call& call, Work& work, Reply& reply) {
  Savepoint savepoint(connection_);
  if (!savepoint.status().ok()) return savepoint.status();
  Status status = schema_.Refresh();
  if (!status.ok()) return status;
  std::set<std::string> tables;
  Db::Impl db(connection_, &schema_);
  db.recorded = true;
  {
    Recording recording(connection_);
    reply = RunHandler(handlers.forward, call, db);
    if (!IsDone(reply)) return OkStatus();
    tables = recording.tables();
    status = CheckRecordable(schema_, tables);
    if (!status.ok()) return status;
    Result<std::string> changeset = recording.Take();
    if (!changeset.ok()) return changeset.status();
    work.stored.changeset = std::move(*changeset);
  }
  if (work.stored.changeset.size() > limits::kMaxChangesetBytes) {
    return InvalidArgument("the changes have " + std::to_string(work.stored.changeset.size()) +
                           " bytes; the limit is " + std::to_string(limits::kMaxChangesetBytes));
  }
  Result<std::vector<RowChange>> changes = ReadChangeset(work.stored.changeset);
  if (!changes.ok()) return changes.status();
  work.stored.changes = std::move(*changes);
  work.stored.shape = ShapeOf(schema_, work.stored.changes);
  work.claims = std::move(db.claims);
  status = AddClaims(schema_, work.stored.changes, work.claims);
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
                                : Result<std::optional<barrier::Holder>>(std::nullopt);
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
      reply = Blocked(call, **conflict);
    }
  }
  return KeepRefusal(call, std::move(reply));
}

Reply Runner::KeepWork(const Call& call, const Work& work, Reply reply) {
  reply.kind = Reply::Kind::kDone;
  const bool wrote = call.one_phase ? !work.stored.changes.empty() : !work.claims.empty();
  const State state = barrier::After(call, reply, wrote);
  if (state == State::kPrepared) return KeepPrepared(call, work, reply);
  if (state != State::kReadOnly) return KeepApplied(call, work, reply);
  reply.kind = Reply::Kind::kDoneReadOnly;
  Status kept = Keep(call, reply, wrote);
  return kept.ok() ? reply : NotNow(kept);
}

// Applies a changeset and takes it back.
Status Runner::TryOut(const StoredChanges& stored) {
  Savepoint trial(connection_);
  if (!trial.status().ok()) return trial.status();
  const Applied applied = ApplyChangeset(schema_, stored.changeset, stored.changes, stored.shape);
  if (applied.ok()) return OkStatus();
  return FailedPrecondition(
      "the changes cannot be kept as a changeset: " +
      (applied.conflict.empty() ? applied.status.message() : applied.conflict));
}

Status Runner::CheckPreparedStillFit() {
  std::vector<std::pair<std::string, std::string>> prepared;
  Statement list(connection_, "SELECT gid, branch_id FROM assent_prepared ORDER BY id");
  while (list.Step()) prepared.emplace_back(list.Text(0), list.Text(1));
  if (!list.status().ok()) return list.status();
  for (const auto& [gid, branch_id] : prepared) {
    Result<StoredChanges> stored = LoadPrepared(connection_, gid, branch_id);
    Status fits = stored.ok() ? TryOut(*stored) : stored.status();
    if (fits.ok() && !KeysAreAsIn(schema_, stored->changes, stored->shape)) {
      fits = FailedPrecondition("it holds no claims on the new unique or foreign keys");
    }
    if (!fits.ok()) {
      return Unavailable("the schema cannot change like this while transaction " + gid +
                         " is prepared: " + fits.message());
    }
  }
  return OkStatus();
}

Reply Runner::KeepPrepared(const Call& call, const Work& work, const Reply& reply) {
  // Yes is a promise: what cannot be applied now (two rows that swap a unique value) must not be
  // promised.
  Status status;
  if (MayFailToApply(schema_, work.stored.changes)) status = TryOut(work.stored);
  if (!status.ok()) return ReplyFor(status);
  Result<std::int64_t> id = StorePrepared(connection_, call, work.stored, Now());
  if (!id.ok()) return NotNow(id.status());
  status = claims_.Insert(work.claims, *id);
  any_claims_ = true;
  if (status.ok()) status = SkipSequences(work.stored.changes);
  if (status.ok()) status = Keep(call, reply);
  return status.ok() ? reply : NotNow(status);
}

// AUTOINCREMENT never hands out a number twice, not even one that a prepared branch took and nobody
// sees yet.
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
Reply Runner::KeepApplied(const Call& call, const Work& work, const Reply& reply) {
  const StoredChanges& stored = work.stored;
  const Applied applied = ApplyChangeset(schema_, stored.changeset, stored.changes, stored.shape);
  if (!applied.ok()) {
    return Reply::Refused("the changes cannot be kept as a changeset: " +
                          (applied.conflict.empty() ? applied.status.message() : applied.conflict));
  }
  Status status;
  if (call.operation == Operation::kAction) {
    status = StoreUndo(connection_, call, stored);
    if (!status.ok()) return NotNow(status);
    if (MayFailToApply(schema_, stored.changes)) {
      Result<StoredChanges> inverse = LoadUndo(connection_, call.gid, call.branch_id);
      status = inverse.ok() ? TryOut(*inverse) : inverse.status();
      if (!status.ok()) return ReplyFor(status);
    }
  }
  status = Keep(call, reply);
  return status.ok() ? reply : NotNow(status);
}

Reply Runner::Commit(std::string_view gid, std::string_view branch_id) {
  Savepoint savepoint(connection_);
  if (!savepoint.status().ok()) return NotNow(savepoint.status());
  Result<StoredChanges> stored = LoadPrepared(connection_, gid, branch_id);
  if (!stored.ok()) return ReplyForLost(stored.status());
  Status status = schema_.Refresh();
  if (!status.ok()) return NotNow(status);
  Applied applied = ApplyChangeset(schema_, stored->changeset, stored->changes, stored->shape);
  if (!applied.status.ok()) return NotNow(applied.status);
  if (applied.conflict.empty()) {
    status = DropPrepared(stored->id, gid);
    if (status.ok()) status = barrier_.Advance(gid, branch_id, State::kFinished, {}, Now());
    if (status.ok()) status = savepoint.Keep();
    return status.ok() ? Reply::Done() : NotNow(status);
  }
  // Kept, with its claims: a person may mend the row and ask again, or roll back.
  if (applied.conflict != stored->hazard) {
    status = Statement(connection_, "UPDATE assent_prepared SET hazard = ?2 WHERE id = ?1",
                       stored->id, applied.conflict)
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
  if (status.ok() && id != 0) status = DropPrepared(id, gid);
  if (status.ok()) status = barrier_.Advance(gid, branch_id, State::kUndone, {}, Now());
  if (status.ok()) status = savepoint.Keep();
  return status.ok() ? Reply::Done() : NotNow(status);
}

Status Runner::DropPrepared(std::int64_t id, std::string_view gid) {
  Status status = claims_.Drop(id);
  if (status.ok())
    status = Statement(connection_, "DELETE FROM assent_prepared WHERE id = ?1", id).Finish();
  released_.emplace_back(gid);
  return status;
}

Reply Runner::CompensateRecorded(const Call& call) {
  Savepoint savepoint(connection_);
  if (!savepoint.status().ok()) return NotNow(savepoint.status());
  Result<StoredChanges> inverse = LoadUndo(connection_, call.gid, call.branch_id);
  if (!inverse.ok()) return ReplyForLost(inverse.status());
  Status status = schema_.Refresh();
  if (!status.ok()) return NotNow(status);
  if (any_claims_) {
    ClaimSet claims;
    status = AddClaims(schema_, inverse->changes, claims);
    if (status.code() == Code::kNotFound) return Reply::Refused("HAZARD: " + status.message());
    if (!status.ok()) return NotNow(status);
    auto conflict = claims_.Find(claims, call.gid, call.branch_id);
    if (!conflict.ok()) return NotNow(conflict.status());
    if (conflict->has_value()) return Blocked(call, **conflict);
  }
  Reply reply = FinishCompensation(call, *inverse);
  if (!IsDone(reply)) return reply;
  status = savepoint.Keep();
  return status.ok() ? reply : NotNow(status);
}

Reply Runner::FinishCompensation(const Call& call, const StoredChanges& inverse) {
  const Applied applied =
      ApplyChangeset(schema_, inverse.changeset, inverse.changes, inverse.shape);
  if (!applied.status.ok()) return NotNow(applied.status);
  if (!applied.conflict.empty()) return Reply::Refused("HAZARD: " + applied.conflict);
  Status status =
      Statement(connection_, "DELETE FROM assent_undo WHERE gid = ?1 AND branch_id = ?2", call.gid,
                call.branch_id)
          .Finish();
  if (!status.ok()) return NotNow(status);
  status = Keep(call, Reply::Done());
  return status.ok() ? Reply::Done() : NotNow(status);
}

}  // namespace assent::sqlite::internal
