#include "coordinator/log/migrate/living.h"

#include <cstdint>
#include <map>
#include <thread>

#include "coordinator/log/migrate/postgres_rows.h"
#include "coordinator/log/postgresql/schema.h"

namespace assent::log {
namespace {

// Between two looks at the beats of others.
constexpr std::chrono::milliseconds kLook{100};

// By epoch: who it is, and how far it has beaten.
Result<std::map<std::uint64_t, std::string>> Living(Connection& connection) {
  const Answer answer =
      connection.Run("SELECT epoch, beat, node, address FROM member WHERE NOT ended");
  if (!answer.ok()) return answer.status(connection.place() + ": reading table member");
  std::map<std::uint64_t, std::string> living;
  for (int row = 0; row < answer.rows.size(); ++row) {
    living[answer.rows.Unsigned(row, 0)] = "node " + answer.rows.Text(row, 2) + " at " +
                                           answer.rows.Text(row, 3) + ", beat " +
                                           answer.rows.Text(row, 1);
  }
  return living;
}

}  // namespace

Result<std::vector<std::string>> CheckNobodyLives(Connection& connection,
                                                  std::chrono::milliseconds patience,
                                                  const Tell& on_progress) {
  const auto before = Living(connection);
  if (!before.ok()) return before.status();
  std::vector<std::string> silent;
  for (const auto& [epoch, who] : *before) silent.push_back(who.substr(0, who.rfind(',')));
  if (silent.empty()) return silent;
  on_progress("looking whether anybody still lives who has not left: " +
              std::to_string(silent.size()));
  const auto until = std::chrono::steady_clock::now() + patience;
  for (bool last = false; !last;) {
    last = std::chrono::steady_clock::now() >= until;
    const auto now = Living(connection);
    if (!now.ok()) return now.status();
    for (const auto& [epoch, who] : *now) {
      const auto at = before->find(epoch);
      if (at != before->end() && at->second == who) continue;
      return FailedPrecondition(who.substr(0, who.rfind(',')) +
                                " lives: stop all coordinators first");
    }
    if (!last) std::this_thread::sleep_for(kLook);  // tidy: allow(sleep) a beat makes no noise
  }
  return silent;
}

// Rows in the order in which members lock them: log, member, lane, slot.
Status EndEverybody(Connection& connection, const std::string& log_set, const std::string& then,
                    const std::string& what) {
  const std::string sql =
      "SET LOCAL lock_timeout = 2000; WITH done AS (UPDATE log SET " + log_set +
      ", starts = starts + 1 WHERE one = 1 AND format <= " + std::to_string(kPostgresFormat) +
      " RETURNING 1) SELECT 1/(SELECT count(*) FROM done);"
      "UPDATE member SET ended = true, ended_by = " +
      std::to_string(kEndedByNoMember) +
      " WHERE NOT ended;"
      "UPDATE lane SET fenced = true WHERE NOT fenced;" +
      then;
  Status status = RunSurely(connection, sql, what);
  if (status.code() != Code::kUnavailable) return status;
  // A group of which the rest never arrives holds its locks for ever. In an older copy of the
  // tables the numbers are those of sessions of long ago: they may be somebody else's now.
  (void)connection.Run(
      "SELECT pg_terminate_backend(pid) FROM pg_stat_activity WHERE datname = current_database()"
      " AND application_name LIKE 'assentd %' AND pid <> pg_backend_pid() AND pid IN"
      " (SELECT backend FROM lane WHERE NOT fenced UNION ALL"
      " SELECT observer_pid FROM member WHERE NOT ended)");
  return RunSurely(connection, sql, what);
}

void TellFenced(const std::vector<std::string>& members, const Tell& on_progress) {
  for (const std::string& member : members) {
    on_progress("fenced " + member + ", which had not left: if it still runs, it ends with 75");
  }
}

}  // namespace assent::log
