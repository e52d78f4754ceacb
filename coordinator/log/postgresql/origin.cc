#include "coordinator/log/postgresql/origin.h"

namespace assent::log {
namespace {

// Where the server's history stands: two that differ may have lost what the other committed.
// Nothing of a store that cannot tell.
constexpr const char* kOriginSql =
    "SELECT system_identifier::text || '/' || substr(pg_walfile_name(pg_current_wal_lsn()), 1, 8),"
    " current_setting('synchronous_standby_names') <> '' FROM pg_control_system()";

constexpr const char* kNoteSql =
    "UPDATE log SET origin = $1::text, generation = generation + $2::bigint"
    " WHERE one = 1 AND origin = $3::text";

}  // namespace

Status CheckOrigin(Connection& connection, const OriginOptions& options) {
  const Answer now = connection.Run(kOriginSql);
  if (now.verdict == Verdict::kRefused) return OkStatus();
  if (!now.ok()) return now.status(connection.place());
  const Answer before = connection.Run("SELECT origin FROM log WHERE one = 1");
  if (!before.ok() || before.rows.size() != 1) return before.status(connection.place());
  const std::string origin = now.rows.Text(0, 0);
  const std::string known = before.rows.Text(0, 0);
  if (origin == known) return OkStatus();
  const bool lost = !known.empty() && !(options.lossless_failover && now.rows.Int(0, 1) != 0);
  std::string words;
  (void)connection.TakeWarning(words);
  const Answer noted = connection.Query(
      kNoteSql, Params().Bytes(origin).Int(std::int64_t{lost ? 1 : 0}).Bytes(known));
  if (!noted.ok()) return noted.status(connection.place());
  // What comes with a warning may not be where it has to be.
  if (connection.TakeWarning(words)) return Unavailable(connection.place() + ": " + words);
  if (lost && noted.rows.changed() == 1 && options.on_new_generation) {
    options.on_new_generation(connection.place() + " was " + known + " and is " + origin +
                              ": another server has taken over");
  }
  return OkStatus();
}

}  // namespace assent::log
