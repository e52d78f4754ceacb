#include "coordinator/offline/doctor.h"

#include <cerrno>
#include <cstring>
#include <fcntl.h>
#include <filesystem>
#include <unistd.h>
#include <utility>

#include <sys/stat.h>
#include <sys/statvfs.h>

#include "coordinator/audit/store.h"
#include "coordinator/log/epoch.h"
#include "coordinator/log/sqlite/sqlite_import.h"
#include "coordinator/log/sqlite/sqlite_life.h"
#include "coordinator/log/sqlite/sqlite_moved.h"
#include "coordinator/log/sqlite/sqlite_schema.h"
#include "coordinator/log/sqlite/sqlite_walk.h"
#include "coordinator/log/sqlite/state_file.h"
#include "coordinator/log/sqlite/wal_check.h"
#include "coordinator/log/start_check.h"
#include "coordinator/offline/backup_folder.h"

namespace assent::offline {
namespace {

namespace fs = std::filesystem;
using Grade = Finding::Grade;

// Below this a log soon has no room, whatever its reserve.
constexpr std::uint64_t kLittleRoomBytes = std::uint64_t{64} << 20;
constexpr std::size_t kSentencesCount = 20;

// Of a file that nobody has open; opened and closed again, which drops no lock but our own.
class Bytes {
 public:
  explicit Bytes(const std::string& path) : fd_(open(path.c_str(), O_RDONLY | O_CLOEXEC)) {}
  ~Bytes() {
    if (fd_ >= 0) close(fd_);
  }
  Bytes(const Bytes&) = delete;
  Bytes& operator=(const Bytes&) = delete;

  int fd() const { return fd_; }
  std::uint64_t size() const {
    struct stat info {};
    return fd_ >= 0 && fstat(fd_, &info) == 0 ? static_cast<std::uint64_t>(info.st_size) : 0;
  }
  bool Read(std::uint64_t offset, unsigned char* into, std::size_t bytes) const {
    return pread(fd_, into, bytes, static_cast<off_t>(offset)) == static_cast<ssize_t>(bytes);
  }

 private:
  const int fd_;
};

class Examination {
 public:
  Examination(const std::string& folder, KeysPtr keys, const std::function<void(const Row&)>& visit)
      : folder_(folder), path_(folder + "/assent.db"), keys_(std::move(keys)), visit_(visit) {}

  Result<Examined> Run() {
    if (Status status = IsThere(); !status.ok()) return status;
    if (Status status = Lock(); !status.ok()) return status;
    Files();
    Room();
    Wal();
    Database();
    Record();
    return std::move(examined_);
  }

 private:
  void Say(Grade grade, const std::string& what, const std::string& says) {
    examined_.findings.push_back({grade, what, says});
    examined_.worst = std::max(examined_.worst, grade);
  }
  void SaySound(const std::string& what, const std::string& says) {
    Say(Grade::kSound, what, says);
  }
  void SayDamaged(const std::string& what, const std::string& says) {
    Say(Grade::kDamaged, what, says);
  }

  void NoteTable(const Status& status) {
    if (!status.ok()) SayDamaged("tables", status.message());
  }

  Status IsThere() {
    std::error_code error;
    if (!fs::is_directory(folder_, error)) return NotFound(folder_ + ": there is no such folder");
    if (const std::string source = log::ReadIncomingMark(path_); !source.empty())
      Say(Grade::kNotice, "files", log::CheckNotIncoming(path_).message());
    for (const char* end : {"", "-wal", "-state"}) {
      if (fs::exists(path_ + end, error)) return OkStatus();
    }
    return NotFound(folder_ + ": there is no log here (no assent.db)");
  }

  // Whose locks there are on the bytes that SQLite locks.
  Status Lock() {
    const Bytes file(path_);
    if (file.fd() < 0) return OkStatus();
    struct flock lock {};
    lock.l_type = F_WRLCK;
    lock.l_whence = SEEK_SET;
    lock.l_start = 0x40000000;
    lock.l_len = 512;
    if (fcntl(file.fd(), F_GETLK, &lock) != 0 || lock.l_type == F_UNLCK) return OkStatus();
    return FailedPrecondition(path_ + ": the log is in use (process " + std::to_string(lock.l_pid) +
                              "): stop that coordinator first");
  }

  void Files() {
    struct stat folder {};
    (void)stat(folder_.c_str(), &folder);
    std::string names;
    for (const char* end : {"", "-wal", "-state", "-reserve"}) {
      struct stat info {};
      const std::string path = path_ + end;
      if (stat(path.c_str(), &info) != 0) continue;
      names += (names.empty() ? "" : ", ") + fs::path(path).filename().string() + " " +
               std::to_string(info.st_size) + " bytes";
      if ((info.st_mode & 077) != 0)
        Say(Grade::kNotice, "permissions", path + ": others may read or write it: chmod 600");
      if (info.st_uid != folder.st_uid)
        Say(Grade::kNotice, "permissions", path + ": is another user's than its folder");
      if (access(path.c_str(), R_OK | W_OK) != 0)
        Say(Grade::kNotice, "permissions", path + ": this user may not read and write it");
    }
    SaySound("files", names);
    std::error_code error;
    if (!fs::exists(path_, error)) {
      SayDamaged("files", path_ +
                              ": the database is missing, and other files of the log are there: "
                              "put it back beside them");
    }
  }

