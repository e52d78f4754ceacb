#pragma once

// Every row of a log's file, one by one, whatever is wrong with it: for who looks after a log that
// nobody has open, or after a copy of one. A start, which has to refuse what is damaged, reads for
// itself (sqlite_recovery.cc).

#include <cstdint>
#include <functional>
#include <string>
#include <vector>

#include "coordinator/log/sqlite/sqlite_connection.h"
#include "coordinator/log/sqlite/sqlite_rows.h"

namespace assent::log {

struct WalkedRow {
  bool finished = false;  // of table finished; else of table live
  std::uint64_t serial = 0;
  std::uint64_t version = 0;  // live
  std::uint64_t commit_seq = 0;
  std::uint8_t outcome = 0;           // finished
  std::int64_t finished_unix_ms = 0;  // finished
  std::string gid{};
  std::string spec{};
  std::string state{};
  std::uint32_t state_crc = 0;  // live, as it is stored
  std::string damage{};         // a sentence that names it; empty: its checksums are right
};

struct Walked {
  std::uint64_t live_rows = 0;
  std::uint64_t finished_rows = 0;
  // What is wrong, each a sentence: rows with damage, rows that cannot be read, and totals that are
  // not what table meta says.
  std::vector<std::string> damage{};
};

// The file is of a format with these tables. `meta` as read.
Walked WalkRows(SqliteConnection& db, const std::string& path, const Meta& meta,
                const std::function<void(const WalkedRow&)>& visit);

}  // namespace assent::log
