#include "coordinator/log/sqlite/sqlite_log.h"

#include <sys/stat.h>

#include "coordinator/log/sqlite/sqlite_row_store.h"

namespace assent::log {
namespace {

std::uint64_t FileBytes(const std::string& path) {
  struct stat info {};
  return stat(path.c_str(), &info) == 0 ? static_cast<std::uint64_t>(info.st_size) : 0;
}

}  // namespace

Result<std::unique_ptr<SqliteLog>> SqliteLog::Open(SqliteOptions options, const StoreWrap& wrap) {
  QueuedLogOptions queue = {.max_queued_entries = options.max_queued_entries,
                            .max_queued_bytes = options.max_queued_bytes,
                            .max_queued_reads = options.max_queued_reads,
                            .max_group_entries = options.max_group_entries,
                            .max_group_bytes = options.max_group_bytes,
                            .unix_now_ms = options.unix_now_ms,
                            .on_poisoned = options.on_poisoned};
  std::string path = options.path;
  Result<std::unique_ptr<RowStore>> store = SqliteRowStore::Open(std::move(options));
  if (!store.ok()) return store.status();
  auto& rows = static_cast<SqliteRowStore&>(**store);
  std::unique_ptr<RowStore> whole = wrap ? wrap(*std::move(store)) : *std::move(store);
  return std::unique_ptr<SqliteLog>(
      new SqliteLog(std::move(whole), rows, std::move(queue), std::move(path)));
}

void SqliteLog::StepBackup(std::shared_ptr<SqliteBackup> backup,
                           std::function<void(Result<BackupProgress>)> done) {
  auto progress = std::make_shared<BackupProgress>();
  Do(
      [this, progress, backup = std::move(backup)] {
        Result<BackupProgress> stepped = rows_.StepBackup(*backup);
        if (stepped.ok()) *progress = *stepped;
        return stepped.status();
      },
      [progress, done = std::move(done)](const Status& status) {
        status.ok() ? done(*progress) : done(status);
      });
}

void SqliteLog::AbandonBackup(std::shared_ptr<SqliteBackup> backup, std::function<void()> done) {
  Do(
      [backup = std::move(backup)] {
        backup->Abandon();
        return OkStatus();
      },
      [done = std::move(done)](const Status&) { done(); });
}

Stats SqliteLog::GetStats() const {
  Stats stats = QueuedLog::GetStats();
  stats.file_bytes = FileBytes(path_) + FileBytes(path_ + "-wal");
  return stats;
}

}  // namespace assent::log
