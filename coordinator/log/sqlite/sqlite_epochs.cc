// The beginning and the end of a life.

#include <sqlite3.h>

#include "coordinator/log/sqlite/sqlite_life.h"
#include "coordinator/log/sqlite/sqlite_store.h"

namespace assent::log {
// One commit: the new epoch in meta, which fences off whoever held the last, and its row among the
// lives. From its return on everything that was replayed is ours to act upon.
Status SqliteStore::CommitEpoch() {
  if (const int code = sql_.begin.Run(); code != SQLITE_OK) return Failure("begin", code);
  next_ = meta_;
  ++next_.commit_seq;
  next_.epoch = new_epoch_;
  const std::uint64_t oldest = FirstEpochOf(OldestKeptStart(StartNumber(next_.epoch)));
  Statement insert;
  Statement forget;
  int code = db_.Execute("DELETE FROM closed");
  if (code == SQLITE_OK) {
    code = db_.Prepare("INSERT INTO life (epoch, commit_seq, crc) VALUES (?1, ?2, ?3)", insert);
  }
  if (code == SQLITE_OK) {
    code = insert.BindInt(1, next_.epoch)
               .BindInt(2, next_.commit_seq)
               .BindInt(3, std::int64_t{LifeChecksum(next_.epoch, next_.commit_seq)})
               .Run();
  }
  if (code == SQLITE_OK) code = db_.Prepare("DELETE FROM life WHERE epoch < ?1", forget);
  if (code == SQLITE_OK) code = forget.BindInt(1, oldest).Run();
  if (code != SQLITE_OK) return Failure("write table life", code);
  const Status status = WriteMetaAndCommit();
  if (!status.ok()) return status;
  meta_ = next_;
  return OkStatus();
}

// What was replayed goes to the database first, then the epoch says that it is ours; and before
// anybody hears of it, database and PATH-state say that a life is under way, whose WAL belongs to
// the log.
Status SqliteStore::BeginEpoch() {
  if (Status status = Checkpoint(true); !status.ok()) return status;
  if (!found_state_) {
    if (Status status = SyncFolder(); !status.ok()) return status;
  }
  if (Status status = CommitEpoch(); !status.ok()) return status;
  if (Status status = MoveWal(false); !status.ok()) return status;
  return WriteAnchor(/*open=*/true, wal_.bytes);
}

Status SqliteStore::CloseCleanly() {
  if (Status status = CheckInPlace(); !status.ok()) return status;
  if (const int code = sql_.begin.Run(); code != SQLITE_OK) return RollBack(Failure("begin", code));
  next_ = meta_;
  ++next_.commit_seq;
  const int code =
      db_.Execute("INSERT INTO closed SELECT epoch, commit_seq, crc FROM life WHERE epoch = " +
                  std::to_string(static_cast<std::int64_t>(meta_.epoch)));
  Status status = code == SQLITE_OK ? WriteMetaAndCommit() : Failure("end the life", code);
  if (!status.ok()) return RollBack(status);
  meta_ = next_;
  status = Checkpoint(true);
  return status.ok() ? WriteAnchor(/*open=*/false, /*wal_bytes=*/0) : status;
}

Status SqliteStore::WriteAnchor(bool open, std::uint64_t wal_bytes) {
  anchored_at_ = std::chrono::steady_clock::now();
  return state_.Anchor({.open = open,
                        .coordinator_id = meta_.coordinator_id,
                        .epoch = meta_.epoch,
                        .commit_seq = meta_.commit_seq,
                        .wal_bytes = wal_bytes});
}

}  // namespace assent::log
