#pragma once

// A SQLite VFS that does what the system's does until it is told to fail, or to die, at a write or
// a sync of a WAL.

#include <atomic>

namespace assent::sqlite::test {

enum class WalFault : int {
  kNone,
  kSyncFails,   // fsync says EIO; what was written stays
  kDiskFull,    // writes say ENOSPC
  kDieAtSync,   // kill -9 instead of the sync
  kDieAtWrite,  // kill -9 instead of the write
};

// Set from any thread; kDieAt… wait for `wal_fault_after` more syncs or writes first.
extern std::atomic<WalFault> wal_fault;
extern std::atomic<int> wal_fault_after;

// Makes it the process's default VFS.
void InstallFaultyVfs();

}  // namespace assent::sqlite::test
