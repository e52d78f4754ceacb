#include "coordinator/log/sqlite/sqlite_amend.h"

#include <random>
#include <sqlite3.h>
#include <vector>

#include "coordinator/log/epoch.h"
#include "coordinator/log/sqlite/sqlite_life.h"
#include "coordinator/log/sqlite/sqlite_schema.h"
#include "coordinator/log/sqlite/sqlite_store.h"

namespace assent::log {
namespace {

Status Failure(SqliteConnection& db, const std::string& path, const std::string& what, int code) {
  const std::string text = path + ": " + what + ": " + db.ErrorText(code);
  if (IsCorrupt(code)) return DataLoss(text);
  return IsFull(code) ? ResourceExhausted(text) : Unavailable(text);
}

Status AmendLive(SqliteConnection& db, const std::string& path, const Meta& meta,
                 const WalkedRow& row) {
  Statement update;
  int code = db.Prepare(
      "UPDATE live SET version = ?2, commit_seq = ?3, state_crc = ?4, spec_crc = ?5, gid = ?6,"
      " state = ?7 WHERE serial = ?1",
      update);
  const std::uint32_t state_crc =
      StateChecksum(row.serial, row.version, meta.commit_seq, row.state);
  if (code == SQLITE_OK) {
    code = update.BindInt(1, row.serial)
               .BindInt(2, row.version)
               .BindInt(3, meta.commit_seq)
               .BindInt(4, std::int64_t{state_crc})
               .BindInt(5, std::int64_t{SpecChecksum(row.serial, row.gid, row.spec)})
               .BindText(6, row.gid)
               .BindBlob(7, row.state)
               .Run();
  }
  return code == SQLITE_OK ? OkStatus() : Failure(db, path, "change table live", code);
}

// The index may lead from what the gid was before it was damaged.
Status AmendFinished(SqliteConnection& db, const std::string& path, const Meta& meta,
                     const WalkedRow& row) {
  const bool index = !row.damage.empty();
  int code = index ? db.Execute("DROP INDEX finished_by_gid") : SQLITE_OK;
  Statement update;
  if (code == SQLITE_OK) {
    code = db.Prepare(
        "UPDATE finished SET commit_seq = ?2, crc = ?3, outcome = ?4, gid = ?5, state = ?6"
        " WHERE serial = ?1",
        update);
  }
  const std::uint32_t crc = FinishedChecksum(row.serial, meta.commit_seq, row.outcome,
                                             row.finished_unix_ms, row.gid, row.spec, row.state);
  if (code == SQLITE_OK) {
    code = update.BindInt(1, row.serial)
               .BindInt(2, meta.commit_seq)
               .BindInt(3, std::int64_t{crc})
               .BindInt(4, std::int64_t{row.outcome})
               .BindText(5, row.gid)
               .BindBlob(6, row.state)
               .Run();
  }
  if (code == SQLITE_OK && index)
    code = db.Execute("CREATE UNIQUE INDEX finished_by_gid ON finished (gid)");
  return code == SQLITE_OK ? OkStatus() : Failure(db, path, "change table finished", code);
}

}  // namespace

Status AmendRow(SqliteConnection& db, const std::string& path, const Meta& meta,
                const WalkedRow& row) {
  return row.finished ? AmendFinished(db, path, meta, row) : AmendLive(db, path, meta, row);
}

Status WriteMeta(SqliteConnection& db, const std::string& path, const Meta& meta,
                 std::uint64_t held) {
  Statement update;
  int code = db.Prepare(kUpdateMetaSql, update);
  if (code == SQLITE_OK) {
    BindMeta(update, meta, held);
    code = update.Run();
  }
  if (code != SQLITE_OK) return Failure(db, path, "write table meta", code);
  return db.Changes() == 1 ? OkStatus() : Internal(path + ": table meta is of another epoch");
}

Status RenewEpochs(SqliteConnection& db, const std::string& path, Meta& meta) {
  const std::string name = "write table life";
  std::vector<std::uint64_t> starts;
  Statement select;
  int code = db.Prepare("SELECT epoch FROM life ORDER BY epoch", select);
  while (code == SQLITE_OK && (code = select.Step()) == SQLITE_ROW) {
    starts.push_back(StartNumber(select.Unsigned(0)));
    code = SQLITE_OK;
  }
  select = {};
  if (code == SQLITE_DONE) code = db.Execute("DELETE FROM life; DELETE FROM closed");
  Statement insert;
  if (code == SQLITE_OK)
    code = db.Prepare("INSERT INTO life (epoch, commit_seq, crc) VALUES (?1, ?2, ?3)", insert);
  std::random_device device;
  for (const std::uint64_t start : starts) {
    if (code != SQLITE_OK) break;
    meta.epoch = NextEpoch(FirstEpochOf(start - 1), device());
    code = insert.BindInt(1, meta.epoch)
               .BindInt(2, meta.commit_seq)
               .BindInt(3, std::int64_t{LifeChecksum(meta.epoch, meta.commit_seq)})
               .Run();
  }
  if (code == SQLITE_OK) {
    code = db.Execute(
        "INSERT INTO closed SELECT epoch, commit_seq, crc FROM life ORDER BY epoch DESC LIMIT 1");
  }
  return code == SQLITE_OK ? OkStatus() : Failure(db, path, name, code);
}

Status SqliteStore::Amend(
    const std::function<Status(SqliteConnection& db, const Meta& meta)>& change) {
  if (Status status = CheckInPlace(); !status.ok()) return status;
  if (const int code = sql_.begin.Run(); code != SQLITE_OK) return Failure("begin", code);
  Meta next = meta_;
  ++next.commit_seq;
  Status status = change(db_, next);
  if (status.ok()) status = WriteMeta(db_, options_.path, next, meta_.epoch);
  if (!status.ok()) {
    (void)sql_.rollback.Run();
    return status;
  }
  if (const int code = sql_.commit.Run(); code != SQLITE_OK) return Failure("commit", code);
  meta_ = next;
  // What it says of the last start stays: whether that has ended in order.
  const Result<bool> ended = NewestLifeEnded(db_, options_.path, meta_);
  if (!ended.ok()) return ended.status();
  status = Checkpoint(/*force=*/true);
  return status.ok() ? WriteAnchor(/*open=*/!*ended, /*wal_bytes=*/0) : status;
}

}  // namespace assent::log
