#include "coordinator/log/sqlite/sqlite_import.h"

#include <algorithm>
#include <cerrno>
#include <chrono>
#include <cstdio>
#include <cstring>
#include <fcntl.h>
#include <fstream>
#include <iterator>
#include <sqlite3.h>
#include <unistd.h>
#include <utility>

#include "coordinator/base/clock.h"
#include "coordinator/base/sync.h"
#include "coordinator/log/sqlite/sqlite_schema.h"

namespace assent::log {
namespace {

// About as many marks as a log has.
constexpr std::uint64_t kBucketsCount = 256;

Status SyncPath(const std::string& path, int flags) {
  const int error = base::SyncPath(path, flags);
  if (error == 0) return OkStatus();
  return UnknownOutcome(path + ": cannot be synchronised: " + std::strerror(error));
}

Status SyncFolderOf(const std::string& path) {
  return SyncPath(base::FolderOf(path), O_RDONLY | O_DIRECTORY);
}

std::string MarkOf(const std::string& path) { return path + "-incoming-from"; }

}  // namespace

std::string ReadIncomingMark(const std::string& path) {
  std::ifstream file(MarkOf(path));
  std::string text{std::istreambuf_iterator<char>(file), std::istreambuf_iterator<char>()};
  while (!text.empty() && text.back() == '\n') text.pop_back();
  return text;
}

// Whole or not there, also after a power cut.
Status MarkIncoming(const std::string& path, const std::string& source) {
  const std::string mark = MarkOf(path);
  const std::string made = mark + "-new";
  std::ofstream(made, std::ios::trunc) << source << '\n';
  Status status = SyncPath(made, O_RDWR);
  if (status.ok() && std::rename(made.c_str(), mark.c_str()) != 0)
    status = Unavailable(mark + ": cannot be made: " + std::strerror(errno));
  return status.ok() ? SyncFolderOf(path) : status;
}

void RemoveIncomingMark(const std::string& path) { (void)unlink(MarkOf(path).c_str()); }

Status CheckNotIncoming(const std::string& path) {
  if (access(MarkOf(path).c_str(), F_OK) != 0) return OkStatus();
  const std::string source = ReadIncomingMark(path);
  const bool backup = source.rfind(kBackupMark, 0) == 0;
  return FailedPrecondition(path + ": this folder is being filled " +
                            (backup ? "by a restore of " : "by a migration from ") + source +
                            ": run assentctl " + (backup ? "restore" : "migrate") +
                            " again, which ends it (or, if that log goes on where it was, remove " +
                            MarkOf(path) + ")");
}

SqliteImport::SqliteImport(std::string path, ImportedLog log)
    : path_(std::move(path)),
      incoming_(path_ + "-incoming"),
      log_(std::move(log)),
      bucket_ms_(log_.ran_ms / kBucketsCount + 1) {}

std::uint64_t SqliteImport::Bucket(std::uint64_t ran_ms) const {
  return std::min(ran_ms, log_.ran_ms) / bucket_ms_;
}

Status SqliteImport::Begin() {
  (void)unlink(incoming_.c_str());
  const int fd = open(incoming_.c_str(), O_RDWR | O_CREAT | O_EXCL | O_CLOEXEC, 0600);
  if (fd < 0) {
    return FailedPrecondition(incoming_ + ": cannot create it: " + std::strerror(errno) +
                              ": check that its folder exists and may be written");
  }
  close(fd);
  if (const int code = db_.Open(incoming_, ""); code != SQLITE_OK) return Failure("open", code);
  // A death leaves a file of no meaning: it need not be safe before Finish.
  int code = db_.Execute("PRAGMA journal_mode = MEMORY; PRAGMA synchronous = OFF");
  if (code != SQLITE_OK) return Failure("configure", code);
  if (Status status = Migrate(db_, incoming_, Migrations()); !status.ok()) return status;
  const Result<Meta> meta = ReadMeta(db_, incoming_);
  if (!meta.ok()) return meta.status();
  meta_ = *meta;
  meta_.coordinator_id = log_.log_id;
  meta_.epoch = log_.epochs.back();
  // One commit for each part of the run time; that of the last is the newest.
  meta_.commit_seq = Bucket(log_.ran_ms) + 1;
  code = db_.Execute("BEGIN IMMEDIATE");
  if (code == SQLITE_OK) {
    code = db_.Prepare(
        "INSERT INTO live (serial, version, commit_seq, state_crc, spec_crc, gid, state, spec)"
        " VALUES (?1, ?2, ?3, ?4, ?5, ?6, ?7, ?8)",
        live_);
  }
  if (code == SQLITE_OK) {
    code = db_.Prepare(
        "INSERT INTO finished (serial, commit_seq, crc, outcome, finished_unix_ms, gid, spec,"
        " state) VALUES (?1, ?2, ?3, ?4, ?5, ?6, ?7, ?8)",
        finished_);
  }
  return code == SQLITE_OK ? OkStatus() : Failure("begin", code);
}

Status SqliteImport::Add(const LiveRow& row) {
  const std::uint64_t commit = meta_.commit_seq;
  const int code =
      live_.BindInt(1, row.serial)
          .BindInt(2, row.version)
          .BindInt(3, commit)
          .BindInt(4, std::int64_t{StateChecksum(row.serial, row.version, commit, row.state)})
          .BindInt(5, std::int64_t{SpecChecksum(row.serial, row.gid, row.spec)})
          .BindText(6, row.gid)
          .BindBlob(7, row.state)
          .BindBlob(8, row.spec)
          .Run();
  if (code != SQLITE_OK) return Failure("write unfinished " + row.gid, code);
  ++meta_.live_rows;
  meta_.live_xor ^= row.serial;
  meta_.live_versions += row.version;
  meta_.next_serial = std::max(meta_.next_serial, row.serial + 1);
  return OkStatus();
}

Status SqliteImport::Add(const FinishedRow& row, std::uint64_t ran_ms) {
  const std::uint64_t commit = Bucket(ran_ms) + 1;
  const std::uint32_t crc = FinishedChecksum(row.serial, commit, row.outcome, row.finished_unix_ms,
                                             row.gid, row.spec, row.state);
  const int code = finished_.BindInt(1, row.serial)
                       .BindInt(2, commit)
                       .BindInt(3, std::int64_t{crc})
                       .BindInt(4, std::int64_t{row.outcome})
                       .BindInt(5, row.finished_unix_ms)
                       .BindText(6, row.gid)
                       .BindBlob(7, row.spec)
                       .BindBlob(8, row.state)
                       .Run();
  if (code != SQLITE_OK) return Failure("write finished " + row.gid, code);
  ++meta_.finished_rows;
  meta_.next_serial = std::max(meta_.next_serial, row.serial + 1);
  return OkStatus();
}

// A row is as old as the mark of its commit: a part of the run time younger than it is, at most.
Status SqliteImport::WriteAges() {
  Statement insert;
  int code = db_.Prepare(
      "INSERT INTO age (ran_ms, commit_seq, unix_ms, crc) VALUES (?1, ?2, ?3, ?4)", insert);
  const std::int64_t now = base::UnixNowMs();
  for (std::uint64_t commit = 1; code == SQLITE_OK && commit <= meta_.commit_seq; ++commit) {
    const std::uint64_t ran_ms = std::min(commit * bucket_ms_ - 1, log_.ran_ms);
    const std::int64_t unix_ms = now - static_cast<std::int64_t>(log_.ran_ms - ran_ms);
    code = insert.BindInt(1, ran_ms)
               .BindInt(2, commit)
               .BindInt(3, unix_ms)
               .BindInt(4, std::int64_t{AgeChecksum(ran_ms, commit, unix_ms)})
               .Run();
  }
  return code == SQLITE_OK ? OkStatus() : Failure("write table age", code);
}

Status SqliteImport::WriteEpochs() {
  Statement insert;
  int code = db_.Prepare("INSERT INTO life (epoch, commit_seq, crc) VALUES (?1, ?2, ?3)", insert);
  for (const std::uint64_t epoch : log_.epochs) {
    if (code != SQLITE_OK) break;
    code = insert.BindInt(1, epoch)
               .BindInt(2, meta_.commit_seq)
               .BindInt(3, std::int64_t{LifeChecksum(epoch, meta_.commit_seq)})
               .Run();
  }
  if (code == SQLITE_OK) {
    code = db_.Execute(
        "INSERT INTO closed SELECT epoch, commit_seq, crc FROM life ORDER BY epoch DESC LIMIT 1");
  }
  return code == SQLITE_OK ? OkStatus() : Failure("write table life", code);
}

Status SqliteImport::Commit() {
  if (Status status = WriteAges(); !status.ok()) return status;
  if (Status status = WriteEpochs(); !status.ok()) return status;
  Statement update;
  int code = db_.Prepare(kUpdateMetaSql, update);
  if (code == SQLITE_OK) {
    BindMeta(update, meta_, /*held_epoch=*/0);
    code = update.Run();
  }
  if (code == SQLITE_OK) code = db_.Execute("COMMIT");
  return code == SQLITE_OK ? OkStatus() : Failure("commit", code);
}

Status SqliteImport::ReadBack(const std::function<void(const LiveRow&)>& live,
                              const std::function<void(const FinishedRow&)>& finished) {
  Statement select;
  int code = db_.Prepare(
      "SELECT serial, version, commit_seq, state_crc, spec_crc, gid, state, spec FROM live",
      select);
  while (code == SQLITE_OK && (code = select.Step()) == SQLITE_ROW) {
    const LiveRow row = {.serial = select.Unsigned(0),
                         .version = select.Unsigned(1),
                         .gid = std::string(select.Bytes(5)),
                         .spec = std::string(select.Bytes(7)),
                         .state = std::string(select.Bytes(6))};
    const std::uint32_t state =
        StateChecksum(row.serial, row.version, select.Unsigned(2), row.state);
    if (select.Int(3) != std::int64_t{state} ||
        select.Int(4) != std::int64_t{SpecChecksum(row.serial, row.gid, row.spec)}) {
      return DataLoss(incoming_ + ": unfinished " + row.gid + " is not what was written");
    }
    live(row);
    code = SQLITE_OK;
  }
  if (code != SQLITE_DONE) return Failure("read table live", code);
  code = db_.Prepare(
      "SELECT serial, commit_seq, crc, outcome, finished_unix_ms, gid, spec, state FROM finished",
      select);
  while (code == SQLITE_OK && (code = select.Step()) == SQLITE_ROW) {
    const FinishedRow row = {.serial = select.Unsigned(0),
                             .gid = std::string(select.Bytes(5)),
                             .spec = std::string(select.Bytes(6)),
                             .state = std::string(select.Bytes(7)),
                             .outcome = static_cast<std::uint8_t>(select.Unsigned(3)),
                             .finished_unix_ms = select.Int(4)};
    const std::uint32_t crc = FinishedChecksum(row.serial, select.Unsigned(1), row.outcome,
                                               row.finished_unix_ms, row.gid, row.spec, row.state);
    if (select.Int(2) != std::int64_t{crc}) {
      return DataLoss(incoming_ + ": finished " + row.gid + " is not what was written");
    }
    finished(row);
    code = SQLITE_OK;
  }
  return code == SQLITE_DONE ? OkStatus() : Failure("read table finished", code);
}

Status SqliteImport::Finish() {
  live_ = {};
  finished_ = {};
  db_.Close();
  if (Status status = SyncPath(incoming_, O_RDWR); !status.ok()) return status;
  // Not over what somebody else has begun there meanwhile; not every file system can promise that.
  int done = renameat2(AT_FDCWD, incoming_.c_str(), AT_FDCWD, path_.c_str(), RENAME_NOREPLACE);
  if (done != 0 && errno == EINVAL) done = std::rename(incoming_.c_str(), path_.c_str());
  if (done != 0)
    return UnknownOutcome(path_ + ": cannot be put in its place: " + std::strerror(errno));
  return SyncFolderOf(path_);
}

Status SqliteImport::Failure(const std::string& what, int code) const {
  const std::string text = incoming_ + ": " + what + ": " + db_.ErrorText(code);
  return IsFull(code) ? ResourceExhausted(text) : UnknownOutcome(text);
}

}  // namespace assent::log
