// A walk over all rows, some at a time, and other bytes in the place of their own. Their version,
// their commit and so their age stay: what they mean has not changed.

#include <sqlite3.h>
#include <utility>

#include "coordinator/log/sqlite/sqlite_store.h"

namespace assent::log {
namespace {

constexpr std::size_t kMaxWalkBytes = std::size_t{8} << 20;

}  // namespace

struct SqliteStore::Rewrite {
  bool finished = false;
  std::uint64_t serial = 0;
  std::int64_t crc = 0;       // of a finished row, or of the state
  std::int64_t spec_crc = 0;  // of an unfinished row
  std::string spec{};
  std::string state{};
};

Result<WalkPlace> SqliteStore::ReadLive(const WalkPlace& from, std::size_t max_rows,
                                        const RowEditor& edit, std::vector<Rewrite>& changed) {
  Statement select;
  int code = db_.Prepare(
      "SELECT serial, version, commit_seq, state_crc, spec_crc, gid, state, spec FROM live"
      " WHERE serial > ?1 ORDER BY serial LIMIT ?2",
      select);
  if (code == SQLITE_OK) select.BindInt(1, from.serial).BindInt(2, std::uint64_t{max_rows});
  WalkPlace place = from;
  std::size_t bytes = 0;
  while (code == SQLITE_OK && bytes < kMaxWalkBytes && (code = select.Step()) == SQLITE_ROW) {
    code = SQLITE_OK;
    Rewrite row{.serial = select.Unsigned(0)};
    const std::uint64_t version = select.Unsigned(1);
    const std::uint64_t commit_seq = select.Unsigned(2);
    const std::string gid(select.Bytes(5));
    row.state = select.Bytes(6);
    row.spec = select.Bytes(7);
    place.serial = row.serial;
    bytes += row.state.size() + row.spec.size();
    if (select.Int(3) != std::int64_t{StateChecksum(row.serial, version, commit_seq, row.state)} ||
        select.Int(4) != std::int64_t{SpecChecksum(row.serial, gid, row.spec)}) {
      return DataLoss(options_.path + ": table live, row " + std::to_string(row.serial) +
                      ": checksum mismatch");
    }
    if (!edit(gid, row.spec, row.state)) continue;
    row.crc = StateChecksum(row.serial, version, commit_seq, row.state);
    row.spec_crc = SpecChecksum(row.serial, gid, row.spec);
    changed.push_back(std::move(row));
  }
  if (code == SQLITE_DONE && place.serial == from.serial)
    return WalkPlace{.among = WalkPlace::Among::kFinished};
  if (code != SQLITE_OK && code != SQLITE_DONE) return Failure("walk over table live", code);
  return place;
}

Result<WalkPlace> SqliteStore::ReadFinished(const WalkPlace& from, std::size_t max_rows,
                                            const RowEditor& edit, std::vector<Rewrite>& changed) {
  Statement select;
  int code = db_.Prepare(
      "SELECT serial, commit_seq, crc, outcome, finished_unix_ms, gid, spec, state FROM finished"
      " WHERE serial > ?1 ORDER BY serial LIMIT ?2",
      select);
  if (code == SQLITE_OK) select.BindInt(1, from.serial).BindInt(2, std::uint64_t{max_rows});
  WalkPlace place = from;
  std::size_t bytes = 0;
  while (code == SQLITE_OK && bytes < kMaxWalkBytes && (code = select.Step()) == SQLITE_ROW) {
    code = SQLITE_OK;
    Result<FinishedRow> found = CheckedFinishedRow(select);
    if (!found.ok()) return found.status();
    place.serial = found->serial;
    bytes += found->state.size() + found->spec.size();
    if (!edit(found->gid, found->spec, found->state)) continue;
    changed.push_back(
        {.finished = true,
         .serial = found->serial,
         .crc = FinishedChecksum(found->serial, select.Unsigned(1), found->outcome,
                                 found->finished_unix_ms, found->gid, found->spec, found->state),
         .spec = std::move(found->spec),
         .state = std::move(found->state)});
  }
  if (code == SQLITE_DONE && place.serial == from.serial)
    return WalkPlace{.among = WalkPlace::Among::kEnd};
  if (code != SQLITE_OK && code != SQLITE_DONE) return Failure("walk over table finished", code);
  return place;
}

Status SqliteStore::WriteRewritten(const std::vector<Rewrite>& changed) {
  Statement live;
  Statement finished;
  int code = db_.Prepare(
      "UPDATE live SET state_crc = ?2, spec_crc = ?3, state = ?4, spec = ?5 WHERE serial = ?1",
      live);
  if (code == SQLITE_OK)
    code = db_.Prepare("UPDATE finished SET crc = ?2, spec = ?3, state = ?4 WHERE serial = ?1",
                       finished);
  for (const Rewrite& row : changed) {
    if (code != SQLITE_OK) break;
    if (row.finished) {
      code = finished.BindInt(1, row.serial)
                 .BindInt(2, row.crc)
                 .BindBlob(3, row.spec)
                 .BindBlob(4, row.state)
                 .Run();
    } else {
      code = live.BindInt(1, row.serial)
                 .BindInt(2, row.crc)
                 .BindInt(3, row.spec_crc)
                 .BindBlob(4, row.state)
                 .BindBlob(5, row.spec)
                 .Run();
    }
    if (code == SQLITE_OK && db_.Changes() != 1)
      return DataLoss(options_.path + ": row " + std::to_string(row.serial) +
                      " has gone meanwhile");
  }
  return code == SQLITE_OK ? OkStatus() : Failure("write rows anew", code);
}

Result<WalkPlace> SqliteStore::Walk(const WalkPlace& from, std::size_t max_rows,
                                    const RowEditor& edit) {
  if (from.among == WalkPlace::Among::kEnd) return from;
  if (Status status = CheckInPlace(); !status.ok()) return status;
  std::vector<Rewrite> changed;
  Result<WalkPlace> place = from.among == WalkPlace::Among::kLive
                                ? ReadLive(from, max_rows, edit, changed)
                                : ReadFinished(from, max_rows, edit, changed);
  if (!place.ok() || changed.empty()) return place;
  // A group of no entries: one commit more.
  GroupOutcome outcome;
  Status status = WriteGroup({}, Unwritten(), 0, outcome);
  if (!status.ok()) return status;
  status = WriteRewritten(changed);
  if (!status.ok()) return RollBack(status);
  status = Commit();
  if (!status.ok()) return status;
  return place;
}

}  // namespace assent::log
