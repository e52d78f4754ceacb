// From SQLite to PostgreSQL.

#include <algorithm>
#include <chrono>
#include <memory>
#include <optional>
#include <utility>
#include <vector>

#include "coordinator/base/clock.h"
#include "coordinator/log/migrate/migrate.h"
#include "coordinator/log/migrate/postgres_rows.h"
#include "coordinator/log/postgresql/slot_table.h"
#include "coordinator/log/sqlite/sqlite_store.h"

namespace assent::log {
namespace {

constexpr std::size_t kFinishedAtOnce = 1'000;
constexpr std::uint64_t kCounts = std::uint64_t{1} << kSerialSlotShift;

std::int64_t NowMs() { return SerialMs(base::UnixNowMs()); }

// New serials for old rows, from the newest to the oldest: all before `ms`, those of a slot and
// those of all slots in the order that the rows had.
class SerialsDown {
 public:
  explicit SerialsDown(std::int64_t ms) : last_(static_cast<std::uint64_t>(ms) << kSerialMsShift) {}

  std::uint64_t Next(Slot slot) {
    const std::uint64_t ms = last_ >> kSerialMsShift;
    const std::uint64_t of_slot = std::uint64_t{slot} << kSerialSlotShift;
    const std::uint64_t highest = ms << kSerialMsShift | of_slot | (kCounts - 1);
    const std::uint64_t lowest = ms << kSerialMsShift | of_slot;
    if (lowest < last_) {
      last_ = std::min(highest, last_ - 1);
    } else {
      last_ = (ms - 1) << kSerialMsShift | of_slot | (kCounts - 1);
    }
    return last_;
  }

 private:
  std::uint64_t last_;
};

// One migration, step by step.
class ToPostgres {
 public:
  explicit ToPostgres(const MigrateOptions& options)
      : options_(options),
        target_("postgresql: " + Connection::Place(options.postgres.url) + ", schema " +
                options.postgres.schema) {}

  Result<Migrated> Run();

 private:
  Status OpenSource();
  // What is there of the log where it goes.
  enum class Target : std::uint8_t { kNothing, kMark, kLog };
  Result<Target> CheckTarget();
  Result<Target> CheckMark(const std::string& origin) const;
  Status MarkTarget();
  Status Copy();
  Status FillTarget();
  Status WriteRows();
  Status CheckRows();

