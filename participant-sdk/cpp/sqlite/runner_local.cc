// What comes from the service itself, and from the coordinator's answers to our questions.

#include <exception>

#include "participant-sdk/cpp/sqlite/runner.h"

namespace assent::sqlite::internal {

Status Runner::RunLocal(const std::function<Status(Db&)>& write, bool& conflict) {
  conflict = false;
  Status status = schema_.Refresh();
  if (!status.ok()) return status;
  const std::int64_t version = schema_.version();
  status = TryLocal(write, version, conflict);
  if (!status.ok() && schema_.version() != version) schema_.Forget();
  return status;
}

Status Runner::TryLocal(const std::function<Status(Db&)>& write, std::int64_t version,
                        bool& conflict) {
  Savepoint savepoint(connection_);
  if (!savepoint.status().ok()) return savepoint.status();
  Status status;
  Db::Impl db(connection_, &schema_);
  Connection::Touched touched{{}, kMaxWatchedCount, false};
  if (any_claims_) connection_.StartWatching(&touched);
  try {
    Connection::ModeGuard as_local(connection_, Mode::kLocal);
    status = write(db.db);
  } catch (const std::exception& thrown) {
    status = Internal(std::string("the writer threw: ") + thrown.what());
  } catch (...) {
    status = Internal("the writer threw");
  }
  connection_.StopWatching();
  if (status.ok()) status = EndOfHandler(db);
  if (connection_.idle()) return EndOfHandler(db);
  if (!status.ok()) return status;
  auto found = FindConflict({}, {}, touched, db.claims);
  if (!found.ok()) return found.status();
  if (found->has_value()) {
    conflict = true;
    return Unavailable((*found)->what + " is held by branch " + (*found)->branch_id +
                       " of transaction " + (*found)->gid + ", which is prepared");
  }
  if (any_claims_) {
    status = schema_.Refresh();
    if (!status.ok()) return status;
    if (schema_.version() != version) status = CheckPreparedStillFit();
    if (!status.ok()) {
      conflict = status.code() == Code::kUnavailable;
      return status;
    }
  }
  return savepoint.Keep();
}

void Runner::RunAnswer(const HeldBranch& branch, Verdict verdict, bool finished) {
  Result<barrier::Row> row = barrier_.Find(branch.gid, branch.branch_id);
  if (!row.ok()) return;
  const std::int64_t cutoff = Now() - settings_.retain_ms;
  switch (barrier::UpkeepFor(*row, verdict, finished)) {
    case barrier::Upkeep::kKeep: return;
    // Replies are the coordinator's business; what failed stays prepared and is asked about again.
    case barrier::Upkeep::kCommit: (void)Commit(branch.gid, branch.branch_id); return;
    case barrier::Upkeep::kRollback: (void)Rollback(branch.gid, branch.branch_id); return;
    case barrier::Upkeep::kOrphan:
      (void)Statement(connection_,
                      "UPDATE assent_barrier SET orphan = 1 WHERE gid = ?1 AND branch_id = ?2 AND "
                      "touched_ms <= ?3",
                      branch.gid, branch.branch_id, cutoff)
          .Finish();
      return;
    case barrier::Upkeep::kForget: break;
  }
  // The row and its changeset go together, or neither.
  Savepoint savepoint(connection_);
  if (!savepoint.status().ok()) return;
  Status status =
      Statement(
          connection_,
          "DELETE FROM assent_undo WHERE gid = ?1 AND branch_id = ?2 AND EXISTS(SELECT 1 FROM "
          "assent_barrier b WHERE b.gid = ?1 AND b.branch_id = ?2 AND b.touched_ms <= ?3)",
          branch.gid, branch.branch_id, cutoff)
          .Finish();
  if (status.ok()) {
    status =
        Statement(
            connection_,
            "DELETE FROM assent_barrier WHERE gid = ?1 AND branch_id = ?2 AND touched_ms <= ?3",
            branch.gid, branch.branch_id, cutoff)
            .Finish();
  }
  if (status.ok()) (void)savepoint.Keep();
}

}  // namespace assent::sqlite::internal
