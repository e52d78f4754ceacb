#include "tests/sdk_sqlite/faulty_vfs.h"

#include <csignal>
#include <new>
#include <sqlite3.h>
#include <unistd.h>

namespace assent::sqlite::test {

std::atomic<WalFault> wal_fault{WalFault::kNone};
std::atomic<int> wal_fault_after{0};

namespace {

struct File : sqlite3_file {
  sqlite3_file* real;  // lies behind this struct
  bool is_wal;
};

sqlite3_vfs* system_vfs = nullptr;

sqlite3_file* Real(sqlite3_file* file) { return static_cast<File*>(file)->real; }

void DieIfItIsTime(sqlite3_file* file, WalFault fault) {
  if (!static_cast<File*>(file)->is_wal || wal_fault != fault) return;
  if (wal_fault_after.fetch_sub(1) <= 0) kill(getpid(), SIGKILL);
}

int Close(sqlite3_file* f) {
  return Real(f)->pMethods == nullptr ? SQLITE_OK : Real(f)->pMethods->xClose(Real(f));
}
int ReadAt(sqlite3_file* f, void* to, int n, sqlite3_int64 at) {
  return Real(f)->pMethods->xRead(Real(f), to, n, at);
}
int WriteAt(sqlite3_file* f, const void* from, int n, sqlite3_int64 at) {
  DieIfItIsTime(f, WalFault::kDieAtWrite);
  if (static_cast<File*>(f)->is_wal && wal_fault == WalFault::kDiskFull) return SQLITE_FULL;
  return Real(f)->pMethods->xWrite(Real(f), from, n, at);
}
int Truncate(sqlite3_file* f, sqlite3_int64 size) {
  return Real(f)->pMethods->xTruncate(Real(f), size);
}
int Sync(sqlite3_file* f, int flags) {
  DieIfItIsTime(f, WalFault::kDieAtSync);
  if (static_cast<File*>(f)->is_wal && wal_fault == WalFault::kSyncFails) return SQLITE_IOERR_FSYNC;
  return Real(f)->pMethods->xSync(Real(f), flags);
}
int FileSize(sqlite3_file* f, sqlite3_int64* size) {
  return Real(f)->pMethods->xFileSize(Real(f), size);
}
int Lock(sqlite3_file* f, int level) { return Real(f)->pMethods->xLock(Real(f), level); }
int Unlock(sqlite3_file* f, int level) { return Real(f)->pMethods->xUnlock(Real(f), level); }
int CheckLock(sqlite3_file* f, int* out) {
  return Real(f)->pMethods->xCheckReservedLock(Real(f), out);
}
int Control(sqlite3_file* f, int op, void* arg) {
  return Real(f)->pMethods->xFileControl(Real(f), op, arg);
}
int SectorSize(sqlite3_file* f) { return Real(f)->pMethods->xSectorSize(Real(f)); }
int Traits(sqlite3_file* f) { return Real(f)->pMethods->xDeviceCharacteristics(Real(f)); }
int ShmMap(sqlite3_file* f, int page, int size, int extend, void volatile** out) {
  return Real(f)->pMethods->xShmMap(Real(f), page, size, extend, out);
}
int ShmLock(sqlite3_file* f, int offset, int n, int flags) {
  return Real(f)->pMethods->xShmLock(Real(f), offset, n, flags);
}
void ShmBarrier(sqlite3_file* f) { Real(f)->pMethods->xShmBarrier(Real(f)); }
int ShmUnmap(sqlite3_file* f, int del) { return Real(f)->pMethods->xShmUnmap(Real(f), del); }

const sqlite3_io_methods kMethods = {2,          Close,      ReadAt,  WriteAt, Truncate,
                                     Sync,       FileSize,   Lock,    Unlock,  CheckLock,
                                     Control,    SectorSize, Traits,  ShmMap,  ShmLock,
                                     ShmBarrier, ShmUnmap,   nullptr, nullptr};

int Open(sqlite3_vfs*, const char* name, sqlite3_file* file, int flags, int* out_flags) {
  auto* ours = static_cast<File*>(file);
  ours->real = reinterpret_cast<sqlite3_file*>(ours + 1);
  ours->is_wal = (flags & SQLITE_OPEN_WAL) != 0;
  ours->real->pMethods = nullptr;
  const int code = system_vfs->xOpen(system_vfs, name, ours->real, flags, out_flags);
  ours->pMethods = code == SQLITE_OK ? &kMethods : nullptr;
  return code;
}

}  // namespace

void InstallFaultyVfs() {
  static sqlite3_vfs vfs;
  if (system_vfs != nullptr) return;
  system_vfs = sqlite3_vfs_find(nullptr);
  vfs = *system_vfs;
  vfs.zName = "faulty";
  vfs.szOsFile = static_cast<int>(sizeof(File)) + system_vfs->szOsFile;
  vfs.xOpen = &Open;
  sqlite3_vfs_register(&vfs, 1);
}

}  // namespace assent::sqlite::test
