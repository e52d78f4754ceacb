#pragma once

// How to run a SQLite log: each field with its meaning, unit, default and what follows from it.

#include <chrono>
#include <cstddef>
#include <cstdint>
#include <functional>
#include <string>
#include <vector>

#include <assent/status.h>

#include "coordinator/log/queued_log.h"

namespace assent::log {

// One group commit, for metrics. Handed over on the log's thread after the callbacks of the group.
struct CommitReport {
  std::size_t batches = 0;
  std::size_t entries = 0;
  std::chrono::microseconds total{0};    // from BEGIN IMMEDIATE until COMMIT returned
  std::chrono::microseconds durable{0};  // of which in COMMIT: writing and synchronising the WAL
  // What this group had to wait for: checkpoints since the group before. Not part of `total`.
  std::chrono::microseconds checkpoint{0};
};

// Rows that retention has removed since the last report.
struct RetentionReport {
  std::uint64_t by_age = 0;   // had been kept for their time
  std::uint64_t by_size = 0;  // the oldest of a log that is too large
  std::uint64_t kept = 0;     // finished rows that are left
  bool paced = false;         // more are old enough, and go a part a minute (retention_clock.h)
};

struct SqliteOptions {
  // A file system of SQLite's that is not the machine's own (vfs) is asked by this file control to
  // make its folder durable; one that does not know it leaves that to us. SQLite keeps codes up to
  // 100 for itself.
  static constexpr int kSyncFolderFileControl = 0x41737301;

  // The database file; its folder must exist. Beside it are PATH-wal, PATH-state and
  // PATH-reserve. One process at a time.
  std::string path{};

  // Finished rows kept for longer than this are removed. 0: age removes nothing. Counted in run
  // time: what the log has been open for, whatever the wall clock says (retention_clock.h).
  std::chrono::milliseconds retention_age = std::chrono::hours(7 * 24);
  // While more bytes than this are in use in the database file, the oldest finished rows are
  // removed whatever their age. Freed pages are reused, so this also bounds the file. 0: size
  // removes nothing. Unfinished rows are never removed.
  std::uint64_t retention_bytes = std::uint64_t{4} << 30;
  // Finished rows with one of these outcomes are removed by kForget only, and count against no
  // limit: what a person decided stays until a person has seen it.
  std::vector<std::uint8_t> pinned_outcomes{};
  // What a row was is overwritten when it changes, and a backup has nothing of it either: of a log
  // that is sealed.
  bool leaves_no_remains = false;
  // How often an idle log looks for rows to remove. A busy one looks with each commit.
  std::chrono::milliseconds retention_interval = std::chrono::seconds(1);

  // Disk space set aside in PATH-reserve and given up when the disk is full, so that what has begun
  // can still end. 0: a full disk stops everything at once. Twice what the WAL may hold
  // (checkpoint_pages) is the least: on a full disk it is moved into the database first, and then
  // its own space is free again.
  std::uint64_t reserve_bytes = std::uint64_t{32} << 20;
  // How often a log on a full disk tries whether there is space again.
  std::chrono::milliseconds space_probe_interval = std::chrono::milliseconds(250);

  // See QueuedLogOptions.
  std::size_t max_queued_entries = QueuedLogOptions().max_queued_entries;
  std::size_t max_queued_bytes = QueuedLogOptions().max_queued_bytes;
  std::size_t max_queued_reads = QueuedLogOptions().max_queued_reads;
  std::size_t max_group_entries = QueuedLogOptions().max_group_entries;
  std::size_t max_group_bytes = QueuedLogOptions().max_group_bytes;

  // Pages in the WAL after which it is checkpointed: small keeps the stall of one checkpoint short
  // (20,000 pages gave 56 to 91 ms), large saves writes.
  int checkpoint_pages = 1000;
  // SQLite's page cache.
  std::uint64_t cache_bytes = std::uint64_t{64} << 20;
  // At the start, every page, index and finished row of a file up to this size is checked; of a
  // larger one the unfinished rows and the `check_finished_rows` newest finished ones.
  std::uint64_t full_check_bytes = std::uint64_t{64} << 20;
  std::size_t check_finished_rows = 10'000;

  // Also opens a log that is marked as moved to another store: for who moves it
  // (coordinator/log/migrate).
  bool open_moved = false;

  // SQLite's name of the file system to go through; empty: the machine's own. Tests put faults
  // there.
  std::string vfs{};
  // Wall clock in milliseconds since 1970, for people; empty: the machine's own.
  std::function<std::int64_t()> unix_now_ms{};
  // A clock in milliseconds that only runs forward, for age; empty: the machine's monotonic one.
  std::function<std::int64_t()> mono_now_ms{};

  // See QueuedLogOptions. On the log's thread; a checkpoint that fails tells nobody else.
  std::function<void(const Status&)> on_poisoned{};
  std::function<void(const CommitReport&)> on_commit{};
  // Retention has removed rows: the first time at once, then every ten minutes at most. On the
  // log's thread, as the next.
  std::function<void(const RetentionReport&)> on_retention{};
  // The wall clock was set, by more than a minute: forward, or (negative) back. Nothing that is
  // stored depends on it.
  std::function<void(std::chrono::milliseconds)> on_wall_clock_step{};
  // The disk is full: said at once; and (false) that it has had space for a while, which is
  // kSpaceForProbes times space_probe_interval.
  std::function<void(bool full)> on_full{};
  static constexpr int kSpaceForProbes = 40;
  // PATH-state was deleted or cut while in use, and has been written anew.
  std::function<void()> on_state_renewed{};
  // Load says how far it is, after a fifth of a second and then once a second: unfinished rows
  // read, and to read.
  std::function<void(std::uint64_t rows, std::uint64_t of)> on_replay{};

  // OK, or kInvalidArgument naming the field.
  Status Validate() const;
};

}  // namespace assent::log
