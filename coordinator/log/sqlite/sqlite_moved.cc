// A log that goes to another store: the mark, and what the other store has to know of each row.

#include "coordinator/log/sqlite/sqlite_moved.h"

#include <sqlite3.h>

#include "coordinator/log/sqlite/sqlite_store.h"

namespace assent::log {

Result<std::optional<Moved>> ReadMoved(SqliteConnection& db, const std::string& path) {
  std::int64_t tables = 0;
  int code = db.QueryInt("SELECT count(*) FROM sqlite_schema WHERE name = 'moved'", tables);
  if (code == SQLITE_OK && tables == 0) return std::optional<Moved>();
  Statement select;
  if (code == SQLITE_OK) code = db.Prepare("SELECT done, target, crc FROM moved", select);
  if (code == SQLITE_OK) code = select.Step();
  if (code == SQLITE_DONE || code == SQLITE_ERROR || IsCorrupt(code)) {
    return DataLoss(path + ": table moved has no row that can be read");
  }
  if (code != SQLITE_ROW) return UnknownOutcome(path + ": read table moved: " + db.ErrorText(code));
  Moved moved = {.done = select.Int(0) != 0, .target = std::string(select.Bytes(1))};
  if (select.Int(2) != std::int64_t{MovedChecksum(moved.done, moved.target)}) {
    return DataLoss(path + ": table moved: checksum mismatch");
  }
  return std::optional<Moved>(std::move(moved));
}

// Before anything is written: whoever began here what has gone elsewhere would decide it twice.
Status SqliteStore::CheckNotMoved() {
  Result<std::optional<Moved>> moved = ReadMoved(db_, options_.path);
  if (!moved.ok()) return moved.status();
  moved_ = *std::move(moved);
  if (!moved_ || options_.open_moved) return OkStatus();
  const std::string to = options_.path + ": this log " +
                         (moved_->done ? "has moved to " : "is being moved to ") + moved_->target;
  return FailedPrecondition(to + (moved_->done
                                      ? ": use it there, or move it back with assentctl migrate"
                                      : ": run assentctl migrate again, which ends it"));
}

Status SqliteStore::NoteMoved(const Moved& moved) {
  if (Status status = CheckInPlace(); !status.ok()) return status;
  int code = db_.Execute("BEGIN IMMEDIATE");
  if (code == SQLITE_OK && !moved_) code = db_.Execute(kCreateMovedSql);
  Statement insert;
  if (code == SQLITE_OK) {
    code = db_.Prepare("INSERT OR REPLACE INTO moved (id, done, target, crc) VALUES (1, ?, ?, ?)",
                       insert);
  }
  if (code == SQLITE_OK) {
    code = insert.BindInt(1, std::int64_t{moved.done})
               .BindText(2, moved.target)
               .BindInt(3, std::int64_t{MovedChecksum(moved.done, moved.target)})
               .Run();
  }
  if (code == SQLITE_OK) code = db_.Execute("COMMIT");
  if (code != SQLITE_OK) return Failure("write table moved", code);
  moved_ = moved;
  return OkStatus();
}

Status SqliteStore::ScanAged(
    std::uint64_t before_serial, std::size_t max_rows,
    const std::function<Status(const FinishedRow&, std::uint64_t ran_ms)>& visit) {
  return ScanEach(before_serial, max_rows, [&](FinishedRow&& row, std::uint64_t commit_seq) {
    return visit(row, age_->RanAt(commit_seq, MonoNowMs()));
  });
}

}  // namespace assent::log
