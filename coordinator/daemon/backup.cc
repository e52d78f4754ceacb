#include "coordinator/daemon/backup.h"

#include <cstdint>
#include <filesystem>
#include <fstream>
#include <future>
#include <memory>
#include <system_error>
#include <utility>
#include <vector>

#include <spdlog/spdlog.h>

#include "coordinator/base/clock.h"
#include "coordinator/daemon/version.h"
#include "coordinator/log/crc32c.h"
#include "coordinator/log/epoch.h"
#include "coordinator/offline/backup_folder.h"

namespace assent::daemon {
namespace {

// So much is written before it is waited for.
constexpr std::uint64_t kSyncEveryBytes = std::uint64_t{8} << 20;
constexpr std::size_t kPartBytes = std::size_t{256} << 10;
using offline::kAuditName;
using offline::kLogName;
// A copy beside what it is one of, until it is handed over.
constexpr char kCopySuffix[] = "-backup";

std::string AuditOf(const std::string& log_path) {
  return (std::filesystem::path(log_path).parent_path() / kAuditName).string();
}

Status NobodyReads() { return {Code::kCancelled, "whoever asked for the backup has left"}; }

Result<log::BackupProgress> Step(log::SqliteLog& log,
                                 const std::shared_ptr<log::SqliteBackup>& copy) {
  auto said = std::make_shared<std::promise<Result<log::BackupProgress>>>();
  log.StepBackup(
      copy, [said](Result<log::BackupProgress> progress) { said->set_value(std::move(progress)); });
  return said->get_future().get();
}

void Abandon(log::SqliteLog& log, const std::shared_ptr<log::SqliteBackup>& copy) {
  auto done = std::make_shared<std::promise<void>>();
  log.AbandonBackup(copy, [done] { done->set_value(); });
  done->get_future().wait();
}

Result<log::BackupProgress> Copy(log::SqliteLog& log,
                                 const std::shared_ptr<log::SqliteBackup>& copy,
                                 door::BackupReader& reader) {
  std::uint64_t synced_bytes = 0;
  for (;;) {
    Result<log::BackupProgress> step = Step(log, copy);
    if (!step.ok() || step->done) return step;
    if (step->copied_bytes < synced_bytes + kSyncEveryBytes) continue;
    synced_bytes = step->copied_bytes;
    Status status = copy->Sync();
    if (status.ok() && !reader.Progress(step->copied_bytes, step->of_bytes)) status = NobodyReads();
    if (status.ok()) continue;
    Abandon(log, copy);
    return status;
  }
}

Status Send(const std::string& name, const std::string& path, door::BackupReader& reader) {
  std::error_code error;
  const std::uintmax_t bytes = std::filesystem::file_size(path, error);
  std::ifstream file(path, std::ios::binary);
  if (error || !file) return Unavailable(path + ": cannot be read");
  if (!reader.File(name, bytes)) return NobodyReads();
  std::vector<char> part(kPartBytes);
  std::uint32_t crc = 0;
  std::uint64_t sent = 0;
  while (file.read(part.data(), static_cast<std::streamsize>(part.size())), file.gcount() > 0) {
    const std::string_view read(part.data(), static_cast<std::size_t>(file.gcount()));
    crc = log::ExtendCrc32c(crc, read.data(), read.size());
    sent += read.size();
    if (!reader.Data(read)) return NobodyReads();
  }
  if (sent != bytes) return Unavailable(path + ": cannot be read to its end");
  return reader.FileEnds(crc) ? OkStatus() : NobodyReads();
}

door::BackupFacts FactsOf(const log::Meta& meta) {
  return {.version = kVersion,
          .format = static_cast<std::uint32_t>(meta.format),
          .coordinator_id = static_cast<std::uint32_t>(meta.coordinator_id),
          .epoch = meta.epoch,
          .start = log::StartNumber(meta.epoch),
          .commit_seq = meta.commit_seq,
          .unix_ms = base::UnixNowMs(),
          .unfinished = meta.live_rows,
          .finished = meta.finished_rows};
}

// What people did is kept beside the log. The log first: a deed that it has is in there as well.
Status SendAudit(const std::string& log_path, door::BackupReader& reader) {
  const std::string audit = AuditOf(log_path);
  std::error_code error;
  if (!std::filesystem::exists(audit, error)) return OkStatus();
  log::SqliteBackup copy(audit + kCopySuffix);
  if (Status status = copy.CopyWhole(audit); !status.ok()) return status;
  return Send(kAuditName, copy.path(), reader);
}

Status Make(log::SqliteLog& log, const std::string& path, bool leaves_no_remains,
            door::BackupReader& reader, door::BackupFacts& facts) {
  const auto copy = std::make_shared<log::SqliteBackup>(path + kCopySuffix);
  const Result<log::BackupProgress> made = Copy(log, copy, reader);
  if (!made.ok()) return made.status();
  facts = FactsOf(made->meta);
  Status status = leaves_no_remains ? copy->Compact() : OkStatus();
  if (status.ok()) status = copy->Seal();
  if (!status.ok()) return status;
  status = Send(kLogName, copy->path(), reader);
  if (status.ok()) status = SendAudit(path, reader);
  if (!status.ok()) return status;
  return reader.Facts(facts) ? OkStatus() : NobodyReads();
}

}  // namespace

void RemoveUnfinishedBackups(const std::string& path) {
  log::SqliteBackup::Remove(path + kCopySuffix);
  log::SqliteBackup::Remove(AuditOf(path) + kCopySuffix);
}

door::MakeBackup BackupOf(log::SqliteLog& log, std::string path, bool leaves_no_remains) {
  return [&log, path = std::move(path), leaves_no_remains](door::BackupReader& reader) {
    const auto began = base::MonoNow();
    door::BackupFacts facts;
    Status status = Make(log, path, leaves_no_remains, reader, facts);
    const auto took =
        std::chrono::duration_cast<std::chrono::milliseconds>(base::MonoNow() - began);
    if (status.ok()) {
      spdlog::info("event=backup commit={} unfinished={} finished={} ms={}", facts.commit_seq,
                   facts.unfinished, facts.finished, took.count());
    } else {
      spdlog::warn("event=backup_failed error=\"{}\"", status.message());
    }
    return status;
  };
}

door::MakeBackup NoBackup() {
  return [](door::BackupReader&) {
    return FailedPrecondition(
        "the log is in PostgreSQL, which is backed up with its own tools: pg_basebackup and "
        "continuous archiving (point-in-time recovery); docs/cluster.md says what a restore must "
        "be followed by");
  };
}

}  // namespace assent::daemon
