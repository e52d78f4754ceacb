#pragma once

// A copy of a log that works meanwhile: a file of its own, whole and of one moment when it is done.
//
// The log's file is its connection's alone, so that connection makes the copy, some pages at a
// time and between two groups; what a group changes of pages that are copied already SQLite writes
// into the copy as well. So the log waits for some pages, never for the file; and who makes the
// copy waits for the disk in between (Sync), or an fsync of the log would have to.
//
// Nobody starts a coordinator on a copy by mistake: its application_id is another one.

#include <cstdint>
#include <memory>
#include <string>
#include <utility>

#include <assent/status.h>

#include "coordinator/log/sqlite/sqlite_connection.h"
#include "coordinator/log/sqlite/sqlite_rows.h"

struct sqlite3_backup;

namespace assent::log {

// "AsnB", in place of a log's kApplicationId.
inline constexpr std::int64_t kBackupApplicationId = 0x41736E42;

struct BackupProgress {
  std::uint64_t copied_bytes = 0;
  std::uint64_t of_bytes = 0;
  bool done = false;
  Meta meta{};  // of the copy, once it is done
};

class SqliteBackup {
 public:
  // `path`: of the copy; what is there goes.
  explicit SqliteBackup(std::string path) : path_(std::move(path)) {}
  // Removes the file. Not before the log let go of it (Abandon, or done), unless
  // it has ended.
  ~SqliteBackup();
  // All files of a copy that a death has left unfinished.
  static void Remove(const std::string& path);
  SqliteBackup(const SqliteBackup&) = delete;
  SqliteBackup& operator=(const SqliteBackup&) = delete;

  // On the log's thread, with no local transaction under way. `meta`: as committed. A failure is
  // the copy's, and leaves the log as it is; the copy is let go of.
  Result<BackupProgress> Step(SqliteConnection& log, const Meta& meta);
  void Abandon();

  // A copy of another database of this process, at once; it is on the disk then.
  Status CopyWhole(const std::string& from);

  // On the thread of who makes the copy, between steps: waits until what was written is on the
  // disk.
  Status Sync() const;
  // Once it is done, before Seal: leaves out what rows once were, which free pages keep.
  Status Compact();
  // Once it is done: one file, which no coordinator starts with, on the disk.
  Status Seal();

  const std::string& path() const { return path_; }

 private:
  Status Begin(SqliteConnection& log);
  // An empty one, its owner's alone, where there is room for so much.
  Status MakeFile(const std::string& path, std::uint64_t bytes) const;
  Status Failure(const std::string& what, int code) const;

  const std::string path_;
  SqliteConnection copy_;
  sqlite3_backup* backup_ = nullptr;
};

}  // namespace assent::log
