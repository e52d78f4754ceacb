#pragma once

// The log in one SQLite file: one thread, and nothing else that ever touches the file.

#include <functional>
#include <memory>
#include <string>
#include <utility>

#include <assent/status.h>

#include "coordinator/log/queued_log.h"
#include "coordinator/log/sqlite/sqlite_backup.h"
#include "coordinator/log/sqlite/sqlite_options.h"

namespace assent::log {

class SqliteRowStore;

class SqliteLog final : public ThreadedLog {
 public:
  // Opens or creates the file, and takes its lock for as long as the log lives.
  //   kFailedPrecondition  in use by another process (named), not a log of ours, or on a file
  //                        system that cannot hold one; the message says what to do
  //   kUnimplemented       of a newer format
  //   kDataLoss            damaged; names the table and row, or the frame of the WAL
  //   kInvalidArgument     an option
  //   others               the disk
  static Result<std::unique_ptr<SqliteLog>> Open(SqliteOptions options, const StoreWrap& wrap = {});

  // Some pages more of a copy (sqlite_backup.h), behind what is queued: `done` is told how far it
  // is on the log's thread, or why it cannot be made; the log is as it was. One at a time.
  void StepBackup(std::shared_ptr<SqliteBackup> backup,
                  std::function<void(Result<BackupProgress>)> done);
  // The copy is not wanted any more.
  void AbandonBackup(std::shared_ptr<SqliteBackup> backup, std::function<void()> done);

  // With the bytes of the file and its WAL.
  Stats GetStats() const override;

 private:
  SqliteLog(std::unique_ptr<RowStore> store, SqliteRowStore& rows, QueuedLogOptions options,
            std::string path)
      : ThreadedLog(std::move(store), std::move(options)), rows_(rows), path_(std::move(path)) {}

  SqliteRowStore& rows_;  // of the store, whatever is around it
  const std::string path_;
};

}  // namespace assent::log
