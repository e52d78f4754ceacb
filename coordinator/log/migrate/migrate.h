#pragma once

// A whole log goes from one store to another while no coordinator runs: SQLite to PostgreSQL when
// one machine is no longer enough, and back. It stays the same log: its id, its epochs and its rows
// are what they were, so whoever prepared something before is answered as he would have been.
//
//   target  ── marked "is being filled from" ──────────────────── the rows, at once ──
//   source                        └── marked "is being moved to" ──┘    "has moved to"
//
// The marks come first, the target's before the source's, and a coordinator refuses what is marked:
// no two logs ever go on, and nobody begins one where this one is to come. A migration that died is
// run again with the same addresses: the target is whole or empty, and the marks say which two
// belong together.

#include <chrono>
#include <cstdint>
#include <functional>
#include <string>

#include <assent/slot.h>
#include <assent/status.h>

#include "coordinator/log/postgresql/connection.h"
#include "coordinator/log/postgresql/schema.h"

namespace assent::log {

struct MigrateOptions {
  std::string sqlite_path;  // the file assent.db, its folder is there
  ConnectionOptions postgres;
  // Of the log in PostgreSQL.
  Slot slots_count = kDefaultSlotsCount;
  // Members that have not left are watched so long: who lives shows it several times a second.
  std::chrono::milliseconds patience{3'000};
  // For people: what is being done, and how far it is.
  std::function<void(const std::string& words)> on_progress = [](const std::string&) {};
};

struct Migrated {
  bool was_done = false;  // by an earlier run; nothing is counted then
  std::uint32_t log_id = 0;
  std::uint64_t live_rows = 0;
  std::uint64_t finished_rows = 0;
};

// kFailedPrecondition  a coordinator runs on either side, the target has another log, or the source
//                      goes somewhere else: the message says which, and what to do
// kUnknownOutcome      the answer to the commit was lost: run it again
// Otherwise as the stores' openings; the source is as it was, but for its mark.
Result<Migrated> MigrateToPostgres(const MigrateOptions& options);
Result<Migrated> MigrateToSqlite(const MigrateOptions& options);

}  // namespace assent::log
