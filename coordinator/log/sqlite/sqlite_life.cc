#include "coordinator/log/sqlite/sqlite_life.h"

#include <sqlite3.h>

#include "coordinator/log/epoch.h"

namespace assent::log {
namespace {

Status Failure(SqliteConnection& db, const std::string& path, const std::string& what, int code) {
  const std::string text = path + ": " + what + ": " + db.ErrorText(code);
  return IsCorrupt(code) ? DataLoss(text) : UnknownOutcome(text);
}

}  // namespace

// What the table holds is known from the newest life alone: the starts up to it, without a gap.
std::uint64_t OldestKeptStart(std::uint64_t newest) {
  return newest > kMaxEpochsCount ? newest - kMaxEpochsCount + 1 : 1;
}

Result<std::vector<std::uint64_t>> ReadEpochs(SqliteConnection& db, const std::string& path,
                                              const Meta& meta) {
  std::vector<std::uint64_t> epochs;
  Statement select;
  int code = db.Prepare("SELECT epoch, commit_seq, crc FROM life ORDER BY epoch", select);
  const std::string table = path + ": table life, ";
  const std::uint64_t newest = StartNumber(meta.epoch);
  std::uint64_t expected = OldestKeptStart(newest);
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
    if (epoch > meta.epoch || commit_seq > meta.commit_seq) {
      return DataLoss(name + ": is of a later commit than table meta");
    }
    if (StartNumber(epoch) > expected) break;  // rows are missing; named below
    if (StartNumber(epoch) < expected) return DataLoss(name + ": does not belong into this log");
    if (expected == newest && epoch != meta.epoch) {
      return DataLoss(name + ": table meta names another life, " + std::to_string(meta.epoch));
    }
    epochs.push_back(epoch);
    ++expected;
  }
  if (code != SQLITE_DONE && code != SQLITE_ROW) {
    return Failure(db, path, "read table life before start " + std::to_string(expected), code);
  }
  if (expected <= newest) {
    return DataLoss(table + "the row of start " + std::to_string(expected) + ": is missing");
  }
  return epochs;
}

Result<bool> NewestLifeEnded(SqliteConnection& db, const std::string& path, const Meta& meta) {
  Statement select;
  const std::string table = path + ": table closed";
  int code = db.Prepare("SELECT epoch, commit_seq, crc FROM closed", select);
  if (code == SQLITE_ERROR) return DataLoss(table + ": " + db.ErrorText(code));
  if (code == SQLITE_OK) code = select.Step();
  if (code == SQLITE_DONE) return false;
  if (code != SQLITE_ROW) return Failure(db, path, "read table closed", code);
  if (select.Int(2) != std::int64_t{LifeChecksum(select.Unsigned(0), select.Unsigned(1))}) {
    return DataLoss(table + ": checksum mismatch");
  }
  if (select.Unsigned(0) != meta.epoch) {
    return DataLoss(table + ": names another life than table meta");
  }
  return true;
}

Result<std::vector<AgeMark>> ReadAges(SqliteConnection& db, const std::string& path,
                                      const Meta& meta) {
  Statement select;
  int code = db.Prepare("SELECT ran_ms, commit_seq, unix_ms, crc FROM age ORDER BY ran_ms", select);
  std::vector<AgeMark> marks;
  while (code == SQLITE_OK || code == SQLITE_ROW) {
    code = select.Step();
    if (code != SQLITE_ROW) break;
    const AgeMark mark = {select.Unsigned(0), select.Unsigned(1), select.Int(2)};
    const std::string name = path + ": table age, row " + std::to_string(mark.ran_ms) + ": ";
    if (select.Int(3) != std::int64_t{AgeChecksum(mark.ran_ms, mark.commit_seq, mark.unix_ms)}) {
      return DataLoss(name + "checksum mismatch");
    }
    if (mark.commit_seq > meta.commit_seq ||
        (!marks.empty() && mark.commit_seq < marks.back().commit_seq)) {
      return DataLoss(name + "is of a later commit than the row behind it, or table meta");
    }
    marks.push_back(mark);
  }
  if (code != SQLITE_DONE) return Failure(db, path, "read table age", code);
  return marks;
}

}  // namespace assent::log
