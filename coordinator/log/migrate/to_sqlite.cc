// From PostgreSQL to SQLite.

#include <algorithm>
#include <array>
#include <memory>
#include <random>
#include <unistd.h>
#include <utility>
#include <vector>

#include "coordinator/log/epoch.h"
#include "coordinator/log/migrate/living.h"
#include "coordinator/log/migrate/migrate.h"
#include "coordinator/log/migrate/postgres_rows.h"
#include "coordinator/log/postgresql/origin.h"
#include "coordinator/log/sqlite/sqlite_import.h"
#include "coordinator/log/sqlite/sqlite_store.h"

namespace assent::log {
namespace {

// What makes a log, behind its path.
constexpr std::array kBeside = {"", "-wal", "-state", "-reserve"};

class ToSqlite {
 public:
  explicit ToSqlite(const MigrateOptions& options)
      : options_(options),
        source_("postgresql: " + Connection::Place(options.postgres.url) + ", schema " +
                options.postgres.schema),
        target_("sqlite:" + options.sqlite_path) {}

  Result<Migrated> Run();

 private:
  Status ReadLog();
  // Whether the log is there already.
  Result<bool> CheckTarget();
  Result<bool> CheckFound();
  Status MarkTarget();
  Status EndAll();
  Status NoteMoved();
  Status ReadEpochs();
  Status NotStarted() const;
  Status Copy();

  std::string Mark(bool done) const {
    return (done ? "has moved to " : "is being moved to ") + target_;
  }

