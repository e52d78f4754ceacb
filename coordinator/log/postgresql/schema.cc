#include "coordinator/log/postgresql/schema.h"

#include <array>
#include <random>

#include "coordinator/log/postgresql/member_rows.h"

namespace assent::log {
namespace {

// What takes a schema from the format before (0: nothing) to this one. All of it is in the set of
// words that stores of PostgreSQL's kind have in common (DESIGN.md), but for what follows WITH and
// SET, which tunes PostgreSQL. Members of the format before go on while others have taken it: a
// step adds, and takes nothing away.
constexpr std::array<const char*, kPostgresFormat> kMigrations = {R"sql(
CREATE TABLE IF NOT EXISTS log (
  one int PRIMARY KEY CHECK (one = 1),
  format int NOT NULL, log_id bigint NOT NULL, slots int NOT NULL, starts bigint NOT NULL,
  generation bigint NOT NULL, origin text NOT NULL, age_ms bigint NOT NULL)
  WITH (fillfactor = 50);
CREATE TABLE IF NOT EXISTS member (
  epoch bigint PRIMARY KEY,
  generation bigint NOT NULL, node text NOT NULL, address text NOT NULL, version text NOT NULL,
  beat bigint NOT NULL, serial_limit_ms bigint NOT NULL, draining bool NOT NULL,
  ended bool NOT NULL, ended_by bigint, observer_pid int)
  WITH (fillfactor = 50);
CREATE TABLE IF NOT EXISTS lane (
  epoch bigint NOT NULL, lane smallint NOT NULL,
  conn bigint NOT NULL, fenced bool NOT NULL, backend int,
  PRIMARY KEY (epoch, lane))
  WITH (fillfactor = 50);
CREATE TABLE IF NOT EXISTS batch (
  epoch bigint NOT NULL, lane smallint NOT NULL, seq bigint NOT NULL,
  PRIMARY KEY (epoch, lane, seq));
CREATE TABLE IF NOT EXISTS slot (
  id smallint PRIMARY KEY,
  owner bigint NOT NULL, slot_epoch bigint NOT NULL, wanted bigint NOT NULL,
  serial_floor_ms bigint NOT NULL)
  WITH (fillfactor = 50);
CREATE TABLE IF NOT EXISTS live (
  slot smallint NOT NULL, serial bigint NOT NULL,
  version bigint NOT NULL, state_crc bigint NOT NULL, spec_crc bigint NOT NULL,
  gid text COLLATE "C" NOT NULL, state bytea NOT NULL, spec bytea NOT NULL,
  PRIMARY KEY (slot, serial))
  WITH (fillfactor = 70, autovacuum_vacuum_scale_factor = 0, autovacuum_vacuum_threshold = 20000,
        autovacuum_vacuum_cost_delay = 0);
CREATE TABLE IF NOT EXISTS finished (
  serial bigint PRIMARY KEY,
  slot smallint NOT NULL, outcome smallint NOT NULL, finished_unix_ms bigint NOT NULL,
  age_ms bigint NOT NULL, crc bigint NOT NULL, spec_crc bigint NOT NULL,
  gid text COLLATE "C" NOT NULL, state bytea NOT NULL, spec bytea NOT NULL);
CREATE UNIQUE INDEX IF NOT EXISTS finished_by_gid ON finished (gid);
ALTER TABLE live ALTER COLUMN state SET STORAGE EXTERNAL;
ALTER TABLE live ALTER COLUMN spec SET STORAGE EXTERNAL;
ALTER TABLE finished ALTER COLUMN state SET STORAGE EXTERNAL;
ALTER TABLE finished ALTER COLUMN spec SET STORAGE EXTERNAL;
)sql",
                                                                  R"sql(
CREATE TABLE IF NOT EXISTS pin (
  slot smallint PRIMARY KEY,
  node text NOT NULL, who text NOT NULL, reason text NOT NULL, unix_ms bigint NOT NULL);
CREATE TABLE IF NOT EXISTS asked (
  epoch bigint NOT NULL, what text NOT NULL,
  who text NOT NULL, reason text NOT NULL, unix_ms bigint NOT NULL,
  PRIMARY KEY (epoch, what));
)sql"};

constexpr int kMaxTries = 100;

std::uint32_t DrawLogId() {
  std::random_device random;
  std::uint32_t id = 0;
  while (id == 0) id = random();
  return id;
}

// Another who came at the same time was faster.
bool LostTheRace(const Answer& answer) {
  static constexpr std::array kExists = {"42P06", "42P07", "42710"};
  for (const char* state : kExists) {
    if (answer.sqlstate == state) return true;
  }
  // XX000: "tuple concurrently updated", of two who tune a table at once.
  return answer.verdict == Verdict::kDuplicate || answer.verdict == Verdict::kAgain ||
         answer.sqlstate == "XX000";
}

Status NoRight(const Connection& connection, const std::string& schema, const Answer& answer) {
  return {Code::kPermissionDenied,
          connection.place() + ": " + answer.message +
              " -- the database's owner may say: CREATE SCHEMA " + schema +
              " AUTHORIZATION this_user; or GRANT CREATE ON DATABASE ... TO this_user"};
}

Result<LogRow> Checked(const Connection& connection, const std::string& schema, LogRow row) {
  if (row.format <= kPostgresFormat) return row;
  if (row.format > kIncomingFormat) {
    return FailedPrecondition(connection.place() + ": schema " + schema + " " + row.origin +
                              ": run assentctl migrate again, which ends it (or, if that log goes "
                              "on where it was: DROP SCHEMA " +
                              schema + " CASCADE)");
  }
  if (row.format > kMovedFormat) {
    return FailedPrecondition(connection.place() + ": the log of schema " + schema + " " +
                              row.origin + ": use it there");
  }
  return FailedPrecondition(connection.place() + ": schema " + schema + " has format " +
                            std::to_string(row.format) + ", this program knows up to " +
                            std::to_string(kPostgresFormat) + ": a newer version made it");
}

}  // namespace