  // What people did: a start does not look at it.
  void Record() {
    const std::string path = folder_ + "/" + kAuditName;
    audit::Verifier verifier;
    const Status walked =
        audit::WalkSqlite(path, [&](const audit::Row& row) { verifier.Take(row); });
    if (walked.code() == Code::kNotFound) return;
    if (!walked.ok()) return Say(Grade::kNotice, "record", walked.message());
    verifier.Finish();
    for (const std::string& fault : verifier.faults())
      Say(Grade::kNotice, "record", path + ": " + fault);
    if (!verifier.faults().empty()) return;
    std::string heads;
    for (const audit::Span& span : verifier.spans()) {
      heads +=
          ", " + span.chain + ":" + std::to_string(span.last) + ":" + audit::Hex(span.last_hash);
    }
    SaySound("record", std::to_string(verifier.rows()) + " rows in their chains" + heads);
  }

  void Room() {
    struct statvfs disk {};
    if (statvfs(folder_.c_str(), &disk) != 0) return;
    const std::uint64_t bytes = std::uint64_t{disk.f_bavail} * disk.f_frsize;
    const std::string says = std::to_string(bytes >> 20) + " MiB free";
    if (bytes < kLittleRoomBytes) {
      Say(Grade::kNotice, "disk", says + ": make room, or new transactions are soon refused");
    } else {
      SaySound("disk", says);
    }
  }

  void Wal() {
    const Bytes wal(path_ + "-wal");
    const Bytes database(path_);
    wal_bytes_ = wal.size();
    if (wal_bytes_ == 0) return SaySound("WAL", "empty");
    const Result<std::uint64_t> valid = log::CheckWal(
        {.name = path_ + "-wal",
         .bytes = wal_bytes_,
         .page_bytes = 4096,
         .read = [&](auto at, auto* into, auto size) { return wal.Read(at, into, size); },
         .read_database = [&](auto at, auto* into,
                              auto size) { return database.Read(at, into, size); }});
    if (!valid.ok()) return SayDamaged("WAL", valid.status().message());
    SaySound("WAL",
             std::to_string(wal_bytes_) + " bytes, of which " + std::to_string(*valid) + " count");
  }

  void Database();
  bool Open();
  void State(bool ended);
  void Tables();
  void Rows();
  void Unreadable(const Row& row, const RowOpener::Opened& opened);
  void Encryption(const RowOpener& opener);

