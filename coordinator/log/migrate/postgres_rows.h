#pragma once

// Rows of a whole log in PostgreSQL, written and read in bulk by one connection, in the local
// transaction that it has open.

#include <chrono>
#include <cstdint>
#include <functional>
#include <string>
#include <string_view>

#include <assent/status.h>

#include "coordinator/log/log.h"
#include "coordinator/log/postgresql/connection.h"

namespace assent::log {

// What rows hold, whatever their keys and in whatever order: equal on both sides, or something was
// lost or changed on the way.
struct Digest {
  std::uint64_t live_rows = 0;
  std::uint64_t finished_rows = 0;
  std::uint64_t sum = 0;

  void Add(const LiveRow& row);
  void Add(const FinishedRow& row);
  friend bool operator==(const Digest&, const Digest&) = default;
};

// Gathers rows, and sends so many at once.
class PostgresWriter {
 public:
  explicit PostgresWriter(Connection& connection) : connection_(connection) {}

  Status Add(const LiveRow& row);
  // `ran_ms`: how long the log had run when it ended.
  Status Add(Slot slot, const FinishedRow& row, std::uint64_t ran_ms);
  Status Flush();

 private:
  Status FlushLive();
  Status FlushFinished();

  Connection& connection_;
  std::size_t bytes_ = 0;
  struct {
    Column slot, serial, version, state_crc, spec_crc, gid, state, spec;
  } live_;
  struct {
    Column serial, slot, outcome, unix_ms, ran_ms, crc, spec_crc, gid, state, spec;
  } finished_;
};

// Every row, its checksums checked: kDataLoss names the first that fails.
Status ReadPostgres(
    Connection& connection, const std::function<Status(const LiveRow&)>& live,
    const std::function<Status(const FinishedRow&, std::uint64_t ran_ms)>& finished);

// Runs it, and takes a warning for an answer that was lost: what was committed with one may not be
// wherever it has to be. A condition that does not hold (1/0) is kFailedPrecondition.
Status RunSurely(Connection& connection, const std::string& statements, const std::string& what);

// Tells from time to time how many rows there have been.
class RowProgress {
 public:
  RowProgress(std::string what, std::uint64_t of,
              std::function<void(const std::string& words)> tell);
  void Count();

 private:
  const std::string what_;
  const std::uint64_t of_;
  const std::function<void(const std::string& words)> tell_;
  std::uint64_t rows_ = 0;
  std::chrono::steady_clock::time_point next_;
};

}  // namespace assent::log
