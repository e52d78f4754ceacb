#include "coordinator/log/sqlite/sqlite_backup.h"

#include <cerrno>
#include <cstdio>
#include <cstring>
#include <fcntl.h>
#include <sqlite3.h>
#include <unistd.h>
#include <utility>

#include <sys/statvfs.h>

#include "coordinator/base/sync.h"

namespace assent::log {
namespace {

// What the log waits for at most: a quarter of a MiB, from memory as a rule.
constexpr int kPagesOfAStep = 64;
constexpr char kCompactSuffix[] = "-compact";
// Room that is left to the log while a copy is made beside it.
constexpr std::uint64_t kRoomLeftBytes = std::uint64_t{64} << 20;

int Measure(SqliteConnection& database, std::uint64_t& bytes) {
  std::int64_t pages = 0;
  std::int64_t page_bytes = 0;
  int code = database.QueryInt("PRAGMA page_count", pages);
  if (code == SQLITE_OK) code = database.QueryInt("PRAGMA page_size", page_bytes);
  bytes = static_cast<std::uint64_t>(pages * page_bytes);
  return code;
}

}  // namespace

SqliteBackup::~SqliteBackup() {
  copy_.Close();  // of a log that ended meanwhile: SQLite keeps it for what is still under way
  Remove(path_);
}

void SqliteBackup::Remove(const std::string& path) {
  for (const char* const suffix : {"", "-journal", "-wal", "-shm"}) {
    (void)unlink((path + suffix).c_str());
    (void)unlink((path + kCompactSuffix + suffix).c_str());
  }
}

Status SqliteBackup::Failure(const std::string& what, int code) const {
  const std::string text = path_ + ": " + what + ": " + copy_.ErrorText(code);
  return IsFull(code) ? ResourceExhausted(text) : Unavailable(text);
}

Status SqliteBackup::MakeFile(const std::string& path, std::uint64_t bytes) const {
  (void)unlink(path.c_str());
  const int fd = open(path.c_str(), O_RDWR | O_CREAT | O_EXCL | O_CLOEXEC, 0600);
  if (fd < 0) return Unavailable(path + ": cannot be created: " + std::strerror(errno));
  struct statvfs disk {};
  const bool known = fstatvfs(fd, &disk) == 0;
  close(fd);
  const std::uint64_t needed = bytes + kRoomLeftBytes;
  if (!known || disk.f_bavail * disk.f_frsize >= needed) return OkStatus();
  return ResourceExhausted(path + ": the disk has not the room for a copy beside the log: " +
                           std::to_string(needed >> 20) + " MiB are needed, " +
                           std::to_string(disk.f_bavail * disk.f_frsize >> 20) + " are free");
}

Status SqliteBackup::Begin(SqliteConnection& log) {
  std::uint64_t bytes = 0;
  int code = Measure(log, bytes);
  if (code != SQLITE_OK) return Unavailable(path_ + ": measure the log: " + log.ErrorText(code));
  Status made = MakeFile(path_, bytes);
  if (!made.ok()) return made;
  code = copy_.Open(path_, "");
  // A death leaves a file of no meaning.
  if (code == SQLITE_OK)
    code = copy_.Execute("PRAGMA journal_mode = OFF; PRAGMA synchronous = OFF");
  if (code != SQLITE_OK) return Failure("open the copy", code);
  backup_ = sqlite3_backup_init(copy_.raw(), "main", log.raw(), "main");
  if (backup_ == nullptr) return Failure("begin", sqlite3_extended_errcode(copy_.raw()));
  return OkStatus();
}

Result<BackupProgress> SqliteBackup::Step(SqliteConnection& log, const Meta& meta) {
  if (backup_ == nullptr) {
    if (Status status = Begin(log); !status.ok()) return status;
  }
  const int code = sqlite3_backup_step(backup_, kPagesOfAStep);
  const auto all = static_cast<std::uint64_t>(sqlite3_backup_pagecount(backup_));
  const auto left = static_cast<std::uint64_t>(sqlite3_backup_remaining(backup_));
  if (code != SQLITE_OK && code != SQLITE_DONE) {
    Status failure = Failure("copy", code);
    Abandon();
    return failure;
  }
  std::int64_t page_bytes = 0;
  if (log.QueryInt("PRAGMA page_size", page_bytes) != SQLITE_OK) page_bytes = 4096;
  const auto bytes = static_cast<std::uint64_t>(page_bytes);
  BackupProgress progress{.copied_bytes = (all - left) * bytes, .of_bytes = all * bytes};
  if (code == SQLITE_OK) return progress;
  progress.done = true;
  progress.meta = meta;
  const int ended = sqlite3_backup_finish(std::exchange(backup_, nullptr));
  if (ended != SQLITE_OK) return Failure("end the copy", ended);
  return progress;
}

void SqliteBackup::Abandon() {
  if (backup_ != nullptr) (void)sqlite3_backup_finish(std::exchange(backup_, nullptr));
}

Status SqliteBackup::CopyWhole(const std::string& from) {
  constexpr int kPatienceMs = 10'000;
  SqliteConnection source;
  int code = source.Open(from, "");
  if (code == SQLITE_OK) code = sqlite3_busy_timeout(source.raw(), kPatienceMs);
  if (code != SQLITE_OK) return Unavailable(from + ": open it: " + source.ErrorText(code));
  if (Status status = Begin(source); !status.ok()) return status;
  code = sqlite3_backup_step(backup_, -1);
  const int ended = sqlite3_backup_finish(std::exchange(backup_, nullptr));
  if (code != SQLITE_DONE || ended != SQLITE_OK) return Failure("copy " + from, ended);
  code = copy_.Execute("PRAGMA journal_mode = DELETE");
  if (code != SQLITE_OK) return Failure("copy " + from, code);
  copy_.Close();
  return Sync();
}

Status SqliteBackup::Sync() const {
  const int error = base::SyncPath(path_, O_RDWR);
  if (error == 0) return OkStatus();
  return Unavailable(path_ + ": cannot be synchronised: " + std::strerror(error));
}

Status SqliteBackup::Compact() {
  std::uint64_t bytes = 0;
  int code = Measure(copy_, bytes);
  if (code != SQLITE_OK) return Failure("measure the copy", code);
  const std::string compact = path_ + kCompactSuffix;
  Status made = MakeFile(compact, bytes);
  if (!made.ok()) return made;
  std::string quoted;
  for (const char c : compact) quoted += c == '\'' ? std::string("''") : std::string(1, c);
  code = copy_.Execute("VACUUM INTO '" + quoted + "'");
  if (code != SQLITE_OK) return Failure("compact", code);
  copy_.Close();
  if (rename(compact.c_str(), path_.c_str()) != 0)
    return Unavailable(path_ + ": cannot be replaced: " + std::strerror(errno));
  code = copy_.Open(path_, "");
  return code == SQLITE_OK ? OkStatus() : Failure("open the copy", code);
}

Status SqliteBackup::Seal() {
  int code = copy_.Execute("PRAGMA journal_mode = DELETE");
  if (code == SQLITE_OK) {
    code = copy_.Execute("PRAGMA application_id = " + std::to_string(kBackupApplicationId));
  }
  if (code != SQLITE_OK) return Failure("seal", code);
  copy_.Close();
  return Sync();
}

}  // namespace assent::log
