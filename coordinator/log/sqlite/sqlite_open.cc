// Opening a log file: whose is it, is it free, is it configured as the promises need it.

#include <cerrno>
#include <cstring>
#include <fcntl.h>
#include <fstream>
#include <sqlite3.h>
#include <sstream>
#include <unistd.h>

#include <sys/stat.h>
#include <sys/sysmacros.h>

#include "coordinator/base/sync.h"
#include "coordinator/log/sqlite/sqlite_import.h"
#include "coordinator/log/sqlite/sqlite_life.h"
#include "coordinator/log/sqlite/sqlite_store.h"
#include "coordinator/log/sqlite/wal_check.h"

namespace assent::log {
namespace {

std::uint64_t FileBytes(const std::string& path) {
  struct stat info {};
  return stat(path.c_str(), &info) == 0 ? static_cast<std::uint64_t>(info.st_size) : 0;
}

// " (process 1234)" if the kernel tells who holds a lock on the file. Reads /proc/locks: to open
// and close the file itself would drop the locks that this very process may hold on it.
std::string Holder(const std::string& path) {
  struct stat info {};
  if (stat(path.c_str(), &info) != 0) return "";
  std::ifstream locks("/proc/locks");
  std::string line;
  while (std::getline(locks,
                      line)) {  // 1: POSIX  ADVISORY  WRITE 1234 fe:01:5678 1073741825 1073741825
    std::istringstream words(line);
    std::string number, kind, advisory, access, process, place;
    words >> number >> kind >> advisory >> access >> process >> place;
    const std::size_t colon = place.rfind(':');
    if (colon == std::string::npos) continue;
    if (place.substr(colon + 1) == std::to_string(info.st_ino)) return " (process " + process + ")";
  }
  return "";
}

Status SyncFolderOf(const std::string& path) {
  const std::string folder = base::FolderOf(path);
  const int error = base::SyncPath(folder, O_RDONLY | O_DIRECTORY);
  if (error == 0) return OkStatus();
  return Unavailable(folder + ": cannot synchronise the folder: " + std::strerror(error));
}

// Creates the file readable for its owner only; SQLite gives the WAL the same mode.
Status CreateFile(const std::string& path) {
  const int fd = open(path.c_str(), O_RDWR | O_CREAT | O_EXCL | O_CLOEXEC, 0600);
  if (fd >= 0) {
    close(fd);  // nobody holds a lock on a file that did not exist
    return OkStatus();
  }
  if (errno == EEXIST) return OkStatus();
  return FailedPrecondition(path + ": cannot create the log: " + std::strerror(errno) +
                            ": check that its folder exists and may be written");
}

bool ReadFile(sqlite3_file* file, std::uint64_t offset, unsigned char* into, std::size_t size) {
  return file->pMethods->xRead(file, into, static_cast<int>(size),
                               static_cast<sqlite3_int64>(offset)) == SQLITE_OK;
}

}  // namespace

Result<std::unique_ptr<SqliteStore>> SqliteStore::Open(const SqliteOptions& options,
                                                       std::span<const Migration> migrations) {
  std::unique_ptr<SqliteStore> store(new SqliteStore(options));
  if (Status status = store->OpenFile(migrations); !status.ok()) return status;
  return store;
}

SqliteStore::~SqliteStore() = default;

Status SqliteStore::Failure(const std::string& what, int code) const {
  const std::string text = options_.path + ": " + what + ": " + db_.ErrorText(code);
  if (IsFull(code)) return ResourceExhausted(text);
  if (IsCorrupt(code)) return DataLoss(text);
  return UnknownOutcome(text);
}

Status SqliteStore::OpenFile(std::span<const Migration> migrations) {
  const std::string& path = options_.path;
  if (Status status = CheckDatabaseIsThere(); !status.ok()) return status;
  if (options_.vfs.empty()) {
    if (Status status = CreateFile(path); !status.ok()) return status;
  }
  if (const int code = db_.Open(path, options_.vfs); code != SQLITE_OK) {
    return FailedPrecondition(path + ": cannot open the log: " + db_.ErrorText(code));
  }
  if (Status status = TakeFile(); !status.ok()) return status;
  if (Status status = Configure(); !status.ok()) return status;
  if (Status status = SecureWal(); !status.ok()) return status;
  if (Status status = CheckNotMoved(); !status.ok()) return status;
  if (Status status = CheckNothingIsMissing(migrations); !status.ok()) return status;
  if (Status status = Migrate(db_, path, migrations); !status.ok()) return status;
  if (Status status = CheckSchema(db_, path, migrations); !status.ok()) return status;
  Result<Meta> meta = ReadMeta(db_, path);
  if (!meta.ok()) return meta.status();
  meta_ = *meta;
  return PrepareStatements();
}

// A database that is gone would be taken for a new log, and SQLite would delete its WAL.
Status SqliteStore::CheckDatabaseIsThere() {
  const std::string& path = options_.path;
  Result<std::optional<LogState>> state = state_.Read();
  if (!state.ok()) return state.status();
  found_state_ = *state;
  sqlite3_vfs* vfs = sqlite3_vfs_find(options_.vfs.empty() ? nullptr : options_.vfs.c_str());
  int exists = 0;  // and is not empty
  if (vfs == nullptr || vfs->xAccess(vfs, path.c_str(), SQLITE_ACCESS_EXISTS, &exists) != 0) {
    return UnknownOutcome(path + ": cannot be looked for");
  }
  if (exists != 0) return OkStatus();
  if (options_.vfs.empty()) {
    if (Status status = CheckNotIncoming(path); !status.ok()) return status;
  }
  std::string left;
  if (const std::uint64_t bytes = FileBytes(path + "-wal"); bytes > 0) {
    left = "its WAL holds " + std::to_string(bytes) + " bytes";
  } else if (found_state_) {
    left = path + "-state says that the log had got to commit " +
           std::to_string(found_state_->commit_seq);
  } else if (FileBytes(path + "-reserve") > 0 || FileBytes(path + "-state") > 0) {
    left = "other files of the log are still beside it";
  } else {
    return OkStatus();
  }
  return DataLoss(path + ": the database is missing or empty, but " + left +
                  ": put it back beside the other files of the log, or begin a new log in an "
                  "empty folder");
}

// All that the log had come to is in database and WAL; asked before anything is written to either
// but the WAL's own bytes.
Status SqliteStore::CheckNothingIsMissing(std::span<const Migration> migrations) {
  std::int64_t format = 0;
  if (const int code = db_.QueryInt("PRAGMA user_version", format); code != SQLITE_OK) {
    return Failure("read the format", code);
  }
  if (format < 0 || format > static_cast<std::int64_t>(migrations.size())) return OkStatus();
  if (format == 0) {  // a start died before there were tables, and PATH-state comes after them
    std::int64_t tables = 0;
    const int code = db_.QueryInt("SELECT count(*) FROM sqlite_schema", tables);
    if (code != SQLITE_OK) return Failure("read the list of tables", code);
    if (!found_state_ || tables > 0) return OkStatus();
    return DataLoss(options_.path + ": has no tables, but " + options_.path +
                    "-state says that the log had got to commit " +
                    std::to_string(found_state_->commit_seq) + ": the database was replaced");
  }
  const Result<Meta> meta = ReadMeta(db_, options_.path);
  if (!meta.ok()) return meta.status();
  constexpr std::int64_t kFirstFormatThatTells = 2;
  Result<bool> ended = true;
  if (format >= kFirstFormatThatTells) ended = NewestLifeEnded(db_, options_.path, meta.value());
  if (!ended.ok()) return ended.status();
  return CheckStart({.path = options_.path,
                     .coordinator_id = meta.value().coordinator_id,
                     .epoch = meta.value().epoch,
                     .commit_seq = meta.value().commit_seq,
                     .ended = ended.value(),
                     .wal_bytes = found_wal_bytes_,
                     .state = found_state_});
}

// The lock, and whose file it is: before anything is written to it.
Status SqliteStore::TakeFile() {
  std::string mode;
  int code = db_.QueryText("PRAGMA locking_mode = EXCLUSIVE", mode);
  std::int64_t pages = 0;
  if (code == SQLITE_OK) code = db_.QueryInt("PRAGMA page_count", pages);
  std::int64_t tables = 0;
  if (code == SQLITE_OK) code = db_.QueryInt("SELECT count(*) FROM sqlite_schema", tables);
  std::int64_t application = 0;
  if (code == SQLITE_OK) code = db_.QueryInt("PRAGMA application_id", application);
  std::int64_t format = 0;
  if (code == SQLITE_OK) code = db_.QueryInt("PRAGMA user_version", format);
  if (IsBusy(code)) {
    return FailedPrecondition(options_.path + ": the log is in use by another coordinator" +
                              Holder(options_.path) +
                              ": stop that one, or give this one another data folder");
  }
  if (code == SQLITE_ERROR) {  // "unsupported file format": of the header's fields
    return DataLoss(options_.path + ": the header is damaged: " + db_.ErrorText(code));
  }
  if (code != SQLITE_OK) return Failure("read the header", code);
  if (sqlite3_db_readonly(db_.raw(), "main") != 0) {
    return FailedPrecondition(
        options_.path +
        ": cannot be written: check its permissions and file system, and that "
        "no newer SQLite has changed it");
  }
  if (mode != "exclusive") return Internal(options_.path + ": locking_mode is " + mode);
  // A start that died between creating the file and filling it leaves an empty one.
  const bool is_new = application == 0 && format == 0 && tables == 0;
  if (application == kBackupApplicationId) {
    return FailedPrecondition(options_.path +
                              ": this is a backup, which nobody starts with: assentctl restore "
                              "makes a log of it");
  }
  if (application != kApplicationId && !is_new) {
    return FailedPrecondition(options_.path + ": not a log of this coordinator (application_id " +
                              std::to_string(application) + "): it was left as it is");
  }
  return OkStatus();
}

// Sets what the promises rest on, and reads it back.
Status SqliteStore::Configure() {
  std::string journal;
  int code = db_.QueryText("PRAGMA journal_mode = WAL", journal);
  if (IsBusy(code)) {
    return FailedPrecondition(options_.path + ": the log is in use by another coordinator" +
                              Holder(options_.path));
  }
  if (code == SQLITE_OK) code = db_.Execute("PRAGMA synchronous = FULL");
  std::int64_t synchronous = 0;
  if (code == SQLITE_OK) code = db_.QueryInt("PRAGMA synchronous", synchronous);
  if (code == SQLITE_OK)
    code = db_.Execute("PRAGMA fullfsync = ON; PRAGMA checkpoint_fullfsync = ON");
  // No frame of an uncommitted transaction reaches the WAL, so that CheckWal may count commits.
  if (code == SQLITE_OK) code = db_.Execute("PRAGMA cache_spill = OFF");
  if (code == SQLITE_OK) {
    code = db_.SetCacheBytes(options_.cache_bytes);
  }
  if (code == SQLITE_OK) {
    code = db_.Execute(std::string("PRAGMA secure_delete = ") +
                       (options_.leaves_no_remains ? "ON" : "OFF") +
                       "; PRAGMA cell_size_check = ON; PRAGMA trusted_schema = OFF;"
                       "PRAGMA temp_store = MEMORY; PRAGMA journal_size_limit = -1;"
                       "PRAGMA foreign_keys = OFF; PRAGMA recursive_triggers = OFF");
  }
  if (code != SQLITE_OK) return Failure("configure the connection", code);
  if (journal != "wal") {
    return FailedPrecondition(options_.path + ": journal_mode is " + journal +
                              ", not wal: this file system cannot hold a log");
  }
  constexpr std::int64_t kFull = 2;
  if (synchronous != kFull) {
    return FailedPrecondition(options_.path + ": synchronous is " + std::to_string(synchronous) +
                              ", not FULL: nothing would be durable");
  }
  // Replaces SQLite's automatic checkpoint, which swallows errors: Checkpoint does it, after the
  // callbacks.
  sqlite3_wal_hook(
      db_.raw(),
      [](void* self, sqlite3*, const char*, int pages) {
        static_cast<SqliteStore*>(self)->wal_pages_ = pages;
        static_cast<SqliteStore*>(self)->wal_holds_ = true;
        return SQLITE_OK;
      },
      this);
  return OkStatus();
}

Status SqliteStore::SyncFolder() {
  int code = SQLITE_NOTFOUND;
  if (!options_.vfs.empty()) {
    code = sqlite3_file_control(db_.raw(), "main", SqliteOptions::kSyncFolderFileControl, nullptr);
  }
  if (code == SQLITE_NOTFOUND) return SyncFolderOf(options_.path);
  return code == SQLITE_OK ? OkStatus() : Failure("synchronise the folder", code);
}

// Makes sure that what will be replayed is whole and really on the disk.
//
// After a failed fsync the kernel may keep pages as clean that never reached the disk; the next
// process reads them, and its own fsync succeeds without writing them. So the WAL is written again,
// byte for byte, before anything rests on it. What the disk has not got yet goes there before that:
// a sector that is torn while it changes would take durable frames beside the newest with it.
Status SqliteStore::SecureWal() {
  std::int64_t ignored = 0;  // opens the WAL, and creates it if there is none
  if (const int code = db_.QueryInt("SELECT count(*) FROM sqlite_schema", ignored)) {
    return Failure("open the WAL", code);
  }
  // SQLite ignores a folder that cannot be synchronised.
  if (Status status = SyncFolder(); !status.ok()) return status;
  sqlite3_file* wal = nullptr;
  sqlite3_file* database = nullptr;
  std::int64_t page_bytes = 0;
  int code = sqlite3_file_control(db_.raw(), "main", SQLITE_FCNTL_JOURNAL_POINTER, &wal);
  if (code == SQLITE_OK) {
    code = sqlite3_file_control(db_.raw(), "main", SQLITE_FCNTL_FILE_POINTER, &database);
  }
  if (code != SQLITE_OK || wal == nullptr || wal->pMethods == nullptr) {
    return Internal(options_.path + ": the WAL is not open");
  }
  sqlite3_int64 bytes = 0;
  code = wal->pMethods->xFileSize(wal, &bytes);
  if (code == SQLITE_OK) code = db_.QueryInt("PRAGMA page_size", page_bytes);
  if (code != SQLITE_OK) return Failure("measure the WAL", code);
  found_wal_bytes_ = static_cast<std::uint64_t>(bytes);
  WalFile file;
  file.name = options_.path + "-wal";
  file.bytes = static_cast<std::uint64_t>(bytes);
  file.page_bytes = static_cast<std::uint32_t>(page_bytes);
  file.read = [wal](std::uint64_t offset, unsigned char* into, std::size_t size) {
    return ReadFile(wal, offset, into, size);
  };
  file.read_database = [database](std::uint64_t offset, unsigned char* into, std::size_t size) {
    return ReadFile(database, offset, into, size);
  };
  const Result<std::uint64_t> valid = CheckWal(file);
  if (!valid.ok()) return valid.status();

  if (valid.value() > 0) code = wal->pMethods->xSync(wal, SQLITE_SYNC_FULL);
  if (code != SQLITE_OK) return Failure("synchronise the WAL", code);
  // SQLite's own VFS takes at most 128 KiB at a time (it masks the size), and says "disk full" to
  // more.
  constexpr std::uint64_t kChunkBytes = 64 * 1024;
  std::vector<unsigned char> chunk;
  for (std::uint64_t offset = 0; offset < valid.value(); offset += chunk.size()) {
    chunk.resize(std::min<std::uint64_t>(kChunkBytes, valid.value() - offset));
    if (!file.read(offset, chunk.data(), chunk.size())) {
      return Failure("read the WAL", SQLITE_IOERR_READ);
    }
    code = wal->pMethods->xWrite(wal, chunk.data(), static_cast<int>(chunk.size()),
                                 static_cast<sqlite3_int64>(offset));
    if (code != SQLITE_OK) return Failure("write the WAL again", code);
  }
  if (valid.value() > 0) code = wal->pMethods->xSync(wal, SQLITE_SYNC_FULL);
  return code == SQLITE_OK ? OkStatus() : Failure("synchronise the WAL", code);
}

Status SqliteStore::PrepareStatements() {
  struct Text {
    Statement& statement;
    const char* sql;
  };
  const Text texts[] = {
      {sql_.begin, "BEGIN IMMEDIATE"},
      {sql_.commit, "COMMIT"},
      {sql_.rollback, "ROLLBACK"},
      {sql_.update_meta, kUpdateMetaSql},
      {sql_.insert_live,
       "INSERT INTO live (serial, version, commit_seq, state_crc, spec_crc, gid, state, spec)"
       " VALUES (?1, ?2, ?3, ?4, ?5, ?6, ?7, ?8)"},
      {sql_.update_live,
       "UPDATE live SET version = ?2, commit_seq = ?3, state_crc = ?4, state = ?5"
       " WHERE serial = ?1 AND version = ?6"},
      {sql_.gid_of_live, "SELECT gid FROM live WHERE serial = ?1"},
      {sql_.delete_live, "DELETE FROM live WHERE serial = ?1 AND version = ?2 AND gid = ?3"},
      {sql_.insert_finished,
       "INSERT INTO finished (serial, commit_seq, crc, outcome, finished_unix_ms, gid, spec, state)"
       " VALUES (?1, ?2, ?3, ?4, ?5, ?6, ?7, ?8)"},
      {sql_.delete_finished, "DELETE FROM finished WHERE serial = ?1"},
      {sql_.serial_of_gid, "SELECT serial FROM finished WHERE gid = ?1"},
      {sql_.find_finished,
       "SELECT serial, commit_seq, crc, outcome, finished_unix_ms, gid, spec, state"
       " FROM finished WHERE gid = ?1"},
      {sql_.scan,
       "SELECT serial, commit_seq, crc, outcome, finished_unix_ms, gid, spec, state"
       " FROM finished WHERE serial < ?1 ORDER BY serial DESC LIMIT ?2"},
      {sql_.insert_age,
       "INSERT INTO age (ran_ms, commit_seq, unix_ms, crc) VALUES (?1, ?2, ?3, ?4)"},
      {sql_.delete_age, "DELETE FROM age WHERE ran_ms < ?1 OR ran_ms = ?2"},
      {sql_.oldest,
       "SELECT serial, outcome, commit_seq, length(gid) + length(spec) + length(state)"
       " FROM finished WHERE serial > ?1 ORDER BY serial LIMIT ?2"},
      {sql_.page_count, "PRAGMA page_count"},
      {sql_.free_pages, "PRAGMA freelist_count"},
  };
  for (const Text& text : texts) {
    if (const int code = db_.Prepare(text.sql, text.statement); code != SQLITE_OK) {
      return Failure(std::string("prepare: ") + text.sql, code);
    }
  }
  return OkStatus();
}

}  // namespace assent::log