  const std::string& folder_;
  const std::string path_;
  const KeysPtr keys_;
  const std::function<void(const Row&)>& visit_;
  Examined examined_;
  log::Meta meta_;
  std::uint64_t wal_bytes_ = 0;
  log::SqliteConnection db_;
  std::uint64_t out_ = 0;
  std::uint64_t unreadable_ = 0;
  std::uint64_t lack_keys_ = 0;
};

// Takes the lock, and writes nothing: a heap of its own for the index of the WAL, no checkpoint.
bool Examination::Open() {
  std::error_code error;
  if (!fs::exists(path_, error)) return false;
  int code = db_.Open(path_, "");
  std::string mode;
  if (code == 0) code = db_.QueryText("PRAGMA locking_mode = EXCLUSIVE", mode);
  std::int64_t application = 0;
  if (code == 0) code = db_.QueryInt("PRAGMA application_id", application);
  if (code != 0) {
    SayDamaged("database", path_ + ": " + db_.ErrorText(code));
    return false;
  }
  if (application == log::kApplicationId) return true;
  SayDamaged("database",
             path_ + ": is no log (application_id " + std::to_string(application) + ")");
  return false;
}

void Examination::Database() {
  if (!Open()) return;
  std::int64_t format = 0;
  int code = db_.QueryInt("PRAGMA user_version", format);
  const auto newest = static_cast<std::int64_t>(log::Migrations().size());
  if (code != 0 || format < 1 || format > newest) {
    return SayDamaged("format", path_ + ": format " + std::to_string(format) +
                                    ", and this program reads 1 to " + std::to_string(newest));
  }
  std::string verdict;
  code = db_.QueryText("PRAGMA integrity_check(3)", verdict);
  if (code != 0) verdict = db_.ErrorText(code);
  if (verdict == "ok") {
    SaySound("pages", "sound, and the index leads to all");
  } else {
    SayDamaged("pages", path_ + ": " + verdict);
  }
  const Result<log::Meta> meta = log::ReadMeta(db_, path_);
  if (!meta.ok()) return SayDamaged("meta", meta.status().message());
  meta_ = *meta;
  SaySound("log", "coordinator " + std::to_string(meta->coordinator_id) + ", start " +
                      std::to_string(log::StartNumber(meta->epoch)) + ", commit " +
                      std::to_string(meta->commit_seq) + ", format " +
                      std::to_string(meta->format));
  Tables();
  Rows();
}

void Examination::Tables() {
  const auto migrations = log::Migrations().first(static_cast<std::size_t>(meta_.format));
  if (Status status = log::CheckSchema(db_, path_, migrations); !status.ok())
    SayDamaged("tables", status.message());
  Result<bool> ended = true;  // of a first format it is taken for granted
  if (meta_.format > 1) ended = log::NewestLifeEnded(db_, path_, meta_);
  if (ended.ok()) State(*ended);
  NoteTable(ended.status());
  NoteTable(log::ReadEpochs(db_, path_, meta_).status());
  if (meta_.format > 1) NoteTable(log::ReadAges(db_, path_, meta_).status());
  const auto moved = log::ReadMoved(db_, path_);
  if (!moved.ok()) {
    SayDamaged("tables", moved.status().message());
  } else if (*moved) {
    Say(Grade::kNotice, "log",
        std::string((*moved)->done ? "has moved to " : "is being moved to ") + (*moved)->target);
  }
}

void Examination::State(bool ended) {
  log::StateFile file(path_, "");
  const auto state = file.Read();
  if (!state.ok()) return SayDamaged("state", state.status().message());
  const Status status = log::CheckStart({.path = path_,
                                         .coordinator_id = meta_.coordinator_id,
                                         .epoch = meta_.epoch,
                                         .commit_seq = meta_.commit_seq,
                                         .ended = ended,
                                         .wal_bytes = wal_bytes_,
                                         .state = *state});
  if (!status.ok()) return SayDamaged("state", status.message());
  SaySound("state", ended ? "the last start ended in order"
                          : "the last start was cut off; the next one goes on, and all that it "
                            "had committed is here");
}

void Examination::Unreadable(const Row& row, const RowOpener::Opened& opened) {
  const std::string name =
      "transaction " + row.bytes.gid + ", row " + std::to_string(row.bytes.serial);
  if (row.out) {
    if (++out_ <= kSentencesCount)
      Say(Grade::kNotice, "rows", name + ", is out of service: " + row.unreadable);
  } else if (opened.lacks_key) {
    ++lack_keys_;  // said of all of them at once
  } else if (row.bytes.damage.empty() && ++unreadable_ <= kSentencesCount) {
    Say(Grade::kNotice, "rows",
        name + ", is whole and cannot be read: " + row.unreadable +
            (row.bytes.finished ? "" : ": a start sets it aside by itself"));
  }
}

void Examination::Encryption(const RowOpener& opener) {
  std::string says;
  for (const auto& [key, rows] : opener.counts()) {
    says += says.empty() ? "" : ", ";
    says +=
        std::to_string(rows) + (key == crypt::kPlaintext ? " in the clear" : " under key " + key);
  }
  if (!says.empty()) SaySound("encryption", "rows: " + says);
  if (lack_keys_ == 0) return;
  examined_.lacks_keys = true;
  if (keys_ == nullptr) {
    return SaySound("encryption", std::to_string(lack_keys_) +
                                      " rows are sealed, and were not looked into: no keys were "
                                      "given");
  }
  Say(Grade::kNotice, "encryption",
      std::to_string(lack_keys_) + " rows are not for these keys (there are: " + keys_->Names() +
          ")");
}

void Examination::Rows() {
  std::uint64_t people = 0;
  RowOpener opener(keys_, meta_.coordinator_id);
  const log::Walked walked = log::WalkRows(db_, path_, meta_, [&](const log::WalkedRow& bytes) {
    Row row{.bytes = bytes, .out = core::Codec::DecodeOutOfService(bytes.state)};
    const RowOpener::Opened opened = opener.Open(bytes);
    auto txn = core::Codec::Decode(bytes.gid, opened.spec, opened.state);
    if (opened.lacks_key && !row.out && txn.ok()) ++lack_keys_;  // in the clear
    if (txn.ok()) {
      people += !bytes.finished && txn->needs_operator() ? 1 : 0;
      row.txn = *std::move(txn);
    } else {
      row.unreadable = row.out || opened.why_not.empty() ? txn.status().message() : opened.why_not;
      Unreadable(row, opened);
    }
    visit_(row);
  });
  for (std::size_t i = 0; i < walked.damage.size() && i < kSentencesCount; ++i)
    SayDamaged("rows", walked.damage[i]);
  if (walked.damage.size() > kSentencesCount) {
    SayDamaged("rows", "and " + std::to_string(walked.damage.size() - kSentencesCount) + " more");
  }
  SaySound("rows", std::to_string(walked.live_rows) + " unfinished (" + std::to_string(people) +
                       " need a person), " + std::to_string(walked.finished_rows) +
                       " finished; of all, " + std::to_string(out_) + " out of service");
  Encryption(opener);
}

}  // namespace

Result<Examined> Examine(const std::string& folder, const KeysPtr& keys,
                         const std::function<void(const Row&)>& visit) {
  return Examination(folder, keys, visit).Run();
}

}  // namespace assent::offline
