#include "tests/log/crash_vfs.h"

#include <algorithm>
#include <atomic>
#include <cstring>
#include <new>

#include <assent/status.h>

#include "coordinator/log/sqlite/sqlite_options.h"

namespace assent::log {

const char* Name(DiskCallKind kind) {
  switch (kind) {
    case DiskCallKind::kOpen: return "open";
    case DiskCallKind::kRead: return "read";
    case DiskCallKind::kWrite: return "write";
    case DiskCallKind::kTruncate: return "truncate";
    case DiskCallKind::kSync: return "sync";
    case DiskCallKind::kDelete: return "delete";
    case DiskCallKind::kAccess: return "access";
    case DiskCallKind::kSize: return "size";
    case DiskCallKind::kSyncFolder: return "sync of the folder";
  }
  return "?";
}

const char* Name(DiskTrouble::Kind kind) {
  switch (kind) {
    case DiskTrouble::Kind::kIoError: return "I/O error";
    case DiskTrouble::Kind::kShortWrite: return "short write";
    case DiskTrouble::Kind::kFull: return "disk full";
  }
  return "?";
}

bool CanMeet(DiskTrouble::Kind kind, DiskCallKind call) {
  switch (kind) {
    case DiskTrouble::Kind::kIoError: return true;
    case DiskTrouble::Kind::kShortWrite: return call == DiskCallKind::kWrite;
    case DiskTrouble::Kind::kFull: return call == DiskCallKind::kWrite;
  }
  return false;
}

struct CrashVfs::File : sqlite3_file {
  CrashVfs* owner = nullptr;
  std::string path;
  bool syncs_folder =
      false;  // with its first sync, as SQLite's own VFS does for a journal it may have created
  int lock = 0;
};

struct CrashFileMethods {
  using File = CrashVfs::File;
  using Kind = DiskCallKind;
  static File& Of(sqlite3_file* file) { return *static_cast<File*>(file); }

  static int Close(sqlite3_file* raw) {
    Of(raw).~File();
    return SQLITE_OK;
  }
  static int Read(sqlite3_file* raw, void* into, int bytes, sqlite3_int64 offset) {
    File& file = Of(raw);
    const std::lock_guard lock(file.owner->mutex_);
    if (const int code = file.owner->Count(Kind::kRead, SQLITE_IOERR_READ)) return code;
    const std::string& content = file.owner->disk_.Content(file.path);
    const auto from = std::min(content.size(), static_cast<std::size_t>(offset));
    const auto size = static_cast<std::size_t>(bytes);
    const std::size_t found = std::min(size, content.size() - from);
    std::memcpy(into, content.data() + from, found);
    if (found == size) return SQLITE_OK;
    std::memset(static_cast<char*>(into) + found, 0, size - found);
    return SQLITE_IOERR_SHORT_READ;
  }
  static int Write(sqlite3_file* raw, const void* from, int bytes, sqlite3_int64 offset) {
    File& file = Of(raw);
    CrashVfs& vfs = *file.owner;
    const std::lock_guard lock(vfs.mutex_);
    const bool full = vfs.trouble_.kind == DiskTrouble::Kind::kFull;
    const int code = vfs.Count(Kind::kWrite, full ? SQLITE_FULL : SQLITE_IOERR_WRITE);
    auto size = static_cast<std::size_t>(bytes);
    if (code != SQLITE_OK) {
      size = vfs.trouble_.kind == DiskTrouble::Kind::kIoError ? 0 : vfs.Draw() % (size + 1);
    }
    if (size > 0) {
      vfs.Change({.kind = DiskChange::Kind::kWrite,
                  .path = file.path,
                  .offset = offset,
                  .bytes = std::string(static_cast<const char*>(from), size)});
    }
    return code;
  }
  static int Truncate(sqlite3_file* raw, sqlite3_int64 size) {
    File& file = Of(raw);
    const std::lock_guard lock(file.owner->mutex_);
    const int code = file.owner->Count(Kind::kTruncate, SQLITE_IOERR_TRUNCATE);
    if (code == SQLITE_OK) {
      file.owner->Change({.kind = DiskChange::Kind::kTruncate, .path = file.path, .offset = size});
    }
    return code;
  }
  static int Sync(sqlite3_file* raw, int) {
    File& file = Of(raw);
    CrashVfs& vfs = *file.owner;
    const std::lock_guard lock(vfs.mutex_);
    if (const int code = vfs.Count(Kind::kSync, SQLITE_IOERR_FSYNC)) {
      vfs.Change({.kind = DiskChange::Kind::kFailedSync,
                  .path = file.path,
                  .offset = static_cast<std::int64_t>(vfs.Draw())});
      return code;
    }
    if (vfs.lies_) return SQLITE_OK;
    vfs.Change({.kind = DiskChange::Kind::kSync, .path = file.path});
    if (file.syncs_folder) {
      file.syncs_folder = false;
      // SQLite's own VFS does not look at the result.
      if (vfs.Count(Kind::kSyncFolder, SQLITE_IOERR_DIR_FSYNC) == SQLITE_OK) {
        vfs.Change({.kind = DiskChange::Kind::kSyncFolder});
      }
    }
    return SQLITE_OK;
  }
  static int FileSize(sqlite3_file* raw, sqlite3_int64* size) {
    File& file = Of(raw);
    const std::lock_guard lock(file.owner->mutex_);
    const int code = file.owner->Count(Kind::kSize, SQLITE_IOERR_FSTAT);
    if (code == SQLITE_OK) {
      *size = static_cast<sqlite3_int64>(file.owner->disk_.Content(file.path).size());
    }
    return code;
  }
  static int Lock(sqlite3_file* raw, int level) {
    Of(raw).lock = level;
    return SQLITE_OK;
  }
  static int CheckReservedLock(sqlite3_file* raw, int* out) {
    *out = Of(raw).lock >= SQLITE_LOCK_RESERVED ? 1 : 0;
    return SQLITE_OK;
  }
  static int FileControl(sqlite3_file* raw, int operation, void*) {
    if (operation != SqliteOptions::kSyncFolderFileControl) return SQLITE_NOTFOUND;
    CrashVfs& vfs = *Of(raw).owner;
    const std::lock_guard lock(vfs.mutex_);
    const int code = vfs.Count(Kind::kSyncFolder, SQLITE_IOERR_DIR_FSYNC);
    if (code == SQLITE_OK) vfs.Change({.kind = DiskChange::Kind::kSyncFolder});
    return code;
  }
  // Both as of SQLite's own VFS.
  static int SectorSize(sqlite3_file*) { return 4096; }
  static int DeviceCharacteristics(sqlite3_file*) { return SQLITE_IOCAP_POWERSAFE_OVERWRITE; }