  const MigrateOptions& options_;
  const std::string source_;
  const std::string target_;
  std::unique_ptr<Connection> postgres_;
  ImportedLog log_;
  std::string mark_;  // empty: it was not moved
  std::uint64_t rows_ = 0;
  Digest digest_;
};

Result<Migrated> ToSqlite::Run() {
  Result<std::unique_ptr<Connection>> postgres = Connection::Open(options_.postgres);
  if (!postgres.ok()) return postgres.status();
  postgres_ = *std::move(postgres);
  if (Status status = ReadLog(); !status.ok()) return status;
  const Result<bool> is_there = CheckTarget();
  if (!is_there.ok()) return is_there.status();
  if (!*is_there) {
    std::vector<std::string> silent;
    if (mark_.empty()) {
      // Before anything is marked: who has been told to go on could not.
      const Result<bool> elsewhere = IsElsewhere(*postgres_);
      if (!elsewhere.ok()) return elsewhere.status();
      if (*elsewhere) return NotStarted();
      if (Status status = ReadEpochs(); !status.ok()) return status;
      auto alone = CheckNobodyLives(*postgres_, options_.patience, options_.on_progress);
      if (!alone.ok()) return alone.status();
      silent = *std::move(alone);
    }
    if (Status status = MarkTarget(); !status.ok()) return status;
    if (mark_.empty()) {
      if (Status status = EndAll(); !status.ok()) return status;
      options_.on_progress("ended all members, and marked the log as being moved");
      TellFenced(silent, options_.on_progress);
    }
    if (Status status = Copy(); !status.ok()) return status;
    options_.on_progress("made " + options_.sqlite_path);
  }
  if (*is_there && mark_ != Mark(true)) {
    if (Status status = NoteMoved(); !status.ok()) return status;
  }
  RemoveIncomingMark(options_.sqlite_path);
  return Migrated{.was_done = *is_there,
                  .log_id = log_.log_id,
                  .live_rows = digest_.live_rows,
                  .finished_rows = digest_.finished_rows};
}

Status ToSqlite::ReadLog() {
  const Answer answer =
      postgres_->Run("SELECT log_id, format, starts, age_ms, origin FROM log WHERE one = 1");
  const std::string place = postgres_->place() + ": schema " + options_.postgres.schema;
  if (answer.sqlstate == "42P01" || answer.sqlstate == "3F000" ||
      (answer.ok() && answer.rows.size() != 1)) {
    return NotFound(place + " has no log");
  }
  if (!answer.ok()) return answer.status(place);
  log_.log_id = static_cast<std::uint32_t>(answer.rows.Unsigned(0, 0));
  log_.ran_ms = answer.rows.Unsigned(0, 3);
  if (answer.rows.Int(0, 1) > kIncomingFormat) {
    return FailedPrecondition(place + " " + answer.rows.Text(0, 4) +
                              ": run that migration again first, which ends it");
  }
  if (answer.rows.Int(0, 1) > kMovedFormat) {
    mark_ = answer.rows.Text(0, 4);
    if (mark_ == Mark(false) || mark_ == Mark(true)) return OkStatus();
    return FailedPrecondition(place + ": the log " + mark_ + ", not to " + target_);
  }
  if (answer.rows.Int(0, 1) > kPostgresFormat)
    return FailedPrecondition(place + ": a newer version made it");
  if (answer.rows.Int(0, 2) == 0) return FailedPrecondition(place + ": nobody has ever started");
  return OkStatus();
}

// A file is whole or not there.
Result<bool> ToSqlite::CheckTarget() {
  const std::string coming = ReadIncomingMark(options_.sqlite_path);
  const bool there = std::any_of(kBeside.begin(), kBeside.end(), [this](const char* beside) {
    return access((options_.sqlite_path + beside).c_str(), F_OK) == 0;
  });
  if (there) return CheckFound();
  if (!coming.empty() && coming != source_) {
    return FailedPrecondition(target_ + " is being filled by a migration from " + coming +
                              ", not from " + source_ +
                              ": end that one; or, if this is the one that counts, remove " +
                              options_.sqlite_path + "-incoming-from");
  }
  if (mark_ != Mark(true) || !coming.empty()) return false;
  return DataLoss("this log has moved to " + options_.sqlite_path +
                  ", and there is none: it was removed there");
}

// Somebody's log.
Result<bool> ToSqlite::CheckFound() {
  const std::string other = options_.sqlite_path + ": there is a log already";
  if (mark_.empty()) return FailedPrecondition(other + ": name an empty folder");
  SqliteOptions sqlite;
  sqlite.path = options_.sqlite_path;
  const Result<std::unique_ptr<SqliteStore>> found = SqliteStore::Open(sqlite, Migrations());
  // The log's mark says that it is there, and a coordinator has gone on with it.
  if (found.status().code() == Code::kFailedPrecondition && mark_ == Mark(true) &&
      access(sqlite.path.c_str(), F_OK) == 0) {
    return true;
  }
  if (!found.ok()) return found.status();
  if (found.value()->meta().coordinator_id == log_.log_id) return true;
  return FailedPrecondition(other + ", another one: move it out of " + options_.sqlite_path +
                            " with all that is beside it, and run this again");
}

// Before the source has one: whoever started there would begin a log of his own, and this one could
// go nowhere any more.
Status ToSqlite::MarkTarget() {
  if (ReadIncomingMark(options_.sqlite_path) == source_) return OkStatus();
  if (Status status = MarkIncoming(options_.sqlite_path, source_); !status.ok()) return status;
  options_.on_progress("marked " + target_ + " as being filled");
  const Result<bool> is_there = CheckTarget();
  if (!is_there.ok()) return is_there.status();
  return *is_there ? FailedPrecondition(target_ + ": somebody has begun a log there meanwhile")
                   : OkStatus();
}

// No member writes any more, and none can join.
Status ToSqlite::EndAll() {
  return EndEverybody(*postgres_,
                      "format = " + std::to_string(kMovedFormat + kPostgresFormat) +
                          ", origin = " + Quoted(Mark(false)),
                      "", "ending the members");
}

// Those that are presumed about, and nobody has a gap in them.
Status ToSqlite::ReadEpochs() {
  log_.epochs.clear();
  const Answer answer = postgres_->Run(
      "SELECT m.epoch FROM member m JOIN log g ON m.generation = g.generation"
      " ORDER BY m.epoch DESC LIMIT " +
      std::to_string(kMaxEpochsCount));
  if (!answer.ok()) return answer.status(postgres_->place() + ": reading table member");
  for (int row = 0; row < answer.rows.size(); ++row) {
    const std::uint64_t epoch = answer.rows.Unsigned(row, 0);
    const bool follows =
        log_.epochs.empty() || StartNumber(epoch) + 1 == StartNumber(log_.epochs.back());
    if (!follows) break;
    log_.epochs.push_back(epoch);
  }
  if (log_.epochs.empty()) return NotStarted();
  // Starts of which nothing is presumed have epochs that nobody has heard.
  std::random_device device;
  for (std::uint64_t start = StartNumber(log_.epochs.back());
       start > 1 && log_.epochs.size() < kMaxEpochsCount; --start)
    log_.epochs.push_back(NextEpoch(FirstEpochOf(start - 2), device()));
  std::reverse(log_.epochs.begin(), log_.epochs.end());
  return OkStatus();
}

// Its first start holds what is undecided, which here nobody would know to do.
Status ToSqlite::NotStarted() const {
  return FailedPrecondition(postgres_->place() +
                            ": nobody has started since the log was restored, or another server "
                            "took over: start a coordinator on it, stop it, and run this again");
}

Status ToSqlite::Copy() {
  const Answer began = postgres_->Run(
      "BEGIN ISOLATION LEVEL REPEATABLE READ;"
      "SELECT (SELECT count(*) FROM live) + (SELECT count(*) FROM finished), age_ms"
      " FROM log");
  if (!began.ok()) return began.status(postgres_->place() + ": counting");
  log_.ran_ms = began.rows.Unsigned(0, 1);
  if (Status status = ReadEpochs(); !status.ok()) return status;
  SqliteImport import(options_.sqlite_path, log_);
  if (Status status = import.Begin(); !status.ok()) return status;
  RowProgress progress("copied", began.rows.Unsigned(0, 0), options_.on_progress);
  Status status = ReadPostgres(
      *postgres_,
      [&](const LiveRow& row) {
        digest_.Add(row);
        progress.Count();
        return import.Add(row);
      },
      [&](const FinishedRow& row, std::uint64_t ran_ms) {
        digest_.Add(row);
        progress.Count();
        return import.Add(row, ran_ms);
      });
  if (status.ok()) status = import.Commit();
  if (!status.ok()) return status;
  options_.on_progress("copied " + std::to_string(digest_.live_rows) + " unfinished and " +
                       std::to_string(digest_.finished_rows) + " finished transaction" +
                       (digest_.finished_rows == 1 ? "" : "s"));
  Digest there;
  status = import.ReadBack([&](const LiveRow& row) { there.Add(row); },
                           [&](const FinishedRow& row) { there.Add(row); });
  if (!status.ok()) return status;
  if (!(there == digest_) || there.live_rows + there.finished_rows != began.rows.Unsigned(0, 0))
    return Internal(target_ + ": what was read back is not what was written");
  options_.on_progress("read them back: they are the same");
  // What was read is durable wherever a commit behind it is. The mark comes before the file is in
  // its place, and the target's own goes after: so the file is used once both sides say so.
  status = NoteMoved();
  return status.ok() ? import.Finish() : status;
}

// Ends a local transaction that may be under way.
Status ToSqlite::NoteMoved() {
  Status status = RunSurely(
      *postgres_, "COMMIT; UPDATE log SET origin = " + Quoted(Mark(true)) + " WHERE one = 1",
      "marking the log as moved");
  if (status.ok()) options_.on_progress("marked the log in PostgreSQL as moved");
  return status;
}

}  // namespace

Result<Migrated> MigrateToSqlite(const MigrateOptions& options) { return ToSqlite(options).Run(); }

}  // namespace assent::log
