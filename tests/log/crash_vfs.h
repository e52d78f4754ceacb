#pragma once

// A file system for SQLite on a SimDisk: counts every call, writes down every change, and fails
// where a test says so.

#include <cstdint>
#include <mutex>
#include <sqlite3.h>
#include <string>
#include <utility>
#include <vector>

#include "tests/log/sim_disk.h"

namespace assent::log {

enum class DiskCallKind : std::uint8_t {
  kOpen,
  kRead,
  kWrite,
  kTruncate,
  kSync,
  kDelete,
  kAccess,
  kSize,
  kSyncFolder,
};
const char* Name(DiskCallKind kind);

// What goes wrong, at the `at`-th call (from 1; 0: nothing) and those after it.
struct DiskTrouble {
  enum class Kind : std::uint8_t {
    kIoError,     // any call
    kShortWrite,  // of a write, and then an I/O error
    kFull,        // writes, the first of them short, and creations
  };
  Kind kind = Kind::kIoError;
  std::uint64_t at = 0;
  std::uint64_t calls = 1;
  std::uint64_t seed = 1;  // how short; what a failed sync loses
};
const char* Name(DiskTrouble::Kind kind);
// Whether this trouble can meet such a call.
bool CanMeet(DiskTrouble::Kind kind, DiskCallKind call);

class CrashVfs {
 public:
  // Registers itself under a name of its own until it goes away; files must be closed by then.
  CrashVfs();
  ~CrashVfs();
  CrashVfs(const CrashVfs&) = delete;
  CrashVfs& operator=(const CrashVfs&) = delete;
  const std::string& name() const { return name_; }

  // Begins anew: another disk, no trouble, nothing counted or written down. No file is open.
  void Insert(SimDisk disk);
  // As it is now.
  SimDisk disk() const;

  void SetTrouble(DiskTrouble trouble);
  // For ever: syncs succeed, and do nothing.
  void LieAboutSync() { lies_ = true; }
  // How many calls have failed.
  std::uint64_t troubled() const;
  // Calls so far, by kind.
  std::vector<DiskCallKind> calls() const;
  // Of which those that changed the disk, or asked it to be durable, failed ones included.
  std::uint64_t changes() const;

  // All changes since Insert, in order, and the test's own marks in their places among them.
  void Mark(std::int64_t number);
  std::vector<DiskChange> TakeTrace();

 private:
  friend struct CrashFileMethods;
  struct File;

  // One call: counted, and SQLITE_OK or the trouble.
  int Count(DiskCallKind kind, int trouble_code);
  void Change(DiskChange change);
  std::uint64_t Draw();

  static int Open(sqlite3_vfs* vfs, const char* path, sqlite3_file* file, int flags,
                  int* out_flags);
  static int Delete(sqlite3_vfs* vfs, const char* path, int sync_folder);
  static int Access(sqlite3_vfs* vfs, const char* path, int flags, int* out);
  static int FullPathname(sqlite3_vfs* vfs, const char* path, int size, char* out);

  sqlite3_vfs vfs_{};
  std::string name_;
  bool lies_ = false;

  mutable std::mutex mutex_;
  SimDisk disk_;
  DiskTrouble trouble_;
  std::uint64_t draws_ = 0;
  std::uint64_t troubled_ = 0;
  std::uint64_t changes_ = 0;
  std::vector<DiskCallKind> calls_;
  std::vector<DiskChange> trace_;
};

}  // namespace assent::log
