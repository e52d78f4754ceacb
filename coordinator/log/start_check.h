#pragma once

// Whether what a start finds is what must be there. An ended life and one that was cut off look
// alike when the WAL is gone: SQLite takes a missing, empty or cut WAL for a tidy end, and
// everything that was in it for never committed. So what must be there is written down outside it:
// in the database (whether the newest life has ended in order) and in PATH-state (which log, how
// far it had got). Pure: the in-memory log of the simulator asks the same question.

#include <cstdint>
#include <optional>
#include <string>

#include <assent/status.h>

namespace assent::log {

// What PATH-state says. Never more than is durable.
struct LogState {
  bool open = false;  // a life is under way, or was cut off
  std::uint64_t coordinator_id = 0;
  std::uint64_t epoch = 0;
  std::uint64_t commit_seq = 0;  // at least this commit must be there
  std::uint64_t wal_bytes =
      0;  // a WAL of at least so many bytes must be there; 0: it may be missing
  friend bool operator==(const LogState&, const LogState&) = default;
};

// What database and WAL give together, as SQLite sees them.
struct FoundLog {
  std::string path;
  std::uint64_t coordinator_id = 0;
  std::uint64_t epoch = 0;  // 0: no life has begun, so nobody can have been told anything
  std::uint64_t commit_seq = 0;
  bool ended = false;  // the database says that its newest life has ended in order
  std::uint64_t wal_bytes = 0;
  std::optional<LogState> state;  // nothing: PATH-state is missing, or none of it can be read
};

// OK, or kDataLoss: names the file that is missing, short or another's, and what is to be done.
Status CheckStart(const FoundLog& found);

}  // namespace assent::log
