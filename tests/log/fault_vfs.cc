#include "tests/log/fault_vfs.h"

#include <atomic>
#include <cstring>
#include <new>

#include <assent/status.h>

namespace assent::log {

struct FaultVfs::File : sqlite3_file {
  FaultVfs* owner = nullptr;
  std::string path;
  bool wal = false;
  sqlite3_file* real = nullptr;  // behind this object, in the same memory
};

// sqlite3_io_methods of our files. No memory mapping (version 1), so that every read is seen.
struct FaultFileMethods {
  using File = FaultVfs::File;
  using Kind = DiskCall::Kind;

  static File& Of(sqlite3_file* file) { return *static_cast<File*>(file); }
  static DiskFault Ask(File& file, Kind kind, std::int64_t offset, int bytes) {
    DiskCall call;
    call.kind = kind;
    call.wal = file.wal;
    call.path = file.path;
    call.offset = offset;
    call.bytes = bytes;
    return file.owner->Ask(std::move(call));
  }

  static int Close(sqlite3_file* raw) {
    File& file = Of(raw);
    const int code =
        file.real->pMethods == nullptr ? SQLITE_OK : file.real->pMethods->xClose(file.real);
    file.~File();
    return code;
  }
  static int Read(sqlite3_file* raw, void* into, int bytes, sqlite3_int64 offset) {
    File& file = Of(raw);
    if (const DiskFault fault = Ask(file, Kind::kRead, offset, bytes); fault.code != 0) {
      return fault.code;
    }
    return file.real->pMethods->xRead(file.real, into, bytes, offset);
  }
  static int Write(sqlite3_file* raw, const void* from, int bytes, sqlite3_int64 offset) {
    File& file = Of(raw);
    if (const DiskFault fault = Ask(file, Kind::kWrite, offset, bytes); fault.code != 0) {
      const int first = fault.bytes_first < bytes ? fault.bytes_first : bytes;
      if (first > 0) {
        const int code = file.real->pMethods->xWrite(file.real, from, first, offset);
        ASSENT_CHECK(code == SQLITE_OK);
      }
      return fault.code;
    }
    return file.real->pMethods->xWrite(file.real, from, bytes, offset);
  }
  static int Truncate(sqlite3_file* raw, sqlite3_int64 size) {
    File& file = Of(raw);
    if (const DiskFault fault = Ask(file, Kind::kTruncate, size, 0); fault.code != 0) {
      return fault.code;
    }
    return file.real->pMethods->xTruncate(file.real, size);
  }
  static int Sync(sqlite3_file* raw, int flags) {
    File& file = Of(raw);
    if (const DiskFault fault = Ask(file, Kind::kSync, 0, 0); fault.code != 0) return fault.code;
    return file.owner->skip_sync_ ? SQLITE_OK : file.real->pMethods->xSync(file.real, flags);
  }
  static int FileSize(sqlite3_file* raw, sqlite3_int64* size) {
    return Of(raw).real->pMethods->xFileSize(Of(raw).real, size);
  }
  static int Lock(sqlite3_file* raw, int level) {
    return Of(raw).real->pMethods->xLock(Of(raw).real, level);
  }
  static int Unlock(sqlite3_file* raw, int level) {
    return Of(raw).real->pMethods->xUnlock(Of(raw).real, level);
  }
  static int CheckReservedLock(sqlite3_file* raw, int* out) {
    return Of(raw).real->pMethods->xCheckReservedLock(Of(raw).real, out);
  }
  static int FileControl(sqlite3_file* raw, int operation, void* argument) {
    return Of(raw).real->pMethods->xFileControl(Of(raw).real, operation, argument);
  }
  static int SectorSize(sqlite3_file* raw) {
    return Of(raw).real->pMethods->xSectorSize(Of(raw).real);
  }
  static int DeviceCharacteristics(sqlite3_file* raw) {
    return Of(raw).real->pMethods->xDeviceCharacteristics(Of(raw).real);
  }

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
      methods.xUnlock = Unlock;
      methods.xCheckReservedLock = CheckReservedLock;
      methods.xFileControl = FileControl;
      methods.xSectorSize = SectorSize;
      methods.xDeviceCharacteristics = DeviceCharacteristics;
      return methods;
    }();
    return &table;
  }
};

FaultVfs::FaultVfs() : base_(sqlite3_vfs_find(nullptr)) {
  static std::atomic<int> instances{0};
  name_ = "fault-" + std::to_string(++instances);
  vfs_ = *base_;
  vfs_.zName = name_.c_str();
  vfs_.pNext = nullptr;
  vfs_.pAppData = this;
  vfs_.szOsFile = static_cast<int>(sizeof(File)) + base_->szOsFile;
  vfs_.xOpen = Open;
  vfs_.xDelete = Delete;
  // The rest of the machine's own functions look at their own pAppData only in xOpen and xDelete...
  // which get base_.
  ASSENT_CHECK(sqlite3_vfs_register(&vfs_, 0) == SQLITE_OK);
}

FaultVfs::~FaultVfs() { sqlite3_vfs_unregister(&vfs_); }

int FaultVfs::Open(sqlite3_vfs* vfs, const char* path, sqlite3_file* raw, int flags,
                   int* out_flags) {
  auto* self = static_cast<FaultVfs*>(vfs->pAppData);
  File* file = new (raw) File();
  file->pMethods = nullptr;
  file->owner = self;
  file->path = path == nullptr ? "" : path;
  file->wal = (flags & SQLITE_OPEN_WAL) != 0;
  file->real = reinterpret_cast<sqlite3_file*>(reinterpret_cast<char*>(raw) + sizeof(File));
  const int code = self->base_->xOpen(self->base_, path, file->real, flags, out_flags);
  if (code == SQLITE_OK) {
    file->pMethods = FaultFileMethods::Table();
  } else {
    file->~File();
    raw->pMethods = nullptr;
  }
  return code;
}

int FaultVfs::Delete(sqlite3_vfs* vfs, const char* path, int sync_folder) {
  auto* self = static_cast<FaultVfs*>(vfs->pAppData);
  DiskCall call;
  call.kind = DiskCall::Kind::kDelete;
  call.path = path;
  if (const DiskFault fault = self->Ask(std::move(call)); fault.code != 0) return fault.code;
  return self->base_->xDelete(self->base_, path, sync_folder);
}

DiskFault FaultVfs::Ask(DiskCall call) {
  const std::lock_guard lock(mutex_);
  call.number = ++counts_[static_cast<int>(call.kind)];
  return plan_ ? plan_(call) : DiskFault{};
}

void FaultVfs::SetPlan(std::function<DiskFault(const DiskCall&)> plan) {
  const std::lock_guard lock(mutex_);
  plan_ = std::move(plan);
}

std::uint64_t FaultVfs::Changes() const {
  const std::lock_guard lock(mutex_);
  std::uint64_t changes = 0;
  for (const std::uint64_t count : counts_) changes += count;
  return changes - counts_[static_cast<int>(DiskCall::Kind::kRead)];
}

std::uint64_t FaultVfs::Count(DiskCall::Kind kind) const {
  const std::lock_guard lock(mutex_);
  return counts_[static_cast<int>(kind)];
}

}  // namespace assent::log