  // Version 1: no memory mapping, so that every read is seen.
  static const sqlite3_io_methods* Table() {
    static const sqlite3_io_methods table = [] {
      sqlite3_io_methods methods{};
      methods.iVersion = 1;
      methods.xClose = Close;
      methods.xRead = Read;
      methods.xWrite = Write;
      methods.xTruncate = Truncate;
      methods.xSync = Sync;
      methods.xFileSize = FileSize;
      methods.xLock = Lock;
      methods.xUnlock = Lock;
      methods.xCheckReservedLock = CheckReservedLock;
      methods.xFileControl = FileControl;
      methods.xSectorSize = SectorSize;
      methods.xDeviceCharacteristics = DeviceCharacteristics;
      return methods;
    }();
    return &table;
  }
};

CrashVfs::CrashVfs() {
  // Thousands of starts: SQLite need not count its memory. Refused, and no harm, if it has begun
  // already.
  [[maybe_unused]] static const int configured = sqlite3_config(SQLITE_CONFIG_MEMSTATUS, 0);
  static std::atomic<int> instances{0};
  name_ = "crash-" + std::to_string(++instances);
  vfs_ = *sqlite3_vfs_find(nullptr);  // time, randomness and the like are the machine's
  vfs_.zName = name_.c_str();
  vfs_.pNext = nullptr;
  vfs_.pAppData = this;
  vfs_.szOsFile = static_cast<int>(sizeof(File));
  vfs_.xOpen = Open;
  vfs_.xDelete = Delete;
  vfs_.xAccess = Access;
  vfs_.xFullPathname = FullPathname;
  ASSENT_CHECK(sqlite3_vfs_register(&vfs_, 0) == SQLITE_OK);
}

CrashVfs::~CrashVfs() { sqlite3_vfs_unregister(&vfs_); }

int CrashVfs::Open(sqlite3_vfs* vfs, const char* path, sqlite3_file* raw, int flags,
                   int* out_flags) {
  auto* self = static_cast<CrashVfs*>(vfs->pAppData);
  const std::lock_guard lock(self->mutex_);
  raw->pMethods = nullptr;
  if (const int code = self->Count(DiskCallKind::kOpen, SQLITE_CANTOPEN)) return code;
  ASSENT_CHECK(path != nullptr);  // no temporary files: PRAGMA temp_store
  if (!self->disk_.Exists(path)) {
    if ((flags & SQLITE_OPEN_CREATE) == 0) return SQLITE_CANTOPEN;
    self->Change({.kind = DiskChange::Kind::kCreate, .path = path});
  }
  File* file = new (raw) File();
  file->pMethods = CrashFileMethods::Table();
  file->owner = self;
  file->path = path;
  file->syncs_folder = (flags & SQLITE_OPEN_CREATE) != 0 &&
                       (flags & (SQLITE_OPEN_WAL | SQLITE_OPEN_MAIN_JOURNAL)) != 0;
  if (out_flags != nullptr) *out_flags = flags;
  return SQLITE_OK;
}

int CrashVfs::Delete(sqlite3_vfs* vfs, const char* path, int sync_folder) {
  auto* self = static_cast<CrashVfs*>(vfs->pAppData);
  const std::lock_guard lock(self->mutex_);
  if (const int code = self->Count(DiskCallKind::kDelete, SQLITE_IOERR_DELETE)) return code;
  if (!self->disk_.Exists(path)) return SQLITE_IOERR_DELETE_NOENT;
  self->Change({.kind = DiskChange::Kind::kDelete, .path = path});
  if (sync_folder == 0) return SQLITE_OK;
  const int code = self->Count(DiskCallKind::kSyncFolder, SQLITE_IOERR_DIR_FSYNC);
  if (code == SQLITE_OK) self->Change({.kind = DiskChange::Kind::kSyncFolder});
  return code;
}

int CrashVfs::Access(sqlite3_vfs* vfs, const char* path, int, int* out) {
  auto* self = static_cast<CrashVfs*>(vfs->pAppData);
  const std::lock_guard lock(self->mutex_);
  if (const int code = self->Count(DiskCallKind::kAccess, SQLITE_IOERR_ACCESS)) return code;
  // The unix VFS: an empty file does not exist.
  *out = self->disk_.Exists(path) && !self->disk_.Content(path).empty() ? 1 : 0;
  return SQLITE_OK;
}

int CrashVfs::FullPathname(sqlite3_vfs*, const char* path, int size, char* out) {
  const std::size_t length = std::strlen(path);
  if (length + 1 > static_cast<std::size_t>(size)) return SQLITE_CANTOPEN;
  std::memcpy(out, path, length + 1);
  return SQLITE_OK;
}

int CrashVfs::Count(DiskCallKind kind, int trouble_code) {
  calls_.push_back(kind);
  if (kind == DiskCallKind::kWrite || kind == DiskCallKind::kTruncate ||
      kind == DiskCallKind::kSync || kind == DiskCallKind::kDelete) {
    ++changes_;
  }
  const std::uint64_t number = calls_.size();
  if (trouble_.at == 0 || number < trouble_.at || !CanMeet(trouble_.kind, kind)) return SQLITE_OK;
  if (troubled_ >= trouble_.calls) return SQLITE_OK;
  ++troubled_;
  return trouble_code;
}

void CrashVfs::Change(DiskChange change) {
  disk_.Apply(change);
  trace_.push_back(std::move(change));
}

std::uint64_t CrashVfs::Draw() { return Random(trouble_.seed + 7919 * ++draws_)(); }

void CrashVfs::Insert(SimDisk disk) {
  const std::lock_guard lock(mutex_);
  disk_ = std::move(disk);
  trouble_ = {};
  draws_ = troubled_ = changes_ = 0;
  calls_.clear();
  trace_.clear();
}

SimDisk CrashVfs::disk() const {
  const std::lock_guard lock(mutex_);
  return disk_;
}

void CrashVfs::SetTrouble(DiskTrouble trouble) {
  const std::lock_guard lock(mutex_);
  trouble_ = trouble;
}

std::uint64_t CrashVfs::troubled() const {
  const std::lock_guard lock(mutex_);
  return troubled_;
}

std::uint64_t CrashVfs::changes() const {
  const std::lock_guard lock(mutex_);
  return changes_;
}

std::vector<DiskCallKind> CrashVfs::calls() const {
  const std::lock_guard lock(mutex_);
  return calls_;
}

void CrashVfs::Mark(std::int64_t number) {
  const std::lock_guard lock(mutex_);
  trace_.push_back({.kind = DiskChange::Kind::kMark, .offset = number});
}

std::vector<DiskChange> CrashVfs::TakeTrace() {
  const std::lock_guard lock(mutex_);
  return std::move(trace_);
}

}  // namespace assent::log
