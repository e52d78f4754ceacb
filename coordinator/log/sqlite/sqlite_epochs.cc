// Which lives this log has had, how the last one ended, and the beginning and the end of this one.

#include <sqlite3.h>

#include "coordinator/log/sqlite/sqlite_store.h"

namespace assent::log {
namespace {

// What the table holds is known from the newest life alone: the starts up to it, without a gap.
std::uint64_t OldestKept(std::uint64_t newest_start) {
  return newest_start > kMaxEpochsCount ? newest_start - kMaxEpochsCount + 1 : 1;
}

}  // namespace

Status SqliteStore::ReadEpochs(std::vector<std::uint64_t>& epochs) {
  Statement select;
  int code = db_.Prepare("SELECT epoch, commit_seq, crc FROM life ORDER BY epoch", select);
  const std::string table = options_.path + ": table life, ";
  const std::uint64_t newest = StartNumber(meta_.epoch);
  std::uint64_t expected = OldestKept(newest);
  while (code == SQLITE_OK || code == SQLITE_ROW) {
    code = select.Step();
    if (code != SQLITE_ROW) break;
    const std::uint64_t epoch = select.Unsigned(0);
    const std::uint64_t commit_seq = select.Unsigned(1);
    const std::string name = table + "row " + std::to_string(epoch) + " (start " +
                             std::to_string(StartNumber(epoch)) + ")";
    if (select.Int(2) != std::int64_t{LifeChecksum(epoch, commit_seq)}) {
      return DataLoss(name + ": checksum mismatch");
    }
    if (epoch > meta_.epoch || commit_seq > meta_.commit_seq) {
      return DataLoss(name + ": is of a later commit than table meta");
    }
    if (StartNumber(epoch) > expected) break;  // rows are missing; named below
    if (StartNumber(epoch) < expected) return DataLoss(name + ": does not belong into this log");
    if (expected == newest && epoch != meta_.epoch) {
      return DataLoss(name + ": table meta names another life, " + std::to_string(meta_.epoch));
    }
    epochs.push_back(epoch);
    ++expected;
  }
  if (code != SQLITE_DONE && code != SQLITE_ROW) {
    return Failure("read table life before start " + std::to_string(expected), code);
  }
  if (expected <= newest) {
    return DataLoss(table + "the row of start " + std::to_string(expected) + ": is missing");
  }
  return OkStatus();
}

// One commit: the new epoch in meta, which fences off whoever held the last, and its row among the
// lives. From its return on everything that was replayed is ours to act upon.
Status SqliteStore::CommitEpoch() {
  if (const int code = sql_.begin.Run(); code != SQLITE_OK) return Failure("begin", code);
  next_ = meta_;
  ++next_.commit_seq;
  next_.epoch = new_epoch_;
  const std::uint64_t oldest = FirstEpochOf(OldestKept(StartNumber(next_.epoch)));
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

Result<bool> SqliteStore::NewestLifeEnded(const Meta& meta) {
  Statement select;
  const std::string table = options_.path + ": table closed";
  int code = db_.Prepare("SELECT epoch, commit_seq, crc FROM closed", select);
  if (code == SQLITE_ERROR) return DataLoss(table + ": " + db_.ErrorText(code));
  if (code == SQLITE_OK) code = select.Step();
  if (code == SQLITE_DONE) return false;
  if (code != SQLITE_ROW) return Failure("read table closed", code);
  if (select.Int(2) != std::int64_t{LifeChecksum(select.Unsigned(0), select.Unsigned(1))}) {
    return DataLoss(table + ": checksum mismatch");
  }
  if (select.Unsigned(0) != meta.epoch) {
    return DataLoss(table + ": names another life than table meta");
  }
  return true;
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
