#include "coordinator/log/postgresql/origin.h"

#include "coordinator/base/clock.h"
#include "coordinator/log/postgresql/schema.h"
#include "coordinator/log/postgresql/slot_table.h"

namespace assent::log {
namespace {

// Where the history of the tables stands: two that differ may have lost what the other committed. A
// dump that is read in again makes new tables. Nothing of a store that cannot tell.
constexpr const char* kOriginSql =
    "SELECT system_identifier::text || '/' || substr(pg_walfile_name(pg_current_wal_lsn()), 1, 8)"
    " || '/' || 'log'::regclass::oid::text, current_setting('synchronous_standby_names') <> ''"
    " FROM pg_control_system()";

// One of several who notice at once does it, and nobody to a log that is being moved meanwhile.
constexpr const char* kNoteSql =
    "WITH noted AS (UPDATE log SET origin = $1::text, generation = generation + $2::bigint"
    " WHERE one = 1 AND origin = $3::text AND generation = $4::bigint AND format <= $6::bigint"
    " RETURNING 1),"
    " risen AS (UPDATE slot SET slot_epoch = greatest(slot_epoch + 1, $5::bigint)"
    " WHERE $2::bigint > 0 AND EXISTS (SELECT 1 FROM noted) RETURNING 1)"
    " SELECT count(*) FROM noted";

// What answers, and what the log's row says of where it was.
struct Seen {
  std::string origin;  // `known`, of a store that cannot tell
  bool synchronous = false;
  std::string known;
  std::uint64_t generation = 0;
  std::int64_t format = 0;
  // Nothing known has not been written down yet, and is taken for what answers.
  bool elsewhere() const { return !known.empty() && origin != known; }
};

Result<Seen> Look(Connection& connection) {
  const Answer now = connection.Run(kOriginSql);
  if (!now.ok() && now.verdict != Verdict::kRefused) return now.status(connection.place());
  const Answer log = connection.Run("SELECT origin, generation, format FROM log WHERE one = 1");
  if (!log.ok()) return log.status(connection.place());
  if (log.rows.size() != 1) return Unavailable(connection.place() + ": the log has no row");
  const std::string known = log.rows.Text(0, 0);
  return Seen{.origin = now.ok() ? now.rows.Text(0, 0) : known,
              .synchronous = now.ok() && now.rows.Int(0, 1) != 0,
              .known = known,
              .generation = log.rows.Unsigned(0, 1),
              .format = log.rows.Int(0, 2)};
}

}  // namespace

bool SameTables(const std::string& a, const std::string& b) {
  const auto without_timeline = [](const std::string& origin) {
    const std::size_t first = origin.find('/');
    const std::size_t last = origin.rfind('/');
    return first == last ? origin : origin.substr(0, first) + origin.substr(last);
  };
  return without_timeline(a) == without_timeline(b);
}

Result<bool> IsElsewhere(Connection& connection) {
  const Result<Seen> seen = Look(connection);
  return seen.ok() ? Result<bool>(seen->elsewhere()) : seen.status();
}

Result<std::uint64_t> CheckOrigin(Connection& connection, const OriginOptions& options,
                                  std::optional<std::uint64_t> lost_in) {
  for (;;) {
    const Result<Seen> seen = Look(connection);
    if (!seen.ok()) return seen.status();
    const auto& [origin, synchronous, known, generation, format] = *seen;
    // There `origin` is the mark of a migration, which is all that says where the log goes on.
    if (format > kMovedFormat) return generation;
    const bool moved = seen->elsewhere() &&
                       !(options.lossless_failover && synchronous && SameTables(origin, known));
    const bool lost = moved || (lost_in && generation <= *lost_in);
    if (origin == known && !lost) return generation;
    std::string words;
    (void)connection.TakeWarning(words);
    const Answer noted = connection.Query(kNoteSql, Params()
                                                        .Bytes(origin)
                                                        .Int(std::int64_t{lost ? 1 : 0})
                                                        .Bytes(known)
                                                        .Int(generation)
                                                        .Int(SerialMs(base::UnixNowMs()))
                                                        .Int(std::int64_t{kMovedFormat}));
    if (!noted.ok()) return noted.status(connection.place());
    // What comes with a warning may not be where it has to be.
    if (connection.TakeWarning(words)) return Unavailable(connection.place() + ": " + words);
    if (noted.rows.Int(0, 0) != 1) continue;
    if (lost && options.on_new_generation) {
      options.on_new_generation(moved ? connection.place() + " was " + known + " and is " + origin +
                                            ": another server, or a copy, has taken over"
                                      : connection.place() + ", " + origin +
                                            ", lacks what it had acknowledged");
    }
    return generation + (lost ? 1 : 0);
  }
}

}  // namespace assent::log
