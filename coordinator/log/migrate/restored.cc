#include "coordinator/log/migrate/restored.h"

#include <memory>

#include "coordinator/base/clock.h"
#include "coordinator/log/migrate/living.h"
#include "coordinator/log/migrate/postgres_rows.h"
#include "coordinator/log/postgresql/schema.h"
#include "coordinator/log/postgresql/slot_table.h"

namespace assent::log {
namespace {

Result<Restored> ReadLog(Connection& connection, const std::string& place) {
  const Answer answer = connection.Run(
      "SELECT log_id, format, generation, (SELECT count(*) FROM live) FROM log WHERE one = 1");
  const bool none = answer.sqlstate == "42P01" || answer.sqlstate == "3F000";
  if (none || (answer.ok() && answer.rows.size() != 1))
    return FailedPrecondition(place + " has no log");
  if (!answer.ok()) return answer.status(place);
  const std::int64_t format = answer.rows.Int(0, 1);
  if (format > kMovedFormat)
    return FailedPrecondition(place + ": nobody works on this log: it has moved, or is to come");
  if (format > kPostgresFormat) return FailedPrecondition(place + ": a newer version made it");
  return Restored{.log_id = static_cast<std::uint32_t>(answer.rows.Unsigned(0, 0)),
                  .generation = answer.rows.Unsigned(0, 2),
                  .unfinished = answer.rows.Unsigned(0, 3)};
}

}  // namespace

Result<Restored> NoteRestored(const RestoredOptions& options) {
  Result<std::unique_ptr<Connection>> opened = Connection::Open(options.postgres);
  if (!opened.ok()) return opened.status();
  Connection& connection = *opened.value();
  const std::string place = connection.place() + ": schema " + options.postgres.schema;
  Result<Restored> log = ReadLog(connection, place);
  if (!log.ok()) return log;
  auto alone = CheckNobodyLives(connection, options.patience, options.on_progress);
  if (!alone.ok()) return alone.status();
  if (options.dry_run) {
    for (const std::string& member : *alone)
      options.on_progress("would fence " + member + ", which has not left");
    log->fenced = *std::move(alone);
    return log;
  }
  // An unknown origin is taken for what the next start finds. One that differed from it would be
  // believed to have lost nothing where standbys are said to be synchronous.
  const Status status = EndEverybody(connection, "generation = generation + 1, origin = ''",
                                     "UPDATE slot SET slot_epoch = greatest(slot_epoch + 1, " +
                                         std::to_string(SerialMs(base::UnixNowMs())) + ")",
                                     "writing down that it was restored");
  if (!status.ok()) return status;
  TellFenced(*alone, options.on_progress);
  Result<Restored> restored = ReadLog(connection, place);
  if (restored.ok()) restored->fenced = *std::move(alone);
  return restored;
}

}  // namespace assent::log
