#pragma once

// A file system for SQLite that passes everything on to the machine's own, counts it, and fails
// where a test says so.

#include <cstdint>
#include <functional>
#include <mutex>
#include <sqlite3.h>
#include <string>
#include <vector>

namespace assent::log {

// One call that changes or reads a file.
struct DiskCall {
  enum class Kind : std::uint8_t { kRead, kWrite, kTruncate, kSync, kDelete };
  Kind kind = Kind::kRead;
  bool wal = false;  // the write-ahead log; else the database, or another file
  std::string path;
  std::int64_t offset = 0;
  int bytes = 0;
  std::uint64_t number = 0;  // of all calls of this kind, from 1
};

// What becomes of a call: 0 passes it on. For a write `bytes_first` bytes are written before it
// fails.
struct DiskFault {
  int code = 0;
  int bytes_first = 0;
};

class FaultVfs {
 public:
  // Registers itself with SQLite under a name of its own until it goes away. Files must be closed
  // by then.
  FaultVfs();
  ~FaultVfs();
  FaultVfs(const FaultVfs&) = delete;
  FaultVfs& operator=(const FaultVfs&) = delete;
  const std::string& name() const { return name_; }

  // Asked before each call; may be replaced at any time. Called under a lock: must not use this
  // object.
  void SetPlan(std::function<DiskFault(const DiskCall&)> plan);
  // xSync does nothing: for tests that open a log a thousand times.
  void SkipSync() { skip_sync_ = true; }
  // Calls so far that changed a file, or asked for durability: whether it succeeded or not.
  std::uint64_t Changes() const;
  std::uint64_t Count(DiskCall::Kind kind) const;

 private:
  friend struct FaultFileMethods;
  struct File;
  DiskFault Ask(DiskCall call);

  static int Open(sqlite3_vfs* vfs, const char* path, sqlite3_file* file, int flags,
                  int* out_flags);
  static int Delete(sqlite3_vfs* vfs, const char* path, int sync_folder);

  sqlite3_vfs vfs_{};
  sqlite3_vfs* base_ = nullptr;
  std::string name_;
  bool skip_sync_ = false;
  mutable std::mutex mutex_;
  std::function<DiskFault(const DiskCall&)> plan_;
  std::uint64_t counts_[5] = {};
};

}  // namespace assent::log
