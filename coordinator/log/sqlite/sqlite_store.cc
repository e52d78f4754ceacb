// Writing groups and reading finished rows.

#include "coordinator/log/sqlite/sqlite_store.h"

#include <algorithm>
#include <sqlite3.h>

#include "coordinator/base/clock.h"

namespace assent::log {
namespace {

// A page of Scan ends after so many bytes: a row may hold megabytes.
constexpr std::size_t kMaxScanBytes = std::size_t{8} << 20;

Status TwoWriters(const NetWrite& write, const std::string& what) {
  return OutOfTurn(*write.last, what);
}

Status NoSuchVersion(const NetWrite& write) {
  return TwoWriters(write, "there is no unfinished row of this gid with version " +
                               std::to_string(write.stored_version));
}

bool IsConstraint(int code) { return (code & 0xFF) == SQLITE_CONSTRAINT; }

}  // namespace

Status SqliteStore::WriteGroup(const std::vector<const std::vector<Entry>*>& batches,
                               const Unwritten& unwritten, std::size_t expire_rows,
                               GroupOutcome& outcome) {
  outcome = GroupOutcome();
  done_ = Done();
  outcome.refused.resize(batches.size());
  plan_.Clear();
  collided_.clear();
  come_.clear();
  gone_.clear();
  next_ = meta_;
  ++next_.commit_seq;
  if (const int code = sql_.begin.Run(); code != SQLITE_OK) return RollBack(Failure("begin", code));
  for (std::size_t b = 0; b < batches.size(); ++b) {
    const std::vector<Entry>& batch = *batches[b];
    for (std::size_t i = 0; i < batch.size(); ++i) {
      Status refusal;
      const Status status = WriteEntry(batch[i], unwritten, outcome, refusal);
      if (!status.ok()) return RollBack(status);
      if (!refusal.ok()) outcome.refused[b].push_back({.index = i, .status = refusal});
    }
  }
  Status status = FlushPlan();
  if (status.ok() && expire_rows > 0) status = Expire(expire_rows);
  if (!status.ok()) return RollBack(status);
  RefuseCollided(batches, outcome);
  return status;
}

Status SqliteStore::Commit() {
  Status status = WriteMetaAndCommit();
  if (!status.ok()) return RollBack(status);
  NoteCommitted();
  return status;
}

void SqliteStore::NoteCommitted() {
  meta_ = next_;
  for (const auto& one : come_) live_gids_.insert(one);
  for (const auto& [hash, serial] : gone_) {
    auto [at, end] = live_gids_.equal_range(hash);
    while (at != end && at->second != serial) ++at;
    if (at != end) live_gids_.erase(at);
  }
}

Status SqliteStore::WriteEntry(const Entry& entry, const Unwritten& unwritten,
                               GroupOutcome& outcome, Status& refusal) {
  if (entry.kind == EntryKind::kForget) return WriteForget(entry, refusal);
  if (entry.kind == EntryKind::kBegin) {
    bool exists = plan_.EndsHere(entry.gid);
    if (!exists) {
      const Result<bool> finished = GidIsFinished(entry.gid);
      if (!finished.ok()) return finished.status();
      exists = finished.value();
    }
    if (exists) {
      refusal = AlreadyExists("transaction " + entry.gid + " has already finished");
      outcome.never_begun.push_back(entry.serial);
      return OkStatus();
    }
  }
  const bool never_begun = unwritten.NeverBegun(entry.serial) ||
                           (!outcome.never_begun.empty() &&
                            std::find(outcome.never_begun.begin(), outcome.never_begun.end(),
                                      entry.serial) != outcome.never_begun.end());
  if (never_begun) {
    refusal = NotFound("transaction " + entry.gid + ", serial " + std::to_string(entry.serial) +
                       ": its beginning was refused");
    return OkStatus();
  }
  return plan_.Add(entry);
}

Result<bool> SqliteStore::GidIsFinished(const std::string& gid) {
  const int code = sql_.serial_of_gid.BindText(1, gid).Step();
  sql_.serial_of_gid.Reset();
  if (code != SQLITE_ROW && code != SQLITE_DONE) return Failure("look for gid " + gid, code);
  return code == SQLITE_ROW;
}

Status SqliteStore::WriteForget(const Entry& entry, Status& refusal) {
  // The row may be one that this very group finishes.
  if (Status status = FlushPlan(); !status.ok()) return status;
  int code = sql_.serial_of_gid.BindText(1, entry.gid).Step();
  const std::uint64_t serial = code == SQLITE_ROW ? sql_.serial_of_gid.Unsigned(0) : 0;
  sql_.serial_of_gid.Reset();
  if (code == SQLITE_DONE) {
    refusal = NotFound("no finished transaction " + entry.gid);
    return OkStatus();
  }
  if (code == SQLITE_ROW) code = sql_.delete_finished.BindInt(1, serial).Run();
  if (code != SQLITE_OK) return Failure("forget gid " + entry.gid, code);
  if (db_.Changes() != 1)
    return DataLoss(options_.path + ": index finished_by_gid leads gid " + entry.gid + " to row " +
                    std::to_string(serial) + ", which is not there");
  --next_.finished_rows;
  return OkStatus();
}

Status SqliteStore::FlushPlan() {
  for (const NetWrite& write : plan_.writes()) {
    if (Status status = WriteNet(write); !status.ok()) return status;
  }
  plan_.Clear();
  return OkStatus();
}

Status SqliteStore::WriteNet(const NetWrite& write) {
  if (write.begin != nullptr) {
    if (write.serial < serials_from_) return TwoWriters(write, "the serial is of an earlier epoch");
    next_.next_serial = std::max(next_.next_serial, write.serial + 1);
  }
  if (write.last->kind != EntryKind::kEnd) return WriteUnfinished(write);
  const Result<bool> finished = WriteFinished(write);
  if (!finished.ok()) return finished.status();
  if (finished.value()) return write.begin == nullptr ? RemoveLive(write) : OkStatus();
  return WriteUnfinished(write);
}

Status SqliteStore::WriteUnfinished(const NetWrite& write) {
  const Entry& last = *write.last;
  const std::int64_t crc = StateChecksum(write.serial, last.version, next_.commit_seq, last.state);
  next_.live_versions += last.version - write.stored_version;
  int code = SQLITE_OK;
  if (write.begin != nullptr) {
    const Entry& begin = *write.begin;
    code = sql_.insert_live.BindInt(1, write.serial)
               .BindInt(2, last.version)
               .BindInt(3, next_.commit_seq)
               .BindInt(4, crc)
               .BindInt(5, std::int64_t{SpecChecksum(write.serial, begin.gid, begin.spec)})
               .BindText(6, begin.gid)
               .BindBlob(7, last.state)
               .BindBlob(8, begin.spec)
               .Run();
    if (IsConstraint(code)) return TwoWriters(write, "there is a row with this serial");
    come_.emplace_back(GidHash(begin.gid), write.serial);
    ++next_.live_rows;
    next_.live_xor ^= write.serial;
  } else {
    code = sql_.update_live.BindInt(1, write.serial)
               .BindInt(2, last.version)
               .BindInt(3, next_.commit_seq)
               .BindInt(4, crc)
               .BindBlob(5, last.state)
               .BindInt(6, write.stored_version)
               .Run();
  }
  if (code != SQLITE_OK) return Failure("write row " + std::to_string(write.serial), code);
  if (write.begin == nullptr && db_.Changes() != 1) return NoSuchVersion(write);
  return OkStatus();
}

Status SqliteStore::RemoveLive(const NetWrite& write) {
  const int code = sql_.delete_live.BindInt(1, write.serial)
                       .BindInt(2, write.stored_version)
                       .BindText(3, write.last->gid)
                       .Run();
  if (code != SQLITE_OK) return Failure("remove row " + std::to_string(write.serial), code);
  if (db_.Changes() != 1) return NoSuchVersion(write);
  gone_.emplace_back(GidHash(write.last->gid), write.serial);
  --next_.live_rows;
  next_.live_xor ^= write.serial;
  next_.live_versions -= write.stored_version;
  return OkStatus();
}

// The unfinished row that the end names is there, gid and all.
bool SqliteStore::IsLive(const NetWrite& write) {
  Statement select;
  const int code =
      db_.Prepare("SELECT 1 FROM live WHERE serial = ?1 AND version = ?2 AND gid = ?3", select);
  return code == SQLITE_OK && select.BindInt(1, write.serial)
                                      .BindInt(2, write.stored_version)
                                      .BindText(3, write.last->gid)
                                      .Step() == SQLITE_ROW;
}

// False, and nothing is written but a line in collided_: a finished transaction has this gid, or
// the serial of a row that is there.
Result<bool> SqliteStore::WriteFinished(const NetWrite& write) {
  const Entry& end = *write.last;
  const std::uint32_t crc = FinishedChecksum(write.serial, next_.commit_seq, end.outcome,
                                             end.finished_unix_ms, end.gid, end.spec, end.state);
  const int code = sql_.insert_finished.BindInt(1, write.serial)
                       .BindInt(2, next_.commit_seq)
                       .BindInt(3, std::int64_t{crc})
                       .BindInt(4, std::int64_t{end.outcome})
                       .BindInt(5, end.finished_unix_ms)
                       .BindText(6, end.gid)
                       .BindBlob(7, end.spec)
                       .BindBlob(8, end.state)
                       .Run();
  if (IsConstraint(code)) {
    const Result<bool> taken = GidIsFinished(end.gid);
    if (!taken.ok()) return taken.status();
    if (IsLive(write) || (taken.value() && write.begin != nullptr)) {
      collided_.push_back({.entry = &end, .what = taken.value() ? "gid" : "serial"});
      return false;
    }
    return TwoWriters(write, "a finished transaction has this serial, or there is no such row");
  }
  if (code != SQLITE_OK) return Failure("write finished row " + std::to_string(write.serial), code);
  ++next_.finished_rows;
  pace_->NoteFinished(1);
  expire_from_ = std::min(expire_from_, write.serial - 1);
  return true;
}

// What was left out of its batch, by its place in it.
void SqliteStore::RefuseCollided(const std::vector<const std::vector<Entry>*>& batches,
                                 GroupOutcome& outcome) {
  for (const auto& [entry, what] : collided_) {
    for (std::size_t b = 0; b < batches.size(); ++b) {
      const std::vector<Entry>& batch = *batches[b];
      if (entry < batch.data() || entry >= batch.data() + batch.size()) continue;
      std::vector<RefusedEntry>& refused = outcome.refused[b];
      refused.push_back({.index = static_cast<std::size_t>(entry - batch.data()),
                         .status = AlreadyExists("transaction " + entry->gid +
                                                 " cannot end: a finished one has this " + what)});
      std::sort(refused.begin(), refused.end(),
                [](const auto& x, const auto& y) { return x.index < y.index; });
    }
  }
}

Status SqliteStore::WriteMetaAndCommit() {
  const auto age = age_->Plan(MonoNowMs(), meta_.commit_seq, UnixNowMs());
  if (age) {
    if (Status status = WriteAge(*age); !status.ok()) return status;
  }
  BindMeta(sql_.update_meta, next_, meta_.epoch);
  if (const int code = sql_.update_meta.Run(); code != SQLITE_OK) {
    return Failure("write table meta", code);
  }
  if (db_.Changes() != 1) {
    return FailedPrecondition(options_.path + ": the epoch is no longer " +
                              std::to_string(meta_.epoch) + ": another coordinator took over");
  }
  // Not before this moment, for what is committed into a file that was shortened makes it long
  // again.
  if (Status status = CheckInPlace(); !status.ok()) return status;
  const auto start = std::chrono::steady_clock::now();
  if (const int code = sql_.commit.Run(); code != SQLITE_OK) return Failure("commit", code);
  done_.in_commit = std::chrono::duration_cast<std::chrono::microseconds>(
      std::chrono::steady_clock::now() - start);
  wal_.bytes = std::max(wal_.bytes, WalBytes());
  if (Status status = CheckInPlace(); !status.ok()) return status;
  if (age) age_->Apply(*age);
  // What cannot be noted for lack of space is in the next anchor.
  const Status noted = state_.Note(next_.commit_seq);
  return noted.code() == Code::kResourceExhausted ? OkStatus() : noted;
}

// Of the frames that SQLite says it has written.
std::uint64_t SqliteStore::WalBytes() const {
  constexpr std::uint64_t kHeaderBytes = 32;
  constexpr std::uint64_t kFrameHeaderBytes = 24;
  if (wal_pages_ == 0) return 0;
  return kHeaderBytes + static_cast<std::uint64_t>(wal_pages_) * (kFrameHeaderBytes + page_bytes_);
}

// What was committed is where the next start will look for it: not in files that somebody deleted,
// replaced or cut while we hold them open. Three looks at the folder.
Status SqliteStore::CheckInPlace() {
  if (!options_.vfs.empty()) return OkStatus();  // not a file system's
  for (const bool wal : {false, true}) {
    const Status status =
        log::CheckInPlace(wal ? options_.path + "-wal" : options_.path, wal ? wal_ : file_);
    if (!status.ok()) return status;
  }
  return KeepState();
}

// All that PATH-state says is known here as well: one that is gone is no loss unless the next start
// misses it.
Status SqliteStore::KeepState() {
  const Result<bool> there = state_.StillThere();
  if (!there.ok()) return there.status();
  if (there.value()) return OkStatus();
  Status status = WriteAnchor(/*open=*/true, wal_.bytes);
  if (status.code() == Code::kResourceExhausted) return OkStatus();  // the next look tries again
  if (status.ok()) status = SyncFolder();
  if (status.ok() && options_.on_state_renewed) options_.on_state_renewed();
  return status;
}

// What happened before decides whether the file may still be touched.
Status SqliteStore::RollBack(Status why) {
  plan_.Clear();
  if (why.code() == Code::kDataLoss) return why;
  if (why.code() != Code::kResourceExhausted && why.code() != Code::kFailedPrecondition) {
    return UnknownOutcome(why.message());
  }
  if (db_.InTransaction()) {  // a failed COMMIT may have rolled back by itself
    if (const int code = sql_.rollback.Run(); code != SQLITE_OK) {
      return UnknownOutcome(why.message() + "; and then: " + Failure("roll back", code).message());
    }
  }
  return why;
}

Result<Found> SqliteStore::Find(const std::string& gid) {
  const int code = sql_.find_finished.BindText(1, gid).Step();
  Result<FinishedRow> row = FinishedRow();
  if (code == SQLITE_ROW) row = CheckedFinishedRow(sql_.find_finished);
  sql_.find_finished.Reset();
  if (code != SQLITE_ROW && code != SQLITE_DONE) return Failure("look for gid " + gid, code);
  if (!row.ok()) return row.status();
  if (code == SQLITE_ROW) {
    if (row.value().gid == gid)
      return Found{.what = Found::What::kFinished, .row = *std::move(row), .epochs = epochs_};
    return DataLoss(options_.path + ": index finished_by_gid leads gid " + gid + " to row " +
                    std::to_string(row.value().serial));
  }
  const Result<bool> live = GidIsLive(gid);
  if (!live.ok()) return live.status();
  if (live.value())
    return Found{.what = Found::What::kLive, .owner = meta_.epoch, .epochs = epochs_};
  return Found{.epochs = epochs_};
}

Result<bool> SqliteStore::GidIsLive(const std::string& gid) {
  auto [at, end] = live_gids_.equal_range(GidHash(gid));
  for (; at != end; ++at) {
    const int code = sql_.gid_of_live.BindInt(1, at->second).Step();
    const bool same = code == SQLITE_ROW && sql_.gid_of_live.Bytes(0) == gid;
    sql_.gid_of_live.Reset();
    if (code != SQLITE_ROW && code != SQLITE_DONE) return Failure("look for gid " + gid, code);
    if (same) return true;
  }
  return false;
}

Result<std::vector<FinishedRow>> SqliteStore::Scan(std::uint64_t before_serial,
                                                   std::size_t max_rows) {
  std::vector<FinishedRow> rows;
  const Status status = ScanEach(before_serial, max_rows, [&](FinishedRow&& row, std::uint64_t) {
    rows.push_back(std::move(row));
    return OkStatus();
  });
  if (!status.ok()) return status;
  return rows;
}

Status SqliteStore::ScanEach(
    std::uint64_t before_serial, std::size_t max_rows,
    const std::function<Status(FinishedRow&&, std::uint64_t commit_seq)>& visit) {
  const std::int64_t bound = before_serial == 0 || before_serial > INT64_MAX
                                 ? INT64_MAX
                                 : static_cast<std::int64_t>(before_serial);
  sql_.scan.BindInt(1, bound).BindInt(2, static_cast<std::uint64_t>(max_rows));
  std::size_t bytes = 0;
  Status status;
  int code = SQLITE_DONE;
  while (status.ok() && bytes < kMaxScanBytes && (code = sql_.scan.Step()) == SQLITE_ROW) {
    Result<FinishedRow> row = CheckedFinishedRow(sql_.scan);
    if (!row.ok()) {
      status = row.status();
      break;
    }
    bytes += row.value().spec.size() + row.value().state.size();
    status = visit(*std::move(row), sql_.scan.Unsigned(1));
  }
  if (status.ok() && code != SQLITE_ROW && code != SQLITE_DONE) status = Failure("scan", code);
  sql_.scan.Reset();
  return status;
}

Status SqliteStore::Checkpoint(bool force) {
  if (force ? !wal_holds_ : wal_pages_ < options_.checkpoint_pages) return OkStatus();
  if (Status status = CheckInPlace(); !status.ok()) return status;
  if (Status status = MoveWal(false); !status.ok() || !force) return status;
  // The database has it all; before the WAL is emptied it is written down that this is as it should
  // be.
  if (Status status = WriteAnchor(/*open=*/true, /*wal_bytes=*/0); !status.ok()) return status;
  return MoveWal(true);
}

// Everything in the WAL goes to the database, and is durable there; with `empty` it is emptied as
// well.
Status SqliteStore::MoveWal(bool empty) {
  int pages = 0;
  int moved = 0;
  const int mode = empty ? SQLITE_CHECKPOINT_TRUNCATE : SQLITE_CHECKPOINT_PASSIVE;
  if (empty) wal_.bytes = 0;
  const int code = sqlite3_wal_checkpoint_v2(db_.raw(), "main", mode, &pages, &moved);
  if (code != SQLITE_OK) return Failure("checkpoint", code);
  if (pages != moved) return Internal(options_.path + ": the WAL was moved in part");
  wal_pages_ = 0;
  if (empty) wal_holds_ = false;
  return OkStatus();
}

Status SqliteStore::AnchorState() {
  constexpr std::chrono::seconds kEvery(1);
  if (state_.anchored().commit_seq == meta_.commit_seq ||
      std::chrono::steady_clock::now() < anchored_at_ + kEvery) {
    return OkStatus();
  }
  return WriteAnchor(/*open=*/true, wal_.bytes);
}

std::int64_t SqliteStore::UnixNowMs() const {
  if (options_.unix_now_ms) return options_.unix_now_ms();
  return base::UnixNowMs();
}

std::int64_t SqliteStore::MonoNowMs() const {
  if (options_.mono_now_ms) return options_.mono_now_ms();
  return base::MonoNowMs();
}

}  // namespace assent::log