  const MigrateOptions& options_;
  const std::string target_;
  SqliteOptions sqlite_;
  Slot slots_count_ = 0;  // of the target, from its mark on
  std::unique_ptr<Connection> postgres_;
  std::unique_ptr<SqliteStore> source_;
  Joined joined_;
  std::vector<LiveRow> live_;
  std::uint64_t ran_ms_ = 0;  // how long the log has run
  Digest digest_;
};

Result<Migrated> ToPostgres::Run() {
  Result<std::unique_ptr<Connection>> postgres = Connection::Open(options_.postgres);
  if (!postgres.ok()) return postgres.status();
  postgres_ = *std::move(postgres);
  if (Status status = OpenSource(); !status.ok()) return status;
  Result<Target> target = CheckTarget();
  if (!target.ok()) return target.status();
  const bool is_there = *target == Target::kLog;
  const bool was_done = source_->moved() && source_->moved()->done;
  if (*target == Target::kNothing) {
    if (Status status = MarkTarget(); !status.ok()) return status;
    options_.on_progress("marked " + target_ + " as being filled");
  }
  if (!is_there) {
    if (Status status = source_->NoteMoved({.done = false, .target = target_}); !status.ok())
      return status;
    options_.on_progress("marked " + options_.sqlite_path + " as being moved");
    if (Status status = Copy(); !status.ok()) return status;
    options_.on_progress("committed");
  }
  if (!was_done) {
    if (Status status = source_->NoteMoved({.done = true, .target = target_}); !status.ok())
      return status;
    options_.on_progress("marked " + options_.sqlite_path + " as moved");
  }
  if (Status status = source_->CloseCleanly(); !status.ok()) return status;
  return Migrated{.was_done = is_there,
                  .log_id = joined_.log_id,
                  .live_rows = digest_.live_rows,
                  .finished_rows = digest_.finished_rows};
}

// Takes the file's lock, and checks all of it as a start does. That makes a new epoch, in which
// nothing begins.
Status ToPostgres::OpenSource() {
  sqlite_.path = options_.sqlite_path;
  sqlite_.open_moved = true;
  Result<std::unique_ptr<SqliteStore>> source = SqliteStore::Open(sqlite_, Migrations());
  if (!source.ok()) return source.status();
  source_ = *std::move(source);
  if (source_->moved() && source_->moved()->target != target_) {
    return FailedPrecondition(options_.sqlite_path + ": this log " +
                              (source_->moved()->done ? "has moved" : "is being moved") + " to " +
                              source_->moved()->target + ", not to " + target_);
  }
  const Result<Joined> joined = source_->Join();
  if (!joined.ok()) return joined.status();
  joined_ = *joined;
  Status status = source_->Load([this](const LiveRow& row) {
    live_.push_back(row);
    return OkStatus();
  });
  if (status.ok()) {
    options_.on_progress(
        "read and checked " + options_.sqlite_path + ": log " + std::to_string(joined_.log_id) +
        ", " + std::to_string(live_.size()) +
        (live_.size() == 1 ? " unfinished transaction" : " unfinished transactions"));
  }
  return status;
}

// Its log is whole where it is: the one that was moved there, or somebody else's.
Result<ToPostgres::Target> ToPostgres::CheckTarget() {
  const Answer answer =
      postgres_->Run("SELECT log_id, format, origin, slots::bigint FROM log WHERE one = 1");
  const bool missing = answer.sqlstate == "42P01" || answer.sqlstate == "3F000";
  if (!answer.ok() && !missing) return answer.status(postgres_->place() + ": looking for a log");
  const bool done = source_->moved() && source_->moved()->done;
  if (missing || answer.rows.size() != 1) {
    if (!done) return Target::kNothing;
    return DataLoss(options_.sqlite_path + ": this log has moved to " + target_ +
                    ", and there is none: it was removed there");
  }
  slots_count_ = static_cast<Slot>(answer.rows.Int(0, 3));
  const bool is_mark = answer.rows.Int(0, 1) > kIncomingFormat;
  if (answer.rows.Unsigned(0, 0) != joined_.log_id) {
    const std::string drop = "if it may go, DROP SCHEMA " + options_.postgres.schema + " CASCADE";
    return FailedPrecondition(target_ +
                              (is_mark ? " " + answer.rows.Text(0, 2)
                                       : " has another log (" + answer.rows.Text(0, 0) + ")") +
                              ": " +
                              (source_->moved() ? drop : "name another database; or, " + drop));
  }
  if (is_mark) return CheckMark(answer.rows.Text(0, 2));
  if (answer.rows.Int(0, 1) > kMovedFormat) {
    return FailedPrecondition(target_ + " has had this log, which " + answer.rows.Text(0, 2) +
                              ": what is left there is of before, DROP SCHEMA " +
                              options_.postgres.schema + " CASCADE; or name another database");
  }
  if (!source_->moved()) {
    return FailedPrecondition(target_ + " has this log already, and " + options_.sqlite_path +
                              " is an older copy of it: use the one in PostgreSQL");
  }
  // What we read may be durable on this server alone; a commit behind it tells.
  Status status = RunSurely(*postgres_, "UPDATE log SET age_ms = age_ms WHERE one = 1",
                            "confirming what is there");
  if (!status.ok()) return status;
  return Target::kLog;
}

// Of this log; whether also of this file.
Result<ToPostgres::Target> ToPostgres::CheckMark(const std::string& origin) const {
  if (origin != IncomingFrom(options_.sqlite_path)) {
    return FailedPrecondition(target_ + " " + origin + ", not from " + options_.sqlite_path +
                              ": end that one; or, if this is the one that counts, DROP SCHEMA " +
                              options_.postgres.schema + " CASCADE, and run this again");
  }
  if (!source_->moved() || !source_->moved()->done) return Target::kMark;
  return DataLoss(options_.sqlite_path + ": this log has moved to " + target_ +
                  ", which has lost it: only the mark of before is there");
}

// Before the source has one: whoever started there would begin a log of his own, and this one could
// go nowhere any more.
Status ToPostgres::MarkTarget() {
  Status status =
      RunSurely(*postgres_,
                CreationSql(options_.postgres.schema, {.slots_count = options_.slots_count,
                                                       .log_id = joined_.log_id,
                                                       .incoming_from = options_.sqlite_path}),
                "making the tables");
  if (!status.ok()) return status;
  const Result<Target> marked = CheckTarget();
  if (!marked.ok()) return marked.status();
  return *marked == Target::kMark ? OkStatus() : Internal(target_ + ": the mark is not there");
}

// All of it in one local transaction.
Status ToPostgres::Copy() {
  if (Status status = FillTarget(); !status.ok()) return status;
  if (Status status = WriteRows(); !status.ok()) return status;
  options_.on_progress("copied " + std::to_string(digest_.live_rows) + " unfinished and " +
                       std::to_string(digest_.finished_rows) + " finished transaction" +
                       (digest_.finished_rows == 1 ? "" : "s"));
  if (Status status = CheckRows(); !status.ok()) return status;
  options_.on_progress("read them back: they are the same");
  return RunSurely(*postgres_, "COMMIT", "committing");
}

// All but the rows.
Status ToPostgres::FillTarget() {
  ran_ms_ = source_->RanMs();
  Answer answer = postgres_->Run("BEGIN ISOLATION LEVEL READ COMMITTED");
  if (!answer.ok()) return answer.status(postgres_->place() + ": beginning");
  Column epochs;
  for (const std::uint64_t epoch : *joined_.epochs) epochs.Add(epoch);
  // Starts that have ended: they tell whose promises are this log's.
  answer = postgres_->Query(
      "INSERT INTO member (epoch, generation, node, address, version, beat, serial_limit_ms,"
      " draining, ended, ended_by, observer_pid)"
      " SELECT epoch, 1, 'sqlite', '', '', 0, 0, false, true, epoch, NULL"
      " FROM unnest($1::bigint[]) AS u(epoch)",
      Params().Ints(epochs));
  if (!answer.ok()) return answer.status(postgres_->place() + ": writing the epochs");
  // The mark becomes the log, unless somebody has taken it away meanwhile.
  const std::string starts = std::to_string(StartNumber(joined_.epoch));
  // It may have been set by a program that knew fewer tables.
  answer = postgres_->Run(
      MigrationSql(1) + "UPDATE log SET format = " + std::to_string(kPostgresFormat) +
      ", origin = '', starts = " + starts + ", age_ms = " + std::to_string(ran_ms_) +
      " WHERE one = 1 AND format > " + std::to_string(kIncomingFormat) +
      " AND log_id = " + std::to_string(joined_.log_id));
  if (answer.ok() && answer.rows.changed() != 1)
    return FailedPrecondition(target_ + ": somebody else has begun a log there meanwhile");
  if (!answer.ok()) return answer.status(postgres_->place() + ": writing table log");
  return postgres_->Run("UPDATE slot SET serial_floor_ms = " + std::to_string(NowMs()))
      .status(postgres_->place() + ": writing table slot");
}

// Both kinds of rows in one order, the newest first: finished ones can only be read so.
Status ToPostgres::WriteRows() {
  PostgresWriter writer(*postgres_);
  SerialsDown serials(NowMs());
  RowProgress progress("copied", source_->meta().live_rows + source_->meta().finished_rows,
                       options_.on_progress);
  const auto slot_of = [this](const std::string& gid) { return SlotOf(gid, slots_count_); };
  const auto write_live_above = [&](std::uint64_t serial) {
    Status status;
    for (; status.ok() && !live_.empty() && live_.back().serial > serial; live_.pop_back()) {
      LiveRow row = std::move(live_.back());
      row.slot = slot_of(row.gid);
      row.serial = serials.Next(row.slot);
      digest_.Add(row);
      progress.Count();
      status = writer.Add(row);
    }
    return status;
  };
  std::uint64_t before = 0;
  for (bool more = true; more;) {
    more = false;
    Status status = source_->ScanAged(
        before, kFinishedAtOnce, [&](const FinishedRow& found, std::uint64_t ran_ms) {
          more = true;
          before = found.serial;
          if (Status above = write_live_above(found.serial); !above.ok()) return above;
          FinishedRow row = found;
          const Slot slot = slot_of(row.gid);
          row.serial = serials.Next(slot);
          digest_.Add(row);
          progress.Count();
          return writer.Add(slot, row, std::min(ran_ms, ran_ms_));
        });
    if (!status.ok()) return status;
  }
  if (Status status = write_live_above(0); !status.ok()) return status;
  return writer.Flush();
}

Status ToPostgres::CheckRows() {
  Digest there;
  Status status = ReadPostgres(
      *postgres_,
      [&](const LiveRow& row) {
        there.Add(row);
        return OkStatus();
      },
      [&](const FinishedRow& row, std::uint64_t) {
        there.Add(row);
        return OkStatus();
      });
  if (!status.ok()) return status;
  if (there == digest_ && there.live_rows == source_->meta().live_rows &&
      there.finished_rows == source_->meta().finished_rows) {
    return OkStatus();
  }
  return Internal(target_ + ": what was read back is not what was written; nothing was committed");
}

}  // namespace

Result<Migrated> MigrateToPostgres(const MigrateOptions& options) {
  return ToPostgres(options).Run();
}

}  // namespace assent::log
