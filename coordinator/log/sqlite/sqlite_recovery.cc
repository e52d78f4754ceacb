// Load: every unfinished row, checked, then this start's epoch in a commit of its own. Nothing that
// is found here may be acted upon before that commit has returned.

#include <algorithm>
#include <chrono>
#include <random>
#include <sqlite3.h>
#include <utility>

#include "coordinator/log/sqlite/sqlite_life.h"
#include "coordinator/log/sqlite/sqlite_store.h"

namespace assent::log {
namespace {

constexpr std::uint64_t kReplayCacheBytes = std::uint64_t{1} << 20;

constexpr std::chrono::milliseconds kFirstReportAfter(200);

// How often the clock is looked at.
constexpr std::uint64_t kRowsBetweenReports = 1024;

std::string RowName(const std::string& path, const char* table, std::uint64_t serial,
                    std::string_view gid) {
  return path + ": table " + table + ", row " + std::to_string(serial) + " (gid " +
         std::string(gid.substr(0, 64)) + ")";
}

}  // namespace

Result<Joined> SqliteStore::Join() {
  if (Status status = CheckPages(); !status.ok()) return status;
  Result<std::vector<std::uint64_t>> read = ReadEpochs(db_, options_.path, meta_);
  if (!read.ok()) return read.status();
  std::vector<std::uint64_t> epochs = *std::move(read);
  if (Status status = ReadAge(); !status.ok()) return status;
  new_epoch_ = NextEpoch(meta_.epoch, std::random_device()());
  epochs.push_back(new_epoch_);
  if (epochs.size() > kMaxEpochsCount) epochs.erase(epochs.begin());
  epochs_ = std::make_shared<const std::vector<std::uint64_t>>(std::move(epochs));
  serials_from_ = meta_.next_serial;
  return Joined{.log_id = static_cast<std::uint32_t>(meta_.coordinator_id),
                .epoch = new_epoch_,
                .slots_count = 1,
                .slots = {SlotGrant{}},
                .next_serial = meta_.next_serial,
                .epochs = epochs_};
}

// Nothing is written before all of it has been checked.
Status SqliteStore::Load(const Log::LiveVisitor& visit) {
  // Each page is read once: a large cache would only be more memory to touch.
  if (const int code = db_.SetCacheBytes(kReplayCacheBytes); code != SQLITE_OK)
    return Failure("set the cache size", code);
  if (Status status = ReplayLive(visit); !status.ok()) return status;
  if (const int code = db_.SetCacheBytes(options_.cache_bytes); code != SQLITE_OK)
    return Failure("set the cache size", code);
  if (Status status = CheckFinished(); !status.ok()) return status;
  return BeginEpoch();
}

// SQLite's own check of pages and indexes: of the whole file, if it is small.
Status SqliteStore::CheckPages() {
  std::int64_t pages = 0;
  std::int64_t page_bytes = 0;
  int code = db_.QueryInt("PRAGMA page_count", pages);
  if (code == SQLITE_OK) code = db_.QueryInt("PRAGMA page_size", page_bytes);
  if (code != SQLITE_OK) return Failure("read the size", code);
  page_bytes_ = static_cast<std::uint64_t>(page_bytes);
  small_ = static_cast<std::uint64_t>(pages) * page_bytes_ <= options_.full_check_bytes;
  if (!small_) return OkStatus();
  std::string verdict;
  code = db_.QueryText("PRAGMA integrity_check(1)", verdict);
  if (code != SQLITE_OK) return Failure("check the pages", code);
  return verdict == "ok" ? OkStatus() : DamagedOrUnread(verdict);
}

// SQLite's check speaks of a page that could not be read as of a damaged one, and a person would
// restore a copy where only the disk has to be looked after. So: can all be read, and is it said
// again?
Status SqliteStore::DamagedOrUnread(const std::string& verdict) {
  sqlite3_file* file = nullptr;
  sqlite3_int64 bytes = 0;
  int code = sqlite3_file_control(db_.raw(), "main", SQLITE_FCNTL_FILE_POINTER, &file);
  if (code == SQLITE_OK) code = file->pMethods->xFileSize(file, &bytes);
  std::vector<unsigned char> page(page_bytes_);
  const auto size = static_cast<int>(page_bytes_);
  for (sqlite3_int64 at = 0; code == SQLITE_OK && at + size <= bytes; at += size) {
    code = file->pMethods->xRead(file, page.data(), size, at);
  }
  std::string again;
  if (code == SQLITE_OK) code = db_.QueryText("PRAGMA integrity_check(1)", again);
  if (code != SQLITE_OK) return Failure("check the pages: " + verdict, code);
  if (again != "ok") return DataLoss(options_.path + ": " + verdict);
  return UnknownOutcome(options_.path + ": check the pages: " + verdict +
                        ": and not the second time: the disk does not always give what it holds");
}

Status SqliteStore::ReplayLive(const Log::LiveVisitor& visit) {
  Statement select;
  int code = db_.Prepare(
      "SELECT serial, version, commit_seq, state_crc, spec_crc, gid, state, spec FROM live"
      " ORDER BY serial",
      select);
  Meta found;
  std::uint64_t last = 0;
  LiveRow row;  // its memory serves all rows: there may be a million
  const auto name = [&] { return RowName(options_.path, "live", row.serial, row.gid); };
  auto next_report = std::chrono::steady_clock::now() + kFirstReportAfter;
  const auto report = [&](std::uint64_t rows) {
    if (!options_.on_replay || std::chrono::steady_clock::now() < next_report) return;
    next_report += std::chrono::seconds(1);
    options_.on_replay(rows, std::max(rows, meta_.live_rows));  // the count is checked at the end
  };
  while (code == SQLITE_OK || code == SQLITE_ROW) {
    code = select.Step();
    if (code != SQLITE_ROW) break;
    row.serial = select.Unsigned(0);
    row.version = select.Unsigned(1);
    row.gid = select.Bytes(5);
    row.spec = select.Bytes(7);
    row.state = select.Bytes(6);
    const std::uint64_t commit_seq = select.Unsigned(2);
    if (select.Int(3) !=
        std::int64_t{StateChecksum(row.serial, row.version, commit_seq, row.state)}) {
      return DataLoss(name() + ": checksum mismatch in serial, version, commit_seq or state");
    }
    if (select.Int(4) != std::int64_t{SpecChecksum(row.serial, row.gid, row.spec)}) {
      return DataLoss(name() + ": checksum mismatch in serial, gid or spec");
    }
    if (commit_seq > meta_.commit_seq || row.serial >= meta_.next_serial) {
      return DataLoss(name() + ": is of a later commit than table meta");
    }
    last = row.serial;
    ++found.live_rows;
    live_gids_.emplace(GidHash(row.gid), row.serial);
    found.live_xor ^= row.serial;
    found.live_versions += row.version;
    if (Status status = visit(row); !status.ok()) return status;
    if (found.live_rows % kRowsBetweenReports == 0) report(found.live_rows);
  }
  if (code != SQLITE_DONE) {
    return Failure("read table live after row " + std::to_string(last), code);
  }
  if (found.live_rows + 1 == meta_.live_rows) {
    return DataLoss(options_.path + ": table live, row " +
                    std::to_string(found.live_xor ^ meta_.live_xor) + ": is missing");
  }
  if (found.live_rows != meta_.live_rows || found.live_xor != meta_.live_xor) {
    return DataLoss(options_.path + ": table live has " + std::to_string(found.live_rows) +
                    " rows, table meta counts " + std::to_string(meta_.live_rows) +
                    ", or they are not the same rows");
  }
  if (found.live_versions != meta_.live_versions) {
    return DataLoss(options_.path +
                    ": some row of table live is of an earlier time: the versions sum to " +
                    std::to_string(found.live_versions) + ", table meta says " +
                    std::to_string(meta_.live_versions));
  }
  return OkStatus();
}

Status SqliteStore::CheckFinished() {
  const auto limit = static_cast<std::uint64_t>(
      small_ ? INT64_MAX : static_cast<std::int64_t>(options_.check_finished_rows));
  sql_.scan.BindInt(1, std::int64_t{INT64_MAX}).BindInt(2, limit);
  std::uint64_t rows = 0;
  std::uint64_t last = 0;
  int code = SQLITE_OK;
  Status status;
  while (status.ok() && (code = sql_.scan.Step()) == SQLITE_ROW) {
    const Result<FinishedRow> row = CheckedFinishedRow(sql_.scan);
    if (!row.ok()) {
      status = row.status();
      break;
    }
    ++rows;
    last = row.value().serial;
    // The index is the way to a gid: a row that it does not lead to would be as good as absent.
    const int found = sql_.serial_of_gid.BindText(1, row.value().gid).Step();
    if (found == SQLITE_ROW ? sql_.serial_of_gid.Unsigned(0) != last : found == SQLITE_DONE) {
      status = DataLoss(RowName(options_.path, "finished", last, row.value().gid) +
                        ": index finished_by_gid does not lead to it");
    } else if (found != SQLITE_ROW) {
      status = Failure("read index finished_by_gid", found);
    }
    sql_.serial_of_gid.Reset();
  }
  sql_.scan.Reset();
  if (!status.ok()) return status;
  if (code != SQLITE_DONE) {
    return Failure("read table finished before row " + std::to_string(last), code);
  }
  if (small_ && rows != meta_.finished_rows) {
    return DataLoss(options_.path + ": table finished has " + std::to_string(rows) +
                    " rows, table meta counts " + std::to_string(meta_.finished_rows));
  }
  return OkStatus();
}

Result<FinishedRow> SqliteStore::CheckedFinishedRow(const Statement& row) const {
  FinishedRow found = {.serial = row.Unsigned(0),
                       .gid = std::string(row.Bytes(5)),
                       .spec = std::string(row.Bytes(6)),
                       .state = std::string(row.Bytes(7)),
                       .outcome = static_cast<std::uint8_t>(row.Unsigned(3)),
                       .finished_unix_ms = row.Int(4)};
  const std::uint64_t commit_seq = row.Unsigned(1);
  const std::uint32_t crc =
      FinishedChecksum(found.serial, commit_seq, found.outcome, found.finished_unix_ms, found.gid,
                       found.spec, found.state);
  if (row.Int(2) != std::int64_t{crc} || row.Unsigned(3) != found.outcome) {
    return DataLoss(RowName(options_.path, "finished", found.serial, found.gid) +
                    ": checksum mismatch");
  }
  if (commit_seq > meta_.commit_seq || found.serial >= meta_.next_serial) {
    return DataLoss(RowName(options_.path, "finished", found.serial, found.gid) +
                    ": is of a later commit than table meta");
  }
  return found;
}

}  // namespace assent::log