std::string IncomingFrom(const std::string& source) {
  return "is being filled by a migration from " + source;
}

std::string CreationSql(const std::string& schema, const SchemaOptions& options) {
  std::string sql = "CREATE SCHEMA IF NOT EXISTS \"" + schema + "\";" + MigrationSql(0);
  std::string slots;
  for (Slot slot = 0; slot < options.slots_count; ++slot)
    slots += (slot == 0 ? "" : ",") + std::to_string(slot);
  sql += "INSERT INTO slot SELECT id, 0, 0, 0, 0 FROM unnest('{" + slots +
         "}'::bigint[]) AS u(id) WHERE NOT EXISTS (SELECT 1 FROM slot);";
  const std::uint32_t log_id = options.log_id == 0 ? DrawLogId() : options.log_id;
  const bool incoming = !options.incoming_from.empty();
  sql += "INSERT INTO log SELECT 1, " +
         std::to_string(kPostgresFormat + (incoming ? kIncomingFormat : 0)) + ", " +
         std::to_string(log_id) + ", " + std::to_string(options.slots_count) + ", 0, 1, " +
         Quoted(incoming ? IncomingFrom(options.incoming_from) : "") +
         ", 0 WHERE NOT EXISTS (SELECT 1 FROM log)";
  return sql;
}

std::string MigrationSql(int format) {
  std::string sql;
  for (auto step = static_cast<std::size_t>(format); step < kMigrations.size(); ++step)
    sql += kMigrations[step];
  return sql;
}

Result<LogRow> OpenSchema(Connection& connection, const std::string& schema,
                          const SchemaOptions& options) {
  const std::string what = connection.place() + ": schema " + schema;
  for (int attempt = 0; attempt < kMaxTries; ++attempt) {
    Answer answer = connection.Run(
        "SELECT format, log_id, slots, starts, generation, origin, age_ms FROM log WHERE one = 1");
    const bool there = answer.ok() && answer.rows.size() == 1;
    const int format = there ? static_cast<int>(answer.rows.Int(0, 0)) : 0;
    const bool older = there && format > 0 && format < kPostgresFormat;
    if (there && !older) {
      const Rows& rows = answer.rows;
      if (rows.Int(0, 2) < 1 || rows.Int(0, 2) > kMaxSlotsCount)
        return DataLoss(what + ": its log has " + rows.Text(0, 2) + " slots");
      return Checked(connection, schema,
                     {.format = format,
                      .log_id = static_cast<std::uint32_t>(rows.Int(0, 1)),
                      .slots_count = static_cast<Slot>(rows.Int(0, 2)),
                      .starts = rows.Unsigned(0, 3),
                      .generation = rows.Unsigned(0, 4),
                      .origin = rows.Text(0, 5),
                      .age_ms = rows.Int(0, 6)});
    }
    const bool missing = answer.ok() || answer.sqlstate == "42P01" || answer.sqlstate == "3F000";
    if (answer.sqlstate == "42703") {
      return FailedPrecondition(what + " has a table log that is not ours: " + answer.message);
    }
    if (older) {
      answer = connection.Run(MigrationSql(format) +
                              "UPDATE log SET format = " + std::to_string(kPostgresFormat) +
                              " WHERE one = 1 AND format = " + std::to_string(format));
    } else if (missing) {
      answer = connection.Run(CreationSql(schema, options));
    }
    if (answer.sqlstate == "42501") return NoRight(connection, schema, answer);
    if (!answer.ok() && !LostTheRace(answer)) return answer.status(what);
  }
  return Unavailable(what + ": others keep making it");
}

}  // namespace assent::log
